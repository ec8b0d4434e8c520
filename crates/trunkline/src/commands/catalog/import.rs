//! `trunkline catalog import`: what somebody else has described, as an entry in a folder of `catalog:`. A hub
//! that watches the folder lists it at once. Nothing is run, connected or fetched.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use ::catalog::import::{BUNDLE_BYTES_MAX, Imported, NEUTRAL_ICON, Options, read};
use ::catalog::{ICON, MANIFEST};
use serde_json::{Value, json};

use crate::say::{Quit, note, out, plain};

/// Makes the entry, writes it, and says what did not map.
pub(super) fn run(
    is_json: bool,
    file: &Path,
    options: &Options,
    folder: Option<PathBuf>,
    is_forced: bool,
) -> Result<(), Quit> {
    let bytes = bytes_of(file)?;
    let imported = read(&bytes, options)
        .map_err(|why| Quit::failed(format!("{}: {}", file.display(), plain(&why.0, 2_000))))?;
    let folder = folder.ok_or_else(|| Quit::usage("`catalog:` names no folder; say one with --out"))?;
    let place = folder.join(&imported.slug);
    if !is_forced {
        check_free(&place, &imported.slug)?;
    }
    write(&place, &imported)
        .map_err(|error| Quit::failed(format!("{} cannot be written: {error}", place.display())))?;
    report(is_json, &place, &imported);
    Ok(())
}

fn bytes_of(file: &Path) -> Result<Vec<u8>, Quit> {
    let read = || {
        let mut bytes = Vec::new();
        fs::File::open(file)?.take(BUNDLE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes =
        read().map_err(|error| Quit::failed(format!("{} cannot be read: {error}", file.display())))?;
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(Quit::failed(format!("{} is larger than {BUNDLE_BYTES_MAX} bytes", file.display())));
    }
    Ok(bytes)
}

/// An entry that is there already is somebody's.
fn check_free(place: &Path, slug: &str) -> Result<(), Quit> {
    let hint = "--as gives it another name, --force writes it all the same";
    if place.join(MANIFEST).exists() {
        return Err(Quit::failed(format!("{} is there already", place.display())).with_hint(hint));
    }
    if ::catalog::built_in().entries.iter().any(|entry| entry.slug == slug) {
        let what = format!("`{slug}` is an entry of this binary, and a folder's would go before it");
        return Err(Quit::failed(what).with_hint(hint));
    }
    Ok(())
}

/// The icon first, and the manifest whole: a hub that watches never sees half of an entry.
fn write(place: &Path, imported: &Imported) -> io::Result<()> {
    fs::create_dir_all(place)?;
    let icon = place.join(ICON);
    if !icon.exists() {
        fs::write(icon, NEUTRAL_ICON)?;
    }
    let mut file = tempfile::NamedTempFile::new_in(place)?;
    file.write_all(imported.manifest.as_bytes())?;
    file.as_file().sync_all()?;
    readable(file.as_file())?;
    file.persist(place.join(MANIFEST)).map_err(|error| error.error)?;
    Ok(())
}

/// A temporary file is its maker's alone; the hub may run as somebody else.
#[cfg(unix)]
fn readable(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &fs::File) -> io::Result<()> {
    Ok(())
}

fn report(is_json: bool, place: &Path, imported: &Imported) {
    if is_json {
        let notes: Vec<Value> =
            imported.report.iter().map(|note| json!({ "place": note.place, "what": note.what })).collect();
        out(&json!({ "slug": imported.slug, "folder": place, "report": notes }).to_string());
        return;
    }
    out(&format!("{}: {}", imported.slug, place.join(MANIFEST).display()));
    for one in &imported.report {
        let between = if one.place.is_empty() { "" } else { ": " };
        note(&format!("{}{between}{}", plain(&one.place, 200), plain(&one.what, 400)));
    }
    if !imported.report.is_empty() {
        note(
            "Look through the manifest before it is used: what stands above is not in it, or not as it was.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, run};

    const PETS: &str = r#"{ "openapi": "3.1.0", "info": { "title": "Pets", "version": "1" },
        "servers": [{ "url": "https://pets.example" }], "paths": { "/pets": { "get": { "responses": {} } } } }"#;

    #[test]
    fn an_entry_is_written_whole_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pets.json");
        std::fs::write(&file, PETS).unwrap();
        let to = Some(folder.path().join("entries"));
        let go = |options: &Options, is_forced| run(true, &file, options, to.clone(), is_forced);
        go(&Options::default(), false).unwrap();
        let place = folder.path().join("entries/pets");
        let mut names: Vec<_> = std::fs::read_dir(&place)
            .unwrap()
            .map(|one| one.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["icon.svg", "integration.yaml"]);
        let shelf = ::catalog::read_folder(&folder.path().join("entries")).unwrap();
        assert_eq!((shelf.entries.len(), shelf.broken.len()), (1, 0));

        std::fs::write(place.join("icon.svg"), "<svg/>").unwrap();
        let refused = go(&Options::default(), false).unwrap_err();
        assert!(refused.code == 1 && refused.what.contains("there already"), "{refused:?}");
        go(&Options::default(), true).unwrap();
        assert_eq!(std::fs::read_to_string(place.join("icon.svg")).unwrap(), "<svg/>", "an icon is kept");
        let known = Options { slug: Some("github".to_owned()), ..Options::default() };
        assert!(go(&known, false).unwrap_err().what.contains("entry of this binary"));

        std::fs::write(&file, "{}").unwrap();
        assert_eq!(go(&Options::default(), true).unwrap_err().code, 1);
    }
}
