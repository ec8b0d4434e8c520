//! Bringing the file to the schema this program knows, with a copy kept before the first step.

use std::path::Path;

use model::Clock;
use rusqlite::{Connection, TransactionBehavior, params};
use store::StoreError;
use store::migration::{Applied, Migration, pending};

use crate::copy;
use crate::open::not_ours_or;

/// Every migration, in order. A new one is a file and a line here; one that was released never changes.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "first", sql: include_str!("../migrations/0001_first.sql") },
    Migration { version: 2, name: "connections", sql: include_str!("../migrations/0002_connections.sql") },
    Migration { version: 3, name: "search", sql: include_str!("../migrations/0003_search.sql") },
];

/// The most copies from before migrations that are kept.
const COPIES_MAX: usize = 5;
/// What stands between the name of the file and the version in the name of a copy.
const BEFORE: &str = ".before-v";
const DOING: &str = "back up before migrating";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (\
     version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, \
     applied_at INTEGER NOT NULL) STRICT";

/// Runs what did not run yet, each migration in a transaction of its own.
pub(crate) fn run(
    db: &mut Connection,
    path: &Path,
    known: &[Migration],
    clock: &dyn Clock,
) -> Result<(), StoreError> {
    let failed = |error| not_ours_or(path, "migrate the database", error);
    let applied = look(db, path)?;
    let left = pending(known, &applied)?;
    if let (Some(last), false) = (left.last(), applied.is_empty()) {
        keep_copy(db, path, last.version)?;
    }
    for migration in left {
        step(db, migration, clock).map_err(failed)?;
        tracing::info!(version = migration.version, name = migration.name, "store: schema migrated");
    }
    Ok(())
}

/// What ran already: nothing in an empty file.
pub(crate) fn look(db: &Connection, path: &Path) -> Result<Vec<Applied>, StoreError> {
    let failed = |error| not_ours_or(path, "read the database's schema", error);
    let tables: Vec<String> = names_of_tables(db).map_err(failed)?;
    if !tables.is_empty() && !tables.iter().any(|name| name == "schema_migrations") {
        return Err(StoreError::NotOurs { path: path.to_owned() });
    }
    if tables.is_empty() { Ok(Vec::new()) } else { applied(db).map_err(failed) }
}

fn names_of_tables(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' LIMIT 1000")?;
    query.query_map([], |row| row.get(0))?.collect()
}

pub(crate) fn applied(db: &Connection) -> rusqlite::Result<Vec<Applied>> {
    let mut query = db.prepare("SELECT version, checksum FROM schema_migrations ORDER BY version")?;
    let read = |row: &rusqlite::Row<'_>| Ok(Applied { version: row.get(0)?, checksum: row.get(1)? });
    query.query_map([], read)?.collect()
}

fn step(db: &mut Connection, migration: &Migration, clock: &dyn Clock) -> rusqlite::Result<()> {
    let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    step.execute(TABLE, [])?;
    step.execute_batch(migration.sql)?;
    step.execute(
        "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)",
        params![migration.version, migration.name, migration.checksum(), clock.now().0],
    )?;
    step.commit()
}

/// Copies the database to `backups/<file>.before-v<version>` beside it, whole or not at all, and lets go of
/// the oldest copies.
fn keep_copy(db: &Connection, path: &Path, version: u32) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::unavailable(DOING, error);
    let folder = path.with_file_name("backups");
    copy::make_private_folder(&folder).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let copy = folder.join(format!("{name}{BEFORE}{version}"));
    copy::copy_whole(db, &copy, DOING)?;
    tracing::info!(copy = %copy.display(), "store: kept a copy before migrating");
    forget_oldest(&folder, &format!("{name}{BEFORE}")).map_err(failed)
}

