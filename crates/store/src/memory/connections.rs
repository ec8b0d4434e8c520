//! Connections, in memory.

use std::cmp::Reverse;
use std::sync::Arc;

use async_trait::async_trait;
use model::id::ConnectionId;
use model::{ConnectionStatus, Key};

use super::{MemoryStore, State};
use crate::{
    CONNECTIONS_MAX, Connected, ConnectionCommand, ConnectionCursor, ConnectionQuery, ConnectionRow,
    ConnectionStats, Connections, IntegrationRow, IntegrationSummary, Page, Scope, StatusMove, StoreError,
    TimeCursor, fold, page_size,
};

#[async_trait]
impl Connections for MemoryStore {
    async fn list_connections(
        &self,
        scope: Scope,
        query: ConnectionQuery,
    ) -> Result<Page<Connected, ConnectionCursor>, StoreError> {
        let (text, size) = (query.folded_text(), page_size(query.limit));
        self.read(|state| {
            let mut rows: Vec<_> = state
                .connected(scope)
                .filter(|(row, integration)| query.admits(row, integration))
                .filter(|(row, integration)| text.as_ref().is_none_or(|text| holds(row, integration, text)))
                .collect();
            rows.sort_by_key(|(row, _)| Reverse(cursor(row)));
            rows.truncate(size + 1);
            let whole = |(row, integration): (&Arc<ConnectionRow>, &Arc<IntegrationRow>)| Connected {
                connection: (**row).clone(),
                integration: summary(integration),
            };
            Page::cut(rows.into_iter().map(whole).collect(), size, Connected::cursor)
        })
    }

    async fn find_connection(
        &self,
        scope: Scope,
        id: ConnectionId,
    ) -> Result<Option<ConnectionRow>, StoreError> {
        self.read(|state| state.seen_connection(scope, id).map(|row| (**row).clone()))
    }

    async fn find_connection_by_key(
        &self,
        scope: Scope,
        key: &Key,
    ) -> Result<Option<ConnectionRow>, StoreError> {
        self.read(|state| {
            let mut rows = state.connections.values();
            let found = rows.find(|row| scope.sees(row.owner, row.is_shared) && row.key == *key);
            found.map(|row| (**row).clone())
        })
    }

    async fn count_connections(&self, scope: Scope) -> Result<ConnectionStats, StoreError> {
        self.read(|state| {
            let mut stats = ConnectionStats::default();
            for (row, integration) in state.connected(scope) {
                stats.add(row.status, integration.kind, integration.category, 1);
            }
            stats
        })
    }
}

fn cursor(row: &ConnectionRow) -> ConnectionCursor {
    TimeCursor { at: row.created_at, id: row.id }
}

fn holds(row: &ConnectionRow, integration: &IntegrationRow, text: &str) -> bool {
    row.search_text().contains(text) || integration.search_text().contains(text)
}

fn summary(integration: &IntegrationRow) -> IntegrationSummary {
    IntegrationSummary {
        name: integration.name.clone(),
        kind: integration.kind,
        category: integration.category,
        icon_type: integration.icon_type.clone(),
        version: integration.version.clone(),
    }
}

// === impl ConnectionQuery ===

impl ConnectionQuery {
    /// Everything but the text.
    fn admits(&self, row: &ConnectionRow, integration: &IntegrationRow) -> bool {
        self.kind.is_none_or(|kind| kind == integration.kind)
            && self.category.is_none_or(|category| category == integration.category)
            && self.status.is_none_or(|status| status == row.status)
            && self.integration.as_ref().is_none_or(|slug| *slug == row.integration)
            && self.key.as_ref().is_none_or(|key| *key == row.key)
            && self.after.is_none_or(|after| cursor(row) < after)
    }
}

// === impl State ===

impl State {
    fn connected(&self, scope: Scope) -> impl Iterator<Item = (&Arc<ConnectionRow>, &Arc<IntegrationRow>)> {
        let seen = self.connections.values().filter(move |row| scope.sees(row.owner, row.is_shared));
        seen.filter_map(|row| Some((row, self.integrations.get(&row.integration_id)?)))
    }

