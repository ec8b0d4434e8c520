//! Secrets that other systems keep: read, held for a while, read again before that is over.
//!
//! [`Sources`] is asked without waiting ([`Sources::look_up`]); one task ([`Sources::keep`]) does all the reading that
//! nobody waits for, so that no two read the same. Not its job: how references are written (`credential`), or who uses
//! the values.

mod aws;
mod exchange;
mod record;
mod systems;
mod vault;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

pub use credential::External;
use credential::{Location, Looked};
use model::{Clock, Code, Fault, Secret, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use aws::{Aws, AwsSettings};
pub use record::ReadRecord;
pub use systems::{Opening, Systems};
pub use vault::{Resolve, SignIn, Vault, VaultSettings};

/// Reads at once.
const AT_ONCE: usize = 8;
/// The first wait after a failure, and the longest.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// The share of its time after which a value is read anew, in tenths.
const EARLY: u32 = 9;
/// Secrets that connections made through the API may name, all together.
pub const STORED_MAX: usize = 4096;

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

/// What one read gave.
#[derive(Debug)]
pub struct Got {
    /// The fields.
    pub fields: Fields,
    /// Which version of the secret it is, as the source counts them.
    pub version: Option<String>,
}

/// Which secrets are wanted, and by which connections.
pub type Wanted = BTreeMap<Location, BTreeSet<String>>;

/// Who names secrets. Each says all that it wants at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// The configuration file.
    File,
    /// Connections that were made through the API.
    Store,
}

/// How a reference stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// When its secret was read last.
    pub read_at: Option<Timestamp>,
    /// Why it could not be, or cannot be used.
    pub failure: Option<Failure>,
}

/// See the head of the file. Cheap to clone.
#[derive(Clone)]
pub struct Sources(Arc<Inner>);

struct Inner {
    systems: RwLock<Arc<Systems>>,
    record: Option<ReadRecord>,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    /// Something is to be read that was not before.
    asked: Notify,
    /// Counts changes of what [`Sources::look_up`] answers.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Held {
    of_file: Wanted,
    of_store: Wanted,
    slots: BTreeMap<Location, Slot>,
}

/// What is known of one secret.
struct Slot {
    /// What it is read for: for the record of reads.
    users: BTreeSet<String>,
    fields: Option<Fields>,
    read_at: Option<(Instant, Timestamp)>,
    failure: Option<Failure>,
    failures: u32,
    next: Instant,
}

/// A read that is over.
struct Done {
    /// What was asked: what another configuration said is not taken in.
    systems: Arc<Systems>,
    read: Result<Got, Failure>,
    at: Timestamp,
    took: Duration,
}

// === impl Failure ===

impl Failure {
    /// The same fact for every face.
    #[must_use]
    pub fn fault(self, external: &External) -> Fault {
        Fault::new(Code::MISCONFIGURED, format!("`{}`: {}", external.name(), self.why)).with_hint(self.hint)
    }

    /// True while nobody has tried yet.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.outcome == "unread"
    }
}

// === impl Sources ===

