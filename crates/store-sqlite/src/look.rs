//! A look at a database file that changes nothing: not the file, not its side files, not its schema.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use store::StoreError;
use store::migration::Look;

use crate::migrate;
use crate::open::not_ours_or;

/// Looks at the schema of an existing file. Blocks; the hub that owns the file may run meanwhile.
///
/// # Errors
/// [`StoreError`]: not a database of this program, one with a schema that it does not know, or one that
/// cannot be read.
pub fn look(path: &Path) -> Result<Look, StoreError> {
    let is_writable = OpenOptions::new().write(true).open(path).is_ok();
    let beside = |suffix: &str| {
        let mut name = OsString::from(path);
        name.push(suffix);
        Path::new(&name).exists()
    };
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    // SQLite makes its side files even for a reader, and then they belong to whoever looked. With nothing
    // beside it the file is whole and nobody writes; with a log and its index there is nothing to be made.
    let mode = match (beside("-wal"), beside("-shm")) {
        (false, _) => "?immutable=1",
        (true, true) => "",
        (true, false) => {
            let error =
                std::io::Error::other("its log was left behind; the next start of the hub takes it in");
            return Err(StoreError::unavailable("look into the database", error));
        }
    };
    let failed = |error| not_ours_or(path, "look into the database", error);
    let db = Connection::open_with_flags(format!("{}{mode}", uri(path)), flags).map_err(failed)?;
    let applied = migrate::look(&db, path)?;
    Look::of(migrate::MIGRATIONS, &applied, is_writable)
}

/// The path as SQLite's URIs want it: everything that could mean something is escaped.
fn uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte))
            }
            // Writing to a text cannot fail.
            _ => _ = write!(uri, "%{byte:02x}"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use model::{ManualClock, Timestamp};
    use rusqlite::Connection;
    use store::StoreError;
    use store::migration::Migration;

    use super::look;
    use crate::migrate::MIGRATIONS;
    use crate::open;

    fn newest() -> u32 {
        u32::try_from(MIGRATIONS.len()).unwrap()
    }

    fn files(folder: &Path) -> BTreeSet<std::ffi::OsString> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn the_schema_is_told_and_nothing_is_left_behind_whether_the_hub_runs_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a hub's? 100%#.db");
        let clock = ManualClock::at(Timestamp(0));
        let running = open::writer(&path, MIGRATIONS, &clock).unwrap();
        for running in [Some(running), None] {
            let before = files(folder.path());
            let found = look(&path).unwrap();
            assert_eq!((found.found, found.known, found.is_writable), (newest(), newest(), true));
            assert_eq!(files(folder.path()), before, "running: {}", running.is_some());
        }
    }

    #[test]
    fn what_is_not_ours_or_newer_is_told_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other.db");
        Connection::open(&other).unwrap().execute("CREATE TABLE theirs (x)", []).unwrap();
        assert!(matches!(look(&other), Err(StoreError::NotOurs { .. })));

        let mut more = MIGRATIONS.to_vec();
        more.push(Migration { version: newest() + 1, name: "next", sql: "CREATE TABLE later (x)" });
        let newer = folder.path().join("newer.db");
        drop(open::writer(&newer, &more, &ManualClock::at(Timestamp(0))).unwrap());
        assert!(matches!(look(&newer), Err(StoreError::NewerSchema { .. })));
        assert!(
            look(&folder.path().join("nothing.db")).is_err() && !folder.path().join("nothing.db").exists()
        );
    }
}
