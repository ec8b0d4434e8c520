//! Connections in use are tried out now and then, so that one that died is known before somebody calls, and
//! one that is well again too. Of many nodes one does it; a connection's interval is its integration's
//! (`health.interval`), or `health_interval` of the configuration.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::id::{ConnectionId, EventId, WorkspaceId};
use model::{Clock, Code, ConnectionStatus, Entropy, Fault, Timestamp};
use serde_json::{Value, json};
use store::{
    Command, ConnectionCommand, ConnectionQuery, ConnectionRow, EventType, HealthCommand, HealthRow, Json,
    LeaseCommand, LogCommand, LogRow, Scope, StatusMove, Store, StoreError,
};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::take;

/// Checks at once.
const AT_ONCE: usize = 4;
/// How long one may take.
const CHECK_MAX: Duration = Duration::from_secs(60);
/// How long the lease of a check is held at first, milliseconds: longer than the check takes.
const LEASE_MS: u32 = 90_000;
/// How often the list of connections is read again, milliseconds.
const LIST_EVERY_MS: i64 = 10_000;
/// How much of a reason is kept, in characters.
const REASON_CHARS: usize = 500;

/// Tries a connection out.
pub(crate) type TryOut =
    Box<dyn Fn(ConnectionRow) -> Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>> + Send + Sync>;
/// How often a connection is to be tried out, in seconds; `None` for never.
pub(crate) type IntervalOf = Box<dyn Fn(&ConnectionRow) -> Option<u64> + Send + Sync>;

/// See the head of the file.
pub(crate) struct Checker {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) counters: Arc<api::Counters>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) try_out: TryOut,
    pub(crate) interval_of: IntervalOf,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) plan: Mutex<Plan>,
}

/// When what is due.
#[derive(Default)]
pub(crate) struct Plan {
    listed_at: Option<Timestamp>,
    /// Interval in milliseconds, and when the next check is due; none while one runs.
    checks: HashMap<ConnectionId, (i64, Option<Timestamp>)>,
}

// === impl Checker ===

