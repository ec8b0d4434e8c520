//! The backend that forgets: everything in this process, lost on restart (and said so on start).
//! For trying things out and for tests of other rooms; it passes the same suite as the others.

mod api_keys;
mod connections;
mod credentials;
mod health;
mod integrations;
mod leases;
mod logs;
mod requests;
mod sweeps;
mod toolsets;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::id::{ApiKeyId, ConnectionId, CredentialId, EventId, IntegrationId, WorkspaceId};
use model::{Key, Owner, Timestamp};
use tokio::sync::watch;

use crate::{
    ApiKeyRow, Backend, ChangeFeed, Command, ConnectionRow, CredentialRow, DataKeyRow, Fact, FactKind,
    HealthRow, IntegrationRow, IntegrationVersion, Lease, LogRow, Observer, RequestKey, RequestRow, Store,
    StoreError, Tally, ToolsetRow, Transactions,
};

/// A table that a transaction copies only when it changes it.
type Table<K, V> = Arc<BTreeMap<K, V>>;
/// What happened, in order, of each connection.
type Events<V> = Table<ConnectionId, Table<(Timestamp, EventId), Arc<V>>>;

/// See the head of the file.
#[derive(Debug)]
pub struct MemoryStore {
    /// `None` once closed.
    state: Mutex<Option<State>>,
    feed: ChangeFeed,
}

/// Everything. Cloned for a transaction, which then replaces it whole or not at all; the large parts
/// are shared between the clones.
#[derive(Debug, Clone, Default)]
struct State {
    owner: Option<Owner>,
    api_keys: BTreeMap<ApiKeyId, Arc<ApiKeyRow>>,
    facts: BTreeMap<(WorkspaceId, Key, FactKind), Arc<Fact>>,
    integrations: Table<IntegrationId, Arc<IntegrationRow>>,
    versions: Table<(IntegrationId, String), Arc<IntegrationVersion>>,
    connections: Table<ConnectionId, Arc<ConnectionRow>>,
    credentials: Table<CredentialId, Arc<CredentialRow>>,
    data_keys: BTreeMap<(WorkspaceId, u32), DataKeyRow>,
    logs: Events<LogRow>,
    health: Events<HealthRow>,
    rollups: Table<(ConnectionId, Timestamp), Arc<Tally>>,
    toolsets: Table<(WorkspaceId, Key), Arc<ToolsetRow>>,
    leases: Table<String, Lease>,
    requests: Table<RequestKey, Arc<RequestRow>>,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Mutex::new(Some(State::default())), feed: ChangeFeed::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        self.lock().as_ref().map(look).ok_or(StoreError::Closed)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Transactions for MemoryStore {
    async fn apply(&self, commands: Vec<Command>) -> Result<(), StoreError> {
        Command::check_limits(&commands)?;
        let mut state = self.lock();
        let mut next = state.as_ref().ok_or(StoreError::Closed)?.clone();
        for command in &commands {
            next.run(command.clone())?;
        }
        *state = Some(next);
        // Under the lock, so that observers hear of commits in their order.
        self.feed.committed(commands.iter());
        Ok(())
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn backend(&self) -> Backend {
        Backend::Memory
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.feed.subscribe()
    }

    fn observe(&self, observer: Observer) {
        self.feed.observe(observer);
    }

    async fn close(&self) {
        *self.lock() = None;
    }
}

// === impl State ===

impl State {
    fn run(&mut self, command: Command) -> Result<(), StoreError> {
        match command {
            Command::BootstrapOwner(new) => {
                self.owner.get_or_insert(new.owner);
            }
            Command::InsertApiKey(row) => self.insert_api_key(*row)?,
            Command::RevokeApiKey { workspace, id, at } => {
                let row = self.api_key(workspace, id)?;
                row.revoked_at.get_or_insert(at);
            }
            Command::RetireApiKey { workspace, id, expires_at } => {
                let row = self.api_key(workspace, id)?;
                if row.revoked_at.is_some() {
                    return Err(StoreError::Conflict { detail: "the API key is revoked" });
                }
                row.expires_at = Some(row.expires_at.map_or(expires_at, |own| own.min(expires_at)));
            }
            Command::TouchApiKeys(touches) => {
                for touch in touches {
                    if let Ok(row) = self.api_key(touch.workspace, touch.id) {
                        row.last_used_at = row.last_used_at.max(Some(touch.at));
                    }
                }
            }
            Command::PutFact { workspace, connection, kind, fact } => {
                if self.owner.is_none_or(|owner| owner.workspace != workspace) {
                    return Err(StoreError::Missing { noun: "workspace" });
                }
                self.facts.insert((workspace, connection, kind), Arc::new(fact));
            }
            Command::ForgetFacts { workspace, connection } => {
                self.facts.retain(|(ws, key, _), _| *ws != workspace || *key != connection);
            }
            Command::Integration(command) => self.run_integration(command)?,
            Command::Connection(command) => self.run_connection(command)?,
            Command::Credential(command) => self.run_credential(command)?,
            Command::DataKey(command) => self.run_data_key(command)?,
            Command::Log(command) => self.run_log(command)?,
            Command::Health(command) => self.run_health(command)?,
            Command::Toolset(command) => self.run_toolset(command)?,
            Command::Lease(command) => self.run_lease(command)?,
            Command::Request(command) => self.run_request(command)?,
            Command::Copy(_) => {
                return Err(StoreError::Conflict { detail: "nothing can be moved into memory" });
            }
        }
        Ok(())
    }

    fn has_workspace(&self, workspace: WorkspaceId) -> Result<(), StoreError> {
        let is_there = self.owner.is_some_and(|owner| owner.workspace == workspace);
        if is_there { Ok(()) } else { Err(StoreError::Missing { noun: "workspace" }) }
    }
}
