//! What this backend does not answer yet: it says so.
#![allow(unused_variables, reason = "nothing is looked at before the refusal")]

use async_trait::async_trait;
use model::id::*;
use model::{Key, Timestamp};
use store::*;

use crate::PostgresStore;

fn later<T>() -> Result<T, StoreError> {
    Err(StoreError::unavailable("answer this", std::io::Error::other("not served by this backend yet")))
}

#[async_trait]
impl Integrations for PostgresStore {
    async fn list_integrations(
        &self,
        workspace: WorkspaceId,
        query: IntegrationQuery,
    ) -> Result<Page<IntegrationRow, NameCursor>, StoreError> {
        later()
    }

    async fn find_integration(
        &self,
        workspace: WorkspaceId,
        slug: &str,
    ) -> Result<Option<IntegrationRow>, StoreError> {
        later()
    }

    async fn find_integration_by_id(
        &self,
        workspace: WorkspaceId,
        id: IntegrationId,
    ) -> Result<Option<IntegrationRow>, StoreError> {
        later()
    }

    async fn list_integration_versions(
        &self,
        workspace: WorkspaceId,
        id: IntegrationId,
    ) -> Result<Vec<IntegrationVersion>, StoreError> {
        later()
    }
}

#[async_trait]
impl Connections for PostgresStore {
    async fn list_connections(
        &self,
        scope: Scope,
        query: ConnectionQuery,
    ) -> Result<Page<Connected, ConnectionCursor>, StoreError> {
        later()
    }

    async fn find_connection(
        &self,
        scope: Scope,
        id: ConnectionId,
    ) -> Result<Option<ConnectionRow>, StoreError> {
        later()
    }

    async fn find_connection_by_key(
        &self,
        scope: Scope,
        key: &Key,
    ) -> Result<Option<ConnectionRow>, StoreError> {
        later()
    }

    async fn count_connections(&self, scope: Scope) -> Result<ConnectionStats, StoreError> {
        later()
    }
}

#[async_trait]
impl Credentials for PostgresStore {
    async fn list_credentials(
        &self,
        scope: Scope,
        connection: ConnectionId,
    ) -> Result<Vec<CredentialRow>, StoreError> {
        later()
    }

    async fn list_credentials_not_of(
        &self,
        workspace: WorkspaceId,
        version: u32,
        after: Option<CredentialId>,
        limit: usize,
    ) -> Result<Page<CredentialRow, CredentialId>, StoreError> {
        later()
    }

    async fn count_credentials(&self, workspace: WorkspaceId) -> Result<Vec<(u32, u64)>, StoreError> {
        later()
    }
}

#[async_trait]
impl DataKeys for PostgresStore {
    async fn list_data_keys(&self, workspace: WorkspaceId) -> Result<Vec<DataKeyRow>, StoreError> {
        later()
    }
}

#[async_trait]
impl Logs for PostgresStore {
    async fn list_logs(
        &self,
        scope: Scope,
        connection: ConnectionId,
        query: LogQuery,
    ) -> Result<Page<LogRow, LogCursor>, StoreError> {
        later()
    }

    async fn oldest_log(&self, workspace: WorkspaceId) -> Result<Option<Timestamp>, StoreError> {
        later()
    }
}

#[async_trait]
impl Health for PostgresStore {
    async fn list_health(
        &self,
        scope: Scope,
        connection: ConnectionId,
        limit: usize,
    ) -> Result<Vec<HealthRow>, StoreError> {
        later()
    }

    async fn list_rollups(
        &self,
        scope: Scope,
        connection: ConnectionId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<RollupRow>, StoreError> {
        later()
    }

    async fn summarise_health(
        &self,
        scope: Scope,
        connection: ConnectionId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<HealthSummary, StoreError> {
        later()
    }

    async fn oldest_health(&self, workspace: WorkspaceId) -> Result<Option<Timestamp>, StoreError> {
        later()
    }
}

#[async_trait]
impl Toolsets for PostgresStore {
    async fn list_toolsets(&self, workspace: WorkspaceId) -> Result<Vec<ToolsetRow>, StoreError> {
        later()
    }

    async fn find_toolset(
        &self,
        workspace: WorkspaceId,
        key: &Key,
    ) -> Result<Option<ToolsetRow>, StoreError> {
        later()
    }
}

#[async_trait]
impl Leases for PostgresStore {
    async fn find_lease(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        later()
    }
}

#[async_trait]
impl Requests for PostgresStore {
    async fn find_request(&self, key: &RequestKey) -> Result<Option<RequestRow>, StoreError> {
        later()
    }
}
