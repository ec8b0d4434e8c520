//! What is connected: the entries of the file, and the connections that were made through the API, as
//! running connectors; kept in step with the file and with the store.
//!
//! An unchanged entry is never touched. A changed one gets a new connector for new calls, while calls in
//! flight finish on the old one. An entry that an edit broke keeps what ran before, and says so.

mod apis;
mod directory;
mod leaves;
pub(crate) mod natives;
mod own;
mod personal;
mod stored;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use call::{Mount, MountSettings, Pipeline, ToolLists};
use connector::Connector;
use credential::same;
use mcp_upstream::{EraChoice, McpUpstream};
use model::id::{ConnectionId, UserId};
use model::{ConnectionStatus, Era, Fault, Key};
use outbound::EgressRule;
use store::Store;
use tokio::runtime::Handle;

use self::personal::Personal;
use super::manifests::Manifests;
use super::waiting::Waiting;
use crate::config::Config;
use crate::config::egress::Egress;
use crate::config::entry::{Delegation, Entry, McpEntry, Shape, Transport, Usage};
use crate::config::hub::Limits;

/// How long calls in flight may go on after their connection was replaced or removed.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether they are over.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// How long each step of connecting may take, in milliseconds.
const CONNECT_TIMEOUT_MS: u64 = 30_000;

/// See the head of the file.
pub(crate) struct Connections {
    pipeline: Arc<Pipeline>,
    parts: mcp_upstream::Parts,
    api_parts: connector_http::Parts,
    limits: Limits,
    stored: stored::Stored,
    /// The runtime that owns connectors.
    control: Handle,
    held: Mutex<Held>,
    is_draining: AtomicBool,
    /// Makes links to this hub's pages, once it is known where it is reached.
    links: OnceLock<api::Links>,
    /// Itself, for connectors that bring up others.
    me: Weak<Self>,
}

/// Who has credentials of their own, by connection.
type Marks = HashMap<ConnectionId, HashMap<UserId, connector::Mark>>;

/// Where the connections made through the API are found.
pub(crate) struct Shelf {
    /// What is remembered.
    pub(crate) store: Arc<dyn Store>,
    /// Their credentials.
    pub(crate) credentials: Arc<connector::Credentials>,
    /// What their integrations' manifests make of them.
    pub(crate) manifests: Arc<Manifests>,
    /// Whose.
    pub(crate) workspace: model::id::WorkspaceId,
}

#[derive(Default)]
struct Held {
    file: Option<PathBuf>,
    /// What the file says, and what the store says, as each was read last.
    of_file: Vec<Entry>,
    of_store: Vec<Entry>,
    /// The hub's way out, as the file says.
    egress: Arc<Egress>,
    file_sets: Vec<call::Toolset>,
    stored_sets: Vec<call::Toolset>,
    own: Marks,
    live: BTreeMap<Key, Live>,
}

/// One connection.
struct Live {
    /// The entry that runs.
    entry: Entry,
    /// The hub's way out that it was brought up with.
    egress: Arc<Egress>,
    connector: Arc<dyn Connector>,
    /// The same, where everybody uses their own credentials.
    personal: Option<Arc<Personal>>,
    settings: MountSettings,
    /// What is wrong with the entry as the file has it now, while an older one runs.
    broken: Option<String>,
    is_file_managed: bool,
}

/// What one reload did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Keys that are new.
    pub(crate) added: Vec<String>,
    /// Keys that run with other settings now.
    pub(crate) changed: Vec<String>,
    /// Keys that are gone.
    pub(crate) removed: Vec<String>,
    /// Keys whose edit is wrong, so that the old settings stay.
    pub(crate) kept: Vec<String>,
}

// === impl Connections ===

