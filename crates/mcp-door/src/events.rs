//! What happens outside of calls, passed on to every client that is listening: changed lists, updated
//! resources, tasks, log messages.
//!
//! Changes of lists are found by comparing what a client saw with what it would see now, so that they are
//! told also when a connection appears, goes away, or is no longer allowed. One task per connection
//! listens to its connector; clients cost an entry in a map.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ahash::AHashMap;
use bytes::Bytes;
use call::{Connector, Event, ListKind, Pipeline, Snapshot};
use model::{Fault, Key};
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::task::{Status, Task};
use wire::{Object, object};

use crate::Endpoint;
use crate::authorise::Elicited;
use crate::door::Who;
use crate::outbox::Outbox;
use crate::peer::is_loud_enough;
use crate::session::{Session, lock};
use crate::tasks::legacy_status;
use crate::view::Views;

/// Several changes within this time are told as one.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Resources that one client may be subscribed to.
pub(crate) const URIS_MAX: usize = 1000;
const KINDS: [ListKind; 3] = [ListKind::Tools, ListKind::Prompts, ListKind::Resources];

/// What one client wants to hear.
pub(crate) enum Wants {
    /// A legacy session: all lists, the resources it subscribed to, log messages by its level.
    Session(Weak<Session>),
    /// A modern listen stream: what it asked for. `id` is the raw id of its request.
    Listen { id: Bytes, kinds: Vec<ListKind>, tasks: Vec<(Key, Arc<str>, String)> },
}

/// (connection, its own URI) → the URI as the client knows it.
type Uris = AHashMap<(Key, Arc<str>), Arc<str>>;

/// One listening client.
pub(crate) struct Watch {
    who: Who,
    outbox: Arc<Outbox>,
    wants: Wants,
    uris: Mutex<Uris>,
    seen: Mutex<[u64; 3]>,
    /// When each list was last told to have changed.
    told: Mutex<[Option<Instant>; 3]>,
}

/// All of them, and the tasks that feed them.
pub(crate) struct Events {
    pipeline: Weak<Pipeline>,
    pub(crate) views: Arc<Views>,
    /// Pages that legacy clients were sent to.
    pub(crate) elicited: Elicited,
    watches: Mutex<AHashMap<u64, Arc<Watch>>>,
    next: AtomicU64,
    listeners: Mutex<AHashMap<Key, Listener>>,
    /// Where they run.
    home: Handle,
}

/// A connector, and the task that listens to it.
type Listener = (Arc<dyn Connector>, JoinHandle<()>);

/// Ends a watch when dropped.
pub(crate) struct WatchGuard {
    events: Arc<Events>,
    number: u64,
    pub(crate) watch: Arc<Watch>,
}

impl Events {
    pub(crate) fn start(pipeline: &Arc<Pipeline>) -> Arc<Self> {
        let events = Arc::new(Self {
            pipeline: Arc::downgrade(pipeline),
            views: Arc::default(),
            elicited: Elicited::default(),
            watches: Mutex::default(),
            next: AtomicU64::new(1),
            listeners: Mutex::default(),
            home: Handle::current(),
        });
        let mut generations = pipeline.generations();
        let weak = Arc::downgrade(&events);
        tokio::spawn(async move {
            loop {
                let Some(events) = weak.upgrade() else { return };
                events.follow_snapshot();
                drop(events);
                if generations.changed().await.is_err() {
                    return;
                }
                tokio::time::sleep(DEBOUNCE).await;
                generations.mark_unchanged();
            }
        });
        events
    }

