//! The connector of a connection on which everybody uses their own credentials: one connector behind it for each
//! user, made of what all share and what is that user's own. Sessions, sockets, processes, tokens, pace and cursors
//! are behind it, so that none of them is ever another user's ([decision 10]).
//!
//! Who has credentials is known in memory ([`Personal::know`]); the credentials themselves are read when a user
//! calls first, and again when they have changed. What it offers is what an operator's test was shown.
//!
//! [decision 10]: ../../../../../docs/decisions/0010-per-user-credentials.md

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use connector::{Connector, Ctx, Event, Inventory, Mark, Outcome, Request, State};
use mcp_upstream::McpUpstream;
use model::id::{ConnectionId, UserId};
use model::{Caller, Code, Condition, ConnectionStatus, Fault, Timestamp};
use store::ConnectionRow;
use tokio::sync::{broadcast, watch};

use super::directory::count_tools;
use super::own::{entry_of_all, entry_of_user};
use super::{Connections, retire};
use crate::config::entry::{Entry, Shape, Shared, Transport};

/// Users whose connectors are open at once; past it the one that was idle for longest goes.
const OPEN_MAX: usize = 512;
/// The same where each is a process.
const PROCESSES_MAX: usize = 32;
/// How long a connector is kept that its user does not use, milliseconds.
const IDLE_MS: i64 = 15 * 60 * 1000;
/// How often it is looked for those.
const SWEEP: Duration = Duration::from_secs(60);
/// Events that a slow receiver may lag behind.
const EVENTS_MAX: usize = 64;

/// See the head of the file.
pub(super) struct Personal {
    all: Shared,
    is_mcp: bool,
    open_max: usize,
    home: Weak<Connections>,
    parts: mcp_upstream::Parts,
    held: Mutex<Held>,
    /// One is made at a time.
    making: tokio::sync::Mutex<()>,
    inventory: ArcSwap<Inventory>,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    events: broadcast::Sender<Event>,
}

#[derive(Default)]
struct Held {
    /// Who has credentials of their own, and which.
    marks: HashMap<UserId, Mark>,
    open: HashMap<UserId, Open>,
}

/// One user's.
struct Open {
    mark: Mark,
    connector: Arc<dyn Connector>,
    used_at: Timestamp,
    /// When what it was made with ceases to be good.
    until: Option<Timestamp>,
}

// === impl Personal ===

impl Personal {
    /// The connector of an entry that is `all`'s. Has to be called inside the runtime that owns connectors.
    pub(super) fn start(
        entry: &Entry,
        all: &Shared,
        home: Weak<Connections>,
        parts: mcp_upstream::Parts,
    ) -> Arc<Self> {
        let (transport, open_max) = match &entry.shape {
            Shape::Mcp(mcp) => match &mcp.transport {
                Transport::Stdio { .. } => ("stdio", PROCESSES_MAX),
                Transport::Http(_) => ("http", OPEN_MAX),
                Transport::Sse(_) => ("sse", OPEN_MAX),
                Transport::WebSocket(_) => ("websocket", OPEN_MAX),
                Transport::Tcp { .. } => ("tcp", OPEN_MAX),
                Transport::Unix(_) => ("unix", OPEN_MAX),
            },
            _ => ("http", OPEN_MAX),
        };
        let is_mcp = matches!(entry.shape, Shape::Mcp(_));
        let manifest = match &entry.shape {
            Shape::Api(api) => api.manifest.as_ref(),
            _ => None,
        };
        let known = manifest.and_then(|entry| Some(connector_http::inventory(entry, entry.api.as_ref()?)));
        let state = State {
            status: ConnectionStatus::Connected,
            condition: if is_mcp { Condition::Starting } else { Condition::Started },
            reason: None,
            code: None,
            transport,
            era: None,
            protocol_version: None,
            server: manifest.map(|entry| format!("{} {}", entry.name, entry.version)),
            pid: None,
            restarts: 0,
        };
        let personal = Arc::new(Self {
            all: all.clone(),
            is_mcp,
            open_max,
            home,
            parts,
            held: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            inventory: ArcSwap::from_pointee(known.unwrap_or_default()),
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
            events: broadcast::Sender::new(EVENTS_MAX),
        });
        tokio::spawn(look_after(Arc::downgrade(&personal), is_mcp));
        personal
    }

