//! PostgreSQL passes the suite that every backend passes, and what only a shared database has to: nodes
//! that start at once, wake each other, and lose their connection.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code")]

use std::sync::Arc;
use std::time::Duration;

use model::id::{UserId, WorkspaceId};
use model::{Key, ManualClock, Owner, Secret, SeededEntropy, Timestamp};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store::{Backend, Fact, FactKind, Facts, NewOwner, Owners, Store, StoreError};
use store_postgres::PostgresStore;

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const DEADLINE: Duration = Duration::from_secs(20);

/// A schema of this test's own in the database that the test run provides.
struct Schema {
    name: String,
    server: String,
    url: Secret,
}

async fn schema() -> Schema {
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
    Schema { name, server, url }
}

async fn open(schema: &Schema) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(&schema.url, Arc::new(ManualClock::at(NOW))).await
}

async fn empty() -> (Arc<dyn Store>, Schema) {
    let schema = schema().await;
    (Arc::new(open(&schema).await.unwrap()), schema)
}

store::contract_tests!(empty);

fn candidate(seed: u64) -> NewOwner {
    let (clock, entropy) = (ManualClock::at(NOW), SeededEntropy::new(seed));
    let owner = Owner { workspace: WorkspaceId::new(&clock, &entropy), user: UserId::new(&clock, &entropy) };
    NewOwner { owner, workspace_name: "home".into(), user_name: "ada".into(), created_at: NOW }
}

async fn execute(schema: &Schema, sql: String) {
    let mut db = PgConnection::connect(&schema.server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test]
async fn nodes_that_start_at_once_migrate_once_and_agree_on_the_owner() {
    let schema = schema().await;
    let (first, second) = tokio::join!(open(&schema), open(&schema));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.backend(), Backend::Postgres);
    let (ours, theirs) =
        tokio::join!(first.bootstrap_owner(candidate(1)), second.bootstrap_owner(candidate(2)));
    assert_eq!(ours.unwrap(), theirs.unwrap());
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn what_one_node_commits_wakes_the_other_also_after_its_connection_broke() {
    let schema = schema().await;
    let (writer, watcher) = (open(&schema).await.unwrap(), open(&schema).await.unwrap());
    let mut feed = watcher.subscribe();
    let owner = writer.bootstrap_owner(candidate(1)).await.unwrap();
    tokio::time::timeout(DEADLINE, feed.changed()).await.expect("the other node is woken").unwrap();

    feed.borrow_and_update();
    // Every connection of this schema that listens is cut, as a failing network would.
    execute(
        &schema,
        format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE query = 'LISTEN \"trunkline_' || md5('{}') || '\"'",
            schema.name
        ),
    )
    .await;
    // The loss itself moves the feed: something may have been missed.
    tokio::time::timeout(DEADLINE, feed.changed()).await.expect("the loss is noticed").unwrap();
    feed.borrow_and_update();
    let key: Key = "files".parse().unwrap();
    let fact = Fact { bytes: b"modern".to_vec(), updated_at: NOW };
    writer.put_fact(owner.workspace, &key, FactKind::Era, fact.clone()).await.unwrap();
    tokio::time::timeout(DEADLINE, feed.changed()).await.expect("the feed works again").unwrap();
    assert_eq!(watcher.find_fact(owner.workspace, &key, FactKind::Era).await.unwrap(), Some(fact));
    writer.close().await;
    watcher.close().await;
}

#[tokio::test]
async fn hubs_in_other_schemas_of_the_database_neither_see_nor_wake_each_other() {
    let (here, elsewhere) = (schema().await, schema().await);
    let (ours, theirs) = (open(&here).await.unwrap(), open(&elsewhere).await.unwrap());
    let feed = theirs.subscribe();
    ours.bootstrap_owner(candidate(1)).await.unwrap();
    assert_eq!(theirs.find_owner().await.unwrap(), None);
    assert!(!feed.has_changed().unwrap());
    ours.close().await;
    theirs.close().await;
}

#[tokio::test]
async fn a_newer_or_altered_schema_is_refused() {
    let schema = schema().await;
    open(&schema).await.unwrap().close().await;
    let table = format!("{}.schema_migrations", schema.name);
    execute(&schema, format!("INSERT INTO {table} VALUES (99, 'later', '0', 0)")).await;
    let newer = open(&schema).await.unwrap_err();
    assert!(matches!(newer, StoreError::NewerSchema { found: 99, known: 3 }), "{newer:?}");
    execute(&schema, format!("DELETE FROM {table} WHERE version = 99; UPDATE {table} SET checksum = 'x'"))
        .await;
    let altered = open(&schema).await.unwrap_err();
    assert!(matches!(altered, StoreError::ChangedMigration { version: 1 }), "{altered:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_the_operators_to_mend_and_the_password_stays_secret() {
    // A socket that does not exist fails alike however busy the machine's ports are.
    let url = Secret::new("postgres://hub:hunter2@localhost/hub?host=/nonexistent");
    let error = PostgresStore::open(&url, Arc::new(ManualClock::at(NOW))).await.unwrap_err();
    let fault = error.fault();
    assert_eq!(fault.blame, model::Blame::Operator);
    assert!(fault.detail.contains("No such file"), "the reason is named: {fault}");
    assert!(!fault.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_full_store_is_measured_on_this_machine() {
    let (store, _schema) = empty().await;
    store::contract::scale::measure(Arc::clone(&store), store::contract::scale::Scale::from_env()).await;
    store.close().await;
}