    /// The connection, if a read may find it.
    pub(super) fn seen_connection(&self, scope: Scope, id: ConnectionId) -> Option<&Arc<ConnectionRow>> {
        self.connections.get(&id).filter(|row| scope.sees(row.owner, row.is_shared))
    }

    /// The connection, if a write may change it.
    fn own_connection(&self, scope: Scope, id: ConnectionId) -> Result<ConnectionRow, StoreError> {
        let own = self.connections.get(&id).filter(|row| scope.may_change(row.owner));
        own.map(|row| (**row).clone()).ok_or(StoreError::Missing { noun: "connection" })
    }

    fn put_connection(&mut self, row: ConnectionRow) {
        Arc::make_mut(&mut self.connections).insert(row.id, Arc::new(row));
    }

    pub(super) fn run_connection(&mut self, command: ConnectionCommand) -> Result<(), StoreError> {
        match command {
            ConnectionCommand::Insert(row) => self.insert_connection(*row)?,
            ConnectionCommand::Update { scope, id, expected, change, at } => {
                let mut row = self.own_connection(scope, id)?;
                StoreError::check_revision(expected, row.revision)?;
                row.edit(*change, at);
                self.check_name_is_free(&row)?;
                self.put_connection(row);
            }
            ConnectionCommand::Move(step) => {
                let StatusMove { scope, id, expected, to, error, at } = *step;
                let mut row = self.own_connection(scope, id)?;
                StoreError::check_revision(expected, row.revision)?;
                row.step(to, error.as_deref(), at)?;
                self.put_connection(row);
            }
            ConnectionCommand::FailTesting { workspace, before, at, reason } => {
                let is_stuck = |row: &ConnectionRow| {
                    row.owner.workspace == workspace
                        && row.status == ConnectionStatus::Testing
                        && row.updated_at < before
                };
                let stuck = self.connections.values().filter(|row| is_stuck(row));
                for mut row in stuck.map(|row| (**row).clone()).collect::<Vec<_>>() {
                    row.step(ConnectionStatus::Error, Some(&reason), at)?;
                    self.put_connection(row);
                }
            }
            ConnectionCommand::Delete { scope, id } => {
                let row = self.own_connection(scope, id)?;
                Arc::make_mut(&mut self.connections).remove(&id);
                Arc::make_mut(&mut self.credentials).retain(|_, other| other.connection != id);
                Arc::make_mut(&mut self.logs).remove(&id);
                Arc::make_mut(&mut self.health).remove(&id);
                Arc::make_mut(&mut self.rollups).retain(|(of, _), _| *of != id);
                self.facts.retain(|(ws, key, _), _| *ws != row.owner.workspace || *key != row.key);
            }
        }
        Ok(())
    }

    fn insert_connection(&mut self, row: ConnectionRow) -> Result<(), StoreError> {
        if self.owner != Some(row.owner) {
            return Err(StoreError::Missing { noun: "owner" });
        }
        let integration = self.integration(row.owner.workspace, row.integration_id);
        let integration = integration.filter(|integration| integration.slug == row.integration);
        if !integration.ok_or(StoreError::Missing { noun: "integration" })?.is_active {
            return Err(StoreError::Conflict { detail: "the integration is not active" });
        }
        let mut of_workspace =
            self.connections.values().filter(|other| other.owner.workspace == row.owner.workspace);
        if of_workspace.clone().count() >= CONNECTIONS_MAX {
            let what = "the number of connections of a workspace";
            return Err(StoreError::TooLarge { what, max: CONNECTIONS_MAX });
        }
        if of_workspace.any(|other| other.key == row.key) {
            return Err(StoreError::Taken { field: "key", value: row.key.to_string() });
        }
        if self.connections.contains_key(&row.id) {
            return Err(StoreError::Conflict { detail: "the connection exists already" });
        }
        self.check_name_is_free(&row)?;
        self.put_connection(row.as_new());
        Ok(())
    }

    fn check_name_is_free(&self, row: &ConnectionRow) -> Result<(), StoreError> {
        let folded = fold(&row.name);
        let mut others = self.connections.values().filter(|other| other.id != row.id);
        if others.any(|other| other.owner == row.owner && fold(&other.name) == folded) {
            return Err(StoreError::Taken { field: "name", value: row.name.clone() });
        }
        Ok(())
    }
}
