//! Backups: a folder with a copy of the database and a manifest that tells whether it is still as it was made.
//!
//! A backup holds sealed credentials and wrapped data keys, and never what opens them: the master key is not
//! in the database and has to be kept elsewhere. Call records are files of their own and are not in it.
//! Everything here blocks.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::{Clock, Timestamp};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::StoreError;

use crate::copy::{copy_whole, make_private_folder, sync_folder_of, with_suffix};
use crate::migrate;
use crate::open;

/// The name of the manifest in a backup.
pub const MANIFEST: &str = "manifest.json";
/// The name of the copy in a backup.
const COPY: &str = "hub.db";
/// The form of the manifest that this program writes and reads.
const FORMAT: u32 = 1;
/// The largest manifest that is read, in bytes.
const MANIFEST_LEN_MAX: u64 = 64 * 1024;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this file.
    pub format: u32,
    /// When it was made, in milliseconds since the Unix epoch.
    pub made_at: Timestamp,
    /// The schema of the data.
    pub schema_version: u32,
    /// The name of the copy.
    pub file: String,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// Copies the database into `folder`, which must be new or empty, and checks the copy. Hubs that run on the
/// database go on: the copy is one moment of it.
///
/// # Errors
/// [`StoreError`]: [`StoreError::InTheWay`], a database that is not ours or is spoilt, a disk that does not
/// let us. What was begun is taken away again.
pub fn make(database: &Path, folder: &Path, clock: &dyn Clock) -> Result<Manifest, StoreError> {
    const DOING: &str = "make a backup";
    let failed = |error: std::io::Error| StoreError::unavailable(DOING, error);
    let db = open::look(database)?;
    make_private_folder(folder).map_err(failed)?;
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        return Err(StoreError::InTheWay { path: folder.to_owned() });
    }
    let copy = folder.join(COPY);
    let made = (|| {
        copy_whole(&db, &copy, DOING)?;
        let schema_version = inspect(&copy)?;
        let (bytes, sha256) = digest(&copy).map_err(failed)?;
        let manifest = Manifest {
            format: FORMAT,
            made_at: clock.now(),
            schema_version,
            file: COPY.to_owned(),
            bytes,
            sha256,
        };
        // Last: a folder without a manifest is no backup.
        write_manifest(&folder.join(MANIFEST), &manifest).map_err(failed)?;
        Ok(manifest)
    })();
    if made.is_err() {
        for name in [COPY, MANIFEST] {
            let _absent = std::fs::remove_file(folder.join(name));
        }
    }
    made
}

/// Checks that a backup is as it was made, that the database in it is sound, and that this program knows its
/// schema.
///
/// # Errors
/// [`StoreError::BadBackup`], [`StoreError::NewerSchema`], [`StoreError::ChangedMigration`],
/// [`StoreError::Unavailable`].
pub fn check(folder: &Path) -> Result<Manifest, StoreError> {
    let path = folder.join(MANIFEST);
    let bad = |path: &Path, why| StoreError::BadBackup { path: path.to_owned(), why };
    let manifest = read_manifest(&path)?;
    if manifest.format != FORMAT || manifest.file != COPY {
        return Err(bad(&path, "is not a manifest that this version knows"));
    }
    let copy = folder.join(COPY);
    let (bytes, sha256) = digest(&copy).map_err(|e| StoreError::unavailable("read the backup", e))?;
    if (bytes, &sha256) != (manifest.bytes, &manifest.sha256) {
        return Err(bad(&copy, "is not as the manifest says: it was altered or cut short"));
    }
    if inspect(&copy)? != manifest.schema_version {
        return Err(bad(&copy, "has another schema version than the manifest says"));
    }
    Ok(manifest)
}

/// Checks a backup, then puts its database where `database` says. Nothing may be there, and no hub may run
/// on that folder (the caller holds `store::FolderLock`).
///
/// # Errors
/// As [`check`], and [`StoreError::InTheWay`].
pub fn restore(folder: &Path, database: &Path) -> Result<Manifest, StoreError> {
    let failed = |error: std::io::Error| StoreError::unavailable("restore the backup", error);
    let manifest = check(folder)?;
    // A log that is left would be taken for this database's.
    for path in [database.to_owned(), with_suffix(database, "-wal"), with_suffix(database, "-shm")] {
        if path.exists() {
            return Err(StoreError::InTheWay { path });
        }
    }
    let beside = with_suffix(database, ".restoring");
    copy_file(&folder.join(COPY), &beside).map_err(failed)?;
    // What was checked is what is put there, also when somebody writes to the backup meanwhile.
    let (_, sha256) = digest(&beside).map_err(failed)?;
    if sha256 != manifest.sha256 {
        std::fs::remove_file(&beside).map_err(failed)?;
        return Err(StoreError::BadBackup { path: folder.join(COPY), why: "changed while it was read" });
    }
    std::fs::rename(&beside, database).and_then(|()| sync_folder_of(database)).map_err(failed)?;
    Ok(manifest)
}

/// Whether the copy is sound, and which schema it has.
fn inspect(copy: &Path) -> Result<u32, StoreError> {
    let bad = |why| StoreError::BadBackup { path: copy.to_owned(), why };
    // Nobody else writes to it: without this, looking would leave side files.
    let uri = format!("file:{}?immutable=1", percent_encoded(copy));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(uri, flags).map_err(|_| bad("cannot be opened"))?;
    let verdict = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    if verdict.is_ok_and(|verdict| verdict != "ok") || !has_whole_references(&db).unwrap_or(false) {
        return Err(bad("is damaged: the database does not hold together"));
    }
    let applied = migrate::applied(&db).map_err(|_| bad("is not a database of this program"))?;
    store::migration::pending(migrate::MIGRATIONS, &applied)?;
    Ok(applied.last().map_or(0, |last| last.version))
}

fn has_whole_references(db: &Connection) -> rusqlite::Result<bool> {
    let mut query = db.prepare("PRAGMA foreign_key_check")?;
    let mut dangling = query.query([])?;
    Ok(dangling.next()?.is_none())
}

/// A path as SQLite's file addresses want it.
fn percent_encoded(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => text.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut sha256 = Sha256::new();
    let (mut buffer, mut length) = (vec![0; 64 * 1024], 0_u64);
    loop {
        let count = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { break };
        sha256.update(chunk);
        length += u64::try_from(count).unwrap_or(0);
    }
    Ok((length, model::hex(&sha256.finalize())))
}

fn create_new(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn write_manifest(path: &Path, manifest: &Manifest) -> std::io::Result<()> {
    let mut file = create_new(path)?;
    serde_json::to_writer_pretty(&mut file, manifest)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    sync_folder_of(path)
}

fn read_manifest(path: &PathBuf) -> Result<Manifest, StoreError> {
    let bad = |why| StoreError::BadBackup { path: path.clone(), why };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MANIFEST_LEN_MAX).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(bad("is missing: this folder is no backup, or its making was cut short"));
        }
        Err(error) if error.kind() != std::io::ErrorKind::InvalidData => {
            return Err(StoreError::unavailable("read the backup", error));
        }
        _ => {}
    }
    serde_json::from_str(&text).map_err(|_| bad("is not a manifest"))
}

fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (mut from, mut to) = (File::open(from)?, create_new(to)?);
    std::io::copy(&mut from, &mut to)?;
    to.sync_all()
}