impl Connections {
    /// Nothing connected yet. Has to be called inside the runtime that is to own connectors.
    pub(crate) fn new(
        pipeline: Arc<Pipeline>,
        parts: mcp_upstream::Parts,
        api_parts: connector_http::Parts,
        limits: Limits,
        shelf: Shelf,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            pipeline,
            parts,
            api_parts,
            limits,
            stored: stored::Stored::new(shelf),
            control: Handle::current(),
            held: Mutex::default(),
            is_draining: AtomicBool::new(false),
            links: OnceLock::new(),
            me: Weak::clone(me),
        })
    }

    /// Brings what runs in step with `config`. Has to be called inside the runtime that owns connectors.
    pub(crate) fn apply(&self, config: &Config) -> Changes {
        let mut held = self.held();
        held.file.clone_from(&config.file);
        held.of_file.clone_from(&config.entries);
        if !same(held.egress.said().expose().as_bytes(), config.egress.said().expose().as_bytes()) {
            held.egress = Arc::new(config.egress.clone());
        }
        held.file_sets = config.toolsets.iter().map(toolset).collect();
        self.mount(&mut held)
    }

    /// Told once where the hub is reached: from then on who lacks a credential of their own gets a link.
    pub(crate) fn reached_by(&self, links: api::Links) {
        let _ = self.links.set(links);
    }

    /// The same for what was made through the API.
    fn apply_stored(&self, entries: Vec<Entry>, sets: Vec<call::Toolset>, own: Marks) -> Changes {
        let mut held = self.held();
        held.of_store = entries;
        held.own = own;
        held.stored_sets = sets;
        self.mount(&mut held)
    }

    /// Brings what runs in step with what is held. What does not change is not touched.
    fn mount(&self, held: &mut Held) -> Changes {
        let mut changes = Changes::default();
        let mut retired: Vec<(Key, Arc<dyn Connector>)> = Vec::new();
        let mut before = std::mem::take(&mut held.live);
        // Who reaches out over a network does it as the hub does; whoever does not, does not mind.
        let egress = Arc::clone(&held.egress);
        let goes_out_the_same =
            |live: &Live| live.entry.shape.egress().is_none() || Arc::ptr_eq(&live.egress, &egress);
        let of_file = held.of_file.iter().map(|entry| (entry, true));
        // A key that the file has is the file's: what was made with it before waits until it is free.
        let taken = |entry: &Entry| held.of_file.iter().any(|other| other.key == entry.key);
        let of_store = held.of_store.iter().filter(|entry| !taken(entry)).map(|entry| (entry, false));
        for (entry, is_file_managed) in of_file.chain(of_store) {
            let key = entry.key.clone();
            let live = match (before.remove(&key), &entry.shape) {
                (Some(live), _) if live.entry.is_same_as(entry) && goes_out_the_same(&live) => {
                    Live { entry: entry.clone(), broken: None, is_file_managed, ..live }
                }
                // What runs goes on: one slip of the pen must not take a working connection down.
                (Some(live), Shape::Broken(reason))
                    if !entry.is_starved
                        && matches!(live.entry.shape, Shape::Mcp(_) | Shape::Api(_))
                        // Nobody's calls go on with credentials of the other kind.
                        && live.entry.is_per_user == entry.is_per_user =>
                {
                    changes.kept.push(key.to_string());
                    tracing::error!(connection = %key, "its entry is wrong, the old one stays in force: {reason}");
                    Live {
                        broken: Some(format!(
                            "the file has an error, the settings before it are in force: {reason}"
                        )),
                        ..live
                    }
                }
                (old, _) => {
                    match old {
                        Some(old) => {
                            changes.changed.push(key.to_string());
                            retired.push((key.clone(), old.connector));
                        }
                        None => changes.added.push(key.to_string()),
                    }
                    if let Shape::Broken(reason) = &entry.shape {
                        tracing::error!(connection = %key, "not connected: {reason}");
                    }
                    Live { is_file_managed, ..self.bring_up(entry, &egress) }
                }
            };
            held.live.insert(key, live);
        }
        for (key, live) in before {
            changes.removed.push(key.to_string());
            retired.push((key, live.connector));
        }
        for personal in held.live.values().filter_map(|live| live.personal.as_ref()) {
            // Before it is mounted: nobody is to be told that theirs is missing while it is on its way.
            personal.know(held.own.get(&personal.id()).cloned().unwrap_or_default());
        }
        let mounts = held
            .live
            .iter()
            .map(|(key, live)| Mount {
                key: key.clone(),
                connector: Arc::clone(&live.connector),
                settings: live.settings.clone(),
            })
            .collect();
        let mut sets = held.file_sets.clone();
        let new = held.stored_sets.iter().filter(|set| !sets.iter().any(|other| other.key == set.key));
        sets.extend(new.cloned().collect::<Vec<_>>());
        // Mounted under the lock: two reloads at once must not publish in the wrong order.
        self.pipeline.mount(mounts, sets);
        for (key, connector) in retired {
            self.control.spawn(retire(key, connector));
        }
        changes
    }

    /// Stops taking work, as far as anybody asks.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Lets go of everything.
    pub(crate) async fn close(&self) {
        let all: Vec<_> = self.held().live.values().map(|live| Arc::clone(&live.connector)).collect();
        let closing: Vec<_> =
            all.into_iter().map(|connector| tokio::spawn(async move { connector.close().await })).collect();
        for one in closing {
            if let Err(error) = one.await {
                tracing::error!(%error, "a connection did not close cleanly");
            }
        }
    }

    fn bring_up(&self, entry: &Entry, egress: &Arc<Egress>) -> Live {
        let waiting = |status, reason| -> Arc<dyn Connector> {
            Arc::new(Waiting::new(
                status,
                entry.kind.map_or("none", crate::config::entry::Type::name),
                reason,
            ))
        };
        let mut settings = MountSettings::default();
        if let (Some(shared), Some(usage)) = (&entry.personal, entry.usage()) {
            let personal = Personal::start(entry, shared, Weak::clone(&self.me), self.parts.clone());
            let connector = Arc::clone(&personal) as Arc<dyn Connector>;
            let (personal, settings) = (Some(personal), mount_settings(usage));
            let (entry, egress) = (entry.clone(), Arc::clone(egress));
            return Live {
                entry,
                egress,
                connector,
                personal,
                settings,
                broken: None,
                is_file_managed: false,
            };
        }
        let connector: Arc<dyn Connector> = match &entry.shape {
            Shape::Mcp(mcp) => {
                settings = mount_settings(&mcp.usage);
                let is_lost = |one: &Delegation| {
                    one.row.is_none() && (one.client_id.is_none() || one.client_secret.is_none())
                };
                if mcp.delegation.as_ref().is_some_and(is_lost) {
                    let what = "signs in with OAuth as the hub itself, and needs auth.credentials.client_id and \
                                client_secret; for somebody's leave make it with `trunkline connection new --auth oauth`";
                    waiting(ConnectionStatus::Configuring, Some(what.to_owned()))
                } else {
                    match self.settings_of(&entry.key, mcp, egress) {
                        Ok(settings) => McpUpstream::start(settings, self.parts.clone()),
                        Err(fault) => waiting(ConnectionStatus::Error, Some(fault.advice())),
                    }
                }
            }
            Shape::Api(api) => {
                settings = mount_settings(&api.usage);
                match self.api_connector(&entry.key, api, egress) {
                    Ok(connector) => connector,
                    Err(apis::Wanting::More(what)) => waiting(ConnectionStatus::Configuring, Some(what)),
                    Err(apis::Wanting::Mending(what)) => waiting(ConnectionStatus::Error, Some(what)),
                }
            }
            Shape::Later(later) => waiting(ConnectionStatus::Configuring, Some(later.reason.clone())),
            Shape::Off => {
                waiting(ConnectionStatus::Disconnected, Some("switched off with `enabled: false`".to_owned()))
            }
            Shape::Broken(reason) => waiting(ConnectionStatus::Error, Some(reason.clone())),
        };
        let (entry, egress) = (entry.clone(), Arc::clone(egress));
        Live { entry, egress, connector, personal: None, settings, broken: None, is_file_managed: false }
    }

    fn settings_of(
        &self,
        key: &Key,
        mcp: &McpEntry,
        egress: &Egress,
    ) -> Result<mcp_upstream::Settings, Fault> {
        let settings = upstream_settings(key, mcp, &self.limits, egress)?;
        let tokens = self.mcp_tokens(key, mcp, &settings.route);
        Ok(mcp_upstream::Settings { tokens, ..settings })
    }

    /// The hub's way out, as the file says at present.
    fn egress(&self) -> Arc<Egress> {
        Arc::clone(&self.held().egress)
    }

    /// What runs with exactly these settings.
    fn running_as(&self, entry: &Entry) -> Option<Arc<dyn Connector>> {
        let held = self.held();
        let live = held.live.get(&entry.key).filter(|live| live.entry.is_same_as(entry));
        let live = live.filter(|live| Arc::ptr_eq(&live.egress, &held.egress));
        live.map(|live| Arc::clone(&live.connector))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The settings that an upstream connector starts with.
pub(crate) fn upstream_settings(
    key: &Key,
    mcp: &McpEntry,
    limits: &Limits,
    egress: &Egress,
) -> Result<mcp_upstream::Settings, Fault> {
    let mut idle = None;
    let transport = match &mcp.transport {
        Transport::Stdio { command, args, env, cwd, limits, idle_stop_ms } => {
            idle = *idle_stop_ms;
            mcp_upstream::Transport::Stdio {
                command: command.clone(),
                args: args.clone(),
                env: env.clone(),
                cwd: cwd.clone(),
                limits: process::Limits {
                    memory_bytes: limits.memory_bytes,
                    cpu_seconds: limits.cpu_seconds,
                    open_files: limits.open_files,
                    processes: limits.processes,
                },
            }
        }
        Transport::Http(url) => mcp_upstream::Transport::Http { url: url.clone() },
        Transport::Sse(url) => mcp_upstream::Transport::Sse { url: url.clone() },
        Transport::WebSocket(url) => mcp_upstream::Transport::WebSocket { url: url.clone() },
        Transport::Tcp { host, port } => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            mcp_upstream::Transport::Tcp { addr: format!("{host}:{port}") }
        }
        Transport::Unix(path) => mcp_upstream::Transport::Unix { path: path.clone() },
    };
    let result_bytes = mcp.egress.response_bytes.unwrap_or(limits.result_bytes);
    Ok(mcp_upstream::Settings {
        key: key.clone(),
        transport,
        headers: mcp.headers.clone(),
        era: match mcp.era {
            None => EraChoice::Auto,
            Some(Era::Modern) => EraChoice::Modern,
            Some(Era::Legacy) => EraChoice::Legacy,
        },
        sessions: mcp.sessions,
        timeout_ms: mcp.usage.timeout_ms,
        connect_timeout_ms: CONNECT_TIMEOUT_MS,
        line_bytes_max: mcp.egress.response_bytes.unwrap_or(limits.line_bytes),
        result_bytes_max: result_bytes,
        route: mcp.egress.build(egress, EgressRule { private_allowed: mcp.private_allowed }, None)?,
        tokens: None,
        idle_stop_ms: idle,
    })
}

