//! Scenes about the log and the health of connections.

use std::sync::Arc;

use model::{Owner, Timestamp};

use super::given::{at, check, connection_id, connections, log};
use super::{NOW, stranger};
use crate::{
    EventType, HOUR_MS, HealthCommand, HealthRow, HealthSummary, Json, LogQuery, LogRow, MESSAGE_LEN_MAX,
    METADATA_LEN_MAX, Scope, Store, StoreError, hour_of,
};

async fn messages(store: &Arc<dyn Store>, owner: Owner, query: LogQuery) -> Vec<String> {
    let query = LogQuery { limit: 100, ..query };
    let page = store.list_logs(owner.into(), connection_id(1), query).await.unwrap();
    page.items.into_iter().map(|row| row.message).collect()
}

pub async fn a_log_is_read_newest_first_and_filtered(store: Arc<dyn Store>) {
    let owner = connections(&store, 2).await;
    let metadata = Json::parse("metadata", r#"{"field":"é ' \\"}"#).unwrap();
    for (n, message) in (1..).zip(["Plain", "100% DONE", "snake_case", "it's \\ Ärger"]) {
        store.append_log(LogRow { metadata: metadata.clone(), ..log(owner, 1, n, message) }).await.unwrap();
    }
    let failed = LogRow { event_type: EventType::Error, ..log(owner, 1, 5, "broke") };
    store.append_log(failed.clone()).await.unwrap();
    store.append_log(log(owner, 2, 6, "another's")).await.unwrap();
    let none = LogQuery::default;
    let all = ["broke", "it's \\ Ärger", "snake_case", "100% DONE", "Plain"];
    assert_eq!(messages(&store, owner, none()).await, all);
    let errors = LogQuery { event_type: Some(EventType::Error), limit: 9, ..none() };
    let page = store.list_logs(owner.into(), connection_id(1), errors).await.unwrap();
    assert_eq!(page.items, [failed]);
    let window = LogQuery { since: Some(at(2)), until: Some(at(4)), ..none() };
    assert_eq!(messages(&store, owner, window).await, ["snake_case", "100% DONE"]);
    for (text, expected) in [
        ("done", &["100% DONE"][..]),
        ("ÄRGER", &["it's \\ Ärger"]),
        ("%", &["100% DONE"]),
        ("_", &["snake_case"]),
        ("'", &["it's \\ Ärger"]),
        ("\\", &["it's \\ Ärger"]),
        ("p%n", &[]),
        ("done\0", &[]),
    ] {
        let query = LogQuery { text: Some(text.into()), ..none() };
        assert_eq!(messages(&store, owner, query).await, expected, "{text}");
    }
}

pub async fn pages_of_a_log_stay_put_while_it_grows(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    for n in 1..=7 {
        // All at one moment: the id decides.
        store.append_log(LogRow { created_at: NOW, ..log(owner, 1, n, &n.to_string()) }).await.unwrap();
    }
    let (mut seen, mut after, mut n) = (Vec::new(), None, 100);
    loop {
        let query = LogQuery { limit: 3, after, ..LogQuery::default() };
        let page = store.list_logs(owner.into(), connection_id(1), query).await.unwrap();
        seen.extend(page.items.into_iter().map(|row| row.message));
        let Some(next) = page.next else { break };
        after = Some(next);
        n += 1;
        store.append_log(log(owner, 1, n, "new")).await.unwrap();
    }
    assert_eq!(seen, ["7", "6", "5", "4", "3", "2", "1"]);
}

pub async fn a_page_of_rare_entries_looks_at_so_many_and_says_where_to_go_on(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    for n in 1..=10 {
        let text = if n == 2 || n == 8 { "rare" } else { "common" };
        store.append_log(log(owner, 1, n, text)).await.unwrap();
    }
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let text = Some("RARE".to_owned());
        let query = LogQuery { text, limit: 50, look: 4, after, ..LogQuery::default() };
        let page = store.list_logs(owner.into(), connection_id(1), query).await.unwrap();
        pages.push(page.items.len());
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    // 10 to 7, 6 to 3, 2 and 1.
    assert_eq!(pages, [1, 0, 1]);
    // Where every entry is wanted, as many are looked at as are asked for.
    let query = LogQuery { limit: 50, look: 4, ..LogQuery::default() };
    let page = store.list_logs(owner.into(), connection_id(1), query).await.unwrap();
    assert_eq!((page.items.len(), page.next), (10, None));
}

pub async fn an_event_has_a_connection_an_id_of_its_own_and_a_largest_size(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    for row in [log(owner, 9, 1, "x"), log(stranger(), 1, 1, "x")] {
        let refused = store.append_log(row).await;
        assert!(matches!(refused, Err(StoreError::Missing { noun: "connection" })), "{refused:?}");
    }
    for row in [check(owner, 9, 1, 1, NOW), check(stranger(), 1, 1, 1, NOW)] {
        let refused = store.append_health(row).await;
        assert!(matches!(refused, Err(StoreError::Missing { noun: "connection" })), "{refused:?}");
    }
    store.append_log(log(owner, 1, 1, &"x".repeat(MESSAGE_LEN_MAX))).await.unwrap();
    assert!(matches!(store.append_log(log(owner, 1, 1, "x")).await, Err(StoreError::Conflict { .. })));
    let long = store.append_log(log(owner, 1, 2, &"x".repeat(MESSAGE_LEN_MAX + 1))).await;
    assert!(matches!(long, Err(StoreError::TooLarge { max: MESSAGE_LEN_MAX, .. })));
    let text = format!("\"{}\"", "x".repeat(METADATA_LEN_MAX));
    let metadata = Json::parse("metadata", &text).unwrap();
    let large = store.append_log(LogRow { metadata, ..log(owner, 1, 2, "x") }).await;
    assert!(matches!(large, Err(StoreError::TooLarge { max: METADATA_LEN_MAX, .. })));
    assert_eq!(messages(&store, owner, LogQuery::default()).await.len(), 1);
}

pub async fn old_log_entries_go_in_bounded_steps(store: Arc<dyn Store>) {
    let owner = connections(&store, 2).await;
    for n in 1..=6 {
        store.append_log(log(owner, 1 + n % 2, n, &n.to_string())).await.unwrap();
    }
    assert_eq!(store.oldest_log(owner.workspace).await.unwrap(), Some(at(1)));
    assert_eq!(store.oldest_log(stranger().workspace).await.unwrap(), None);
    store.prune_logs(stranger().workspace, at(100), 10).await.unwrap();
    store.prune_logs(owner.workspace, at(5), 3).await.unwrap();
    assert_eq!(store.oldest_log(owner.workspace).await.unwrap(), Some(at(4)), "three, and the oldest");
    store.prune_logs(owner.workspace, at(5), 3).await.unwrap();
    assert_eq!(store.oldest_log(owner.workspace).await.unwrap(), Some(at(5)), "not those that are newer");
    assert_eq!(messages(&store, owner, LogQuery::default()).await, ["6"]);
    let greedy = store.prune_logs(owner.workspace, at(5), crate::SWEEP_MAX + 1).await;
    assert!(matches!(greedy, Err(StoreError::TooLarge { .. })));
}

async fn summary(store: &Arc<dyn Store>, owner: Owner) -> HealthSummary {
    let (since, until) = (Timestamp(0), Timestamp(i64::MAX));
    store.summarise_health(owner.into(), connection_id(1), since, until).await.unwrap()
}

pub async fn health_is_read_newest_first_and_adds_up(store: Arc<dyn Store>) {
    let owner = connections(&store, 2).await;
    assert_eq!(summary(&store, owner).await.success_rate, None);
    for n in 1..=100_u32 {
        let at = at(i64::from(n));
        store.append_health(check(owner, 1, n.into(), n, at)).await.unwrap();
    }
    let broken = HealthRow {
        success: false,
        error_message: Some("it's 503".into()),
        created_at: at(300),
        ..check(owner, 1, 200, 1_000, at(200))
    };
    store.append_health(broken.clone()).await.unwrap();
    store.append_health(check(owner, 2, 201, 9_999, at(201))).await.unwrap();
    let listed = store.list_health(owner.into(), connection_id(1), 2).await.unwrap();
    assert_eq!(listed, [broken, check(owner, 1, 100, 100, at(100))]);
    assert!(store.list_health(stranger().into(), connection_id(1), 2).await.unwrap().is_empty());

    let all = summary(&store, owner).await;
    assert_eq!((all.count, all.max_ms), (101, 1_000));
    assert!((all.mean_ms - 6_050.0 / 101.0).abs() < 1e-9);
    assert!(all.success_rate.is_some_and(|rate| (rate - 100.0 / 101.0).abs() < 1e-9));
    assert!((51..=57).contains(&all.p50_ms) && (96..=108).contains(&all.p95_ms), "{all:?}");
    assert!((100..=112).contains(&all.p99_ms), "{all:?}");
    let window = store.summarise_health(owner.into(), connection_id(1), at(10), at(20)).await.unwrap();
    assert_eq!((window.count, window.max_ms, window.success_rate), (10, 19, Some(1.0)));
    let (since, until) = (Timestamp(0), Timestamp(i64::MAX));
    let theirs = store.summarise_health(stranger().into(), connection_id(1), since, until).await.unwrap();
    assert_eq!(theirs.count, 0);
}

pub async fn rolling_up_loses_and_doubles_nothing(store: Arc<dyn Store>) {
    let owner = connections(&store, 1).await;
    let start = hour_of(NOW);
    for n in 0..30_u32 {
        // Ten each hour.
        let at = start.plus_ms(i64::from(n) * HOUR_MS / 10);
        let row = HealthRow { success: n % 3 != 0, ..check(owner, 1, n.into(), n * 10, at) };
        store.append_health(row).await.unwrap();
    }
    let before = summary(&store, owner).await;
    let workspace = owner.workspace;
    let until = start.plus_ms(2 * HOUR_MS);
    // In pieces that do not fit the hours, and once more than needed.
    for _ in 0..4 {
        let command = HealthCommand::RollUp { workspace, before: until, limit: 7 };
        store.change_health(command).await.unwrap();
        assert_eq!(summary(&store, owner).await, before);
    }
    assert_eq!(store.oldest_health(workspace).await.unwrap(), Some(until));
    assert_eq!(store.list_health(owner.into(), connection_id(1), 99).await.unwrap().len(), 10);
    let hours = || store.list_rollups(owner.into(), connection_id(1), start, until);
    let listed: Vec<_> = hours().await.unwrap().iter().map(|row| (row.hour, row.tally.count)).collect();
    assert_eq!(listed, [(start, 10), (start.plus_ms(HOUR_MS), 10)]);
    // A check that comes late is added to its hour.
    store.append_health(check(owner, 1, 99, 5, start)).await.unwrap();
    store.change_health(HealthCommand::RollUp { workspace, before: until, limit: 7 }).await.unwrap();
    assert_eq!(hours().await.unwrap()[0].tally.count, 11);

    for workspace in [stranger().workspace, workspace] {
        let prune = HealthCommand::PruneRollups { workspace, before: until, limit: 1 };
        store.change_health(prune).await.unwrap();
    }
    let left: Vec<_> = hours().await.unwrap().iter().map(|row| row.hour).collect();
    assert_eq!(left, [start.plus_ms(HOUR_MS)], "one, and the oldest");
    let scope = Scope::from(stranger());
    assert!(store.list_rollups(scope, connection_id(1), start, until).await.unwrap().is_empty());
}
