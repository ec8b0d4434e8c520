//! The memory backend passes the suite that every backend passes, and says that it forgets.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;

use store::{Backend, MemoryStore, Store};

async fn empty() -> (Arc<dyn Store>, ()) {
    (Arc::new(MemoryStore::new()), ())
}

store::contract_tests!(empty);

#[test]
fn only_memory_warns_that_it_forgets() {
    assert!(Backend::Memory.warning().unwrap().contains("restart"));
    assert_eq!(Backend::Sqlite.warning(), None);
    assert_eq!(Backend::Postgres.warning(), None);
}
