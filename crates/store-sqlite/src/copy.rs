//! A copy of the database as it is at one moment, while others write to it.

use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use store::StoreError;

/// Copies everything that is committed to `copy`, which then is one private file, synced; whole or not at
/// all.
pub(crate) fn copy_whole(db: &Connection, copy: &Path, doing: &'static str) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::unavailable(doing, error);
    let beside = with_suffix(copy, ".part");
    // Left over from an attempt that was cut short; opening it would copy into its remains.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let copied = (|| {
        let mut to = Connection::open(&beside)?;
        // All pages in one step: that is one moment of the database, and with a write-ahead log nobody
        // waits for it.
        let step = Backup::new(db, &mut to)?.step(-1)?;
        to.pragma_update(None, "journal_mode", "DELETE")?;
        Ok(step)
    })();
    match copied.map_err(|e: rusqlite::Error| StoreError::unavailable(doing, e))? {
        StepResult::Done => {}
        _ => return Err(failed(std::io::Error::other("the database is locked by somebody else"))),
    }
    std::fs::set_permissions(&beside, Permissions::from_mode(0o600))
        .and_then(|()| File::open(&beside)?.sync_all())
        .and_then(|()| std::fs::rename(&beside, copy))
        .and_then(|()| sync_folder_of(copy))
        .map_err(failed)
}

/// Makes a folder that only its owner sees, unless it is there.
pub(crate) fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes sure that a name outlives the power.
pub(crate) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
