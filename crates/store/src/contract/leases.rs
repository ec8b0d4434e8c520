//! Scenes about leases and idempotency keys: one at a time, and late ones are known.

use std::sync::Arc;

use super::given::{at, connections, credential};
use super::{NOW, owner, stranger};
use crate::{
    Claim, Command, CredentialCommand, LeaseCommand, RESPONSE_LEN_MAX, Replaces, RequestCommand, RequestKey,
    RequestRow, Store, StoreError, Taken,
};

async fn take(store: &Arc<dyn Store>, holder: &str, ms: i64) -> Taken {
    store.acquire_lease("refresh:it's", holder, 1_000, at(ms)).await.unwrap()
}

pub async fn a_lease_has_one_holder_at_a_time(store: Arc<dyn Store>) {
    let Taken::Ours(first) = take(&store, "a", 0).await else { panic!("it is free") };
    let Taken::Theirs(lease) = take(&store, "b", 999).await else { panic!("it is held") };
    assert_eq!((lease.holder.as_str(), lease.token, lease.expires_at), ("a", first, at(1_000)));
    assert!(matches!(take(&store, "a", 999).await, Taken::Theirs(_)), "nor by its holder again");
    let name = || "refresh:it's".to_owned();
    let renew = |token, now| {
        store.change_lease(LeaseCommand::Renew { name: name(), token, now, expires_at: at(3_000) })
    };
    renew(first, at(999)).await.unwrap();
    assert!(matches!(take(&store, "b", 2_999).await, Taken::Theirs(_)));
    let Taken::Ours(second) = take(&store, "b", 3_000).await else { panic!("it is over") };
    assert!(second > first);
    assert!(matches!(renew(first, at(3_001)).await, Err(StoreError::LeaseLost)));
    // Letting go of what one has no more changes nothing.
    store.change_lease(LeaseCommand::Release { name: name(), token: first }).await.unwrap();
    assert!(matches!(take(&store, "c", 3_001).await, Taken::Theirs(_)));
    store.change_lease(LeaseCommand::Release { name: name(), token: second }).await.unwrap();
    let Taken::Ours(third) = take(&store, "c", 3_001).await else { panic!("it was let go") };
    assert!(third > second, "a token is never used again");
    assert_eq!(store.find_lease("another").await.unwrap(), None);
}

pub async fn a_late_holders_write_is_refused(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    let Taken::Ours(late) = take(&store, "a", 0).await else { panic!("it is free") };
    let write = |token, n, now| {
        let row = Box::new(credential(owner, 1, n, "token"));
        store.apply(vec![
            Command::Lease(LeaseCommand::Require { name: "refresh:it's".into(), token, now }),
            Command::Credential(CredentialCommand::Put { row, replaces: Replaces::Anything }),
        ])
    };
    write(late, 1, at(500)).await.unwrap();
    let asleep = write(late, 2, at(1_000)).await;
    assert!(matches!(asleep, Err(StoreError::LeaseLost)), "{asleep:?}");
    let Taken::Ours(newer) = take(&store, "b", 1_000).await else { panic!("it is over") };
    write(newer, 3, at(1_001)).await.unwrap();
    // The clock of the late one goes back: the token tells all the same.
    let late = write(late, 4, at(900)).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    let kept =
        store.list_credentials(owner.into(), credential(owner, 1, 1, "token").connection).await.unwrap();
    assert_eq!((kept.len(), kept[0].fingerprint), (1, [3; 8]));
}

pub async fn many_who_ask_at_once_get_one_lease(store: Arc<dyn Store>) {
    let asked = (0..16).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { take(&store, &format!("holder {n}"), 0).await })
    });
    let mut ours = 0;
    for one in asked.collect::<Vec<_>>() {
        ours += usize::from(matches!(one.await.unwrap(), Taken::Ours(_)));
    }
    assert_eq!(ours, 1);
}

fn request(key: RequestKey, digest: u8, ms: i64) -> RequestRow {
    RequestRow { key, digest: [digest; 32], response: None, created_at: at(ms), expires_at: at(ms + 1_000) }
}