    /// Begins to tell `outbox` what `wants` names.
    pub(crate) fn watch(self: &Arc<Self>, who: &Who, outbox: &Arc<Outbox>, wants: Wants) -> WatchGuard {
        let watch = Arc::new(Watch {
            who: who.clone(),
            outbox: Arc::clone(outbox),
            wants,
            uris: Mutex::default(),
            seen: Mutex::new(self.digests(who)),
            told: Mutex::default(),
        });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.watches).insert(number, Arc::clone(&watch));
        WatchGuard { events: Arc::clone(self), number, watch }
    }

    /// Ends the streams of those whose key is not what it was. A listen stream gets its last answer.
    pub(crate) fn end_fallen(&self, standing: &identity::Standing) {
        let fallen: Vec<_> = {
            let watches = lock(&self.watches);
            watches.values().filter(|watch| !standing.still_is(&watch.who.caller)).cloned().collect()
        };
        for watch in fallen {
            if let Wants::Listen { id, .. } = &watch.wants {
                watch.outbox.push(farewell(id));
            }
            watch.outbox.close();
        }
    }

    fn digests(&self, who: &Who) -> [u64; 3] {
        let Some(pipeline) = self.pipeline.upgrade() else { return [0; 3] };
        let view = self.views.get(
            &pipeline.snapshot(),
            &who.endpoint,
            &who.caller.access,
            who.peer.era.unwrap_or(model::Era::Legacy),
        );
        KINDS.map(|kind| view.digest(kind))
    }

    /// After a new snapshot: listen to connectors that are new, and tell clients whose lists differ.
    fn follow_snapshot(self: &Arc<Self>) {
        let Some(pipeline) = self.pipeline.upgrade() else { return };
        let snapshot = pipeline.snapshot();
        self.listen(&snapshot);
        let watches: Vec<_> = lock(&self.watches).values().cloned().collect();
        for watch in watches {
            let now = self.digests(&watch.who);
            let before = std::mem::replace(&mut *lock(&watch.seen), now);
            for (kind, (before, now)) in KINDS.into_iter().zip(before.into_iter().zip(now)) {
                if before != now {
                    watch.tell_list_changed(kind);
                }
            }
        }
    }

    /// Listens to the connectors of a snapshot that are new, and to none that are gone.
    pub(crate) fn listen(self: &Arc<Self>, snapshot: &Snapshot) {
        let mut listeners = lock(&self.listeners);
        listeners.retain(|key, (_, task)| {
            let stays = snapshot.connection(key.as_str()).is_some();
            if !stays {
                task.abort();
            }
            stays
        });
        for mounted in snapshot.connections() {
            // Held as long as it is compared with: another one has another address.
            let is_known =
                |(known, task): &Listener| Arc::ptr_eq(known, &mounted.connector) && !task.is_finished();
            if listeners.get(&mounted.key).is_some_and(is_known) {
                continue;
            }
            // Heard from here on, whenever the task begins.
            let receiver = mounted.connector.events();
            let task = self.home.spawn(listen_to(Arc::downgrade(self), mounted.key.clone(), receiver));
            if let Some((_, old)) =
                listeners.insert(mounted.key.clone(), (Arc::clone(&mounted.connector), task))
            {
                old.abort();
            }
        }
    }

    /// An upstream says that a list changed. Those for whom it looks different hear it from the snapshot;
    /// whoever looks at this one connection hears it in any case, as over a wire.
    fn repeat_list_changed(self: &Arc<Self>, connection: Key, kind: ListKind) {
        let since = Instant::now();
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(DEBOUNCE * 2).await;
            let Some(events) = weak.upgrade() else { return };
            let watches: Vec<_> = lock(&events.watches).values().cloned().collect();
            for watch in watches {
                let is_of_it = matches!(&watch.who.endpoint, Endpoint::Connection(key) if *key == connection);
                if is_of_it && !watch.was_told(kind, since) {
                    watch.tell_list_changed(kind);
                }
            }
        });
    }

    fn deliver(self: &Arc<Self>, connection: &Key, event: &Event) {
        if let Event::ListChanged(kind) = event {
            self.repeat_list_changed(connection.clone(), *kind);
            return;
        }
        if let Event::Authorised { user } = event {
            self.elicited.complete(connection, *user);
            return;
        }
        let watches: Vec<_> = lock(&self.watches).values().cloned().collect();
        for watch in watches {
            match event {
                Event::ResourceUpdated { uri, params } => {
                    let shown = lock(&watch.uris).get(&(connection.clone(), Arc::clone(uri))).cloned();
                    if let Some(shown) = shown {
                        let params = with_text(params, "uri", &shown);
                        watch.tell("notifications/resources/updated", &params);
                    }
                }
                Event::Log { params } => watch.tell_log(connection, params),
                Event::TaskStatus { params } => watch.tell_task(connection, params),
                Event::ListChanged(_) | Event::Authorised { .. } => {}
            }
        }
    }
}

