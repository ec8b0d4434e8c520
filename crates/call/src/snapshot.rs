//! What is connected at one moment: immutable, shared by all cores, replaced whole.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use ahash::AHashMap;
use connector::{Connector, Inventory, Tool};
use model::{Access, Code, Fault, Key};
use policy::{Pattern, ToolLists};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::schema::Check;

/// A connection as the binary hands it in.
#[derive(Clone)]
pub struct Mount {
    /// The connection's key.
    pub key: Key,
    /// The running connector.
    pub connector: Arc<dyn Connector>,
    /// How it may be used.
    pub settings: MountSettings,
}

/// How a connection may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSettings {
    /// How long one call may take, milliseconds. Time in which the caller is being asked does not count.
    pub timeout_ms: u64,
    /// How often a call is tried again, at most, where that is harmless.
    pub retry_count: u32,
    /// Which tools (by their own names) may be done twice, as their operator says.
    pub repeatable: Vec<Pattern>,
    /// How many calls may be open at once.
    pub concurrency_max: usize,
    /// Which of its tools are offered at all.
    pub tools: ToolLists,
    /// Keep arguments in the call record.
    pub is_recording_arguments: bool,
}

impl Default for MountSettings {
    fn default() -> Self {
        Self {
            timeout_ms: 60_000,
            retry_count: 0,
            repeatable: Vec::new(),
            concurrency_max: 1024,
            tools: ToolLists::default(),
            is_recording_arguments: false,
        }
    }
}

/// A chosen, renamed, re-described set of tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolset {
    /// Its key, in `/mcp/s/{toolset}`.
    pub key: Key,
    /// The tools, in order.
    pub tools: Vec<Picked>,
}

/// One tool of a toolset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// Which connection.
    pub connection: Key,
    /// The tool's own name there.
    pub tool: String,
    /// Its name in the set; `None` keeps `connection__tool`.
    pub rename: Option<String>,
    /// Its description in the set; `None` keeps the original.
    pub description: Option<String>,
}

/// A connection within a snapshot, ready to be called.
pub struct Mounted {
    /// Its key.
    pub key: Key,
    /// What calls it.
    pub connector: Arc<dyn Connector>,
    /// How it may be used.
    pub settings: MountSettings,
    /// What it offered when the snapshot was made.
    pub inventory: Arc<Inventory>,
    /// Places for calls; shared by all snapshots that hold this mount.
    pub(crate) places: Arc<Semaphore>,
    /// Since when lists have waited for its first answer; shared like the places.
    pub(crate) awaited: Arc<OnceLock<Instant>>,
    tools: AHashMap<Arc<str>, Arc<MountedTool>>,
}

/// A tool, ready to be called.
#[derive(Debug)]
pub struct MountedTool {
    /// As the upstream describes it.
    pub tool: Arc<Tool>,
    /// `connection__tool`: what access rules speak about.
    pub full_name: Arc<str>,
    /// Its arguments, checkable.
    pub check: Check,
}

/// Everything that is connected.
#[derive(Default)]
pub struct Snapshot {
    /// Grows with every new snapshot.
    pub generation: u64,
    connections: BTreeMap<Key, Arc<Mounted>>,
    toolsets: BTreeMap<Key, Arc<Toolset>>,
}

// === impl Snapshot ===

impl Snapshot {
    pub(crate) fn new(
        generation: u64,
        connections: BTreeMap<Key, Arc<Mounted>>,
        toolsets: BTreeMap<Key, Arc<Toolset>>,
    ) -> Self {
        Self { generation, connections, toolsets }
    }

    /// The connection of that key.
    #[must_use]
    pub fn connection(&self, key: &str) -> Option<&Arc<Mounted>> {
        self.connections.get(key)
    }

    /// All connections, by key.
    pub fn connections(&self) -> impl Iterator<Item = &Arc<Mounted>> {
        self.connections.values()
    }

    /// The toolset of that key.
    #[must_use]
    pub fn toolset(&self, key: &str) -> Option<&Arc<Toolset>> {
        self.toolsets.get(key)
    }

    /// All toolsets, by key.
    pub fn toolsets(&self) -> impl Iterator<Item = &Arc<Toolset>> {
        self.toolsets.values()
    }
}

// === impl Mounted ===

impl Mounted {
    /// Takes a mount with its present inventory. Tools that `before` already compiled are taken over.
    pub(crate) fn new(mount: &Mount, before: Option<&Self>) -> Self {
        let inventory = mount.connector.inventory();
        let same = before.filter(|b| Arc::ptr_eq(&b.connector, &mount.connector));
        let places = match same {
            Some(before) if before.settings.concurrency_max == mount.settings.concurrency_max => {
                Arc::clone(&before.places)
            }
            _ => Arc::new(Semaphore::new(mount.settings.concurrency_max.min(Semaphore::MAX_PERMITS))),
        };
        let awaited = same.map(|before| Arc::clone(&before.awaited)).unwrap_or_default();
        let mut tools = AHashMap::with_capacity(inventory.tools.len());
        for tool in &inventory.tools {
            if !mount.settings.tools.may_use(&tool.name).allowed {
                continue;
            }
            let known = before.and_then(|b| b.tools.get(&tool.name)).filter(|k| k.tool.raw == tool.raw);
            let mounted = known.cloned().unwrap_or_else(|| {
                Arc::new(MountedTool {
                    tool: Arc::clone(tool),
                    full_name: format!("{}__{}", mount.key, tool.name).into(),
                    check: Check::compile(&tool.input_schema),
                })
            });
            tools.entry(Arc::clone(&tool.name)).or_insert(mounted);
        }
        Self {
            key: mount.key.clone(),
            connector: Arc::clone(&mount.connector),
            settings: mount.settings.clone(),
            inventory,
            places,
            awaited,
            tools,
        }
    }

    /// The tool of that name, if the connection offers it at all.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&Arc<MountedTool>> {
        self.tools.get(name)
    }

    /// The tools that `access` may see and use, in the upstream's order.
    pub fn tools_for<'a>(&'a self, access: &'a Access) -> impl Iterator<Item = &'a Arc<MountedTool>> {
        self.inventory
            .tools
            .iter()
            .filter_map(|tool| self.tools.get(&tool.name))
            .filter(|tool| crate::stage::access::is_allowed(access, &tool.full_name))
    }

    /// Whether `access` reaches the prompt or resource `id` of this connection: the same patterns as
    /// for tools, over `connection__id`.
    #[must_use]
    pub fn may_reach(&self, access: &Access, id: &str) -> bool {
        crate::stage::access::is_allowed_part(access, &self.key, id)
    }

    /// True once the upstream has answered at least once.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.inventory.capabilities.is_some()
    }

    /// Why it cannot be used: for connections that have never answered.
    #[must_use]
    pub fn not_up(&self) -> Fault {
        let state = self.connector.state();
        let reason = state.reason.unwrap_or_else(|| "it has not answered yet".to_owned());
        // What is wrong in its entry does not get better by trying again: the cause keeps its code.
        let code = state.code.unwrap_or(Code::UNREACHABLE);
        Fault::new(code, format!("connection `{}` is not up: {reason}", self.key))
            .with_hint(format!("`trunkline connection test {}` says which layer fails", self.key))
    }

    /// True while it has not answered yet and is still on its way up. One that says it has started is so too:
    /// its inventory is only a moment away from the next snapshot.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        use model::Condition::{Started, Starting};
        !self.is_known() && matches!(self.connector.state().condition, Starting | Started)
    }
}