impl Checker {
    pub(crate) fn places() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(AT_ONCE))
    }

    /// Begins the checks that are due. What is due and finds no place waits for the next time.
    pub(crate) async fn tick(self: &Arc<Self>) -> Result<Vec<JoinHandle<()>>, StoreError> {
        let now = self.clock.now();
        let listed_at = self.plan().listed_at;
        if listed_at.is_none_or(|at| now.ms_since(at) >= LIST_EVERY_MS) {
            self.list(now).await?;
        }
        let due: Vec<(ConnectionId, i64)> = {
            let plan = self.plan();
            let due = plan.checks.iter().filter(|(_, (_, due))| due.is_some_and(|due| due <= now));
            due.map(|(id, (interval, _))| (*id, *interval)).collect()
        };
        let mut begun = Vec::new();
        for (id, interval) in due {
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { break };
            self.set_due(id, None);
            let this = Arc::clone(self);
            begun.push(tokio::spawn(async move {
                let _place = place;
                if let Err(error) = this.check(id, interval).await {
                    tracing::warn!(connection = %id, "it cannot be looked after: {}", error.fault());
                }
                let next = this.clock.now().plus_ms(this.jittered(interval));
                this.set_due(id, Some(next));
            }));
        }
        Ok(begun)
    }

    /// Reads which connections are in use. New ones are due some time within their first interval, so that
    /// a start does not check everything at once.
    async fn list(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut found = HashMap::new();
        for status in [ConnectionStatus::Connected, ConnectionStatus::Error] {
            let mut after = None;
            loop {
                let (status, limit) = (Some(status), store::PAGE_MAX);
                let query = ConnectionQuery { status, limit, after, ..ConnectionQuery::default() };
                let page = self.store.list_connections(Scope::from(self.workspace), query).await?;
                for one in &page.items {
                    if let Some(interval) = self.wanted(&one.connection) {
                        found.insert(one.connection.id, interval);
                    }
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        let mut plan = self.plan();
        let before = std::mem::take(&mut plan.checks);
        for (id, interval) in found {
            let due = match before.get(&id) {
                Some((known, due)) if *known == interval => *due,
                _ => Some(now.plus_ms(self.within(interval))),
            };
            plan.checks.insert(id, (interval, due));
        }
        plan.listed_at = Some(now);
        Ok(())
    }

    /// The interval in milliseconds, of one that is used: it has been connected, and was not switched off.
    fn wanted(&self, row: &ConnectionRow) -> Option<i64> {
        let is_used = row.status == ConnectionStatus::Connected
            || (row.status == ConnectionStatus::Error && row.connected_at.is_some());
        let seconds = (self.interval_of)(row).filter(|_| is_used)?;
        i64::try_from(seconds).ok().map(|seconds| seconds.saturating_mul(1000))
    }

    /// Tries one out and writes down what came of it; nothing where another node does.
    async fn check(&self, id: ConnectionId, interval: i64) -> Result<(), StoreError> {
        let scope = Scope::from(self.workspace);
        let Some(row) = self.store.find_connection(scope, id).await?.filter(|row| self.wanted(row).is_some())
        else {
            return Ok(());
        };
        let name = format!("health:{id}");
        let Some(held) = take(&*self.store, &*self.clock, &*self.entropy, name, LEASE_MS).await? else {
            return Ok(());
        };
        let (began, started_us) = (self.clock.now(), self.clock.monotonic_us());
        let tried = tokio::time::timeout(CHECK_MAX, (self.try_out)(row.clone())).await;
        let tried = tried.unwrap_or_else(|_| {
            let what = format!("it did not answer in {} s", CHECK_MAX.as_secs());
            Err(Fault::new(Code::TIMEOUT, what))
        });
        let took_ms = self.clock.monotonic_us().saturating_sub(started_us) / 1000;
        self.counters.count_check(tried.is_ok());
        let now = self.clock.now();
        let token = held.token;
        let require = LeaseCommand::Require { name: held.name.clone(), token, now };
        // Held on for most of the interval, so that the other nodes leave this one out.
        let expires_at = began.plus_ms(interval / 5 * 4).max(now.plus_ms(1));
        let renew = LeaseCommand::Renew { name: held.name, token, now, expires_at };
        let mut commands = vec![Command::Lease(require), Command::Lease(renew)];
        commands.push(self.health_row(&row, took_ms, tried.as_ref().err(), now));
        commands.extend(self.moves(&row, tried.as_ref().err(), now)?);
        match self.store.apply(commands).await {
            // Changed, removed or tried out by somebody else meanwhile: theirs is the newer word.
            Err(
                StoreError::StaleRevision { .. }
                | StoreError::IllegalMove { .. }
                | StoreError::Missing { .. }
                | StoreError::LeaseLost,
            ) => Ok(()),
            done => done,
        }
    }

    fn health_row(&self, row: &ConnectionRow, ms: u64, fault: Option<&Fault>, now: Timestamp) -> Command {
        Command::Health(HealthCommand::Append(Box::new(HealthRow {
            id: EventId::new(&*self.clock, &*self.entropy),
            workspace: self.workspace,
            connection: row.id,
            response_time_ms: u32::try_from(ms).unwrap_or(u32::MAX),
            success: fault.is_none(),
            error_message: fault.map(reason),
            checked_at: now,
            created_at: now,
        })))
    }

    /// What its status does, with an entry in its log; nothing where it stands already.
    fn moves(
        &self,
        row: &ConnectionRow,
        fault: Option<&Fault>,
        now: Timestamp,
    ) -> Result<Vec<Command>, StoreError> {
        use ConnectionStatus::{Connected, Error, Testing};
        let step = |to, error| {
            Command::Connection(ConnectionCommand::Move(Box::new(StatusMove {
                scope: Scope::from(self.workspace),
                id: row.id,
                expected: Some(row.revision),
                to,
                error,
                at: now,
            })))
        };
        Ok(match (row.status, fault) {
            (Connected, Some(fault)) => {
                tracing::warn!(connection = %row.key, "does not work any more: {fault}");
                let metadata = json!({ "code": fault.code.to_string(), "by": "health" });
                vec![
                    step(Error, Some(reason(fault))),
                    self.entry(row, EventType::Error, &reason(fault), &metadata, now)?,
                ]
            }
            // There is no edge from `error` to `connected`: what passed a test goes by way of it.
            (Error, None) => {
                tracing::info!(connection = %row.key, "is well again");
                let metadata = json!({ "by": "health" });
                vec![
                    step(Testing, None),
                    step(Connected, None),
                    self.entry(row, EventType::Connected, "is well again", &metadata, now)?,
                ]
            }
            _ => Vec::new(),
        })
    }

    fn entry(
        &self,
        row: &ConnectionRow,
        event_type: EventType,
        message: &str,
        metadata: &Value,
        now: Timestamp,
    ) -> Result<Command, StoreError> {
        Ok(Command::Log(LogCommand::Append(Box::new(LogRow {
            id: EventId::new(&*self.clock, &*self.entropy),
            workspace: self.workspace,
            connection: row.id,
            event_type,
            message: message.to_owned(),
            metadata: Json::from_value("metadata", metadata)?,
            created_at: now,
        }))))
    }

    fn set_due(&self, id: ConnectionId, due: Option<Timestamp>) {
        if let Some(check) = self.plan().checks.get_mut(&id) {
            check.1 = due;
        }
    }

    /// The interval, up to a tenth shorter or longer.
    fn jittered(&self, interval: i64) -> i64 {
        interval - interval / 10 + self.within(interval / 5)
    }

    /// Some time before `ms` milliseconds are over.
    fn within(&self, ms: i64) -> i64 {
        let bound = u64::try_from(ms).unwrap_or(0).max(1);
        i64::try_from(self.entropy.next_u64() % bound).unwrap_or(0)
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reason(fault: &Fault) -> String {
    fault.to_string().chars().take(REASON_CHARS).collect()
}

#[cfg(test)]
mod tests;
