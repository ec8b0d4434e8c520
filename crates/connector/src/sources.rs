//! Secrets that other systems keep: read, held for a while, read again before that is over.
//!
//! [`Sources`] is asked without waiting ([`Sources::look_up`]); one task ([`Sources::keep`]) does all the reading, so
//! that no two read the same. Not its job: how references are written (`credential`), or who uses the values.

mod aws;
mod exchange;
mod vault;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use credential::{External, Keeper, Location, Looked};
use model::{Clock, Secret};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use aws::{Aws, AwsSettings};
pub use vault::{Resolve, SignIn, Vault, VaultSettings};

/// Reads at once.
const AT_ONCE: usize = 8;
/// The first wait after a failure, and the longest.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// The share of its time after which a value is read anew, in tenths.
const EARLY: u32 = 9;

/// How long values are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasting {
    /// How long a value is used before it is read again.
    pub ttl: Duration,
    /// How much longer it is used while it cannot be read.
    pub stale: Duration,
}

/// Why a source gave nothing. Names no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One word for the record of reads: `denied`, `not_found`, `sealed`, `throttled`, `unreachable`, ...
    pub outcome: &'static str,
    /// Why.
    pub why: String,
    /// What to do.
    pub hint: String,
}

/// The fields of one secret. A secret that is one text has the field `""`.
pub type Fields = BTreeMap<String, Secret>;

/// See the head of the file. Cheap to clone.
#[derive(Clone)]
pub struct Sources(Arc<Inner>);

struct Inner {
    vault: Option<Vault>,
    aws: Option<Aws>,
    lasting: Lasting,
    clock: Arc<dyn Clock>,
    held: Mutex<BTreeMap<Location, Slot>>,
    /// Something is to be read that was not before.
    asked: Notify,
    /// Counts changes of what [`Sources::look_up`] answers.
    changes: watch::Sender<u64>,
}

/// What is known of one secret.
struct Slot {
    /// What it is read for: for the record of reads.
    users: BTreeSet<String>,
    fields: Option<Fields>,
    read_at: Option<Instant>,
    failure: Option<Failure>,
    failures: u32,
    next: Instant,
}

// === impl Sources ===

