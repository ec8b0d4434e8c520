//! Integrations, in memory.

use std::cmp::Reverse;
use std::sync::Arc;

use async_trait::async_trait;
use model::Timestamp;
use model::id::{IntegrationId, WorkspaceId};

use super::{MemoryStore, State};
use crate::integration::VERSIONS_MAX;
use crate::{
    INTEGRATIONS_MAX, IntegrationCommand, IntegrationQuery, IntegrationRow, IntegrationVersion, Integrations,
    NameCursor, PAGE_MAX, Page, StoreError, page_size,
};

#[async_trait]
impl Integrations for MemoryStore {
    async fn list_integrations(
        &self,
        workspace: WorkspaceId,
        query: IntegrationQuery,
    ) -> Result<Page<IntegrationRow, NameCursor>, StoreError> {
        let (text, size) = (query.folded_text(), page_size(query.limit));
        self.read(|state| {
            let mut rows: Vec<&Arc<IntegrationRow>> = state
                .integrations
                .values()
                .filter(|row| row.is_for(workspace) && (row.is_active || query.with_inactive))
                .filter(|row| query.kind.is_none_or(|kind| kind == row.kind))
                .filter(|row| query.category.is_none_or(|category| category == row.category))
                .filter(|row| query.origin.is_none_or(|origin| origin == row.origin))
                .filter(|row| text.as_ref().is_none_or(|text| row.search_text().contains(text)))
                .filter(|row| query.after.as_ref().is_none_or(|after| row.cursor() > *after))
                .collect();
            rows.sort_by_cached_key(|row| row.cursor());
            rows.truncate(size + 1);
            Page::cut(rows.into_iter().map(|row| (**row).clone()).collect(), size, IntegrationRow::cursor)
        })
    }

    async fn find_integration(
        &self,
        workspace: WorkspaceId,
        slug: &str,
    ) -> Result<Option<IntegrationRow>, StoreError> {
        self.read(|state| {
            let rows = state.integrations.values().filter(|row| row.is_for(workspace) && row.slug == slug);
            rows.max_by_key(|row| row.workspace.is_some()).map(|row| (**row).clone())
        })
    }

    async fn find_integration_by_id(
        &self,
        workspace: WorkspaceId,
        id: IntegrationId,
    ) -> Result<Option<IntegrationRow>, StoreError> {
        self.read(|state| state.integration(workspace, id).map(|row| (**row).clone()))
    }

    async fn list_integration_versions(
        &self,
        workspace: WorkspaceId,
        id: IntegrationId,
    ) -> Result<Vec<IntegrationVersion>, StoreError> {
        self.read(|state| {
            if state.integration(workspace, id).is_none() {
                return Vec::new();
            }
            let of_it = state.versions.iter().filter(|((integration, _), _)| *integration == id);
            let mut versions: Vec<_> = of_it.map(|(_, version)| (**version).clone()).collect();
            versions.sort_by_key(|version| Reverse((version.created_at, version.version.clone())));
            versions.truncate(PAGE_MAX);
            versions
        })
    }
}

// === impl State ===

impl State {
    pub(super) fn integration(
        &self,
        workspace: WorkspaceId,
        id: IntegrationId,
    ) -> Option<&Arc<IntegrationRow>> {
        self.integrations.get(&id).filter(|row| row.is_for(workspace))
    }

    pub(super) fn run_integration(&mut self, command: IntegrationCommand) -> Result<(), StoreError> {
        match command {
            IntegrationCommand::Insert(row) => {
                let Some(workspace) = row.workspace else {
                    return Err(StoreError::Missing { noun: "workspace" });
                };
                self.has_workspace(workspace)?;
                if self.integrations.values().any(|other| other.is_for(workspace) && other.slug == row.slug) {
                    return Err(StoreError::Taken { field: "slug", value: row.slug });
                }
                let own = self.integrations.values().filter(|other| other.workspace == Some(workspace));
                if own.count() >= INTEGRATIONS_MAX {
                    let what = "the number of integrations of a workspace";
                    return Err(StoreError::TooLarge { what, max: INTEGRATIONS_MAX });
                }
                self.add_integration(*row)
            }
            IntegrationCommand::Update { row, expected } => {
                let there = self.integration_by_slug(row.workspace, &row.slug);
                let there = Arc::clone(there.ok_or(StoreError::Missing { noun: "integration" })?);
                StoreError::check_revision(expected, there.revision)?;
                self.put_integration(row.in_place_of(&there))
            }
            IntegrationCommand::Seed(row) => {
                let there = self.integration_by_slug(None, &row.slug).map(Arc::clone);
                match there {
                    None => self.add_integration(*row),
                    Some(there) if there.says_the_same(&row) => Ok(()),
                    Some(there) => self.put_integration(row.in_place_of(&there)),
                }
            }
            IntegrationCommand::Delete { workspace, slug } => {
                let there = self.integration_by_slug(Some(workspace), &slug);
                let id = there.ok_or(StoreError::Missing { noun: "integration" })?.id;
                if self.connections.values().any(|row| row.integration_id == id) {
                    return Err(StoreError::Conflict { detail: "the integration has connections" });
                }
                Arc::make_mut(&mut self.integrations).remove(&id);
                Arc::make_mut(&mut self.versions).retain(|(integration, _), _| *integration != id);
                Ok(())
            }
            IntegrationCommand::Withdraw { slug, at } => {
                let there = self.integration_by_slug(None, &slug).map(Arc::clone);
                let there = there.ok_or(StoreError::Missing { noun: "integration" })?;
                if there.is_active {
                    self.put_integration(there.withdrawn(at))?;
                }
                Ok(())
            }
        }
    }

    fn integration_by_slug(
        &self,
        workspace: Option<WorkspaceId>,
        slug: &str,
    ) -> Option<&Arc<IntegrationRow>> {
        self.integrations.values().find(|row| row.workspace == workspace && row.slug == slug)
    }

    fn add_integration(&mut self, row: IntegrationRow) -> Result<(), StoreError> {
        if self.integrations.contains_key(&row.id) {
            return Err(StoreError::Conflict { detail: "the integration exists already" });
        }
        self.put_integration(row.as_new())
    }

    fn put_integration(&mut self, row: IntegrationRow) -> Result<(), StoreError> {
        let at: Timestamp = row.updated_at;
        let place = (row.id, row.version.clone());
        let known = self.versions.get(&place).map(|version| version.created_at);
        if known.is_none() {
            let of_it = self.versions.keys().filter(|(integration, _)| *integration == row.id).count();
            if of_it >= VERSIONS_MAX {
                let what = "the number of versions of an integration";
                return Err(StoreError::TooLarge { what, max: VERSIONS_MAX });
            }
        }
        let version = IntegrationVersion { created_at: known.unwrap_or(at), ..row.present_version() };
        Arc::make_mut(&mut self.versions).insert(place, Arc::new(version));
        Arc::make_mut(&mut self.integrations).insert(row.id, Arc::new(row));
        Ok(())
    }
}
