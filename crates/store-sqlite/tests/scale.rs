//! A store, measured: small in every test run, so that the measuring works; a full one with
//! `TRUNKLINE_SCALE_CONNECTIONS=100000 TRUNKLINE_SCALE_LOGS=1000000` and
//! `cargo nextest run -p store-sqlite --test scale --no-capture`.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;

use model::{ManualClock, Timestamp};
use store::Store;
use store::contract::scale::{Scale, measure};
use store_sqlite::SqliteStore;

#[tokio::test]
async fn a_full_store_is_measured_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp(1_790_000_000_000)));
    let path = folder.path().join("hub.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path, clock).await.unwrap());
    measure(Arc::clone(&store), Scale::from_env()).await;
    store.close().await;
    assert!(path.metadata().unwrap().len() > 0);
}