fn mount_settings(usage: &Usage) -> MountSettings {
    MountSettings {
        timeout_ms: usage.timeout_ms,
        retry_count: usage.retry_count,
        repeatable: usage.repeatable.clone(),
        concurrency_max: usage.concurrency,
        tools: ToolLists { allow: usage.tools.allow.clone(), deny: usage.tools.deny.clone() },
        is_recording_arguments: usage.is_recording_arguments,
    }
}

fn toolset(set: &crate::config::toolset::Toolset) -> call::Toolset {
    let picked = |one: &crate::config::toolset::Picked| call::Picked {
        connection: one.connection.clone(),
        tool: one.tool.clone(),
        rename: one.rename.clone(),
        description: one.description.clone(),
    };
    call::Toolset { key: set.key.clone(), tools: set.tools.iter().map(picked).collect() }
}

/// Closes a connector once nobody calls it any more, or when they have had their time.
async fn retire(key: Key, connector: Arc<dyn Connector>) {
    let drained = async {
        // The snapshot is gone with the last call that began on it; then this is the only one left.
        while Arc::strong_count(&connector) > 1 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    };
    if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
        tracing::warn!(connection = %key, "calls on its old settings are ended: they had {} s", DRAIN_MAX.as_secs());
    }
    connector.close().await;
}

#[cfg(test)]
mod tests;
