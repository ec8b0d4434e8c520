//! Scenes about sealed values and the keys that seal them.

use std::sync::Arc;

use super::given::{at, colleague, connection_id, connections, credential, credential_id};
use super::{NOW, owner, stranger};
use crate::{
    CredentialCommand, CredentialRow, DataKeyCommand, DataKeyRow, DataKeyState, PreviousValue, Replaces,
    SEALED_LEN_MAX, Scope, Store, StoreError,
};

pub async fn a_sealed_value_comes_back_as_it_was_stored(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    let full = CredentialRow {
        sealed: vec![0xff; SEALED_LEN_MAX],
        expires_at: Some(at(5)),
        last_rotated_at: Some(at(6)),
        previous: Some(PreviousValue { sealed: vec![0], overlap_until: at(7) }),
        ..credential(owner, 1, 2, "token")
    };
    let own = CredentialRow { user: Some(owner.user), ..credential(owner, 1, 3, "token") };
    for row in [&full, &own] {
        store.put_credential(row.clone(), Replaces::Nothing).await.unwrap();
    }
    let listed = store.list_credentials(owner.into(), connection_id(1)).await.unwrap();
    assert!(listed == [full.clone(), own.clone()], "one for all and one of the user's own");
    let theirs = store.list_credentials(Scope::from(owner.workspace), connection_id(1)).await.unwrap();
    assert!(theirs == [full.clone(), own]);
    assert!(!format!("{full:?}").contains("255"), "sealed bytes are not for logs");

    let huge = CredentialRow { sealed: vec![0; SEALED_LEN_MAX + 1], ..full };
    let refused = store.put_credential(huge, Replaces::Anything).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { max: SEALED_LEN_MAX, .. })));
}

pub async fn a_value_takes_the_place_of_exactly_what_was_read(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    let put = |row: CredentialRow, replaces| store.put_credential(row, replaces);
    put(credential(owner, 1, 1, "token"), Replaces::Nothing).await.unwrap();
    let again = put(credential(owner, 1, 2, "token"), Replaces::Nothing).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    // Somebody stores a new value while a rotation seals the old one anew: the new value stays.
    let read = Replaces::Exactly { key_version: 1, fingerprint: [1; 8] };
    put(credential(owner, 1, 3, "token"), Replaces::Anything).await.unwrap();
    let resealed = CredentialRow { key_version: 2, ..credential(owner, 1, 1, "token") };
    let late = put(resealed, read).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    let kept = store.list_credentials(owner.into(), connection_id(1)).await.unwrap();
    assert_eq!((kept.len(), kept[0].fingerprint, kept[0].key_version), (1, [3; 8], 1));
    assert_eq!(kept[0].id, credential_id(1), "the place keeps its id");
    let right = Replaces::Exactly { key_version: 1, fingerprint: [3; 8] };
    put(CredentialRow { key_version: 2, ..credential(owner, 1, 3, "token") }, right).await.unwrap();
    let nowhere = put(credential(owner, 1, 4, "other"), right).await;
    assert!(matches!(nowhere, Err(StoreError::Conflict { .. })), "nothing stands there");
}

pub async fn a_value_belongs_to_a_connection_and_its_owner(store: Arc<dyn Store>) {
    let owner = connections(&store, 2).await;
    for (row, noun) in [
        (credential(owner, 9, 1, "token"), "connection"),
        (credential(stranger(), 1, 1, "token"), "connection"),
        (credential(colleague(owner), 1, 1, "token"), "connection"),
        (CredentialRow { user: Some(stranger().user), ..credential(owner, 1, 1, "token") }, "user"),
    ] {
        let refused = store.put_credential(row, Replaces::Anything).await;
        assert!(matches!(refused, Err(StoreError::Missing { noun: n }) if n == noun), "{noun}: {refused:?}");
    }
    store.put_credential(credential(owner, 1, 1, "token"), Replaces::Nothing).await.unwrap();
    let delete = |scope: Scope, connection| {
        let id = credential_id(1);
        let command = CredentialCommand::Delete { scope, connection: connection_id(connection), id };
        store.change_credential(command)
    };
    for (scope, connection) in [
        (stranger().into(), 1),
        (colleague(owner).into(), 1),
        (stranger().workspace.into(), 1),
        (owner.into(), 2),
    ] {
        let refused = delete(scope, connection).await;
        assert!(matches!(refused, Err(StoreError::Missing { noun: "credential" })), "{refused:?}");
    }
    delete(owner.into(), 1).await.unwrap();
    assert!(store.list_credentials(owner.into(), connection_id(1)).await.unwrap().is_empty());
}