pub async fn a_request_is_claimed_once_and_its_answer_kept(store: Arc<dyn Store>) {
    let workspace = owner(&store).await.workspace;
    let key = RequestKey { workspace, caller: "key_it's".into(), key: "order 1".into() };
    let claim = |key: RequestKey, digest, ms| store.claim_request(request(key, digest, ms), at(ms));
    assert_eq!(claim(key.clone(), 1, 0).await.unwrap(), Claim::Ours);
    assert_eq!(claim(key.clone(), 1, 10).await.unwrap(), Claim::Before(request(key.clone(), 1, 0)));
    let other_caller = RequestKey { caller: "another".into(), ..key.clone() };
    assert_eq!(claim(other_caller.clone(), 2, 10).await.unwrap(), Claim::Ours);
    let foreign = claim(RequestKey { workspace: stranger().workspace, ..key.clone() }, 1, 0).await;
    assert!(matches!(foreign, Err(StoreError::Missing { noun: "workspace" })), "{foreign:?}");

    let finish = |digest: u8, response: Vec<u8>| {
        let (key, digest, expires_at) = (key.clone(), [digest; 32], at(5_000));
        store.change_request(RequestCommand::Finish { key, digest, response, expires_at })
    };
    assert!(
        matches!(finish(9, vec![]).await, Err(StoreError::Conflict { .. })),
        "that asks for something else"
    );
    let huge = finish(1, vec![0; RESPONSE_LEN_MAX + 1]).await;
    assert!(matches!(huge, Err(StoreError::TooLarge { max: RESPONSE_LEN_MAX, .. })));
    finish(1, vec![0xff; RESPONSE_LEN_MAX]).await.unwrap();
    assert!(matches!(finish(1, vec![]).await, Err(StoreError::Conflict { .. })), "it is finished");
    let Claim::Before(done) = claim(key.clone(), 1, 4_999).await.unwrap() else { panic!("it is kept") };
    assert_eq!((done.response.unwrap().len(), done.expires_at), (RESPONSE_LEN_MAX, at(5_000)));
    // Over: it can be claimed anew.
    assert_eq!(claim(key.clone(), 3, 5_000).await.unwrap(), Claim::Ours);
    let there = store.find_request(&key).await.unwrap();
    assert_eq!(there, Some(request(key.clone(), 3, 5_000)));

    let abandon = |digest: u8| RequestCommand::Abandon { key: key.clone(), digest: [digest; 32] };
    store.change_request(abandon(1)).await.unwrap();
    assert!(store.find_request(&key).await.unwrap().is_some(), "that was another one");
    store.change_request(abandon(3)).await.unwrap();
    assert_eq!(store.find_request(&key).await.unwrap(), None);
    assert!(store.find_request(&other_caller).await.unwrap().is_some());
}

pub async fn claims_that_are_over_go_in_bounded_steps(store: Arc<dyn Store>) {
    let workspace = owner(&store).await.workspace;
    let key = |n: i64| RequestKey { workspace, caller: "key".into(), key: n.to_string() };
    for n in 0..4 {
        assert_eq!(store.claim_request(request(key(n), 1, n), NOW).await.unwrap(), Claim::Ours);
    }
    for (workspace, limit) in [(stranger().workspace, 10), (workspace, 2)] {
        store.change_request(RequestCommand::Expire { workspace, now: at(1_002), limit }).await.unwrap();
    }
    let mut left = Vec::new();
    for n in 0..4 {
        left.push(store.find_request(&key(n)).await.unwrap().is_some());
    }
    assert_eq!(left, [false, false, true, true], "two, and the oldest");
    let expire = RequestCommand::Expire { workspace, now: at(1_002), limit: 10 };
    store.change_request(expire).await.unwrap();
    assert!(store.find_request(&key(2)).await.unwrap().is_none());
    assert!(store.find_request(&key(3)).await.unwrap().is_some(), "that one is not over");
}

pub async fn what_is_in_no_snapshot_wakes_nobody(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    let mut feed = store.subscribe();
    feed.borrow_and_update();
    take(&store, "a", 0).await;
    store.append_log(super::given::log(owner, 1, 1, "hello")).await.unwrap();
    store.append_health(super::given::check(owner, 1, 1, 5, NOW)).await.unwrap();
    let key = RequestKey { workspace: owner.workspace, caller: "key".into(), key: "1".into() };
    store.claim_request(request(key, 1, 0), NOW).await.unwrap();
    assert!(!feed.has_changed().unwrap());
    super::given::move_to(&store, owner, 1, model::ConnectionStatus::Testing, at(1)).await.unwrap();
    assert!(feed.has_changed().unwrap(), "a status is in the snapshot");
}
