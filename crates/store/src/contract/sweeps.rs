//! Scenes about what is old: counted, swept in steps, and only by who holds the lease.

use std::sync::Arc;

use model::Owner;

use super::given::{at, check, connections, log};
use super::{NOW, stranger};
use crate::{
    HOUR_MS, LeaseCommand, Old, RequestKey, RequestRow, SWEEP_MAX, Store, StoreError, Taken, Under, hour_of,
};

const DAY_MS: i64 = 86_400_000;

async fn take(store: &Arc<dyn Store>, name: &str, ms: i64) -> u64 {
    match store.acquire_lease(name, "me", 1_000, at(ms)).await.unwrap() {
        Taken::Ours(token) => token,
        Taken::Theirs(lease) => panic!("it is free: {lease:?}"),
    }
}

pub async fn a_forgotten_lease_begins_with_a_larger_token(store: Arc<dyn Store>) {
    let first = take(&store, "old", 0).await;
    let second = take(&store, "old", 1_000).await;
    take(&store, "released", 0).await;
    let young = take(&store, "young", 5 * DAY_MS).await;
    let workspace = stranger().workspace;
    let count = |before| store.count_old(workspace, Old::Leases, at(before), 10);
    assert_eq!(count(DAY_MS).await.unwrap(), 2, "those that ended");
    let expire = |before, limit| store.change_lease(LeaseCommand::Expire { before: at(before), limit });
    expire(500, 10).await.unwrap();
    assert!(store.find_lease("old").await.unwrap().is_some(), "it had not ended by then");
    expire(DAY_MS, 1).await.unwrap();
    assert_eq!(count(DAY_MS).await.unwrap(), 1, "one, as was asked");
    expire(DAY_MS, 10).await.unwrap();
    assert_eq!(store.find_lease("old").await.unwrap(), None);
    assert_eq!(store.find_lease("young").await.unwrap().unwrap().token, young);
    let third = take(&store, "old", 2 * DAY_MS).await;
    assert!(third > second && second > first, "{first} {second} {third}");
    let greedy = expire(0, SWEEP_MAX + 1).await;
    assert!(matches!(greedy, Err(StoreError::TooLarge { .. })));
    // One that was let go a moment ago keeps its token.
    let fresh = take(&store, "fresh", 3 * DAY_MS).await;
    store.change_lease(LeaseCommand::Release { name: "fresh".into(), token: fresh }).await.unwrap();
    expire(2 * DAY_MS, 10).await.unwrap();
    assert_eq!(store.find_lease("fresh").await.unwrap().unwrap().token, fresh);
}

/// Three of everything that grows old, a millisecond (or an hour) apart.
async fn grown(store: &Arc<dyn Store>) -> Owner {
    let owner = connections(store, 1).await;
    let start = hour_of(NOW);
    for n in 0..3_u128 {
        let ms = i64::try_from(n).unwrap();
        store.append_log(log(owner, 1, n, "x")).await.unwrap();
        store.append_health(check(owner, 1, n, 1, start.plus_ms(ms * HOUR_MS))).await.unwrap();
        let key = RequestKey { workspace: owner.workspace, caller: "c".into(), key: n.to_string() };
        let (created_at, expires_at) = (NOW, at(ms + 1));
        let row = RequestRow { key, digest: [0; 32], response: None, created_at, expires_at };
        store.claim_request(row, NOW).await.unwrap();
    }
    owner
}

pub async fn what_is_old_is_counted_as_far_as_one_step_goes(store: Arc<dyn Store>) {
    let owner = grown(&store).await;
    let workspace = owner.workspace;
    for what in [Old::Logs, Old::Checks, Old::Requests] {
        let count = |workspace, limit| store.count_old(workspace, what, at(DAY_MS), limit);
        assert_eq!(count(workspace, 10).await.unwrap(), 3, "{what:?}");
        assert_eq!(count(workspace, 2).await.unwrap(), 2, "{what:?}: no further than asked");
        assert_eq!(count(stranger().workspace, 10).await.unwrap(), 0, "{what:?} of somebody else");
        let none = store.count_old(workspace, what, NOW.plus_ms(-DAY_MS), 10).await.unwrap();
        assert_eq!(none, 0, "{what:?} are young");
    }
    assert_eq!(store.count_old(workspace, Old::Hours, at(DAY_MS), 10).await.unwrap(), 0);
    let token = take(&store, "sweep", 0).await;
    let under = || Under { name: "sweep".into(), token, now: NOW };
    for (left, swept) in [(1, 2), (0, 1), (0, 0)] {
        let done = store.sweep(workspace, Old::Checks, at(DAY_MS), 2, under()).await.unwrap();
        assert_eq!(done, swept);
        assert_eq!(store.count_old(workspace, Old::Checks, at(DAY_MS), 10).await.unwrap(), left);
    }
    assert_eq!(store.count_old(workspace, Old::Hours, at(DAY_MS), 10).await.unwrap(), 3);
    assert_eq!(store.count_old(workspace, Old::Logs, at(DAY_MS), 10).await.unwrap(), 3, "untouched");
}

pub async fn a_sweep_of_a_late_holder_takes_nothing(store: Arc<dyn Store>) {
    let workspace = grown(&store).await.workspace;
    let late = take(&store, "sweep", 0).await;
    take(&store, "sweep", 2_000).await;
    let under = Under { name: "sweep".into(), token: late, now: at(1) };
    let refused = store.sweep(workspace, Old::Logs, at(DAY_MS), 10, under.clone()).await;
    assert!(matches!(refused, Err(StoreError::LeaseLost)), "{refused:?}");
    let refused = store.drop_previous(workspace, at(1), under).await;
    assert!(matches!(refused, Err(StoreError::LeaseLost)), "{refused:?}");
    assert_eq!(store.count_old(workspace, Old::Logs, at(DAY_MS), 10).await.unwrap(), 3, "all are there");
}
