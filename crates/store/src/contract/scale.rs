//! How long the store takes when it is full: not a promise that every backend keeps, but a measurement that
//! every backend can be put to. It prints and asserts only that the answers are right.
#![allow(clippy::print_stdout, reason = "what is measured is for people to read")]

use std::future::Future;
use std::sync::Arc;

use model::{Clock, ConnectionStatus, Owner, SystemClock, Timestamp};

use super::given::{check, connection, connection_id, credential, log, move_to, seed};
use super::{NOW, owner};
use crate::{
    Command, ConnectionChange, ConnectionCommand, ConnectionCursor, ConnectionQuery, EventType,
    HealthCommand, LogCommand, LogQuery, LogRow, Replaces, Scope, Store,
};

/// Commands of one transaction while filling.
const FILL: u128 = 1_000;
/// Calls of each kind.
const CALLS: u128 = 200;

/// How full the store is to be.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// So many connections.
    pub connections: u128,
    /// So many log entries. A tenth of them is of one connection.
    pub logs: u128,
}

/// One run: what is asked, of whom, by which clock.
struct Run {
    store: Arc<dyn Store>,
    owner: Owner,
    clock: SystemClock,
}

// === impl Scale ===

impl Scale {
    /// From `TRUNKLINE_SCALE_CONNECTIONS` and `TRUNKLINE_SCALE_LOGS`, or 300 and 1 000.
    #[must_use]
    pub fn from_env() -> Self {
        let number = |name, default| match std::env::var(name) {
            Ok(text) => text.parse().unwrap(),
            Err(_) => default,
        };
        Self {
            connections: number("TRUNKLINE_SCALE_CONNECTIONS", 300),
            logs: number("TRUNKLINE_SCALE_LOGS", 1_000),
        }
    }
}

/// Fills the store and prints what each kind of call takes, in microseconds, one call at a time.
pub async fn measure(store: Arc<dyn Store>, scale: Scale) {
    let owner = owner(&store).await;
    seed(&store).await;
    let run = Run { store, owner, clock: SystemClock::new() };
    println!("backend {}, {scale:?}, debug assertions {}", run.store.backend(), cfg!(debug_assertions));
    run.fill(scale).await;
    println!("{:<44} {:>9} {:>9} {:>9} {:>9}  us", "call", "p50", "p95", "p99", "max");
    run.reads(scale).await;
    run.logs(scale).await;
    run.writes(scale).await;
    run.sweeps(scale).await;
}

// === impl Run ===

impl Run {
    async fn fill(&self, scale: Scale) {
        let begun = self.clock.monotonic_us();
        let of = |n| Command::Connection(ConnectionCommand::Insert(Box::new(connection(self.owner, n))));
        self.fill_with(scale.connections, of).await;
        let filled = self.clock.monotonic_us();
        let connections = scale.connections;
        let of = |n| {
            let of = if n % 10 == 0 { 1 } else { n % connections + 1 };
            let message = if n % 1_000 == 0 { "Refused by the vendor" } else { "Answered in time" };
            let row = LogRow { event_type: EventType::Tested, ..log(self.owner, of, n, message) };
            Command::Log(LogCommand::Append(Box::new(row)))
        };
        self.fill_with(scale.logs, of).await;
        let done = self.clock.monotonic_us();
        println!(
            "filled: connections in {} ms, logs in {} ms",
            (filled - begun) / 1_000,
            (done - filled) / 1_000
        );
    }

    async fn fill_with(&self, count: u128, command: impl Fn(u128) -> Command) {
        let mut n = 1;
        while n <= count {
            let end = (n + FILL).min(count + 1);
            self.store.apply((n..end).map(&command).collect()).await.unwrap();
            n = end;
        }
    }

    /// Times [`CALLS`] calls.
    async fn time<F: Future<Output = ()>>(&self, name: &str, call: impl Fn(u128) -> F) {
        let mut took = Vec::new();
        for n in 1..=CALLS {
            let begun = self.clock.monotonic_us();
            call(n).await;
            took.push(self.clock.monotonic_us() - begun);
        }
        took.sort_unstable();
        let at = |share: usize| took[(took.len() * share).div_ceil(100).max(1) - 1];
        println!("{name:<44} {:>9} {:>9} {:>9} {:>9}", at(50), at(95), at(99), at(100));
    }