/// Removes all but the [`COPIES_MAX`] newest copies. Other files are left alone.
fn forget_oldest(folder: &Path, prefix: &str) -> std::io::Result<()> {
    let mut copies = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(version) = name.strip_prefix(prefix).and_then(|rest| rest.parse::<u32>().ok()) {
            copies.push((version, entry.path()));
        }
    }
    copies.sort();
    let excess = copies.len().saturating_sub(COPIES_MAX);
    copies.into_iter().take(excess).try_for_each(|(_, path)| std::fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use model::{ManualClock, Timestamp};
    use rusqlite::Connection;
    use store::StoreError;
    use store::migration::Migration;

    use super::MIGRATIONS;
    use crate::open;

    fn clock() -> ManualClock {
        ManualClock::at(Timestamp(1_790_000_000_000))
    }

    fn with(sql: &'static str) -> Vec<Migration> {
        let mut all = MIGRATIONS.to_vec();
        let version = u32::try_from(all.len()).unwrap() + 1;
        all.push(Migration { version, name: "next", sql });
        all
    }

    /// The version that this program knows.
    const NOW: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

    fn count(db: &Connection, sql: &str) -> i64 {
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_new_file_is_private_durable_and_keeps_no_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let db = open::writer(&path, MIGRATIONS, &clock()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((pragma("synchronous"), pragma("foreign_keys")), (2, 1));
        assert_eq!(db.pragma_query_value(None, "journal_mode", |r| r.get::<_, String>(0)).unwrap(), "wal");
        assert!(!folder.path().join("backups").exists());
    }

    #[test]
    fn a_migration_of_an_existing_file_keeps_a_readable_copy_of_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let db = open::writer(&path, MIGRATIONS, &clock()).unwrap();
        db.execute("INSERT INTO workspaces (id, name, created_at) VALUES (zeroblob(16), 'before', 1)", [])
            .unwrap();
        drop(db);
        let next = with("CREATE TABLE later (x INTEGER); UPDATE workspaces SET name = 'after';");
        let db = open::writer(&path, &next, &clock()).unwrap();
        assert_eq!(count(&db, "SELECT count(*) FROM later"), 0);
        assert_eq!(count(&db, "SELECT count(*) FROM workspaces WHERE name = 'after'"), 1);
        let copy = folder.path().join(format!("backups/hub.db.before-v{}", next.len()));
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let copy = Connection::open(copy).unwrap();
        assert_eq!(count(&copy, "SELECT count(*) FROM workspaces WHERE name = 'before'"), 1);
        assert_eq!(count(&copy, "SELECT count(*) FROM sqlite_schema WHERE name = 'later'"), 0);
        drop(db);
        // The program that does not know the new schema does not touch it.
        let older = open::writer(&path, MIGRATIONS, &clock()).unwrap_err();
        assert!(
            matches!(older, StoreError::NewerSchema { found, known } if (found, known) == (NOW + 1, NOW)),
            "{older:?}"
        );
    }

    #[test]
    fn a_failing_migration_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        drop(open::writer(&path, MIGRATIONS, &clock()).unwrap());
        let broken = with("CREATE TABLE later (x INTEGER); SELECT no_such_function();");
        assert!(matches!(open::writer(&path, &broken, &clock()), Err(StoreError::Unavailable { .. })));
        let db = open::writer(&path, MIGRATIONS, &clock()).unwrap();
        assert_eq!(count(&db, "SELECT count(*) FROM sqlite_schema WHERE name = 'later'"), 0);
        assert_eq!(count(&db, "SELECT count(*) FROM schema_migrations"), i64::from(NOW));
    }

    #[test]
    fn files_of_others_are_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other.db");
        Connection::open(&other).unwrap().execute("CREATE TABLE theirs (x)", []).unwrap();
        let text = folder.path().join("text.db");
        std::fs::write(&text, "not a database, but a text of some length ".repeat(40)).unwrap();
        for path in [other, text] {
            let error = open::writer(&path, MIGRATIONS, &clock()).unwrap_err();
            assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
        }
        assert!(std::fs::read_to_string(folder.path().join("text.db")).unwrap().starts_with("not a"));
    }

    #[test]
    fn data_of_the_first_version_is_carried_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let db = open::writer(&path, &MIGRATIONS[..1], &clock()).unwrap();
        let old = "INSERT INTO workspaces (id, name, created_at) VALUES (zeroblob(16), 'home', 1); \
                   INSERT INTO connection_facts VALUES (zeroblob(16), 'files', 'era', x'ff', 2);";
        db.execute_batch(old).unwrap();
        drop(db);
        let db = open::writer(&path, MIGRATIONS, &clock()).unwrap();
        let kept = "SELECT count(*) FROM workspaces JOIN connection_facts ON workspace_id = id \
                    WHERE connection_count = 0 AND bytes = x'ff'";
        assert_eq!(count(&db, kept), 1);
        assert_eq!(count(&db, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    }

    #[test]
    fn connections_from_before_the_index_are_found_by_it_and_stay_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let db = open::writer(&path, &MIGRATIONS[..2], &clock()).unwrap();
        db.execute_batch(
            "PRAGMA foreign_keys = OFF; \
             INSERT INTO user_integrations (id, workspace_id, user_id, key, name, name_folded, search_text, \
             integration_type_id, version, connection_config, auth_method, status, is_shared, is_per_user, \
             egress_private, revision, created_at, updated_at) VALUES (zeroblob(16), zeroblob(16), \
             zeroblob(16), 'notes', 'Notes', 'notes', 'notes of ada', zeroblob(16), '1', '{}', 'none', \
             'configuring', 0, 0, 0, 1, 1, 1)",
        )
        .unwrap();
        drop(db);
        let db = open::writer(&path, MIGRATIONS, &clock()).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        let found = |text: &str| {
            let sql = "SELECT count(*) FROM connection_texts x JOIN connection_numbers n \
                       ON n.number = x.rowid WHERE connection_texts MATCH '\"";
            count(&db, &format!("{sql}{text}\"'"))
        };
        assert_eq!((found("s of a"), found("bob")), (1, 0));
        db.execute_batch("UPDATE user_integrations SET search_text = 'notes of bob'; VACUUM").unwrap();
        assert_eq!((found("s of a"), found("bob")), (0, 1));
        db.execute_batch("DELETE FROM user_integrations").unwrap();
        assert_eq!((found("bob"), count(&db, "SELECT count(*) FROM connection_numbers")), (0, 0));
    }

    #[test]
    fn a_hub_that_is_killed_while_migrating_migrates_at_its_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let db = open::writer(&path, &MIGRATIONS[..1], &clock()).unwrap();
        // So little memory that half of the step is in the log when the end comes.
        db.pragma_update(None, "cache_size", 1).unwrap();
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        db.execute_batch(MIGRATIONS[1].sql).unwrap();
        let killed = tempfile::tempdir().unwrap();
        for name in ["hub.db", "hub.db-wal"] {
            std::fs::copy(folder.path().join(name), killed.path().join(name)).unwrap();
        }
        assert!(killed.path().join("hub.db-wal").metadata().unwrap().len() > 40_000, "half is there");
        let db = open::writer(&killed.path().join("hub.db"), MIGRATIONS, &clock()).unwrap();
        assert_eq!(count(&db, "SELECT count(*) FROM schema_migrations"), i64::from(NOW));
        assert_eq!(count(&db, "SELECT count(*) FROM user_integrations"), 0);
    }

    #[test]
    fn only_the_newest_copies_are_kept_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in [2, 10, 3, 4, 5, 6, 7] {
            std::fs::write(at(&format!("hub.db.before-v{version}")), "copy").unwrap();
        }
        std::fs::write(at("hub.db.before-vacation"), "mine").unwrap();
        super::forget_oldest(folder.path(), "hub.db.before-v").unwrap();
        assert!(!at("hub.db.before-v2").exists() && !at("hub.db.before-v3").exists());
        for kept in ["hub.db.before-v4", "hub.db.before-v10", "hub.db.before-vacation"] {
            assert!(at(kept).exists(), "{kept}");
        }
    }
}
