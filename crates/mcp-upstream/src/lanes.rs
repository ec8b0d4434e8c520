//! Lanes: further connections to a modern server on a byte stream, one per worker of the hub.
//!
//! The modern era is stateless: a request may come on any connection. So each worker (a current-thread runtime
//! on a thread of its own) talks to a TCP, Unix or WebSocket server over a socket of its own, and a message
//! never waits for another thread. The first connection stays the one that counts: the lists are read and
//! listened to on it, its end is the server's end, and calls take it wherever there is no lane. A lane that
//! ends takes only its own calls along.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

use crate::ask::Ask;
use crate::channel::{Channel, within};
use crate::handshake::{Live, Seen, Verdict, verdict};
use crate::inner::Inner;
use crate::params::own_modern;
use crate::settings::Transport;
use crate::transport;
use crate::trouble::Trouble;

/// How long a worker goes without a lane after one could not be opened. Servers that take one connection at a
/// time answer on no second one.
const REST: Duration = Duration::from_secs(30);

/// The hub has a worker per core, and each at most one lane; this only keeps a mistake small.
const LANES_MAX: usize = 256;

/// The lanes of a greeted server.
#[derive(Default)]
pub(crate) struct Lanes {
    /// Those that carry calls. Read for every call, written when one is opened.
    open: ArcSwap<Vec<Lane>>,
    tries: Mutex<Tries>,
}

struct Lane {
    thread: ThreadId,
    channel: Arc<Channel>,
}

#[derive(Default)]
struct Tries {
    /// When a worker may open a lane again; `None` while it is opening one.
    by_thread: HashMap<ThreadId, Option<Instant>>,
    is_stopped: bool,
}

impl Lanes {
    /// The lane of the worker that asks. Opens it in the background where there is none yet: the call that
    /// asked does not wait for it.
    pub(crate) fn here(inner: &Arc<Inner>, live: &Arc<Live>) -> Option<Arc<Channel>> {
        let thread = std::thread::current().id();
        let open = live.lanes.open.load();
        let lane = open.iter().find(|lane| lane.thread == thread).map(|lane| &lane.channel);
        if let Some(channel) = lane.filter(|channel| !channel.is_over()) {
            return Some(Arc::clone(channel));
        }
        let here = Handle::try_current().ok()?;
        let is_worker = here.runtime_flavor() == RuntimeFlavor::CurrentThread && here.id() != inner.home.id();
        if is_worker && has_lanes(&inner.settings.transport) && live.lanes.may_try(thread) {
            here.spawn(try_open(Arc::clone(inner), Arc::downgrade(live), thread));
        }
        None
    }

    /// True when a client's call is under way on one of them.
    pub(crate) fn is_busy(&self) -> bool {
        self.open.load().iter().any(|lane| lane.channel.open.is_busy())
    }

    /// Ends all of them, for good.
    pub(crate) fn stop(&self) {
        let mut tries = self.lock();
        tries.is_stopped = true;
        for lane in self.open.swap(Arc::default()).iter() {
            lane.channel.stop();
        }
    }

    /// Whether a worker may open a lane now; if so, it is taken to be at it.
    fn may_try(&self, thread: ThreadId) -> bool {
        let mut tries = self.lock();
        let is_known = tries.by_thread.contains_key(&thread);
        if tries.is_stopped || (!is_known && tries.by_thread.len() >= LANES_MAX) {
            return false;
        }
        let next = tries.by_thread.entry(thread).or_insert_with(|| Some(Instant::now()));
        if next.is_none_or(|next| next > Instant::now()) {
            return false;
        }
        *next = None;
        true
    }

    /// Takes up what came of a try.
    fn tried(&self, thread: ThreadId, opened: Option<Arc<Channel>>) {
        let mut tries = self.lock();
        if tries.is_stopped {
            // Dropping the channel ends it.
            return;
        }
        let wait = if opened.is_some() { Duration::ZERO } else { REST };
        tries.by_thread.insert(thread, Some(Instant::now() + wait));
        let old = self.open.load();
        let mut lanes: Vec<Lane> = old
            .iter()
            .filter(|lane| lane.thread != thread)
            .map(|lane| Lane { thread: lane.thread, channel: Arc::clone(&lane.channel) })
            .collect();
        lanes.extend(opened.map(|channel| Lane { thread, channel }));
        self.open.store(Arc::new(lanes));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket can be opened again; a process cannot be had twice, and HTTP pools by itself.
const fn has_lanes(transport: &Transport) -> bool {
    matches!(transport, Transport::Tcp { .. } | Transport::Unix { .. } | Transport::WebSocket { .. })
}

async fn try_open(inner: Arc<Inner>, live: Weak<Live>, thread: ThreadId) {
    let Some(version) = live.upgrade().map(|live| live.facts.version.clone()) else { return };
    let opened = open(&inner, &version).await;
    if let Err(trouble) = &opened {
        tracing::debug!(connection = %inner.settings.key, %trouble, "no lane; calls share the first connection");
    }
    if let Some(live) = live.upgrade() {
        live.lanes.tried(thread, opened.ok());
    }
}

/// Opens one, and lets no call on it before the server has answered there as it did on the first.
async fn open(inner: &Inner, version: &str) -> Result<Arc<Channel>, Trouble> {
    let signals = inner.signals.of_a_lane();
    let channel = transport::open(&inner.settings, &inner.parts, &signals).await?;
    let deadline = within(inner.settings.connect_timeout_ms);
    let ask = Ask::own("server/discover", own_modern(version, ""), deadline);
    match verdict(Seen::Answer(channel.request(ask).await?), false) {
        Verdict::Modern(facts) if facts.version == version => Ok(channel),
        _ => Err(Trouble::BadAnswer("a second connection is greeted otherwise than the first".to_owned())),
    }
}