    /// Of which connection.
    pub(super) const fn id(&self) -> ConnectionId {
        self.all.row.id
    }

    /// Told who has credentials of their own, whenever that may have changed. What was made with others ends.
    pub(super) fn know(&self, marks: HashMap<UserId, Mark>) {
        let mut held = self.held();
        let new: Vec<UserId> = marks
            .iter()
            .filter(|(user, mark)| held.marks.get(user) != Some(*mark))
            .map(|(user, _)| *user)
            .collect();
        held.marks = marks;
        let Held { marks, open } = &mut *held;
        let spent = open.extract_if(|user, one| marks.get(user) != Some(&one.mark)).map(|(_, one)| one);
        self.let_go(spent);
        drop(held);
        for user in new {
            // Nobody listens: nobody waits for it.
            let _ = self.events.send(Event::Authorised { user });
        }
    }

    /// Takes what an operator's test was shown as what is offered to all.
    pub(super) async fn learn(&self, seen: &Inventory) {
        if !self.is_mcp {
            return;
        }
        let common = common(seen);
        self.show(common.clone());
        keep(&self.parts, &self.all.row, &common).await;
    }

    fn show(&self, common: Inventory) {
        let generation = self.inventory.load().generation + 1;
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.era, state.condition) = (common.era, Condition::Started);
            (state.reason, state.code) = (None, None);
        }
        self.inventory.store(Arc::new(Inventory { generation, ..common }));
        self.changes.send_modify(|change| *change += 1);
    }

    /// Remembers what was offered before this start.
    async fn recall(&self) {
        let facts = match &self.parts.facts {
            Some(facts) => facts.load(&self.all.row.key).await,
            None => None,
        };
        match facts.as_ref().and_then(mcp_upstream::read_facts) {
            // A test may have been quicker, and has seen more.
            Some(_) if self.inventory.load().capabilities.is_some() => {}
            Some(known) => self.show(common(&known)),
            None => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.condition = Condition::Degraded;
                state.code = Some(Code::MISCONFIGURED);
                state.reason = Some(
                    "what it offers is not known: an operator tests it with a credential of their own"
                        .to_owned(),
                );
                drop(state);
                self.changes.send_modify(|change| *change += 1);
            }
        }
    }

    /// The connector of the caller.
    ///
    /// # Errors
    /// That theirs is missing, with where to give it; the store.
    pub(super) async fn of(&self, caller: &Caller) -> Result<Arc<dyn Connector>, Fault> {
        if let Some(open) = self.find(caller)? {
            return Ok(open);
        }
        let _turn = self.making.lock().await;
        if let Some(open) = self.find(caller)? {
            return Ok(open);
        }
        let home = self.home.upgrade().ok_or_else(|| Fault::new(Code::CANCELLED, "the hub is stopping"))?;
        let user = caller.owner.user;
        let Some(mark) = self.held().marks.get(&user).copied() else {
            return Err(self.missing(caller, "you have not stored one"));
        };
        let rows = home.stored.credentials().rows(&self.all.row).await?;
        let until = rows.iter().filter(|row| row.user == Some(user)).filter_map(|row| row.expires_at).min();
        let own = match home.stored.credentials().open_of(&self.all.row, Some(user)).await {
            Err(fault) if fault.code == Code::MISCONFIGURED => {
                return Err(self.missing(caller, &fault.detail));
            }
            opened => opened?,
        };
        let entry = entry_of_user(&self.all, user, own, home.stored.manifests())
            .map_err(|why| self.missing(caller, &why))?;
        let connector = home.connector_of(&entry, &self.parts)?;
        let mut held = self.held();
        if held.open.len() >= self.open_max {
            self.make_room(&mut held)?;
        }
        let used_at = self.parts.clock.now();
        held.open.insert(user, Open { mark, connector: Arc::clone(&connector), used_at, until });
        Ok(connector)
    }

    /// One that is open and as good as it was.
    fn find(&self, caller: &Caller) -> Result<Option<Arc<dyn Connector>>, Fault> {
        let now = self.parts.clock.now();
        let mut held = self.held();
        let Held { marks, open } = &mut *held;
        let user = caller.owner.user;
        let Some(mark) = marks.get(&user) else {
            drop(held);
            return Err(self.missing(caller, "you have not stored one"));
        };
        let Some(one) = open.get_mut(&user).filter(|one| one.mark == *mark) else { return Ok(None) };
        if one.until.is_some_and(|until| until <= now) {
            let spent = open.remove(&user);
            self.let_go(spent);
            return Ok(None);
        }
        one.used_at = now;
        Ok(Some(Arc::clone(&one.connector)))
    }

    fn make_room(&self, held: &mut Held) -> Result<(), Fault> {
        // Whoever is in a call has it too.
        let idle = held.open.iter().filter(|(_, one)| Arc::strong_count(&one.connector) == 1);
        let Some(user) = idle.min_by_key(|(_, one)| one.used_at).map(|(user, _)| *user) else {
            let what = format!(
                "`{}` is in use by {} users at once, and can be by no more",
                self.all.row.key, self.open_max
            );
            return Err(Fault::new(Code::BUSY, what).with_hint("try again when some are done"));
        };
        let spent = held.open.remove(&user);
        self.let_go(spent);
        Ok(())
    }

    fn let_go(&self, spent: impl IntoIterator<Item = Open>) {
        let Some(home) = self.home.upgrade() else { return };
        for one in spent {
            home.control.spawn(retire(self.all.row.key.clone(), one.connector));
        }
    }

    fn sweep(&self) {
        let now = self.parts.clock.now();
        let mut held = self.held();
        let is_idle =
            |one: &mut Open| Arc::strong_count(&one.connector) == 1 && now.ms_since(one.used_at) >= IDLE_MS;
        let spent = held.open.extract_if(|_, one| is_idle(one)).map(|(_, one)| one);
        self.let_go(spent);
    }

    /// The caller's own credential is missing: where it is given.
    pub(super) fn missing(&self, caller: &Caller, why: &str) -> Fault {
        missing(self.home.upgrade().as_deref(), &self.all, caller, why)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a user's connector says, as that user has to know it.
    pub(super) fn told(&self, fault: Fault, caller: &Caller) -> Fault {
        match fault.code {
            Code::LEAVE_NEEDED => self.missing(caller, &fault.detail),
            // It may be withdrawn, or no more than lack a permission: another can be given, and need not.
            Code::UPSTREAM_REFUSED => {
                let link = self.missing(caller, "").link;
                fault.with_link(link.map(|link| *link))
            }
            _ => fault,
        }
    }
}