async fn listen_to(events: Weak<Events>, key: Key, mut receiver: broadcast::Receiver<Event>) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match receiver.recv().await {
            Ok(event) => match events.upgrade() {
                Some(events) => events.deliver(&key, &event),
                None => return,
            },
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

impl Watch {
    fn was_told(&self, kind: ListKind, since: Instant) -> bool {
        let told = lock(&self.told);
        KINDS.iter().zip(told.iter()).any(|(k, at)| *k == kind && at.is_some_and(|at| at >= since))
    }

    fn tell_list_changed(&self, kind: ListKind) {
        for (slot, known) in lock(&self.told).iter_mut().zip(KINDS) {
            if known == kind {
                *slot = Some(Instant::now());
            }
        }
        let wanted = match &self.wants {
            Wants::Session(_) => true,
            Wants::Listen { kinds, .. } => kinds.contains(&kind),
        };
        if wanted {
            let method = match kind {
                ListKind::Tools => "notifications/tools/list_changed",
                ListKind::Prompts => "notifications/prompts/list_changed",
                ListKind::Resources => "notifications/resources/list_changed",
            };
            self.tell(method, b"");
        }
    }

    fn tell_log(&self, connection: &Key, params: &[u8]) {
        let Wants::Session(session) = &self.wants else { return };
        let Some(session) = session.upgrade() else { return };
        if matches!(&self.who.endpoint, Endpoint::Connection(key) if key != connection) {
            return;
        }
        let level = Object::scan(params).ok().and_then(|p| p.get_str("level").map(|l| l.into_owned()));
        // Only whoever asked for a level gets what belongs to no call of theirs.
        let wanted = session.peer().log_level.clone();
        if let (Some(wanted), Some(level)) = (wanted, level)
            && is_loud_enough(&level, &wanted)
        {
            self.tell("notifications/message", params);
        }
    }

    fn tell_task(&self, connection: &Key, params: &[u8]) {
        let Some(task) = Task::read(params) else { return };
        match &self.wants {
            Wants::Session(session) => {
                let shown = session.upgrade().and_then(|session| session.task(connection, &task.id));
                if let Some(shown) = shown {
                    let members = task.legacy_members(&shown, legacy_status(&task));
                    self.tell("notifications/tasks/status", &[b"{", members.as_slice(), b"}"].concat());
                }
            }
            Wants::Listen { tasks, .. } => {
                let found = tasks.iter().find(|(key, own, _)| key == connection && **own == *task.id);
                let Some((_, _, shown)) = found else { return };
                if task.get("ttlMs").is_some() {
                    self.tell("notifications/tasks", &with_text(params, "taskId", shown));
                } else if matches!(task.status, Status::Working | Status::Cancelled) {
                    // What a legacy server tells has no result and no questions in it: those are fetched by asking.
                    let members = task.modern_members(shown, task.status);
                    self.tell("notifications/tasks", &[b"{", members.as_slice(), b"}"].concat());
                }
            }
        }
    }

    /// Sends a notification; on a listen stream every message carries the id of its request.
    pub(crate) fn tell(&self, method: &str, params: &[u8]) {
        let params = match &self.wants {
            Wants::Session(_) => params.to_vec(),
            Wants::Listen { id, .. } => with_subscription(if params.is_empty() { b"{}" } else { params }, id),
        };
        self.outbox.offer(wire::message::notification(method, &params).into());
    }
}

impl WatchGuard {
    /// Subscribes to a resource by the name that the client knows it by.
    pub(crate) async fn subscribe(&self, key: Key, own: Arc<str>, shown: &str) -> Result<(), Fault> {
        let Some(connector) = self.connector(&key) else { return Ok(()) };
        let entry = (key, own);
        {
            let mut uris = lock(&self.watch.uris);
            if uris.contains_key(&entry) {
                return Ok(());
            }
            if uris.len() >= URIS_MAX {
                return Err(Fault::new(
                    model::Code::BUSY,
                    format!("already subscribed to {URIS_MAX} resources"),
                )
                .with_hint("unsubscribe from some first"));
            }
            uris.insert(entry.clone(), shown.into());
        }
        let outcome = connector.subscribe(&entry.1).await;
        if outcome.is_err() {
            lock(&self.watch.uris).remove(&entry);
        }
        outcome
    }

    pub(crate) async fn unsubscribe(&self, key: Key, own: Arc<str>) {
        let entry = (key, own);
        let was_there = lock(&self.watch.uris).remove(&entry).is_some();
        if was_there && let Some(connector) = self.connector(&entry.0) {
            connector.unsubscribe(&entry.1).await;
        }
    }

    fn connector(&self, key: &Key) -> Option<Arc<dyn Connector>> {
        let pipeline = self.events.pipeline.upgrade()?;
        pipeline.snapshot().connection(key.as_str()).map(|m| Arc::clone(&m.connector))
    }
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        lock(&self.events.watches).remove(&self.number);
        let uris = std::mem::take(&mut *lock(&self.watch.uris));
        for (key, own) in uris.into_keys() {
            if let (Some(connector), Ok(runtime)) =
                (self.connector(&key), tokio::runtime::Handle::try_current())
            {
                runtime.spawn(async move { connector.unsubscribe(&own).await });
            }
        }
    }
}

/// The result that ends a listen stream from our side.
pub(crate) fn farewell(id: &[u8]) -> Bytes {
    let result = with_subscription(b"{\"resultType\":\"complete\"}", id);
    wire::message::response(id, &result).into()
}

/// `params` with the listen stream's id in its `_meta`.
pub(crate) fn with_subscription(params: &[u8], id: &[u8]) -> Vec<u8> {
    let Ok(object) = Object::scan(params) else { return params.to_vec() };
    let meta = object.get("_meta").and_then(|raw| Object::scan(raw).ok());
    let meta = match meta {
        Some(meta) => meta.edit(&[(wire::meta::SUBSCRIPTION_ID, Some(id))]),
        None => {
            let mut meta = Vec::from(*b"{\"");
            meta.extend_from_slice(wire::meta::SUBSCRIPTION_ID.as_bytes());
            meta.extend_from_slice(b"\":");
            meta.extend_from_slice(id);
            meta.push(b'}');
            meta
        }
    };
    object.edit(&[("_meta", Some(&meta))])
}

fn with_text(params: &[u8], member: &str, text: &str) -> Vec<u8> {
    match Object::scan(params) {
        Ok(object) => object.edit(&[(member, Some(&object::quoted(text)))]),
        Err(_) => params.to_vec(),
    }
}