impl Sources {
    /// Sources of which nothing has been read yet. Reads are put on `record`, where there is one, and in the log.
    #[must_use]
    pub fn new(systems: Systems, record: Option<ReadRecord>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            systems: RwLock::new(Arc::new(systems)),
            record,
            clock,
            held: Mutex::default(),
            asked: Notify::new(),
            changes: watch::Sender::new(0),
        }))
    }

    /// Asks other systems from now on. What is held is read anew at once, and used until the answer is there: for as
    /// long as any value may be that cannot be read.
    pub fn replace(&self, systems: Systems) {
        *self.0.systems.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(systems);
        for slot in self.held().slots.values_mut() {
            (slot.next, slot.failures) = (Instant::now(), 0);
        }
        self.0.asked.notify_one();
        // What may be named is another.
        self.changed();
    }

    /// Says what is wanted. What nobody wants any more is forgotten.
    pub fn want(&self, asking: Asking, wanted: Wanted) {
        let mut held = self.held();
        let Held { of_file, of_store, slots } = &mut *held;
        match asking {
            Asking::File => *of_file = wanted,
            Asking::Store => {
                if wanted.len() > STORED_MAX {
                    let count = wanted.len();
                    tracing::error!(
                        count,
                        "connections name more than {STORED_MAX} secrets: the rest is not read"
                    );
                }
                *of_store = wanted.into_iter().take(STORED_MAX).collect();
            }
        }
        slots.retain(|location, _| of_file.contains_key(location) || of_store.contains_key(location));
        for slot in slots.values_mut() {
            slot.users.clear();
        }
        for (location, users) in of_file.iter().chain(of_store.iter()) {
            let slot = slots.entry(location.clone()).or_insert_with(|| Slot {
                users: BTreeSet::new(),
                fields: None,
                read_at: None,
                failure: None,
                failures: 0,
                next: Instant::now(),
            });
            slot.users.extend(users.iter().cloned());
        }
        drop(held);
        self.0.asked.notify_one();
    }

    /// What a reference stands for at the moment. Never waits.
    #[must_use]
    pub fn look_up(&self, external: &External) -> Looked {
        match self.known(external) {
            Ok(value) => Looked::Value(value),
            Err((Failure { why, hint, .. }, is_expired)) => Looked::Failed { why, hint, is_expired },
        }
    }

    /// The same for a connection that was made through the API, which may name what the administrator opened to it.
    ///
    /// # Errors
    /// Why there is nothing; [`Failure::is_unread`] while it is on its way.
    pub fn look_up_stored(&self, external: &External) -> Result<Secret, Failure> {
        self.systems().may_name(&external.location)?;
        self.known(external).map_err(|(failure, _)| match failure.is_unread() && self.is_full(external) {
            true => Failure {
                outcome: "too_many",
                why: format!("connections name more than {STORED_MAX} secrets, and this one is past that"),
                hint: "let several connections name one secret with several fields".to_owned(),
            },
            false => failure,
        })
    }

    /// The same, read now where nothing is known or the last read failed. `connection` is whom it is for.
    ///
    /// # Errors
    /// Why there is nothing.
    pub async fn get_stored(&self, external: &External, connection: &str) -> Result<Secret, Failure> {
        if let Ok(value) = self.look_up_stored(external) {
            return Ok(value);
        }
        self.systems().may_name(&external.location)?;
        let done = self.read_timed(&external.location).await;
        let picked = match &done.read {
            Ok(got) => pick(&got.fields, external),
            Err(failure) => Err(failure.clone()),
        };
        self.note(&external.location, done, &BTreeSet::from([connection.to_owned()]));
        picked
    }

    /// Whether a connection that is made through the API may name it.
    ///
    /// # Errors
    /// That it may not, and who can change that.
    pub fn may_name(&self, location: &Location) -> Result<(), Failure> {
        self.systems().may_name(location)
    }

    /// How a reference of a connection that was made through the API stands.
    #[must_use]
    pub fn standing(&self, external: &External) -> Standing {
        let closed = self.systems().may_name(&external.location).err();
        let held = self.held();
        let Some(slot) = held.slots.get(&external.location) else {
            return Standing { read_at: None, failure: closed };
        };
        let picked = slot.fields.as_ref().and_then(|fields| pick(fields, external).err());
        let failure = closed.or_else(|| slot.failure.clone()).or(picked);
        Standing { read_at: slot.read_at.map(|(_, at)| at), failure }
    }

    /// True where there was no room for it among what connections name.
    fn is_full(&self, external: &External) -> bool {
        let held = self.held();
        held.of_store.len() >= STORED_MAX && !held.slots.contains_key(&external.location)
    }

    /// What is held; with what it is not, whether there was a value that is too old.
    fn known(&self, external: &External) -> Result<Secret, (Failure, bool)> {
        let held = self.held();
        let slot = held.slots.get(&external.location);
        let Some(fields) = slot.and_then(|slot| slot.fields.as_ref()) else {
            let failure = slot.and_then(|slot| slot.failure.clone());
            let failure = failure.unwrap_or_else(|| Failure {
                outcome: "unread",
                why: "it is being read".to_owned(),
                hint: "wait a moment".to_owned(),
            });
            return Err((failure, slot.is_some_and(|slot| slot.read_at.is_some())));
        };
        pick(fields, external).map_err(|failure| (failure, false))
    }

    /// Waits until everything that is wanted has been tried, at most for `limit`.
    pub async fn settle(&self, limit: Duration) {
        let mut changes = self.0.changes.subscribe();
        let is_settled =
            || self.held().slots.values().all(|slot| slot.fields.is_some() || slot.failure.is_some());
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
                let due = held.slots.iter().filter(|(_, slot)| slot.next <= now);
                due.map(|(location, _)| location.clone()).collect()
            };
            if !due.is_empty() {
                self.read_all(due).await;
                continue;
            }
            let next = self.held().slots.values().map(|slot| slot.next).min();
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
                    let done = sources.read_timed(&location).await;
                    (location, done)
                });
            }
            match reads.join_next().await {
                Some(Ok((location, done))) => self.note(&location, done, &BTreeSet::new()),
                Some(Err(error)) => tracing::error!(%error, "a read of a secret broke off"),
                None => return,
            }
        }
    }

    /// Reads one secret now, past what is held, for somebody who looks at it and uses nothing.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn read(&self, location: &Location) -> Result<Got, Failure> {
        self.systems().read(location, self.0.clock.now()).await
    }

    async fn read_timed(&self, location: &Location) -> Done {
        let (systems, at, begun) = (self.systems(), self.0.clock.now(), Instant::now());
        let read = systems.read(location, at).await;
        Done { systems, read, at, took: begun.elapsed() }
    }

    /// Takes in what a read gave, and puts it on record, for those who want it and for `others`.
    fn note(&self, location: &Location, done: Done, others: &BTreeSet<String>) {
        let Done { systems, read, at, took } = done;
        let mut held = self.held();
        let slot = held.slots.get_mut(location);
        let mut users = others.clone();
        users.extend(slot.iter().flat_map(|slot| slot.users.iter().cloned()));
        let record = |told: Result<record::Told<'_>, (&Failure, bool)>| {
            record::note(
                self.0.record.as_ref(),
                &*self.0.clock,
                &record::Read { location, users: &users, at, took },
                told,
            );
        };
        let version = read.as_ref().ok().and_then(|got| got.version.clone());
        let Some(slot) = slot.filter(|_| Arc::ptr_eq(&systems, &self.systems())) else {
            // Nothing to hold it for, or not what would be asked now.
            return match &read {
                Ok(_) => record(Ok(record::Told { version: version.as_deref(), is_changed: false })),
                Err(failure) => record(Err((failure, false))),
            };
        };
        let now = Instant::now();
        let lasting = systems.lasting;
        let is_changed = match read {
            Ok(Got { fields, .. }) => {
                let is_same = slot.fields.as_ref().is_some_and(|before| same(before, &fields));
                let is_changed = !is_same && slot.read_at.is_some();
                record(Ok(record::Told { version: version.as_deref(), is_changed }));
                slot.fields = Some(fields);
                slot.read_at = Some((now, at));
                slot.failures = 0;
                slot.next = now + lasting.ttl * EARLY / 10;
                slot.failure = None;
                !is_same
            }
            Err(failure) => {
                // What the administrator took out of the file ends with it.
                let is_over = failure.outcome == systems::UNDECLARED
                    || slot
                        .read_at
                        .is_some_and(|(read, _)| now.duration_since(read) >= lasting.ttl + lasting.stale);
                record(Err((&failure, slot.fields.is_some() && !is_over)));
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
            self.changed();
        }
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn systems(&self) -> Arc<Systems> {
        Arc::clone(&self.0.systems.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
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
