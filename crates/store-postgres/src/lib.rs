//! The backend for many nodes: PostgreSQL, with a change feed that reaches all of them.
//!
//! Not its job: what the nouns mean (`store`). Where several hubs share a database, each lives in a schema of
//! its own: tables are found through the connection's `search_path`.

mod bulk;
mod commands;
mod connections;
mod credentials;
mod data_keys;
mod error;
mod feed;
mod health;
mod integrations;
mod leases;
mod logs;
mod look;
mod migrate;
mod requests;
mod rows;
mod sql;
mod sweeps;
mod toolsets;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::id::{ApiKeyId, WorkspaceId};
use model::{Clock, Key, Owner, Secret};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use store::{
    API_KEYS_MAX, ApiKeyRow, ApiKeys, Backend, ChangeFeed, Command, Fact, FactKind, Facts, Observer, Owners,
    Store, StoreError, Transactions,
};
use tokio::sync::watch;

use crate::error::unavailable;
use crate::feed::{Follower, Node};

pub use look::look;

/// Connections of one node, the change feed's included.
const CONNECTIONS_MAX: u32 = 16;
/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a transaction that lost against another is tried.
const ATTEMPTS_MAX: u32 = 4;

/// See the head of the file.
pub struct PostgresStore {
    pool: PgPool,
    feed: Arc<ChangeFeed>,
    node: Node,
    follower: Follower,
}

// === impl PostgresStore ===

impl PostgresStore {
    /// Connects (`postgres://...`; `?options=-c%20search_path%3Dname` chooses a schema that exists), migrates
    /// the schema under a lock that other nodes wait for, and begins to follow the change feed.
    ///
    /// # Errors
    /// [`StoreError`]: an unusable URL, a server that does not answer or let us in, a newer schema.
    pub async fn open(url: &Secret, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let failed = |error| unavailable("reach PostgreSQL", error);
        let options: PgConnectOptions = url.expose().parse().map_err(failed)?;
        check_server(&options).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        migrate::run(&pool, migrate::MIGRATIONS, &*clock).await?;
        let node = Node::register(&pool).await.map_err(failed)?;
        let feed = Arc::new(ChangeFeed::new());
        let follower =
            Follower::start(pool.clone(), node.clone(), Arc::clone(&feed)).await.map_err(failed)?;
        Ok(Self { pool, feed, node, follower })
    }

    async fn apply_once(&self, commands: &[Command]) -> Result<(), commands::Failure> {
        let mut transaction = self.pool.begin().await?;
        for command in commands {
            commands::run(&mut transaction, command).await?;
        }
        if commands.iter().any(Command::wakes_feed) {
            self.node.announce(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transactions for PostgresStore {
    async fn apply(&self, commands: Vec<Command>) -> Result<(), StoreError> {
        Command::check_limits(&commands)?;
        let mut attempt = 1;
        loop {
            match self.apply_once(&commands).await {
                Ok(()) => break,
                // The server took it back whole, so that trying again is safe.
                Err(commands::Failure::Database(error))
                    if error::lost_a_race(&error) && attempt < ATTEMPTS_MAX =>
                {
                    attempt += 1;
                }
                Err(commands::Failure::Database(error)) => return Err(unavailable("write", error)),
                Err(commands::Failure::Refused(error)) => return Err(error),
            }
        }
        self.feed.committed(commands.iter());
        Ok(())
    }
}

#[async_trait]
impl ApiKeys for PostgresStore {
    async fn list_api_keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKeyRow>, StoreError> {
        let found = sqlx::query(
            "SELECT id, workspace_id, user_id, name, prefix, digest, access, created_at, expires_at, \
             last_used_at, revoked_at FROM api_keys WHERE workspace_id = $1 \
             ORDER BY revoked_at IS NOT NULL, id DESC LIMIT $2",
        )
        .bind(workspace.uuid())
        .bind(i64::try_from(API_KEYS_MAX).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await;
        found.map_err(|e| unavailable("list API keys", e))?.iter().map(rows::api_key).collect()
    }

    async fn find_api_key(
        &self,
        workspace: WorkspaceId,
        id: ApiKeyId,
    ) -> Result<Option<ApiKeyRow>, StoreError> {
        let found = sqlx::query(
            "SELECT id, workspace_id, user_id, name, prefix, digest, access, created_at, expires_at, \
             last_used_at, revoked_at FROM api_keys WHERE workspace_id = $1 AND id = $2",
        )
        .bind(workspace.uuid())
        .bind(id.uuid())
        .fetch_optional(&self.pool)
        .await;
        found.map_err(|e| unavailable("find an API key", e))?.as_ref().map(rows::api_key).transpose()
    }

    async fn find_api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        let found = sqlx::query(
            "SELECT id, workspace_id, user_id, name, prefix, digest, access, created_at, expires_at, \
             last_used_at, revoked_at FROM api_keys WHERE digest = $1",
        )
        .bind(digest.as_slice())
        .fetch_optional(&self.pool)
        .await;
        found.map_err(|e| unavailable("find an API key", e))?.as_ref().map(rows::api_key).transpose()
    }

    async fn list_live_api_keys(&self) -> Result<Vec<ApiKeyRow>, StoreError> {
        let found = sqlx::query(
            "SELECT id, workspace_id, user_id, name, prefix, digest, access, created_at, expires_at, \
             last_used_at, revoked_at FROM api_keys WHERE revoked_at IS NULL ORDER BY workspace_id, id",
        )
        .fetch_all(&self.pool)
        .await;
        found.map_err(|e| unavailable("list API keys", e))?.iter().map(rows::api_key).collect()
    }
}

#[async_trait]
impl Facts for PostgresStore {
    async fn find_fact(
        &self,
        workspace: WorkspaceId,
        connection: &Key,
        kind: FactKind,
    ) -> Result<Option<Fact>, StoreError> {
        let found = sqlx::query(
            "SELECT bytes, updated_at FROM connection_facts \
             WHERE workspace_id = $1 AND connection_key = $2 AND kind = $3",
        )
        .bind(workspace.uuid())
        .bind(connection.as_str())
        .bind(kind.as_str())
        .fetch_optional(&self.pool)
        .await;
        found.map_err(|e| unavailable("read a fact", e))?.as_ref().map(rows::fact).transpose()
    }
}

#[async_trait]
impl Owners for PostgresStore {
    async fn find_owner(&self) -> Result<Option<Owner>, StoreError> {
        let found = sqlx::query("SELECT workspace_id, id FROM users ORDER BY created_at, id LIMIT 1")
            .fetch_optional(&self.pool)
            .await;
        found.map_err(|e| unavailable("find the owner", e))?.as_ref().map(rows::owner).transpose()
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn backend(&self) -> Backend {
        Backend::Postgres
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.feed.subscribe()
    }

    fn observe(&self, observer: Observer) {
        self.feed.observe(observer);
    }

    async fn close(&self) {
        self.follower.stop();
        self.pool.close().await;
    }
}

/// One connection on its own first: the pool would retry a refusal in silence and then say only that it
/// waited.
async fn check_server(options: &PgConnectOptions) -> Result<(), StoreError> {
    let failed = |error| unavailable("reach PostgreSQL", error);
    match tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(failed)?.close().await.map_err(failed),
        Err(_) => Err(failed(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))),
    }
}
