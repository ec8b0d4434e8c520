//! Scenes about connections: making, editing, moving, removing.

use std::sync::Arc;

use model::ConnectionStatus::{self, Configuring, Connected, Disconnected, Error, Testing};
use model::{AuthMethod, Key, Timestamp};

use super::given::{
    at, check, colleague, connection, connection_id, connections, credential, found, log, move_to, seed,
};
use super::{NOW, owner, stranger};
use crate::{
    Command, ConnectionChange, ConnectionCommand, ConnectionQuery, ConnectionRow, Fact, FactKind,
    HealthCommand, Json, LAST_ERROR_LEN_MAX, LogQuery, Replaces, Scope, StatusMove, Store, StoreError,
};

fn edit(owner: model::Owner, n: u128, expected: Option<u64>, change: ConnectionChange) -> ConnectionCommand {
    let (scope, id) = (owner.into(), connection_id(n));
    ConnectionCommand::Update { scope, id, expected, change: Box::new(change), at: at(1_000) }
}

pub async fn a_connection_comes_back_as_it_was_stored(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    seed(&store).await;
    let row = ConnectionRow {
        name: "Ada's \"files\" \u{1F511} % _ \\".into(),
        config: Json::parse("config", r#"{"n":[1,2.5,true,null],"s":"it's \\ \"x\" é"}"#).unwrap(),
        previous_version: Some("0.9".into()),
        is_shared: true,
        is_per_user: true,
        egress_private: true,
        auth_method: AuthMethod::SshKey,
        ..connection(owner, 1)
    };
    store.insert_connection(row.clone()).await.unwrap();
    assert_eq!(found(&store, owner, 1).await, row);
    let by_key = store.find_connection_by_key(owner.into(), &row.key).await.unwrap();
    assert_eq!(by_key, Some(row));
    let other: Key = "other".parse().unwrap();
    assert_eq!(store.find_connection_by_key(owner.into(), &other).await.unwrap(), None);
}

pub async fn another_owner_sees_and_changes_no_connection(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    store.append_log(log(owner, 1, 1, "hello")).await.unwrap();
    store.put_credential(credential(owner, 1, 1, "token"), Replaces::Nothing).await.unwrap();
    for other in [stranger(), colleague(owner)] {
        let scope = Scope::from(other);
        assert_eq!(store.find_connection(scope, connection_id(1)).await.unwrap(), None);
        assert_eq!(store.find_connection_by_key(scope, &connection(owner, 1).key).await.unwrap(), None);
        assert_eq!(store.count_connections(scope).await.unwrap().total, 0);
        let listed = store.list_connections(scope, ConnectionQuery::default()).await.unwrap();
        assert!(listed.items.is_empty());
        assert!(store.list_credentials(scope, connection_id(1)).await.unwrap().is_empty());
        let logs = store.list_logs(scope, connection_id(1), LogQuery::default()).await.unwrap();
        assert!(logs.items.is_empty());
        let renamed = ConnectionChange { name: Some("mine".into()), ..ConnectionChange::default() };
        for command in
            [edit(other, 1, None, renamed), ConnectionCommand::Delete { scope, id: connection_id(1) }]
        {
            let refused = store.change_connection(command).await;
            assert!(matches!(refused, Err(StoreError::Missing { noun: "connection" })), "{refused:?}");
        }
        let moved = move_to(&store, other, 1, Testing, at(5)).await;
        assert!(matches!(moved, Err(StoreError::Missing { noun: "connection" })));
    }
    assert_eq!(found(&store, owner, 1).await, connection(owner, 1));
    let whole = Scope::from(owner.workspace);
    assert!(store.find_connection(whole, connection_id(1)).await.unwrap().is_some());
}

pub async fn a_shared_connection_is_seen_by_colleagues_and_changed_by_its_owner(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    let share = ConnectionChange { is_shared: Some(true), ..ConnectionChange::default() };
    store.change_connection(edit(owner, 1, None, share)).await.unwrap();
    let colleague = colleague(owner);
    assert!(store.find_connection(colleague.into(), connection_id(1)).await.unwrap().is_some());
    assert_eq!(store.count_connections(colleague.into()).await.unwrap().total, 1);
    assert_eq!(store.find_connection(stranger().into(), connection_id(1)).await.unwrap(), None);
    let delete = ConnectionCommand::Delete { scope: colleague.into(), id: connection_id(1) };
    assert!(matches!(store.change_connection(delete).await, Err(StoreError::Missing { .. })));
}

pub async fn a_connection_needs_an_owner_and_an_integration(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let missing = store.insert_connection(connection(owner, 1)).await;
    assert!(matches!(missing, Err(StoreError::Missing { noun: "integration" })), "{missing:?}");
    seed(&store).await;
    let foreign = store.insert_connection(connection(stranger(), 1)).await;
    assert!(matches!(foreign, Err(StoreError::Missing { noun: "owner" })), "{foreign:?}");
    let half = store.insert_connection(connection(colleague(owner), 1)).await;
    assert!(matches!(half, Err(StoreError::Missing { noun: "owner" })), "{half:?}");
    let early = ConnectionRow { status: Connected, ..connection(owner, 1) };
    assert!(matches!(store.insert_connection(early).await, Err(StoreError::IllegalMove { .. })));
    let withdraw = crate::IntegrationCommand::Withdraw { slug: "plain".into(), at: NOW };
    store.change_integration(withdraw).await.unwrap();
    assert!(matches!(store.insert_connection(connection(owner, 1)).await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.count_connections(owner.into()).await.unwrap().total, 0);
}

pub async fn names_and_keys_are_taken_once_whatever_the_case(store: Arc<dyn Store>) {
    let owner = connections(&store, 2).await;
    let row = |name: &str, key: &str| ConnectionRow {
        name: name.into(),
        key: key.parse().unwrap(),
        ..connection(owner, 3)
    };
    let name = store.insert_connection(row("NAME 1", "free")).await;
    assert!(matches!(name, Err(StoreError::Taken { field: "name", .. })), "{name:?}");
    let key = store.insert_connection(row("free", "key-1")).await;
    assert!(matches!(key, Err(StoreError::Taken { field: "key", .. })), "{key:?}");
    let id = ConnectionRow { id: connection_id(1), ..row("free", "free") };
    assert!(matches!(store.insert_connection(id).await, Err(StoreError::Conflict { .. })));
    let renamed = |name: &str| ConnectionChange { name: Some(name.into()), ..ConnectionChange::default() };
    let taken = store.change_connection(edit(owner, 1, None, renamed("nAmE 2"))).await;
    assert!(matches!(taken, Err(StoreError::Taken { field: "name", .. })), "{taken:?}");
    store.change_connection(edit(owner, 1, None, renamed("NAME 1"))).await.unwrap();
    assert_eq!(found(&store, owner, 1).await.name, "NAME 1");
    assert_eq!(store.count_connections(owner.into()).await.unwrap().total, 2);
}

pub async fn an_edit_must_have_seen_the_newest_revision(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    let to = |method| ConnectionChange { auth_method: Some(method), ..ConnectionChange::default() };
    store.change_connection(edit(owner, 1, Some(1), to(AuthMethod::Jwt))).await.unwrap();
    let late = store.change_connection(edit(owner, 1, Some(1), to(AuthMethod::Basic))).await;
    assert!(matches!(late, Err(StoreError::StaleRevision { expected: 1, found: 2 })), "{late:?}");
    let now = found(&store, owner, 1).await;
    let expected = ConnectionRow {
        auth_method: AuthMethod::Jwt,
        revision: 2,
        updated_at: at(1_000),
        ..connection(owner, 1)
    };
    assert_eq!(now, expected, "and nothing else changed");
    // A move is not an edit, and cannot be made for a revision that is gone.
    move_to(&store, owner, 1, Testing, at(2_000)).await.unwrap();
    assert_eq!(found(&store, owner, 1).await.revision, 2);
    let passed = StatusMove {
        scope: owner.into(),
        id: connection_id(1),
        expected: Some(1),
        to: Connected,
        error: None,
        at: at(3_000),
    };
    let stale = store.change_connection(ConnectionCommand::Move(Box::new(passed))).await;
    assert!(matches!(stale, Err(StoreError::StaleRevision { .. })));
    assert_eq!(found(&store, owner, 1).await.status, Testing);
}

pub async fn a_version_that_is_pinned_can_be_taken_back(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    let pin =
        |version: &str| ConnectionChange { version: Some(version.into()), ..ConnectionChange::default() };
    for (version, previous) in [("2.0.0", "1.0.0"), ("2.0.0", "1.0.0"), ("1.0.0", "2.0.0")] {
        store.change_connection(edit(owner, 1, None, pin(version))).await.unwrap();
        let row = found(&store, owner, 1).await;
        assert_eq!((row.version.as_str(), row.previous_version.as_deref()), (version, Some(previous)));
    }
}

pub async fn status_moves_along_its_edges_and_nowhere_else(store: Arc<dyn Store>) {
    let owner = connections(&store, 0).await;
    let all = [Configuring, Testing, Connected, Error, Disconnected];
    let path = |to: ConnectionStatus| match to {
        Configuring => &[][..],
        Testing => &[Testing][..],
        Connected => &[Testing, Connected],
        Error => &[Testing, Error],
        Disconnected => &[Testing, Connected, Disconnected],
    };
    let mut n = 0;
    for from in all {
        for to in all {
            n += 1;
            store.insert_connection(connection(owner, n)).await.unwrap();
            for step in path(from) {
                move_to(&store, owner, n, *step, at(100)).await.unwrap();
            }
            let before = found(&store, owner, n).await;
            let moved = move_to(&store, owner, n, to, at(200)).await;
            let after = found(&store, owner, n).await;
            if from.may_become(to) {
                moved.unwrap();
                assert_eq!((after.status, after.updated_at), (to, at(200)));
            } else {
                let refused =
                    matches!(moved, Err(StoreError::IllegalMove { from: f, to: t }) if (f, t) == (from, to));
                assert!(refused, "{from} to {to}: {moved:?}");
                assert_eq!(after, before);
            }
            assert_eq!(after.is_connected(), after.status == Connected);
        }
    }
}

pub async fn a_test_leaves_its_time_and_its_reason(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    move_to(&store, owner, 1, Testing, at(10)).await.unwrap();
    assert_eq!(found(&store, owner, 1).await.last_tested_at, None);
    let long = "é".repeat(LAST_ERROR_LEN_MAX);
    let failed = StatusMove {
        scope: owner.into(),
        id: connection_id(1),
        expected: None,
        to: Error,
        error: Some(format!("no\0{long}")),
        at: at(20),
    };
    store.change_connection(ConnectionCommand::Move(Box::new(failed))).await.unwrap();
    let row = found(&store, owner, 1).await;
    assert_eq!((row.last_tested_at, row.connected_at), (Some(at(20)), None));
    let reason = row.last_error.unwrap();
    assert!(reason.starts_with("noé") && reason.len() <= LAST_ERROR_LEN_MAX && reason.len() > 2_000);
    move_to(&store, owner, 1, Testing, at(30)).await.unwrap();
    move_to(&store, owner, 1, Connected, at(25)).await.unwrap();
    let row = found(&store, owner, 1).await;
    assert_eq!((row.last_error, row.connected_at), (None, Some(at(25))));
    assert_eq!(row.updated_at, at(30), "a clock that goes back takes no time back");
}

pub async fn a_crash_while_testing_never_sticks(store: Arc<dyn Store>) {
    let owner = connections(&store, 3).await;
    move_to(&store, owner, 1, Testing, at(100)).await.unwrap();
    move_to(&store, owner, 2, Testing, at(300)).await.unwrap();
    let elsewhere = stranger().workspace;
    store.fail_testing(elsewhere, Timestamp(i64::MAX), at(200), "x").await.unwrap();
    assert_eq!(found(&store, owner, 1).await.status, Testing);
    store.fail_testing(owner.workspace, at(200), at(400), "the hub stopped").await.unwrap();
    let failed = found(&store, owner, 1).await;
    assert_eq!((failed.status, failed.updated_at), (Error, at(400)));
    assert_eq!(failed.last_error.as_deref(), Some("the hub stopped"));
    assert_eq!(found(&store, owner, 2).await.status, Testing, "it began later");
    assert_eq!(found(&store, owner, 3).await, connection(owner, 3));
    move_to(&store, owner, 1, Testing, at(500)).await.unwrap();
}

pub async fn a_connection_goes_with_all_that_belongs_to_it(store: Arc<dyn Store>) {
    let owner = connections(&store, 2).await;
    for n in [1, 2] {
        let key = connection(owner, n).key;
        let fact = Fact { bytes: b"modern".to_vec(), updated_at: NOW };
        store.put_fact(owner.workspace, &key, FactKind::Era, fact).await.unwrap();
        store.put_credential(credential(owner, n, n, "token"), Replaces::Nothing).await.unwrap();
        store.append_log(log(owner, n, n, "hello")).await.unwrap();
        store.append_health(check(owner, n, n, 5, at(1))).await.unwrap();
        store.append_health(check(owner, n, n + 10, 5, at(2))).await.unwrap();
    }
    let (workspace, before) = (owner.workspace, at(2));
    store.change_health(HealthCommand::RollUp { workspace, before, limit: 10 }).await.unwrap();
    let delete = || ConnectionCommand::Delete { scope: owner.into(), id: connection_id(1) };
    store.change_connection(delete()).await.unwrap();
    assert!(matches!(store.change_connection(delete()).await, Err(StoreError::Missing { .. })));
    // One of the same id and key finds nothing of the one before.
    store.insert_connection(connection(owner, 1)).await.unwrap();
    for (n, kept) in [(1, 0), (2, 1)] {
        let (scope, id) = (Scope::from(owner), connection_id(n));
        let key = connection(owner, n).key;
        let fact = store.find_fact(owner.workspace, &key, FactKind::Era).await.unwrap();
        assert_eq!(fact.into_iter().count(), kept);
        assert_eq!(store.list_credentials(scope, id).await.unwrap().len(), kept);
        assert_eq!(store.list_logs(scope, id, LogQuery::default()).await.unwrap().items.len(), kept);
        assert_eq!(store.list_health(scope, id, 10).await.unwrap().len(), kept);
        assert_eq!(store.list_rollups(scope, id, Timestamp(0), at(9)).await.unwrap().len(), kept);
    }
    assert_eq!(store.count_connections(owner.into()).await.unwrap().total, 2);
}

pub async fn a_connection_and_its_log_happen_together_or_not_at_all(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    let commands = |n, logged| {
        vec![
            Command::Connection(ConnectionCommand::Insert(Box::new(connection(owner, n)))),
            Command::Log(crate::LogCommand::Append(Box::new(log(owner, logged, n, "made")))),
        ]
    };
    store.apply(commands(2, 2)).await.unwrap();
    let refused = store.apply(commands(3, 9)).await;
    assert!(matches!(refused, Err(StoreError::Missing { noun: "connection" })), "{refused:?}");
    assert_eq!(store.find_connection(owner.into(), connection_id(3)).await.unwrap(), None);
    assert_eq!(store.count_connections(owner.into()).await.unwrap().total, 2);
}
