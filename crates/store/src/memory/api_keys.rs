//! API keys, facts and the owner, in memory.

use std::sync::Arc;

use async_trait::async_trait;
use model::id::{ApiKeyId, WorkspaceId};
use model::{Key, Owner};

use super::{MemoryStore, State};
use crate::{API_KEYS_MAX, ApiKeyRow, ApiKeys, Fact, FactKind, Facts, Owners, StoreError};

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

// === impl State ===

impl State {
    fn keys_of(&self, workspace: WorkspaceId) -> impl Iterator<Item = &ApiKeyRow> {
        self.api_keys.values().map(Arc::as_ref).filter(move |row| row.owner.workspace == workspace)
    }

    pub(super) fn insert_api_key(&mut self, row: ApiKeyRow) -> Result<(), StoreError> {
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
    pub(super) fn api_key(
        &mut self,
        workspace: WorkspaceId,
        id: ApiKeyId,
    ) -> Result<&mut ApiKeyRow, StoreError> {
        let found = self.api_keys.get_mut(&id).filter(|row| row.owner.workspace == workspace);
        found.map(Arc::make_mut).ok_or(StoreError::Missing { noun: "API key" })
    }
}
