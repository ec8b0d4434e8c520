//! Where manifests come from: what is compiled in, and the operator's folders.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::problem::{Problem, Problems};
use crate::{Entry, ICON, MANIFEST};

/// What a place holds: entries, and what is wrong with the others.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Those that are whole.
    pub entries: Vec<Entry>,
    /// Those that are not, by the name of their folder.
    pub broken: Vec<(String, Problems)>,
}

struct BuiltIn {
    slug: &'static str,
    manifest: &'static str,
    icon: &'static str,
    /// Files of `fixtures/`: name and text.
    fixtures: &'static [(&'static str, &'static str)],
}

const BUILT_IN: &[BuiltIn] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// The most folders that are looked at in one place.
const ENTRIES_MAX: usize = 2_000;
/// The most files of fixtures that an entry has.
const FIXTURE_FILES_MAX: usize = 200;
/// The folder of an entry with its fixtures.
const FIXTURES: &str = "fixtures";
/// The most bytes that are read of a file; each kind has a smaller limit of its own.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The entries that are compiled in.
#[must_use]
pub fn built_in() -> Shelf {
    let mut shelf = Shelf::default();
    for one in BUILT_IN {
        let file = format!("integrations/{}/{MANIFEST}", one.slug);
        let read = Entry::read_own(one.slug, &file, one.manifest, one.icon).map(|mut entry| {
            let place = |name: &str| format!("integrations/{}/{FIXTURES}/{name}", one.slug);
            let files = one.fixtures.iter().map(|(name, text)| (place(name), Cow::Borrowed(*text)));
            entry.fixture_files = files.collect();
            entry
        });
        shelf.put(one.slug, read);
    }
    shelf
}

/// The manifest of an entry that is compiled in.
pub(crate) fn built_in_manifest(slug: &str) -> Option<&'static str> {
    BUILT_IN.iter().find(|one| one.slug == slug).map(|one| one.manifest)
}

/// Reads `<folder>/<slug>/integration.yaml` of every `<slug>`. A folder without that file is none of ours.
///
/// # Errors
/// When the folder itself cannot be listed.
pub fn read_folder(folder: &Path) -> io::Result<Shelf> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.join(MANIFEST).is_file() {
            names.push(path);
        }
    }
    names.sort();
    let mut shelf = Shelf::default();
    for (n, path) in names.iter().enumerate() {
        let slug = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = path.join(MANIFEST);
        if n >= ENTRIES_MAX {
            let what = format!("is not read: the folder holds more than {ENTRIES_MAX} entries");
            shelf.broken.push((slug, told(&file, what)));
            continue;
        }
        let read = text(&file).and_then(|manifest| {
            let icon = text(&path.join(ICON))?;
            let mut entry = Entry::read(&slug, &file.display().to_string(), &manifest, &icon)?;
            for file in fixtures(path)? {
                entry.fixture_files.push((file.display().to_string(), Cow::Owned(text(&file)?)));
            }
            Ok(entry)
        });
        shelf.put(&slug, read);
    }
    Ok(shelf)
}

/// The files of `fixtures/`, in the order of their names.
fn fixtures(path: &Path) -> Result<Vec<PathBuf>, Problems> {
    let folder = path.join(FIXTURES);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let listed = fs::read_dir(&folder)
        .and_then(|all| all.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>());
    let mut files = listed.map_err(|error| told(&folder, format!("cannot be listed: {error}")))?;
    files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    if files.len() > FIXTURE_FILES_MAX {
        return Err(told(&folder, format!("holds more than {FIXTURE_FILES_MAX} files")));
    }
    Ok(files)
}

fn text(path: &Path) -> Result<String, Problems> {
    let read = || {
        let mut text = String::new();
        fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        Ok::<_, io::Error>(text)
    };
    match read() {
        Ok(text) if text.len() as u64 > FILE_BYTES_MAX => {
            Err(told(path, format!("has more than {FILE_BYTES_MAX} bytes")))
        }
        Ok(text) => Ok(text),
        Err(error) => Err(told(path, format!("cannot be read: {error}"))),
    }
}

fn told(path: &Path, what: String) -> Problems {
    Problems(vec![Problem { file: path.display().to_string(), ..Problem::new("", what, "") }])
}

// === impl Shelf ===

impl Shelf {
    fn put(&mut self, slug: &str, read: Result<Entry, Problems>) {
        match read {
            Ok(entry) => self.entries.push(entry),
            Err(problems) => self.broken.push((slug.to_owned(), problems)),
        }
    }
}
