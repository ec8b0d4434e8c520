//! Everything from SQLite into PostgreSQL and back: equal, into empty stores only, and finished by a second
//! run where the first was cut off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{ManualClock, Secret, Timestamp};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store::{
    Bulk, Cell, CellRow, LeaseCommand, Leases, MOVE_LEASE, Store, StoreError, TABLES, Table, Taken,
    is_half_moved, move_all,
};
use store_postgres::PostgresStore;
use store_sqlite::SqliteStore;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

async fn postgres() -> PostgresStore {
    let server = std::env::var("TRUNKLINE_TEST_POSTGRES")
        .expect("TRUNKLINE_TEST_POSTGRES is not set: run `make test`, which starts a PostgreSQL for it");
    let mut db = PgConnection::connect(&server).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT 'test_' || replace(gen_random_uuid()::text, '-', '')")
        .fetch_one(&mut db)
        .await
        .unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let joint = if server.contains('?') { '&' } else { '?' };
    let url = Secret::new(format!("{server}{joint}options=-c%20search_path%3D{name}"));
    PostgresStore::open(&url, Arc::new(ManualClock::at(NOW))).await.unwrap()
}

async fn sqlite(folder: &Path, name: &str) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(folder.join(name), Arc::new(ManualClock::at(NOW))).await.unwrap())
}

/// All rows of a table but the mark of a move; JSON as what it means.
async fn rows(store: &dyn Bulk, table: &'static Table) -> Vec<CellRow> {
    let mut all: Vec<CellRow> = Vec::new();
    let mut after = None;
    loop {
        let page = store.read_rows(table, after, 7).await.unwrap();
        after = page.last().map(|row| table.key_of(row));
        let is_end = page.len() < 7;
        all.extend(page.into_iter().map(|row| row.into_iter().map(meant).collect::<CellRow>()));
        if is_end {
            break;
        }
    }
    all.retain(|row| !row.contains(&Cell::Text(MOVE_LEASE.to_owned())));
    // The databases order texts differently.
    all.sort_by_key(|row| format!("{:?}", table.key_of(row).iter().map(shown).collect::<Vec<_>>()));
    all
}

fn meant(cell: Cell) -> Cell {
    match cell {
        Cell::Json(text) => {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            Cell::Json(value.to_string())
        }
        other => other,
    }
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Id(id) => format!("{id:?}"),
        Cell::Text(text) => text.clone(),
        Cell::Int(number) => format!("{number:020}"),
        _ => String::new(),
    }
}

async fn assert_equal(one: &dyn Bulk, other: &dyn Bulk) {
    for table in TABLES {
        let (ours, theirs) = (rows(one, table).await, rows(other, table).await);
        assert_eq!(ours.len(), theirs.len(), "{}", table.name);
        assert!(ours == theirs, "{} differs", table.name);
    }
}

#[tokio::test]
async fn from_sqlite_to_postgres_and_back_everything_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let first = sqlite(folder.path(), "first.db").await;
    fill(&first, 1).await;
    for table in TABLES {
        assert!(first.count_rows(table).await.unwrap() > 0, "the scene has nothing in {}", table.name);
    }
    let (second, third) = (postgres().await, sqlite(folder.path(), "third.db").await);
    let counts = move_all(&*first, &second, &clock, &|_, _, _| {}).await.unwrap();
    assert_eq!(counts.len(), TABLES.len());
    assert_equal(&*first, &second).await;
    assert!(!is_half_moved(&second).await.unwrap());
    move_all(&second, &*third, &clock, &|_, _, _| {}).await.unwrap();
    assert_equal(&*first, &*third).await;

    // Into what is not empty nothing goes.
    let full = move_all(&*first, &*third, &clock, &|_, _, _| {}).await;
    assert!(matches!(full, Err(StoreError::Conflict { .. })), "{full:?}");
    first.close().await;
    second.close().await;
    third.close().await;
}

#[tokio::test]
async fn a_move_that_was_cut_off_goes_on_and_another_source_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let (source, stranger) = (sqlite(folder.path(), "a.db").await, sqlite(folder.path(), "b.db").await);
    fill(&source, 1).await;
    fill(&stranger, 50).await;
    let target = Arc::new(postgres().await);
    // Cut off in the middle, as a kill would: the future is dropped where it stands.
    let seen = Arc::new(AtomicU64::new(0));
    let (moving, into, counting) = (Arc::clone(&source), Arc::clone(&target), Arc::clone(&seen));
    let (enough, mut reached) = tokio::sync::mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let clock = ManualClock::at(NOW);
        move_all(&*moving, &*into, &clock, &|_, _, _| {
            if counting.fetch_add(1, Ordering::Relaxed) == 9 {
                let _ = enough.send(());
            }
        })
        .await
    });
    reached.recv().await.unwrap();
    task.abort();
    let _ = task.await;
    assert!(is_half_moved(&*target).await.unwrap(), "a hub must not start on it");
    let refused = move_all(&*stranger, &*target, &clock, &|_, _, _| {}).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    move_all(&*source, &*target, &clock, &|_, _, _| {}).await.unwrap();
    assert_equal(&*source, &*target).await;
    source.close().await;
    target.close().await;
}

/// A row of every table, through the store's own commands, and then some.
async fn fill(store: &Arc<SqliteStore>, owner: u128) {
    store::contract::furnish(&(Arc::clone(store) as Arc<dyn Store>), owner).await;
    let held = store.acquire_lease("refresh:one", "me", 1_000, NOW).await.unwrap();
    let Taken::Ours(token) = held else { panic!("it is free") };
    store.change_lease(LeaseCommand::Release { name: "refresh:one".into(), token }).await.unwrap();
}
