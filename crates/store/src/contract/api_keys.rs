//! Scenes about owners and API keys.

use std::sync::Arc;

use model::Access;

use super::{NOW, candidate, key, key_id, owner, stranger};
use crate::{API_KEYS_MAX, Command, Store, StoreError, Touch};

pub async fn the_first_start_makes_one_owner_and_later_starts_find_it(store: Arc<dyn Store>) {
    assert_eq!(store.find_owner().await.unwrap(), None);
    let first = store.bootstrap_owner(candidate(1)).await.unwrap();
    assert_eq!(first, candidate(1).owner);
    assert_eq!(store.bootstrap_owner(candidate(50)).await.unwrap(), first);
    // Even one that did not look first makes no second owner.
    store.apply(vec![Command::BootstrapOwner(Box::new(candidate(90)))]).await.unwrap();
    assert_eq!(store.find_owner().await.unwrap(), Some(first));
}

pub async fn a_key_comes_back_as_it_was_stored(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let mut row = key(owner, 7);
    row.name = "Ada's key, with ' and \" and \u{1F511}".into();
    row.access = Access { allow: vec![], deny: vec!["*".into(), "é".into()], manage: true };
    row.expires_at = Some(NOW.plus_ms(1));
    row.last_used_at = Some(NOW.plus_ms(-1));
    store.insert_api_key(row.clone()).await.unwrap();
    assert!(store.find_api_key(owner.workspace, row.id).await.unwrap() == Some(row.clone()));
    assert!(store.find_api_key_by_digest(&row.digest).await.unwrap() == Some(row.clone()));
    assert!(store.list_api_keys(owner.workspace).await.unwrap() == vec![row.clone()]);
    assert!(store.list_live_api_keys().await.unwrap() == vec![row]);
    assert!(store.find_api_key_by_digest(&[9; 32]).await.unwrap().is_none());
}

pub async fn a_key_of_an_unknown_owner_is_refused(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let mut half = owner;
    half.user = stranger().user;
    for foreign in [stranger(), half] {
        let error = store.insert_api_key(key(foreign, 1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Missing { noun: "owner" }), "{error:?}");
    }
    assert!(store.list_live_api_keys().await.unwrap().is_empty());
}

pub async fn the_same_digest_or_id_is_not_stored_twice(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    store.insert_api_key(key(owner, 1)).await.unwrap();
    let mut same_digest = key(owner, 2);
    same_digest.digest = key(owner, 1).digest;
    let mut same_id = key(owner, 3);
    same_id.id = key_id(1);
    for twin in [same_digest, same_id] {
        let error = store.insert_api_key(twin).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    }
    assert!(store.list_api_keys(owner.workspace).await.unwrap() == vec![key(owner, 1)]);
}

pub async fn another_workspace_sees_and_changes_nothing(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    store.insert_api_key(key(owner, 1)).await.unwrap();
    let elsewhere = stranger().workspace;
    assert!(store.list_api_keys(elsewhere).await.unwrap().is_empty());
    assert!(store.find_api_key(elsewhere, key_id(1)).await.unwrap().is_none());
    let revoked = store.revoke_api_key(elsewhere, key_id(1), NOW).await;
    assert!(matches!(revoked, Err(StoreError::Missing { noun: "API key" })));
    let retire = Command::RetireApiKey { workspace: elsewhere, id: key_id(1), expires_at: NOW };
    assert!(matches!(store.apply(vec![retire]).await, Err(StoreError::Missing { noun: "API key" })));
    store.touch_api_keys(vec![Touch { workspace: elsewhere, id: key_id(1), at: NOW }]).await.unwrap();
    assert!(store.find_api_key(owner.workspace, key_id(1)).await.unwrap() == Some(key(owner, 1)));
}

pub async fn a_revoked_key_keeps_its_first_time_and_leaves_the_live_ones(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    store.insert_api_key(key(owner, 1)).await.unwrap();
    store.insert_api_key(key(owner, 2)).await.unwrap();
    store.revoke_api_key(owner.workspace, key_id(1), NOW).await.unwrap();
    store.revoke_api_key(owner.workspace, key_id(1), NOW.plus_ms(5)).await.unwrap();
    let row = store.find_api_key(owner.workspace, key_id(1)).await.unwrap().unwrap();
    assert_eq!(row.revoked_at, Some(NOW));
    assert!(store.list_live_api_keys().await.unwrap() == vec![key(owner, 2)]);
    let gone = store.revoke_api_key(owner.workspace, key_id(3), NOW).await;
    assert!(matches!(gone, Err(StoreError::Missing { noun: "API key" })));
}