pub async fn previous_values_go_when_their_time_is_over(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    for n in [1, 2] {
        let previous = PreviousValue { sealed: vec![9], overlap_until: at(100 * i64::try_from(n).unwrap()) };
        let row = CredentialRow { previous: Some(previous), ..credential(owner, 1, n, &format!("f{n}")) };
        store.put_credential(row, Replaces::Nothing).await.unwrap();
    }
    for workspace in [stranger().workspace, owner.workspace] {
        let drop = CredentialCommand::DropPrevious { workspace, now: at(100) };
        store.change_credential(drop).await.unwrap();
    }
    let left = store.list_credentials(owner.into(), connection_id(1)).await.unwrap();
    let has_previous: Vec<_> = left.iter().map(|row| row.previous.is_some()).collect();
    assert_eq!(has_previous, [false, true]);
    assert_eq!(left[0].sealed, [0, 1, 0xff], "the value itself stays");
}

pub async fn what_is_still_sealed_with_an_old_key_is_counted_and_listed(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    for n in 1..=5 {
        let key_version = if n == 3 { 2 } else { 1 };
        let row = CredentialRow { key_version, ..credential(owner, 1, n, &format!("f{n}")) };
        store.put_credential(row, Replaces::Nothing).await.unwrap();
    }
    assert_eq!(store.count_credentials(owner.workspace).await.unwrap(), [(1, 4), (2, 1)]);
    assert_eq!(store.count_credentials(stranger().workspace).await.unwrap(), []);
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_credentials_not_of(owner.workspace, 2, after, 3).await.unwrap();
        seen.extend(page.items.iter().map(|row| row.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 4, 5].map(credential_id));
    let theirs = store.list_credentials_not_of(stranger().workspace, 2, None, 3).await.unwrap();
    assert!(theirs.items.is_empty());
}

pub async fn data_keys_follow_one_another_and_one_of_them_seals(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let workspace = owner.workspace;
    let key = |workspace, version| DataKeyRow {
        workspace,
        version,
        wrapped: vec![0, 0xff],
        master_key_id: [1; 8],
        state: DataKeyState::Active,
        created_at: NOW,
    };
    let run = |command| store.change_data_key(command);
    let insert = |row: DataKeyRow| run(DataKeyCommand::Insert(Box::new(row)));
    insert(key(workspace, 1)).await.unwrap();
    for version in [1, 3] {
        assert!(matches!(insert(key(workspace, version)).await, Err(StoreError::Conflict { .. })));
    }
    let foreign = insert(key(stranger().workspace, 1)).await;
    assert!(matches!(foreign, Err(StoreError::Missing { noun: "workspace" })), "{foreign:?}");
    insert(key(workspace, 2)).await.unwrap();
    let retired = DataKeyRow { state: DataKeyState::Retired, ..key(workspace, 1) };
    assert!(store.list_data_keys(workspace).await.unwrap() == [key(workspace, 2), retired]);
    assert!(store.list_data_keys(stranger().workspace).await.unwrap().is_empty());

    let rewrap = |expected| DataKeyCommand::Rewrap {
        workspace,
        version: 2,
        expected,
        wrapped: vec![7],
        master_key_id: [2; 8],
    };
    run(rewrap([1; 8])).await.unwrap();
    assert!(matches!(run(rewrap([1; 8])).await, Err(StoreError::Conflict { .. })), "it was wrapped anew");
    run(DataKeyCommand::Retire { workspace, version: 2 }).await.unwrap();
    let absent = run(DataKeyCommand::Retire { workspace, version: 3 }).await;
    assert!(matches!(absent, Err(StoreError::Missing { noun: "data key" })));
    let listed = store.list_data_keys(workspace).await.unwrap();
    assert_eq!((listed[0].wrapped.as_slice(), listed[0].master_key_id), (&[7][..], [2; 8]));
    assert!(listed.iter().all(|row| row.state == DataKeyState::Retired));
}