impl Sources {
    /// Sources of which nothing has been read yet.
    #[must_use]
    pub fn new(vault: Option<Vault>, aws: Option<Aws>, lasting: Lasting, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            vault,
            aws,
            lasting,
            clock,
            held: Mutex::default(),
            asked: Notify::new(),
            changes: watch::Sender::new(0),
        }))
    }

    /// Says what is wanted, and for which connections. What is not wanted any more is forgotten.
    pub fn want(&self, wanted: BTreeMap<Location, BTreeSet<String>>) {
        let mut held = self.held();
        held.retain(|location, _| wanted.contains_key(location));
        for (location, users) in wanted {
            let slot = held.entry(location).or_insert_with(|| Slot {
                users: BTreeSet::new(),
                fields: None,
                read_at: None,
                failure: None,
                failures: 0,
                next: Instant::now(),
            });
            slot.users = users;
        }
        drop(held);
        self.0.asked.notify_one();
    }

    /// What a reference stands for at the moment. Never waits.
    #[must_use]
    pub fn look_up(&self, external: &External) -> Looked {
        let held = self.held();
        let slot = held.get(&external.location);
        let Some(fields) = slot.and_then(|slot| slot.fields.as_ref()) else {
            let failure = slot.and_then(|slot| slot.failure.clone());
            let failure = failure.unwrap_or_else(|| Failure {
                outcome: "unread",
                why: "it is being read".to_owned(),
                hint: "wait a moment".to_owned(),
            });
            let is_expired = slot.is_some_and(|slot| slot.read_at.is_some());
            return Looked::Failed { why: failure.why, hint: failure.hint, is_expired };
        };
        match pick(fields, external) {
            Ok(value) => Looked::Value(value),
            Err(failure) => Looked::Failed { why: failure.why, hint: failure.hint, is_expired: false },
        }
    }

    /// Waits until everything that is wanted has been tried, at most for `limit`.
    pub async fn settle(&self, limit: Duration) {
        let mut changes = self.0.changes.subscribe();
        let is_settled = || self.held().values().all(|slot| slot.fields.is_some() || slot.failure.is_some());
        let settling = async {
            while !is_settled() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // What is late comes later: nobody's start waits for it.
        let _ = tokio::time::timeout(limit, settling).await;
    }

    /// Changes whenever [`Sources::look_up`] would answer differently.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Reads what is wanted, and reads it again in time. Never ends.
    pub async fn keep(&self) {
        loop {
            let now = Instant::now();
            let due: Vec<Location> = {
                let held = self.held();
                held.iter()
                    .filter(|(_, slot)| slot.next <= now)
                    .map(|(location, _)| location.clone())
                    .collect()
            };
            if !due.is_empty() {
                self.read_all(due).await;
                continue;
            }
            let next = self.held().values().map(|slot| slot.next).min();
            let wait = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.0.asked.notified() => {}
            }
        }
    }

    async fn read_all(&self, due: Vec<Location>) {
        let mut due = due.into_iter();
        let mut reads = JoinSet::new();
        loop {
            while reads.len() < AT_ONCE
                && let Some(location) = due.next()
            {
                let sources = self.clone();
                reads.spawn(async move {
                    let read = sources.read(&location).await;
                    (location, read)
                });
            }
            match reads.join_next().await {
                Some(Ok((location, read))) => self.note(&location, read),
                Some(Err(error)) => tracing::error!(%error, "a read of a secret broke off"),
                None => return,
            }
        }
    }

    /// Reads one secret now, past what is held.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn read(&self, location: &Location) -> Result<Fields, Failure> {
        let undeclared = || Failure {
            outcome: "undeclared",
            why: format!("the file declares no {}", location.keeper.name()),
            hint: format!(
                "declare it under `secrets.{}`",
                match location.keeper {
                    Keeper::Vault => "vault",
                    Keeper::AwsSecretsManager => "aws",
                }
            ),
        };
        match location.keeper {
            Keeper::Vault => {
                self.0.vault.as_ref().ok_or_else(undeclared)?.read(&location.path, location.version).await
            }
            Keeper::AwsSecretsManager => {
                self.0.aws.as_ref().ok_or_else(undeclared)?.read(&location.path, self.0.clock.now()).await
            }
        }
    }

    /// Takes in what a read gave, and puts it on record.
    fn note(&self, location: &Location, read: Result<Fields, Failure>) {
        let mut held = self.held();
        let Some(slot) = held.get_mut(location) else { return };
        let now = Instant::now();
        let users = slot.users.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let source = location.keeper.name();
        let is_changed = match read {
            Ok(fields) => {
                let is_same = slot.fields.as_ref().is_some_and(|before| same(before, &fields));
                tracing::info!(target: "audit", source, secret = %location, connections = users,
                    outcome = if is_same || slot.read_at.is_none() { "read" } else { "changed" }, "secret read");
                slot.fields = Some(fields);
                slot.read_at = Some(now);
                slot.failures = 0;
                slot.next = now + self.0.lasting.ttl * EARLY / 10;
                slot.failure = None;
                !is_same
            }
            Err(failure) => {
                let is_over = slot.read_at.is_some_and(|read| {
                    now.duration_since(read) >= self.0.lasting.ttl + self.0.lasting.stale
                });
                tracing::warn!(target: "audit", source, secret = %location, connections = users,
                    outcome = failure.outcome, is_old_value_in_use = slot.fields.is_some() && !is_over,
                    "secret not read: {}; {}", failure.why, failure.hint);
                let has_ended = is_over && slot.fields.take().is_some();
                let is_changed =
                    has_ended || (slot.fields.is_none() && slot.failure.as_ref() != Some(&failure));
                slot.failure = Some(failure);
                let wait = AGAIN.saturating_mul(1 << slot.failures.min(5)).min(AGAIN_MAX);
                slot.failures = slot.failures.saturating_add(1);
                slot.next = now + wait;
                is_changed
            }
        };
        drop(held);
        if is_changed {
            self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Location, Slot>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The field that a reference names.
///
/// # Errors
/// When there is no such field.
pub fn pick(fields: &Fields, external: &External) -> Result<Secret, Failure> {
    let name = external.field.as_deref().unwrap_or_default();
    fields.get(name).cloned().ok_or_else(|| {
        let there: Vec<&str> = fields.keys().map(String::as_str).filter(|name| !name.is_empty()).collect();
        Failure {
            outcome: "no_field",
            why: format!("the secret has no field `{name}`"),
            hint: match there.is_empty() {
                true => "it is no JSON object: leave out `#FIELD`".to_owned(),
                false => format!("it has: {}", there.join(", ")),
            },
        }
    })
}

fn same(one: &Fields, other: &Fields) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((name, value), (other_name, other))| {
            name == other_name && credential::same(value.expose().as_bytes(), other.expose().as_bytes())
        })
}
