//! Scenes about what is remembered of the systems behind connections.

use std::sync::Arc;

use model::Key;

use super::{NOW, owner, stranger};
use crate::{FACT_BYTES_MAX, Fact, FactKind, Store, StoreError};

fn fact(bytes: &[u8]) -> Fact {
    Fact { bytes: bytes.to_vec(), updated_at: NOW }
}

pub async fn facts_are_remembered_replaced_and_forgotten(store: Arc<dyn Store>) {
    let workspace = owner(&store).await.workspace;
    let (files, mail): (Key, Key) = ("files".parse().unwrap(), "mail".parse().unwrap());
    assert_eq!(store.find_fact(workspace, &files, FactKind::Era).await.unwrap(), None);
    store.put_fact(workspace, &files, FactKind::Era, fact(b"legacy")).await.unwrap();
    store.put_fact(workspace, &files, FactKind::Era, fact(b"modern")).await.unwrap();
    store.put_fact(workspace, &files, FactKind::Catalogue, fact(b"")).await.unwrap();
    store.put_fact(workspace, &mail, FactKind::Era, fact(&[0, 0xff])).await.unwrap();
    let era = store.find_fact(workspace, &files, FactKind::Era).await.unwrap();
    assert_eq!(era, Some(fact(b"modern")));
    assert_eq!(store.find_fact(workspace, &files, FactKind::Catalogue).await.unwrap(), Some(fact(b"")));
    assert_eq!(store.find_fact(workspace, &files, FactKind::CommandConsent).await.unwrap(), None);
    assert_eq!(store.find_fact(stranger().workspace, &files, FactKind::Era).await.unwrap(), None);

    store.forget_facts(stranger().workspace, &files).await.unwrap();
    assert!(store.find_fact(workspace, &files, FactKind::Era).await.unwrap().is_some());
    store.forget_facts(workspace, &files).await.unwrap();
    for kind in [FactKind::Era, FactKind::Catalogue] {
        assert_eq!(store.find_fact(workspace, &files, kind).await.unwrap(), None);
    }
    assert_eq!(store.find_fact(workspace, &mail, FactKind::Era).await.unwrap(), Some(fact(&[0, 0xff])));

    let foreign = store.put_fact(stranger().workspace, &files, FactKind::Era, fact(b"x")).await;
    assert!(matches!(foreign, Err(StoreError::Missing { noun: "workspace" })), "{foreign:?}");
}

pub async fn a_fact_has_a_largest_size(store: Arc<dyn Store>) {
    let workspace = owner(&store).await.workspace;
    let files: Key = "files".parse().unwrap();
    let largest = fact(&vec![b'x'; FACT_BYTES_MAX]);
    store.put_fact(workspace, &files, FactKind::Catalogue, largest.clone()).await.unwrap();
    let over = fact(&vec![b'y'; FACT_BYTES_MAX + 1]);
    let refused = store.put_fact(workspace, &files, FactKind::Catalogue, over).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { max: FACT_BYTES_MAX, .. })));
    let kept = store.find_fact(workspace, &files, FactKind::Catalogue).await.unwrap().unwrap();
    assert!(kept == largest, "the last good one stays");
}
