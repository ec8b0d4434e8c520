//! Credentials and data keys, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::id::{ConnectionId, CredentialId, WorkspaceId};

use super::{MemoryStore, State};
use crate::{
    CREDENTIALS_MAX, CredentialCommand, CredentialRow, Credentials, DataKeyCommand, DataKeyRow, DataKeyState,
    DataKeys, Page, Replaces, Scope, StoreError, page_size,
};

#[async_trait]
impl Credentials for MemoryStore {
    async fn list_credentials(
        &self,
        scope: Scope,
        connection: ConnectionId,
    ) -> Result<Vec<CredentialRow>, StoreError> {
        self.read(|state| {
            if state.seen_connection(scope, connection).is_none() {
                return Vec::new();
            }
            let of_it = state.credentials.values().filter(|row| {
                row.connection == connection
                    && (scope.user.is_none() || row.user.is_none() || row.user == scope.user)
            });
            let mut rows: Vec<_> = of_it.map(|row| (**row).clone()).collect();
            rows.sort_by(|a, b| (&a.field, a.id).cmp(&(&b.field, b.id)));
            rows
        })
    }

    async fn list_credentials_not_of(
        &self,
        workspace: WorkspaceId,
        version: u32,
        after: Option<CredentialId>,
        limit: usize,
    ) -> Result<Page<CredentialRow, CredentialId>, StoreError> {
        let size = page_size(limit);
        self.read(|state| {
            let rows = state.credentials.values().filter(|row| {
                row.owner.workspace == workspace
                    && row.key_version != version
                    && after.is_none_or(|after| row.id > after)
            });
            Page::cut(rows.take(size + 1).map(|row| (**row).clone()).collect(), size, |row| row.id)
        })
    }

    async fn count_credentials(&self, workspace: WorkspaceId) -> Result<Vec<(u32, u64)>, StoreError> {
        self.read(|state| {
            let mut counts = BTreeMap::<u32, u64>::new();
            for row in state.credentials.values().filter(|row| row.owner.workspace == workspace) {
                *counts.entry(row.key_version).or_default() += 1;
            }
            counts.into_iter().collect()
        })
    }
}

#[async_trait]
impl DataKeys for MemoryStore {
    async fn list_data_keys(&self, workspace: WorkspaceId) -> Result<Vec<DataKeyRow>, StoreError> {
        self.read(|state| {
            let own = state.data_keys.values().filter(|row| row.workspace == workspace);
            let mut rows: Vec<_> = own.cloned().collect();
            rows.reverse();
            rows
        })
    }
}

// === impl State ===

impl State {
    pub(super) fn run_credential(&mut self, command: CredentialCommand) -> Result<(), StoreError> {
        match command {
            CredentialCommand::Put { row, replaces } => self.put_credential(*row, replaces)?,
            CredentialCommand::Delete { scope, connection, id } => {
                let may_delete = |row: &&Arc<CredentialRow>| {
                    row.connection == connection
                        && (scope.may_change(row.owner)
                            || (scope.workspace == row.owner.workspace
                                && scope.user.is_some()
                                && row.user == scope.user))
                };
                let found = self.credentials.get(&id).filter(may_delete);
                found.ok_or(StoreError::Missing { noun: "credential" })?;
                Arc::make_mut(&mut self.credentials).remove(&id);
            }
            CredentialCommand::DropPrevious { workspace, now } => {
                let is_over = |row: &CredentialRow| {
                    row.owner.workspace == workspace
                        && row.previous.as_ref().is_some_and(|previous| previous.overlap_until <= now)
                };
                for row in Arc::make_mut(&mut self.credentials).values_mut().filter(|row| is_over(row)) {
                    Arc::make_mut(row).previous = None;
                }
            }
        }
        Ok(())
    }

    fn put_credential(&mut self, mut row: CredentialRow, replaces: Replaces) -> Result<(), StoreError> {
        let connection = self.connections.get(&row.connection).filter(|there| there.owner == row.owner);
        connection.ok_or(StoreError::Missing { noun: "connection" })?;
        if row.user.is_some_and(|user| self.owner.is_none_or(|owner| owner.user != user)) {
            return Err(StoreError::Missing { noun: "user" });
        }
        let mut of_it = self.credentials.values().filter(|other| other.connection == row.connection);
        let count = of_it.clone().count();
        let there = of_it.find(|other| other.user == row.user && other.field == row.field);
        replaces.allows(there.map(|there| (there.key_version, there.fingerprint)))?;
        match there {
            Some(there) => (row.id, row.created_at) = (there.id, there.created_at),
            None if count >= CREDENTIALS_MAX => {
                let what = "the number of credentials of a connection";
                return Err(StoreError::TooLarge { what, max: CREDENTIALS_MAX });
            }
            None if self.credentials.contains_key(&row.id) => {
                return Err(StoreError::Conflict { detail: "the credential exists already" });
            }
            None => {}
        }
        Arc::make_mut(&mut self.credentials).insert(row.id, Arc::new(row));
        Ok(())
    }

    pub(super) fn run_data_key(&mut self, command: DataKeyCommand) -> Result<(), StoreError> {
        match command {
            DataKeyCommand::Insert(row) => {
                self.has_workspace(row.workspace)?;
                let own = self.data_keys.values().filter(|other| other.workspace == row.workspace);
                if own.map(|other| other.version).max().unwrap_or(0) + 1 != row.version {
                    return Err(StoreError::Conflict { detail: "the data key is not the next version" });
                }
                for other in self.data_keys.values_mut().filter(|other| other.workspace == row.workspace) {
                    other.state = DataKeyState::Retired;
                }
                let place = (row.workspace, row.version);
                self.data_keys.insert(place, DataKeyRow { state: DataKeyState::Active, ..*row });
            }
            DataKeyCommand::Rewrap { workspace, version, expected, wrapped, master_key_id } => {
                let row = self.data_key(workspace, version)?;
                if row.master_key_id != expected {
                    return Err(StoreError::Conflict { detail: "the data key was wrapped anew meanwhile" });
                }
                (row.wrapped, row.master_key_id) = (wrapped, master_key_id);
            }
            DataKeyCommand::Retire { workspace, version } => {
                self.data_key(workspace, version)?.state = DataKeyState::Retired;
            }
        }
        Ok(())
    }

    fn data_key(&mut self, workspace: WorkspaceId, version: u32) -> Result<&mut DataKeyRow, StoreError> {
        self.data_keys.get_mut(&(workspace, version)).ok_or(StoreError::Missing { noun: "data key" })
    }
}
