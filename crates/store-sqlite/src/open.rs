//! Opening the file: the right library, the right file, the right switches.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use model::Clock;
use rusqlite::{Connection, OpenFlags};
use store::StoreError;
use store::migration::Migration;

use crate::migrate;

/// The oldest SQLite without the WAL-reset fault that can lose committed data.
const LIBRARY_MIN: i32 = 3_051_003;
/// How long to wait for another process (a backup tool, a curious person) that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Reads are microseconds each; a second reader is there for the long ones.
const READER_COUNT: usize = 2;

/// The connection that writes, with the schema as this program knows it.
pub(crate) fn writer(
    path: &Path,
    migrations: &[Migration],
    clock: &dyn Clock,
) -> Result<Connection, StoreError> {
    check_library(rusqlite::version_number())?;
    // SQLite gives its side files the rights of the main one, so it is made private before SQLite sees it.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| StoreError::unavailable("make the database file", e))?;
    let mut db = connect(path)?;
    let prepared = (|| {
        let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        Ok(mode)
    })();
    match prepared {
        Ok(mode) if mode.eq_ignore_ascii_case("wal") => {}
        // Some network file systems cannot share memory; a hub must not run on those unnoticed.
        Ok(mode) => {
            let message = format!("the file system allows journal mode {mode} only");
            return Err(StoreError::unavailable(
                "switch to write-ahead logging",
                std::io::Error::other(message),
            ));
        }
        Err(error) => return Err(not_ours_or(path, "open the database", error)),
    }
    migrate::run(&mut db, path, migrations, clock)?;
    Ok(db)
}

/// The connections that only read.
pub(crate) fn readers(path: &Path) -> Result<Vec<Connection>, StoreError> {
    (0..READER_COUNT)
        .map(|_| {
            let db = connect(path)?;
            db.pragma_update(None, "query_only", true)
                .map_err(|e| StoreError::unavailable("open the database", e))?;
            Ok(db)
        })
        .collect()
}

/// A connection that looks at a database which must be there, beside whoever uses it.
pub(crate) fn look(path: &Path) -> Result<Connection, StoreError> {
    // SQLite would say only that it cannot open it.
    std::fs::metadata(path).map_err(|e| StoreError::unavailable("open the database", e))?;
    let db = connect(path)?;
    match crate::migrate::applied(&db) {
        Ok(_) => Ok(db),
        Err(_) => Err(StoreError::NotOurs { path: path.to_owned() }),
    }
}

/// A file that is no database at all is somebody else's; everything else is the disk's doing.
pub(crate) fn not_ours_or(path: &Path, doing: &'static str, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => StoreError::NotOurs { path: path.to_owned() },
        _ => StoreError::unavailable(doing, error),
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).and_then(|db| {
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.set_prepared_statement_cache_capacity(64);
        Ok(db)
    });
    db.map_err(|e| StoreError::unavailable("open the database", e))
}

fn check_library(version: i32) -> Result<(), StoreError> {
    if version >= LIBRARY_MIN {
        return Ok(());
    }
    let found = format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000);
    Err(StoreError::OldLibrary { found })
}

#[cfg(test)]
mod tests {
    use store::StoreError;

    use super::{LIBRARY_MIN, check_library};

    #[test]
    fn the_library_that_is_linked_is_new_enough_and_an_older_one_is_refused() {
        assert!(rusqlite::version_number() >= LIBRARY_MIN, "linked: {}", rusqlite::version());
        let error = check_library(3_051_002).unwrap_err();
        assert!(matches!(&error, StoreError::OldLibrary { found } if found == "3.51.2"));
        check_library(LIBRARY_MIN).unwrap();
    }
}
