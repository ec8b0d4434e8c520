//! What happens, as it happens: events from the store and the calls, kept for a while and read by whoever
//! follows them ([`crate::events`] shows them over HTTP).
//!
//! Nothing here makes the hub wait. The store's and the ledger's observers put down what they saw and go on;
//! a task makes events of it; readers read from one ring, each at its own pace. Start reading at [`Live`].

pub(crate) mod event;
pub(crate) mod filter;
mod names;
pub(crate) mod reader;
mod ring;
mod standing;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use identity::{Identity, Standing};
use ledger::Recorder;
use model::id::{EventTag, Sequence, WorkspaceId};
use model::{CallKind, CallRecord, Clock, Entropy};
use serde_json::{Value, json};
use store::{Change, Store};
use tokio::sync::{mpsc, watch};

use self::event::{CALL_FINISHED, CONNECTION_CHANGED, CONNECTION_MADE, CONNECTION_REMOVED, Data, Event, GAP};
use self::names::Names;
use self::ring::Ring;

/// Changes that wait to become events. More at once are told as a gap.
const INTAKE_MAX: usize = 4_096;

/// What events are made of.
pub struct Sources {
    /// Whose changes are told.
    pub store: Arc<dyn Store>,
    /// Whose calls are told.
    pub recorder: Arc<Recorder>,
    /// Whose keys readers stand on.
    pub identity: Arc<Identity>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

/// Events of this node.
pub struct Live {
    ring: Mutex<Ring>,
    /// The ring's end, for those who wait for more.
    moved: watch::Sender<u64>,
    /// Who the keys stand for.
    standing: watch::Sender<Arc<Standing>>,
    over: watch::Sender<bool>,
    ids: Sequence<EventTag>,
    seed: Seed,
    clock: Arc<dyn Clock>,
    recorder: Arc<Recorder>,
    identity: Arc<Identity>,
}

/// What the configuration file's connections went through when it was read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileChange {
    /// An entry is new.
    Added,
    /// An entry says something else.
    Changed,
    /// An entry is gone.
    Removed,
}

/// Chance that was taken once: ids of one node differ by time and number, and calls come too often to ask
/// the system each time.
struct Seed([u8; 10]);

impl Entropy for Seed {
    fn fill(&self, out: &mut [u8]) {
        for (to, from) in out.iter_mut().zip(self.0.iter().cycle()) {
            *to = *from;
        }
    }
}

impl Live {
    /// Begins to watch. To be called inside the runtime that outlives all requests.
    #[must_use]
    pub fn start(sources: Sources) -> Arc<Self> {
        let Sources { store, recorder, identity, clock, entropy } = sources;
        let (ids, mut seed) = (Sequence::new(), Seed([0; 10]));
        entropy.fill(&mut seed.0);
        let floor = ids.next(&*clock, &seed);
        let live = Arc::new(Self {
            ring: Mutex::new(Ring::new(floor)),
            moved: watch::Sender::new(0),
            standing: watch::Sender::new(Arc::new(identity.standing(clock.now()))),
            over: watch::Sender::new(false),
            ids,
            seed,
            clock,
            recorder: Arc::clone(&recorder),
            identity: Arc::clone(&identity),
        });
        let (intake, changes) = mpsc::channel(INTAKE_MAX);
        let lost = Arc::new(AtomicBool::new(false));
        let losing = Arc::clone(&lost);
        store.observe(Arc::new(move |change: &Change| {
            if intake.try_send(change.clone()).is_err() {
                losing.store(true, Ordering::Relaxed);
            }
        }));
        let calls = Arc::downgrade(&live);
        recorder.observe(move |record| {
            if let Some(live) = calls.upgrade() {
                live.tell_call(record);
            }
        });
        tokio::spawn(tell_changes(Arc::downgrade(&live), changes, lost, Names::new(store)));
        tokio::spawn(standing::follow_keys(Arc::downgrade(&live), identity));
        live
    }

    /// Ends all streams: the hub takes no more work.
    pub fn end(&self) {
        self.over.send_replace(true);
    }

    /// Tells what became of a connection of the configuration file.
    pub fn tell_file(&self, key: &str, change: FileChange) {
        let kind = match change {
            FileChange::Added => CONNECTION_MADE,
            FileChange::Changed => CONNECTION_CHANGED,
            FileChange::Removed => CONNECTION_REMOVED,
        };
        let data = json!({ "connection": key, "connection_id": null, "is_file_managed": true });
        self.tell(kind, None, data);
    }

    fn tell_call(&self, record: &CallRecord) {
        if record.kind == CallKind::Secret {
            return;
        }
        self.push(CALL_FINISHED, None, Data::Call(record.into()));
    }

    fn tell(&self, kind: &'static str, workspace: Option<WorkspaceId>, data: Value) {
        self.push(kind, workspace, Data::Told(data));
    }

    fn push(&self, kind: &'static str, workspace: Option<WorkspaceId>, data: Data) {
        let mut ring = self.ring();
        // Under the lock, so that ids and places have one order.
        let (id, at) = (self.ids.next(&*self.clock, &self.seed), self.clock.now());
        let end = ring.push(Event { id, kind, at, data, workspace });
        drop(ring);
        // Two who push at once may come here in either order: the number only grows.
        self.moved.send_if_modified(|moved| {
            let is_more = end > *moved;
            *moved = end.max(*moved);
            is_more
        });
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

/// What a reader that missed something is told.
pub(crate) fn gap_data(why: &str) -> Value {
    json!({ "reason": why, "hint": "events are missing here: read the lists again" })
}

/// Makes events of changes until the hub is gone.
async fn tell_changes(
    live: Weak<Live>,
    mut changes: mpsc::Receiver<Change>,
    lost: Arc<AtomicBool>,
    mut names: Names,
) {
    names.load().await;
    while let Some(change) = changes.recv().await {
        let (kind, data) = names.describe(&change).await;
        let Some(live) = live.upgrade() else { return };
        live.tell(kind, change.workspace, data);
        if lost.swap(false, Ordering::Relaxed) {
            live.tell(GAP, None, gap_data("too_much"));
        }
    }
}