/// The fault of a credential that is missing, with a link where the hub knows how it is reached.
pub(super) fn missing(home: Option<&Connections>, all: &Shared, caller: &Caller, why: &str) -> Fault {
    let key = &all.row.key;
    let links = home.and_then(|home| home.links.get());
    let link = links.and_then(|links| links.own(&all.row, caller).ok());
    let hint = match &link {
        Some(_) => "open the link in a browser and authorise it there; then call again".to_owned(),
        None => format!("`trunkline connection authorize {key}`, at a hub that serves HTTP, gives the link"),
    };
    Fault::new(Code::AUTHORISE_HERE, format!("`{key}` needs an authorisation of your own: {why}"))
        .with_hint(hint)
        .with_link(link)
}

/// What may be shown to all of what one of them was shown: what it can do. Resources and instructions are about
/// somebody's account.
pub(super) fn common(seen: &Inventory) -> Inventory {
    let capabilities = seen.capabilities.as_ref().map(|raw| {
        let mut all: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(raw).unwrap_or_default();
        all.remove("resources");
        serde_json::Value::Object(all).to_string().into()
    });
    Inventory {
        capabilities,
        resources: Vec::new(),
        templates: Vec::new(),
        instructions: None,
        is_stale: false,
        ..seen.clone()
    }
}

/// Keeps what is offered over a restart.
pub(super) async fn keep(parts: &mcp_upstream::Parts, row: &ConnectionRow, common: &Inventory) {
    if let (Some(facts), Some(bytes)) = (&parts.facts, mcp_upstream::facts_of(common)) {
        facts.save(&row.key, bytes).await;
    }
}

async fn look_after(personal: Weak<Personal>, is_mcp: bool) {
    if is_mcp && let Some(personal) = personal.upgrade() {
        personal.recall().await;
    }
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(personal) = personal.upgrade() else { return };
        personal.sweep();
    }
}

