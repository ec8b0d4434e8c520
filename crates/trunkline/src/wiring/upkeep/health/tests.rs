//! A connection that dies and comes back while nobody calls, one that nobody uses, and two nodes.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use model::{Code, ConnectionStatus, Fault};
use store::{LogQuery, Scope};

use super::{Checker, Plan};
use crate::wiring::upkeep::scene::Scene;

/// An upstream that is well or not, and counts who looks.
#[derive(Default)]
struct Upstream {
    is_dead: AtomicBool,
    asked: AtomicUsize,
}

fn checker(scene: &Scene, upstream: &Arc<Upstream>, interval: Option<u64>) -> Arc<Checker> {
    let upstream = Arc::clone(upstream);
    Arc::new(Checker {
        store: Arc::clone(&scene.store),
        clock: scene.clock(),
        entropy: scene.entropy(),
        counters: Arc::new(api::Counters::new()),
        workspace: scene.owner.workspace,
        try_out: Box::new(move |_| {
            let upstream = Arc::clone(&upstream);
            Box::pin(async move {
                upstream.asked.fetch_add(1, Ordering::Relaxed);
                if upstream.is_dead.load(Ordering::Relaxed) {
                    return Err(Fault::new(Code::TIMEOUT, "nobody is there"));
                }
                Ok(())
            })
        }),
        interval_of: Box::new(move |_| interval),
        places: Checker::places(),
        plan: Mutex::new(Plan::default()),
    })
}

/// So many seconds go by.
async fn seconds(scene: &Scene, checkers: &[&Arc<Checker>], count: usize) {
    for _ in 0..count {
        for checker in checkers {
            for begun in checker.tick().await.unwrap() {
                begun.await.unwrap();
            }
        }
        scene.clock.advance_ms(1_000);
    }
}

async fn messages(scene: &Scene) -> Vec<String> {
    let query = LogQuery { limit: 100, ..LogQuery::default() };
    let page = scene.store.list_logs(Scope::from(scene.owner), scene.connection, query).await.unwrap();
    page.items.into_iter().map(|row| row.message).collect()
}

async fn checks(scene: &Scene) -> Vec<bool> {
    let rows = scene.store.list_health(Scope::from(scene.owner), scene.connection, 500).await.unwrap();
    rows.into_iter().map(|row| row.success).collect()
}

async fn connected() -> Scene {
    let scene = Scene::new().await;
    scene.step(ConnectionStatus::Testing).await;
    scene.step(ConnectionStatus::Connected).await;
    scene
}

#[tokio::test]
async fn one_that_dies_and_comes_back_is_seen_without_a_call() {
    let (scene, upstream) = (connected().await, Arc::new(Upstream::default()));
    let checker = checker(&scene, &upstream, Some(60));
    seconds(&scene, &[&checker], 600).await;
    let well = checks(&scene).await;
    assert!((9..=11).contains(&well.len()) && well.iter().all(|good| *good), "{well:?}");
    assert!(messages(&scene).await.is_empty(), "a log of what is as ever would hide what is not");

    upstream.is_dead.store(true, Ordering::Relaxed);
    seconds(&scene, &[&checker], 200).await;
    let row = scene.row().await;
    assert_eq!(row.status, ConnectionStatus::Error);
    assert!(row.last_error.unwrap().contains("nobody is there"));
    assert_eq!(messages(&scene).await.len(), 1, "told once, however often it is seen");
    assert!(checks(&scene).await.iter().filter(|good| !**good).count() >= 2);

    upstream.is_dead.store(false, Ordering::Relaxed);
    seconds(&scene, &[&checker], 70).await;
    let row = scene.row().await;
    assert_eq!((row.status, row.last_error), (ConnectionStatus::Connected, None));
    assert_eq!(row.revision, 1, "what its owner wrote is as it was");
    assert_eq!(messages(&scene).await.first().map(String::as_str), Some("is well again"));
}

#[tokio::test]
async fn of_two_nodes_one_looks() {
    let (scene, upstream) = (connected().await, Arc::new(Upstream::default()));
    let (one, two) = (checker(&scene, &upstream, Some(60)), checker(&scene, &upstream, Some(60)));
    seconds(&scene, &[&one, &two], 1_200).await;
    let asked = upstream.asked.load(Ordering::Relaxed);
    // Each alone would have asked about twenty times; together they may be a little closer.
    assert!((15..=26).contains(&asked), "{asked}");
    assert_eq!(checks(&scene).await.len(), asked);
}

#[tokio::test]
async fn what_is_not_used_or_names_no_interval_is_left_alone() {
    let (scene, upstream) = (Scene::new().await, Arc::new(Upstream::default()));
    let hourly = checker(&scene, &upstream, Some(5));
    let never = checker(&scene, &upstream, None);
    seconds(&scene, &[&hourly, &never], 60).await;
    assert_eq!(upstream.asked.load(Ordering::Relaxed), 0, "it is `configuring`");
    scene.step(ConnectionStatus::Testing).await;
    scene.step(ConnectionStatus::Error).await;
    seconds(&scene, &[&hourly, &never], 60).await;
    assert_eq!(upstream.asked.load(Ordering::Relaxed), 0, "it never was connected");
    scene.step(ConnectionStatus::Testing).await;
    scene.step(ConnectionStatus::Connected).await;
    seconds(&scene, &[&never], 60).await;
    assert_eq!(upstream.asked.load(Ordering::Relaxed), 0, "no interval, no check");
    seconds(&scene, &[&hourly], 30).await;
    assert!(upstream.asked.load(Ordering::Relaxed) > 0);
    scene.step(ConnectionStatus::Disconnected).await;
    let before = upstream.asked.load(Ordering::Relaxed);
    seconds(&scene, &[&hourly], 60).await;
    assert_eq!(upstream.asked.load(Ordering::Relaxed), before, "it was switched off");
    assert_eq!(scene.row().await.status, ConnectionStatus::Disconnected);
}
