//! What the connector, its supervisor and its helpers share.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use connector::{Event, Inventory, State};
use model::{Code, Condition, ConnectionStatus, Era, Fault};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use wire::Object;
use wire::object::quoted;

use crate::channel::within;
use crate::classes::Classes;
use crate::handshake::{Live, Way};
use crate::inventory::{self, ParamHeaders, Unread, own_request};
use crate::remember;
use crate::settings::{Parts, Settings};
use crate::signals::{Nudge, Signals};
use crate::trouble::Trouble;

/// Tasks that are watched for news; the oldest are forgotten.
const TASKS_MAX: usize = 256;
/// Resources that are watched.
const WATCHED_MAX: usize = 4096;
/// A call to a server that is down makes it try at once when the last try is this long ago.
const WANTED_AFTER_MS: u64 = 1000;

/// Where the connection stands, as calls see it.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// Being connected; calls wait a little.
    Starting,
    /// Calls go through.
    Up,
    /// Waiting to try again; calls fail with this.
    Down(Fault),
    /// Stopped because nobody needed it; a call starts it.
    Resting,
    /// For good.
    Closed,
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) parts: Parts,
    pub(crate) signals: Signals,
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) inventory: ArcSwap<Inventory>,
    pub(crate) param_headers: ArcSwap<ParamHeaders>,
    pub(crate) state: ArcSwap<State>,
    pub(crate) live: ArcSwapOption<Live>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) classes: Classes,
    /// Subscribed URIs and how often each was asked for.
    watched: Mutex<HashMap<String, usize>>,
    tasks: Mutex<VecDeque<String>>,
    /// Counts changes of what is watched.
    pub(crate) watch_changed: watch::Sender<u64>,
    /// The runtime that owns sockets and processes.
    pub(crate) home: Handle,
    pub(crate) stop: CancellationToken,
    /// Everything has been let go of.
    pub(crate) closed: CancellationToken,
    pub(crate) remembered: Mutex<Option<Era>>,
    pub(crate) last_attempt_ms: AtomicU64,
    last_call_ms: AtomicU64,
    /// Held while the lists are read, so that two readers do not undo each other.
    reading: tokio::sync::Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(crate) fn new(
        settings: Settings,
        parts: Parts,
        events: broadcast::Sender<Event>,
        nudges: mpsc::Sender<Nudge>,
    ) -> Arc<Self> {
        let state = State {
            status: ConnectionStatus::Testing,
            condition: Condition::Starting,
            reason: None,
            code: None,
            transport: settings.transport.name(),
            era: None,
            protocol_version: None,
            server: None,
            pid: None,
            restarts: 0,
        };
        Arc::new(Self {
            settings,
            parts,
            signals: Signals { events, nudges, said: Arc::default(), is_lane: false },
            changes: watch::Sender::new(0),
            inventory: ArcSwap::default(),
            param_headers: ArcSwap::default(),
            state: ArcSwap::from_pointee(state),
            live: ArcSwapOption::empty(),
            phase: watch::Sender::new(Phase::Starting),
            classes: Classes::default(),
            watched: Mutex::default(),
            tasks: Mutex::default(),
            watch_changed: watch::Sender::new(0),
            home: Handle::current(),
            stop: CancellationToken::new(),
            closed: CancellationToken::new(),
            remembered: Mutex::default(),
            last_attempt_ms: AtomicU64::new(0),
            last_call_ms: AtomicU64::new(0),
            reading: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.parts.clock.monotonic_us() / 1000
    }

    pub(crate) fn touch(&self) {
        if self.settings.idle_stop_ms.is_some() {
            self.last_call_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    pub(crate) fn last_call_ms(&self) -> u64 {
        self.last_call_ms.load(Ordering::Relaxed)
    }

    fn bump(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Changes the state that people see. Only the supervisor does.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut State)) {
        let mut state = State::clone(&self.state.load());
        change(&mut state);
        self.state.store(Arc::new(state));
        self.bump();
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(crate) fn remembered_era(&self) -> Option<Era> {
        *lock(&self.remembered)
    }

    pub(crate) fn remember_era(&self, era: Option<Era>) {
        *lock(&self.remembered) = era;
    }

    /// Takes up what an earlier life of the hub knew.
    pub(crate) async fn recall(&self) {
        let Some(facts) = &self.parts.facts else { return };
        let Some(bytes) = facts.load(&self.settings.key).await else { return };
        let Some(inventory) = remember::load(&bytes) else { return };
        self.remember_era(inventory.era);
        self.inventory.store(Arc::new(inventory));
        self.bump();
    }

    /// The server, once it can be called; waits while it starts.
    pub(crate) async fn ready(&self, deadline: Instant) -> Result<Arc<Live>, Fault> {
        if let Some(live) = self.live.load_full() {
            return Ok(live);
        }
        let deadline = deadline.min(within(self.settings.connect_timeout_ms));
        let mut phase = self.phase.subscribe();
        let mut has_nudged = false;
        loop {
            let now = phase.borrow_and_update().clone();
            match now {
                Phase::Up => {
                    if let Some(live) = self.live.load_full() {
                        return Ok(live);
                    }
                }
                Phase::Closed => {
                    return Err(Fault::new(Code::UNREACHABLE, "the connection is closed")
                        .with_hint("connect it again"));
                }
                Phase::Down(fault) => {
                    let rested = self.now_ms().saturating_sub(self.last_attempt_ms.load(Ordering::Relaxed));
                    if has_nudged || rested < WANTED_AFTER_MS {
                        return Err(fault);
                    }
                    self.signals.nudge(Nudge::Wanted);
                    has_nudged = true;
                }
                Phase::Resting => self.signals.nudge(Nudge::Wanted),
                Phase::Starting => {}
            }
            match timeout_at(deadline, phase.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => {
                    return Err(Fault::new(Code::UNREACHABLE, "the server is still starting")
                        .with_hint("try again in a moment, or raise the connection's connect timeout"));
                }
            }
        }
    }

    /// Reads the lists again and tells who wants to know. `is_replaced`: tell even if nothing differs.
    /// Gives back what could not be read.
    pub(crate) async fn read_lists(&self, live: &Live, is_replaced: bool) -> Vec<Unread> {
        let _one = self.reading.lock().await;
        let old = self.inventory.load_full();
        let said: Vec<connector::ListKind> = self.signals.take_said().collect();
        let mut read = inventory::read(live, &old, self.settings.timeout_ms).await;
        let kinds = inventory::differences(&old, &read.inventory);
        let is_first = old.generation == 0;
        read.inventory.generation = old.generation + u64::from(is_first || !kinds.is_empty());
        let is_news = is_first || old.is_stale || !kinds.is_empty();
        let saved = if is_news && read.problems.is_empty() { remember::save(&read.inventory) } else { None };
        if let Some(headers) = read.param_headers {
            self.param_headers.store(Arc::new(headers));
        }
        self.inventory.store(Arc::new(read.inventory));
        self.bump();
        if is_replaced {
            use connector::ListKind::{Prompts, Resources, Tools};
            for (kind, capability) in [(Tools, "tools"), (Prompts, "prompts"), (Resources, "resources")] {
                if live.facts.declares(capability, None) {
                    self.signals.event(Event::ListChanged(kind));
                }
            }
        } else if !is_first {
            // Also what the server says has changed and looks the same: a wire would carry it too.
            let further = said.into_iter().filter(|kind| !kinds.contains(kind)).collect::<Vec<_>>();
            for kind in kinds.into_iter().chain(further) {
                self.signals.event(Event::ListChanged(kind));
            }
        }
        if let (Some(facts), Some(saved)) = (&self.parts.facts, saved) {
            facts.save(&self.settings.key, saved).await;
        }
        read.problems
    }

    /// What a listen stream asks for: raw `params` members, or `None` when there is nothing to listen to.
    pub(crate) fn listen_filter(&self, live: &Live) -> Option<String> {
        let facts = &live.facts;
        let mut wanted = Vec::new();
        for (capability, member) in [
            ("tools", "toolsListChanged"),
            ("prompts", "promptsListChanged"),
            ("resources", "resourcesListChanged"),
        ] {
            if facts.declares(capability, Some("listChanged")) {
                wanted.push(format!("\"{member}\":true"));
            }
        }
        let texts = |all: Vec<String>| {
            let quoted: Vec<String> =
                all.iter().map(|text| String::from_utf8_lossy(&quoted(text)).into_owned()).collect();
            quoted.join(",")
        };
        let uris: Vec<String> = lock(&self.watched).keys().cloned().collect();
        if !uris.is_empty() {
            wanted.push(format!("\"resourceSubscriptions\":[{}]", texts(uris)));
        }
        let tasks: Vec<String> = lock(&self.tasks).iter().cloned().collect();
        if !tasks.is_empty() && facts.has_task_extension() {
            wanted.push(format!("\"taskIds\":[{}]", texts(tasks)));
        }
        (!wanted.is_empty()).then(|| format!("\"notifications\":{{{}}}", wanted.join(",")))
    }

    /// Follows a task that the server handed out.
    pub(crate) fn watch_task(&self, result: &[u8]) {
        let Some(id) = Object::scan(result).ok().and_then(|o| o.get_str("taskId").map(|id| id.into_owned()))
        else {
            return;
        };
        {
            let mut tasks = lock(&self.tasks);
            if tasks.contains(&id) {
                return;
            }
            if tasks.len() >= TASKS_MAX {
                tasks.pop_front();
            }
            tasks.push_back(id);
        }
        self.watch_changed.send_modify(|count| *count += 1);
    }

    pub(crate) async fn subscribe(&self, uri: &str) -> Result<(), Fault> {
        let live = self.ready(within(self.settings.timeout_ms)).await?;
        if !live.facts.declares("resources", None) {
            return Err(Fault::new(Code::UNSUPPORTED, "the server offers no resources"));
        }
        if live.facts.era == Era::Legacy && !live.facts.declares("resources", Some("subscribe")) {
            return Err(Fault::new(Code::UNSUPPORTED, "the server cannot tell when a resource changes"));
        }
        let is_first = {
            let mut watched = lock(&self.watched);
            if watched.len() >= WATCHED_MAX && !watched.contains_key(uri) {
                return Err(Fault::new(Code::BUSY, format!("{WATCHED_MAX} resources are watched already")));
            }
            let count = watched.entry(uri.to_owned()).or_default();
            *count += 1;
            *count == 1
        };
        if !is_first {
            return Ok(());
        }
        if let Way::Legacy(..) = &live.way {
            if let Err(trouble) = self.subscribe_legacy(&live, "resources/subscribe", uri).await {
                self.forget(uri);
                return Err(trouble.into());
            }
        } else {
            self.watch_changed.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    pub(crate) async fn unsubscribe(&self, uri: &str) {
        if !self.forget(uri) {
            return;
        }
        self.watch_changed.send_modify(|count| *count += 1);
        if let Some(live) = self.live.load_full()
            && let Way::Legacy(..) = &live.way
            && let Err(trouble) = self.subscribe_legacy(&live, "resources/unsubscribe", uri).await
        {
            tracing::debug!(%trouble, "the server did not take an unsubscribe");
        }
    }

    /// Counts one subscription down; true when it was the last.
    fn forget(&self, uri: &str) -> bool {
        let mut watched = lock(&self.watched);
        let Some(count) = watched.get_mut(uri) else { return false };
        *count = count.saturating_sub(1);
        let is_last = *count == 0;
        if is_last {
            watched.remove(uri);
        }
        is_last
    }

    async fn subscribe_legacy(&self, live: &Live, method: &str, uri: &str) -> Result<(), Trouble> {
        let members = format!("\"uri\":{}", String::from_utf8_lossy(&quoted(uri)));
        own_request(live, method, &members, self.settings.timeout_ms).await?.into_result().map(|_| ())
    }

    /// Asks a fresh legacy session for everything that is watched.
    pub(crate) async fn resubscribe(&self, live: &Live) {
        if !matches!(live.way, Way::Legacy(..)) {
            return;
        }
        let uris: Vec<String> = lock(&self.watched).keys().cloned().collect();
        for uri in uris {
            if let Err(trouble) = self.subscribe_legacy(live, "resources/subscribe", &uri).await {
                tracing::debug!(%trouble, "the server did not take a subscription again");
            }
        }
    }
}
