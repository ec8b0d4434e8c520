//! The files that the checks look at: everything in the repository that is text and ours.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// Folders that hold what tools make, not what people write.
const SKIPPED: &[&str] = &["target", ".git", ".cache", "node_modules", "__pycache__", ".venv"];
/// Paths of generated output and of foreign bytes kept as they came.
const SKIPPED_PATHS: &[&str] = &["bench/out", "fuzz/corpus"];
/// Larger files are data.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One text file.
#[derive(Debug)]
pub(super) struct File {
    /// Path from the root, with `/`.
    pub(super) path: String,
    /// Its text.
    pub(super) text: String,
}

impl File {
    /// The lines with their numbers, counted from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    /// True when the file is written in the language of this ending.
    pub(super) fn is(&self, ending: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, e)| e == ending)
    }

    /// The room under `crates/` that holds the file, or the top folder.
    pub(super) fn room(&self) -> &str {
        let inside = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        inside.split('/').next().unwrap_or(inside)
    }
}

/// Every file, in order of path.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The files.
    pub(super) files: Vec<File>,
}

impl Tree {
    /// Reads the tree at `root`. What is not UTF-8 is not ours to judge and is left out.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        walk(root, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// The file at exactly this path.
    pub(super) fn find(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|f| f.path == path)
    }

    /// A tree made of `(path, text)`, for tests of checks.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        // Not following links keeps the walk finite and inside the repository.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            if !SKIPPED.contains(&name.as_str()) && !SKIPPED_PATHS.contains(&path.as_str()) {
                walk(&entry.path(), &path, files)?;
            }
        } else if kind.is_file() && entry.metadata().is_ok_and(|m| m.len() <= FILE_BYTES_MAX) {
            // A file may vanish between the listing and the reading while an editor saves it.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Tree;
    use std::path::Path;

    #[test]
    fn the_tree_holds_this_file_and_nothing_that_tools_made() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let tree = Tree::read(root).unwrap();
        assert!(tree.find("xtask/src/tidy/tree.rs").is_some_and(|f| f.is("rs") && f.room() == "xtask"));
        assert!(!tree.files.iter().any(|f| f.path.starts_with("target/") || f.path.starts_with(".git/")));
    }
}
