//! Scenes about writing: all or nothing, side by side, watched, and after the end.

use std::sync::{Arc, Mutex};

use model::ConnectionStatus;

use super::given::{check, connection, connection_id, credential, credential_id, log, move_to, seed};
use super::{NOW, key, key_id, owner};
use crate::{Changed, Command, ConnectionCommand, HealthCommand, Replaces, Store, StoreError};

pub async fn a_list_of_commands_happens_whole_or_not_at_all(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    store.insert_api_key(key(owner, 1)).await.unwrap();
    let commands = vec![
        Command::InsertApiKey(Box::new(key(owner, 2))),
        Command::RevokeApiKey { workspace: owner.workspace, id: key_id(1), at: NOW },
        Command::InsertApiKey(Box::new(key(owner, 1))),
    ];
    assert!(matches!(store.apply(commands).await, Err(StoreError::Conflict { .. })));
    assert!(store.list_api_keys(owner.workspace).await.unwrap() == vec![key(owner, 1)]);
    store.apply(Vec::new()).await.unwrap();
}

pub async fn a_failing_write_does_not_disturb_those_beside_it(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    store.insert_api_key(key(owner, 1_000)).await.unwrap();
    let writes = (0..64).map(|n| {
        let store = Arc::clone(&store);
        // Every other one is a twin of the key that exists.
        let row = if n % 2 == 0 { key(owner, 1_000) } else { key(owner, n) };
        tokio::spawn(async move { (n, store.insert_api_key(row).await) })
    });
    for write in writes.collect::<Vec<_>>() {
        let (n, result) = write.await.unwrap();
        assert_eq!(result.is_ok(), n % 2 == 1, "{n}: {result:?}");
    }
    assert_eq!(store.list_live_api_keys().await.unwrap().len(), 33);
}

pub async fn many_writers_at_once_all_land(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let writers = (0..16_u128).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..20 {
                store.insert_api_key(key(owner, writer * 100 + n)).await.unwrap();
                // What was acknowledged can be read at once.
                let row = store.find_api_key(owner.workspace, key_id(writer * 100 + n)).await.unwrap();
                assert!(row.is_some());
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(store.list_live_api_keys().await.unwrap().len(), 320);
}

pub async fn the_feed_moves_with_every_commit_and_with_nothing_else(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let mut feed = store.subscribe();
    let before = *feed.borrow_and_update();
    store.insert_api_key(key(owner, 1)).await.unwrap();
    assert!(feed.has_changed().unwrap(), "the feed has moved by the time the write is acknowledged");
    let after = *feed.borrow_and_update();
    assert!(after > before);
    assert!(store.insert_api_key(key(owner, 1)).await.is_err());
    store.list_live_api_keys().await.unwrap();
    assert!(!feed.has_changed().unwrap());
}

pub async fn observers_are_told_what_was_committed_in_order_and_nothing_else(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    seed(&store).await;
    let told: Arc<Mutex<Vec<Changed>>> = Arc::default();
    let telling = Arc::clone(&told);
    store.observe(Arc::new(move |change| {
        assert!(change.workspace.is_some());
        telling.lock().unwrap().push(change.what.clone());
    }));
    store.insert_api_key(key(owner, 1)).await.unwrap();
    assert_eq!(told.lock().unwrap().len(), 1, "told by the time the write is acknowledged");
    assert!(store.insert_api_key(key(owner, 1)).await.is_err());
    store.insert_connection(connection(owner, 1)).await.unwrap();
    move_to(&store, owner, 1, ConnectionStatus::Testing, NOW).await.unwrap();
    assert!(move_to(&store, owner, 1, ConnectionStatus::Testing, NOW).await.is_err());
    store.put_credential(credential(owner, 1, 1, "token"), Replaces::Nothing).await.unwrap();
    let fingerprint = credential(owner, 1, 1, "token").fingerprint;
    let same = Replaces::SameValue { key_version: 1, fingerprint };
    store.put_credential(credential(owner, 1, 1, "token"), same).await.unwrap();
    store.append_log(log(owner, 1, 1, "not told")).await.unwrap();
    store.touch_api_keys(Vec::new()).await.unwrap();
    let whole = vec![
        Command::Health(HealthCommand::Append(Box::new(check(owner, 1, 2, 7, NOW)))),
        Command::RevokeApiKey { workspace: owner.workspace, id: key_id(1), at: NOW },
        Command::Connection(ConnectionCommand::Delete { scope: owner.into(), id: connection_id(1) }),
    ];
    store.apply(whole).await.unwrap();
    let told = told.lock().unwrap();
    let id = connection_id(1);
    let expected = [
        Changed::KeyMade { id: key_id(1), name: "key 1".into() },
        Changed::ConnectionMade {
            id,
            key: connection(owner, 1).key,
            name: "Name 1".into(),
            integration: "plain".into(),
            status: ConnectionStatus::Configuring,
        },
        Changed::ConnectionMoved { id, to: ConnectionStatus::Testing, error: None },
        Changed::CredentialStored {
            connection: id,
            id: credential_id(1),
            field: "token".into(),
            user: None,
            is_rotation: false,
        },
        Changed::ConnectionChecked { id, response_time_ms: 7, is_ok: true, error: None },
        Changed::KeyRevoked { id: key_id(1) },
        Changed::ConnectionRemoved { id },
    ];
    assert_eq!(*told, expected);
}

pub async fn a_closed_store_says_so(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    store.close().await;
    store.close().await;
    assert!(matches!(store.insert_api_key(key(owner, 1)).await, Err(StoreError::Closed)));
    assert!(matches!(store.find_owner().await, Err(StoreError::Closed)));
}
