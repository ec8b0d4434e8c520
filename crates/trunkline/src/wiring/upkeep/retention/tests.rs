//! A month in a second: what is old goes, what is young stays, and one node does it.

use std::ops::Deref;
use std::sync::Arc;

use model::id::EventId;
use model::{Clock, Timestamp};
use store::{Claim, EventType, HealthRow, Json, LogQuery, LogRow, Old, RequestKey, RequestRow, Scope, Taken};

use super::{DAY_MS, LEASE, Sweeper};
use crate::config::upkeep::Retention;
use crate::wiring::upkeep::scene;

struct Scene {
    base: scene::Scene,
    sweeper: Sweeper,
}

impl Deref for Scene {
    type Target = scene::Scene;

    fn deref(&self) -> &scene::Scene {
        &self.base
    }
}

async fn scene(keep: Retention) -> Scene {
    let base = scene::Scene::new().await;
    let sweeper = Sweeper {
        store: Arc::clone(&base.store),
        clock: base.clock(),
        entropy: base.entropy(),
        recorder: None,
        counters: Arc::new(api::Counters::new()),
        workspace: base.owner.workspace,
        keep,
    };
    Scene { base, sweeper }
}

impl Scene {
    /// One entry, one check and one claimed request, as of now.
    async fn something_happens(&self) {
        let (now, workspace, connection) = (self.clock.now(), self.owner.workspace, self.connection);
        let id = || EventId::new(&*self.clock, &*self.entropy);
        let log = LogRow {
            id: id(),
            workspace,
            connection,
            event_type: EventType::Tested,
            message: "tested".into(),
            metadata: Json::empty(),
            created_at: now,
        };
        self.store.append_log(log).await.unwrap();
        let check = HealthRow {
            id: id(),
            workspace,
            connection,
            response_time_ms: 5,
            success: true,
            error_message: None,
            checked_at: now,
            created_at: now,
        };
        self.store.append_health(check).await.unwrap();
        let key = RequestKey { workspace, caller: "c".into(), key: now.0.to_string() };
        let expires_at = now.plus_ms(DAY_MS);
        let request = RequestRow { key, digest: [1; 32], response: None, created_at: now, expires_at };
        assert_eq!(self.store.claim_request(request, now).await.unwrap(), Claim::Ours);
    }

    async fn logs(&self) -> usize {
        let query = LogQuery { limit: 500, ..LogQuery::default() };
        self.store.list_logs(Scope::from(self.owner), self.connection, query).await.unwrap().items.len()
    }

    async fn checks(&self) -> usize {
        self.store.list_health(Scope::from(self.owner), self.connection, 500).await.unwrap().len()
    }

    async fn counted(&self) -> u64 {
        let (since, until) = (Timestamp(0), Timestamp(i64::MAX));
        let scope = Scope::from(self.owner);
        self.store.summarise_health(scope, self.connection, since, until).await.unwrap().count
    }
}

#[tokio::test]
async fn a_month_goes_by_and_what_is_young_stays() {
    let scene = scene(Retention { hours_days: 20, ..Retention::default() }).await;
    for day in 0..45 {
        scene.something_happens().await;
        scene.sweeper.once().await.unwrap();
        if day == 6 {
            assert_eq!((scene.logs().await, scene.checks().await), (7, 7), "nothing is old yet");
        }
        scene.clock.advance_ms(DAY_MS);
    }
    // The last one happened a day ago.
    assert_eq!(scene.logs().await, 31, "thirty days, and the day of the last sweep");
    assert_eq!(scene.checks().await, 8, "seven days of single checks");
    assert_eq!(scene.counted().await, 20, "with the hours before them, so many days");
    let last = scene.sweeper.once().await.unwrap();
    assert_eq!(last.get("logs"), Some(&1));
    assert_eq!(last.get("health_checks"), Some(&1), "added to its hour, not lost");
    let again = scene.sweeper.once().await.unwrap();
    assert!(again.is_empty(), "{again:?}");
    let (workspace, now) = (scene.owner.workspace, scene.clock.now());
    assert_eq!(scene.store.count_old(workspace, Old::Requests, now, 99).await.unwrap(), 0);
}

#[tokio::test]
async fn more_than_a_step_goes_in_steps() {
    let scene = scene(Retention::default()).await;
    for _ in 0..super::BATCH + 7 {
        scene.something_happens().await;
        scene.clock.advance_ms(1);
    }
    scene.clock.advance_ms(31 * DAY_MS);
    let swept = scene.sweeper.once().await.unwrap();
    let all = u64::try_from(super::BATCH + 7).unwrap();
    assert_eq!((swept.get("logs"), swept.get("health_checks")), (Some(&all), Some(&all)));
    assert_eq!((scene.logs().await, scene.checks().await), (0, 0));
    assert_eq!(scene.counted().await, all, "the hours hold them all");
}

#[tokio::test]
async fn while_another_node_sweeps_this_one_does_not() {
    let scene = scene(Retention::default()).await;
    scene.something_happens().await;
    scene.clock.advance_ms(31 * DAY_MS);
    let now = scene.clock.now();
    let Taken::Ours(_) = scene.store.acquire_lease(LEASE, "another", 1_000, now).await.unwrap() else {
        panic!("it is free")
    };
    assert!(scene.sweeper.once().await.unwrap().is_empty());
    assert_eq!(scene.logs().await, 1, "nothing went");
    scene.clock.advance_ms(1_001);
    assert!(!scene.sweeper.once().await.unwrap().is_empty(), "its lease is over");
    assert_eq!(scene.logs().await, 0);
}
