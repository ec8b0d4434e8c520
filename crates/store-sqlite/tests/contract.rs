//! SQLite passes the suite that every backend passes, and keeps its promises over a restart.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;

use model::id::{UserId, WorkspaceId};
use model::{Key, ManualClock, Owner, SeededEntropy, Timestamp};
use store::{Backend, Fact, FactKind, NewOwner, Store, StoreError};
use store_sqlite::SqliteStore;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

async fn open(folder: &TempDir) -> Arc<dyn Store> {
    let clock = Arc::new(ManualClock::at(NOW));
    Arc::new(SqliteStore::open(folder.path().join("hub.db"), clock).await.unwrap())
}

async fn empty() -> (Arc<dyn Store>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open(&folder).await, folder)
}

store::contract_tests!(empty);

async fn bootstrap(store: &dyn Store) -> Owner {
    let (clock, entropy) = (ManualClock::at(NOW), SeededEntropy::new(1));
    let owner = Owner { workspace: WorkspaceId::new(&clock, &entropy), user: UserId::new(&clock, &entropy) };
    let new = NewOwner { owner, workspace_name: "home".into(), user_name: "ada".into(), created_at: NOW };
    store.bootstrap_owner(new).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_an_end_without_closing() {
    let (store, folder) = empty().await;
    assert_eq!(store.backend(), Backend::Sqlite);
    let owner = bootstrap(&*store).await;
    let key: Key = "files".parse().unwrap();
    let fact = Fact { bytes: b"modern".to_vec(), updated_at: NOW };
    store.put_fact(owner.workspace, &key, FactKind::Era, fact.clone()).await.unwrap();
    // The files as they are at this moment, as if the power had gone.
    let later = tempfile::tempdir().unwrap();
    for name in ["hub.db", "hub.db-wal"] {
        std::fs::copy(folder.path().join(name), later.path().join(name)).unwrap();
    }
    let again = open(&later).await;
    assert_eq!(again.find_owner().await.unwrap(), Some(owner));
    assert_eq!(again.find_fact(owner.workspace, &key, FactKind::Era).await.unwrap(), Some(fact));
    again.close().await;
    store.close().await;
}

#[tokio::test]
async fn closing_finishes_what_was_taken_and_folds_the_log_into_the_file() {
    let (store, folder) = empty().await;
    let owner = bootstrap(&*store).await;
    let key: Key = "files".parse().unwrap();
    let writes: Vec<_> = (0..100_u8)
        .map(|n| {
            let (store, key) = (Arc::clone(&store), key.clone());
            let fact = Fact { bytes: vec![n], updated_at: NOW };
            tokio::spawn(async move { store.put_fact(owner.workspace, &key, FactKind::Era, fact).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await;
    for write in writes {
        let result = write.await.unwrap();
        assert!(matches!(result, Ok(()) | Err(StoreError::Closed)), "{result:?}");
    }
    let log = std::fs::metadata(folder.path().join("hub.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_the_operators_to_mend() {
    let clock = Arc::new(ManualClock::at(NOW));
    let error = SqliteStore::open("/nonexistent/folder/hub.db", clock).await.unwrap_err();
    assert_eq!(error.fault().blame, model::Blame::Operator);
    assert!(error.fault().detail.contains("No such file"));
}

#[tokio::test]
async fn every_table_and_column_of_the_schema_is_moved() {
    // All but the index of texts, which makes itself.
    let (store, folder) = empty().await;
    store.close().await;
    let db = rusqlite::Connection::open(folder.path().join("hub.db")).unwrap();
    let mut query = db
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_xinfo(t.name) c \
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> 'schema_migrations' \
             AND t.name <> 'connection_numbers' AND t.name NOT LIKE 'connection_texts%' AND c.hidden = 0",
        )
        .unwrap();
    let schema: std::collections::BTreeSet<(String, String)> =
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let moved = store::TABLES
        .iter()
        .flat_map(|table| table.columns.iter().map(|column| (table.name.to_owned(), column.name.to_owned())));
    assert_eq!(moved.collect::<std::collections::BTreeSet<_>>(), schema);
}
