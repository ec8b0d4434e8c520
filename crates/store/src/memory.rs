//! The backend that forgets: everything in this process, lost on restart (and said so on start).
//! For trying things out and for tests of other rooms; it passes the same suite as the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::id::{ApiKeyId, WorkspaceId};
use model::{Key, Owner};
use tokio::sync::watch;

use crate::{
    API_KEYS_MAX, ApiKeyRow, ApiKeys, Backend, ChangeFeed, Command, Fact, FactKind, Facts, Owners, Store,
    StoreError, Transactions,
};

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
        let wakes = commands.iter().any(Command::wakes_feed);
        {
            let mut state = self.lock();
            let mut next = state.as_ref().ok_or(StoreError::Closed)?.clone();
            for command in commands {
                next.run(command)?;
            }
            *state = Some(next);
        }
        if wakes {
            self.feed.bump();
        }
        Ok(())
    }
}

#[async_trait]
impl ApiKeys for MemoryStore {
    async fn list_api_keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.read(|state| {
            let mut rows: Vec<ApiKeyRow> = state.keys_of(workspace).cloned().collect();
            rows.sort_by_key(|row| (row.revoked_at.is_some(), std::cmp::Reverse(row.id)));
            rows.truncate(API_KEYS_MAX);
            rows
        })
    }

    async fn find_api_key(
        &self,
        workspace: WorkspaceId,
        id: ApiKeyId,
    ) -> Result<Option<ApiKeyRow>, StoreError> {
        self.read(|state| state.keys_of(workspace).find(|row| row.id == id).cloned())
    }

    async fn find_api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.read(|state| {
            state.api_keys.values().find(|row| row.digest == *digest).map(|row| (**row).clone())
        })
    }

    async fn list_live_api_keys(&self) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.read(|state| {
            let live = state.api_keys.values().filter(|row| row.revoked_at.is_none());
            live.map(|row| (**row).clone()).collect()
        })
    }
}

#[async_trait]
impl Facts for MemoryStore {
    async fn find_fact(
        &self,
        workspace: WorkspaceId,
        connection: &Key,
        kind: FactKind,
    ) -> Result<Option<Fact>, StoreError> {
        let found = self.read(|state| state.facts.get(&(workspace, connection.clone(), kind)).cloned())?;
        // Copied outside the lock: a catalogue may be large.
        Ok(found.map(|fact| (*fact).clone()))
    }
}

#[async_trait]
impl Owners for MemoryStore {
    async fn find_owner(&self) -> Result<Option<Owner>, StoreError> {
        self.read(|state| state.owner)
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

    async fn close(&self) {
        *self.lock() = None;
    }
}

// === impl State ===

impl State {
    fn keys_of(&self, workspace: WorkspaceId) -> impl Iterator<Item = &ApiKeyRow> {
        self.api_keys.values().map(Arc::as_ref).filter(move |row| row.owner.workspace == workspace)
    }

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
        }
        Ok(())
    }

    fn insert_api_key(&mut self, row: ApiKeyRow) -> Result<(), StoreError> {
        if self.owner != Some(row.owner) {
            return Err(StoreError::Missing { noun: "owner" });
        }
        let live = self.keys_of(row.owner.workspace).filter(|other| other.revoked_at.is_none()).count();
        if live >= API_KEYS_MAX {
            return Err(StoreError::TooLarge { what: "the number of API keys in use", max: API_KEYS_MAX });
        }
        let is_taken = |other: &Arc<ApiKeyRow>| other.id == row.id || other.digest == row.digest;
        if self.api_keys.values().any(is_taken) {
            return Err(StoreError::Conflict { detail: "the API key exists already" });
        }
        self.api_keys.insert(row.id, Arc::new(row));
        Ok(())
    }

    /// The key, to be changed.
    fn api_key(&mut self, workspace: WorkspaceId, id: ApiKeyId) -> Result<&mut ApiKeyRow, StoreError> {
        let found = self.api_keys.get_mut(&id).filter(|row| row.owner.workspace == workspace);
        found.map(Arc::make_mut).ok_or(StoreError::Missing { noun: "API key" })
    }
}