    async fn reads(&self, scale: Scale) {
        let scope = Scope::from(self.owner);
        let spread = |n: u128| n * 7_919 % scale.connections + 1;
        let found = |n| async move {
            let found = self.store.find_connection(scope, connection_id(spread(n))).await.unwrap();
            assert!(found.is_some());
        };
        self.time("find a connection by id", found).await;
        let found = |n| async move {
            let key = connection(self.owner, spread(n)).key;
            assert!(self.store.find_connection_by_key(scope, &key).await.unwrap().is_some());
        };
        self.time("find a connection by key", found).await;
        let page = |query: ConnectionQuery, most: usize| async move {
            let page =
                self.store.list_connections(scope, ConnectionQuery { limit: 50, ..query }).await.unwrap();
            assert!(page.items.len() <= most);
        };
        self.time("list connections: first 50", |_| page(ConnectionQuery::default(), 50)).await;
        let deep = |n| {
            let id = connection_id(spread(n));
            let after = ConnectionCursor { at: connection(self.owner, spread(n)).created_at, id };
            ConnectionQuery { after: Some(after), ..ConnectionQuery::default() }
        };
        self.time("list connections: 50 somewhere deep", |n| page(deep(n), 50)).await;
        let text = |text: &str| ConnectionQuery { text: Some(text.to_owned()), ..ConnectionQuery::default() };
        self.time("search connections: text of many", |_| page(text("NAME 1"), 50)).await;
        self.time("search connections: text of one", |n| page(text(&format!("name {}", spread(n))), 50))
            .await;
        self.time("search connections: text of none", |_| page(text("100%_"), 0)).await;
        let failed =
            || ConnectionQuery { status: Some(ConnectionStatus::Error), ..ConnectionQuery::default() };
        self.time("list connections: a status none has", |_| page(failed(), 0)).await;
        let counted = |_| async move {
            let stats = self.store.count_connections(scope).await.unwrap();
            assert_eq!(u128::from(stats.total), scale.connections);
        };
        self.time("count connections by status, kind, category", counted).await;
    }

    async fn logs(&self, scale: Scale) {
        let scope = Scope::from(self.owner);
        let page = |connection: u128, query: LogQuery| async move {
            let query = LogQuery { limit: 50, ..query };
            self.store.list_logs(scope, connection_id(connection), query).await.unwrap();
        };
        self.time("list a long log: newest 50", |_| page(1, LogQuery::default())).await;
        let own = |n| page(n * 7_919 % scale.connections + 1, LogQuery::default());
        self.time("list a short log: newest 50", own).await;
        let rare = || LogQuery { text: Some("REFUSED".into()), ..LogQuery::default() };
        self.time("search a long log: 1 in 100", |_| page(1, rare())).await;
        let none = || LogQuery { text: Some("100%_".into()), ..LogQuery::default() };
        self.time("search a long log: text of none", |_| page(1, none())).await;
    }

    async fn writes(&self, scale: Scale) {
        let scope = Scope::from(self.owner);
        // One transaction each, durable when it returns.
        let logged = |n| async move {
            let row = log(self.owner, 2, scale.logs + n, "Answered in time");
            self.store.append_log(row).await.unwrap();
        };
        self.time("append a log entry", logged).await;
        let checked = |n: u128| async move {
            let at = NOW.plus_ms(i64::try_from(n).unwrap());
            self.store.append_health(check(self.owner, 2, n, 40, at)).await.unwrap();
        };
        self.time("append a health check", checked).await;
        let edited = |n: u128| async move {
            let change =
                ConnectionChange { name: Some(format!("Edited {n}")), ..ConnectionChange::default() };
            let (id, at) = (connection_id(n + 10), NOW);
            let change = Box::new(change);
            let command = ConnectionCommand::Update { scope, id, expected: Some(1), change, at };
            self.store.change_connection(command).await.unwrap();
        };
        self.time("edit a connection", edited).await;
        let moved = |n| move_to(&self.store, self.owner, n + 10, ConnectionStatus::Testing, NOW);
        self.time("move a connection", |n| async move { moved(n).await.unwrap() }).await;
        let sealed = |n: u128| async move {
            let row = credential(self.owner, n + 10, 1, "token");
            let row = crate::CredentialRow { id: super::given::credential_id(n), ..row };
            self.store.put_credential(row, Replaces::Anything).await.unwrap();
        };
        self.time("put a credential", sealed).await;
        let leased = |n: u128| async move {
            let (name, now) = (format!("lease {}", n % 20), NOW.plus_ms(i64::try_from(n).unwrap() * 1_000));
            self.store.acquire_lease(&name, "holder", 1_000, now).await.unwrap();
        };
        self.time("take a lease", leased).await;
    }

    async fn sweeps(&self, scale: Scale) {
        let checks = scale.logs / 20;
        let (workspace, before) = (self.owner.workspace, Timestamp(i64::MAX));
        let of = |n: u128| {
            let at = NOW.plus_ms(i64::try_from(n).unwrap() * 30_000);
            let row = check(self.owner, 3, 1_000_000 + n, u32::try_from(n % 700).unwrap(), at);
            Command::Health(HealthCommand::Append(Box::new(row)))
        };
        self.fill_with(checks, of).await;
        let scope = Scope::from(self.owner);
        let summed = |_| async move {
            let (since, until) = (Timestamp(0), Timestamp(i64::MAX));
            let summary = self.store.summarise_health(scope, connection_id(3), since, until).await.unwrap();
            assert_eq!(u128::from(summary.count), checks);
        };
        self.time("summarise checks, a twentieth of the logs", summed).await;
        let rolled = |_| async move {
            let command = HealthCommand::RollUp { workspace, before, limit: 250 };
            self.store.change_health(command).await.unwrap();
        };
        self.time("roll up 250 checks", rolled).await;
        self.time("summarise them, rolled up", summed).await;
        let pruned = |_| async move { self.store.prune_logs(workspace, before, 1_000).await.unwrap() };
        self.time("prune 1 000 log entries", pruned).await;
    }
}