impl Connections {
    /// Tries a connection out with the caller's own credentials. What a caller who may manage is shown becomes what
    /// all are shown.
    pub(super) async fn try_out_own(&self, row: &ConnectionRow, caller: &Caller) -> Result<usize, Fault> {
        let manifest = self.stored.manifests().find(row).ok().flatten();
        let min_tools = manifest.map_or(0, |manifest| manifest.test.min_tools);
        let (credentials, manifests) = (self.stored.credentials(), self.stored.manifests());
        let entry = entry_of_all(row, credentials.open(row).await?, manifests);
        let mounted = {
            let held = self.held();
            let live = held.live.get(&row.key).filter(|live| live.entry.is_same_as(&entry));
            live.and_then(|live| live.personal.clone())
        };
        if let Some(personal) = mounted {
            let connector = personal.of(caller).await?;
            connector.refresh().await.map_err(|fault| personal.told(fault, caller))?;
            let seen = connector.inventory();
            if caller.access.manage {
                personal.learn(&seen).await;
            }
            return count_tools(&seen, min_tools);
        }
        let Some(all) = &entry.personal else {
            let Shape::Broken(why) = entry.shape else {
                return Err(Fault::new(Code::BUG, "a connection for each user is nobody's"));
            };
            return Err(Fault::new(Code::BAD_ARGUMENTS, why));
        };
        let user = caller.owner.user;
        let own = credentials.open_of(row, Some(user)).await?;
        let entry =
            entry_of_user(all, user, own, manifests).map_err(|why| missing(Some(self), all, caller, &why))?;
        let connector = self.connector_of(&entry, &self.parts)?;
        let tried = connector.refresh().await;
        let seen = connector.inventory();
        connector.close().await;
        tried.map_err(|fault| match fault.code {
            Code::LEAVE_NEEDED => missing(Some(self), all, caller, &fault.detail),
            _ => fault,
        })?;
        if caller.access.manage && matches!(entry.shape, Shape::Mcp(_)) {
            keep(&self.parts, row, &common(&seen)).await;
        }
        count_tools(&seen, min_tools)
    }

    /// The connector of one user's entry.
    pub(super) fn connector_of(
        &self,
        entry: &Entry,
        parts: &mcp_upstream::Parts,
    ) -> Result<Arc<dyn Connector>, Fault> {
        match &entry.shape {
            Shape::Mcp(mcp) => {
                // Connectors belong to the control runtime, whichever one this was asked on.
                let _inside = self.control.enter();
                // What it learns is one user's, and is forgotten with it.
                let parts = mcp_upstream::Parts { facts: None, ..parts.clone() };
                Ok(McpUpstream::start(self.settings_of(&entry.key, mcp, &self.egress())?, parts))
            }
            Shape::Api(api) => {
                let made = self.api_connector(&entry.key, api, &self.egress());
                Ok(made.map_err(super::apis::Wanting::fault)?)
            }
            Shape::Broken(why) => Err(Fault::new(Code::MISCONFIGURED, why.clone())),
            Shape::Later(later) => Err(Fault::new(Code::MISCONFIGURED, later.reason.clone())),
            Shape::Off => Err(Fault::new(Code::MISCONFIGURED, "it is switched off")),
        }
    }
}

#[async_trait]
impl Connector for Personal {
    fn inventory(&self) -> Arc<Inventory> {
        self.inventory.load_full()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn call(&self, ctx: &Ctx, request: Request) -> Result<Outcome, Fault> {
        let connector = self.of(&ctx.caller).await?;
        connector.call(ctx, request).await.map_err(|fault| self.told(fault, &ctx.caller))
    }

    async fn refresh(&self) -> Result<(), Fault> {
        let what = "everybody uses their own credentials here: a test needs somebody whose it is made with";
        Err(Fault::new(Code::BAD_ARGUMENTS, what))
    }

    async fn subscribe(&self, _uri: &str) -> Result<(), Fault> {
        let what =
            "resources cannot be followed on a connection on which everybody uses their own credentials";
        Err(Fault::new(Code::UNSUPPORTED, what))
    }

    async fn unsubscribe(&self, _uri: &str) {}

    async fn close(&self) {
        let open = std::mem::take(&mut self.held().open);
        let closing = open.into_values().map(|one| tokio::spawn(async move { one.connector.close().await }));
        for one in closing.collect::<Vec<_>>() {
            if let Err(error) = one.await {
                tracing::error!(%error, "a user's connection did not close cleanly");
            }
        }
    }
}