pub async fn a_rotated_key_overlaps_with_its_successor(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    store.insert_api_key(key(owner, 1)).await.unwrap();
    store.rotate_api_key(key_id(1), NOW.plus_ms(60_000), key(owner, 2)).await.unwrap();
    let old = store.find_api_key(owner.workspace, key_id(1)).await.unwrap().unwrap();
    assert_eq!(old.expires_at, Some(NOW.plus_ms(60_000)));
    assert_eq!(store.list_live_api_keys().await.unwrap().len(), 2, "both open things during the overlap");
    // Rotating again with a longer overlap does not give the old key a longer life.
    store.rotate_api_key(key_id(1), NOW.plus_ms(90_000), key(owner, 3)).await.unwrap();
    let old = store.find_api_key(owner.workspace, key_id(1)).await.unwrap().unwrap();
    assert_eq!(old.expires_at, Some(NOW.plus_ms(60_000)));
}

pub async fn a_rotation_happens_whole_or_not_at_all(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    store.insert_api_key(key(owner, 1)).await.unwrap();
    let mut twin = key(owner, 2);
    twin.digest = key(owner, 1).digest;
    assert!(store.rotate_api_key(key_id(1), NOW, twin).await.is_err());
    assert!(store.list_api_keys(owner.workspace).await.unwrap() == vec![key(owner, 1)]);
    store.revoke_api_key(owner.workspace, key_id(1), NOW).await.unwrap();
    let refused = store.rotate_api_key(key_id(1), NOW, key(owner, 2)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "a revoked key has no successor");
    assert!(store.find_api_key(owner.workspace, key_id(2)).await.unwrap().is_none());
}

pub async fn last_use_only_moves_forward_and_wakes_nobody(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    store.insert_api_key(key(owner, 1)).await.unwrap();
    store.insert_api_key(key(owner, 2)).await.unwrap();
    let mut feed = store.subscribe();
    feed.borrow_and_update();
    let touch = |n, ms| Touch { workspace: owner.workspace, id: key_id(n), at: NOW.plus_ms(ms) };
    store.touch_api_keys(vec![touch(1, 10), touch(2, 20), touch(99, 30)]).await.unwrap();
    store.touch_api_keys(vec![touch(1, 5)]).await.unwrap();
    let rows = store.list_api_keys(owner.workspace).await.unwrap();
    let used: Vec<_> = rows.iter().map(|row| row.last_used_at).collect();
    assert_eq!(used, [Some(NOW.plus_ms(20)), Some(NOW.plus_ms(10))]);
    assert!(!feed.has_changed().unwrap());
}

pub async fn lists_put_keys_in_use_first_and_newest_first(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    for n in [2, 4, 1, 3] {
        store.insert_api_key(key(owner, n)).await.unwrap();
    }
    store.revoke_api_key(owner.workspace, key_id(4), NOW).await.unwrap();
    let rows = store.list_api_keys(owner.workspace).await.unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids, [key_id(3), key_id(2), key_id(1), key_id(4)]);
}

pub async fn a_workspace_has_room_for_so_many_keys_in_use(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let count = u128::try_from(API_KEYS_MAX).unwrap();
    let fill = (1..=count).map(|n| Command::InsertApiKey(Box::new(key(owner, n)))).collect();
    store.apply(fill).await.unwrap();
    let full = store.insert_api_key(key(owner, count + 1)).await.unwrap_err();
    assert!(matches!(full, StoreError::TooLarge { max: API_KEYS_MAX, .. }), "{full:?}");
    store.revoke_api_key(owner.workspace, key_id(1), NOW).await.unwrap();
    store.insert_api_key(key(owner, count + 1)).await.unwrap();
    let listed = store.list_api_keys(owner.workspace).await.unwrap();
    assert_eq!(listed.len(), API_KEYS_MAX);
    assert!(listed.iter().all(|row| row.revoked_at.is_none()));
}
