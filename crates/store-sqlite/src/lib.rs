//! The embedded default backend: one SQLite file, one writer thread, a few readers.
//!
//! Why so: SQLite has one writer at a time anyway. Giving it one thread that commits in groups makes
//! every write durable (`synchronous=FULL`) at a small fraction of a sync each, and leaves nothing to
//! retry. Not its job: what the nouns mean (`store`), or holding the data folder's lock
//! (`store::FolderLock`, taken by the binary).

pub mod backup;
mod bulk;
mod commands;
mod connections;
mod copy;
mod credentials;
mod data_keys;
mod health;
mod integrations;
mod leases;
mod logs;
mod look;
mod migrate;
mod open;
mod readers;
mod requests;
mod rows;
mod sql;
mod sweeps;
mod toolsets;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use model::id::{ApiKeyId, WorkspaceId};
use model::{Clock, Key, Owner};
use rusqlite::{OptionalExtension, params};
use store::{
    API_KEYS_MAX, ApiKeyRow, ApiKeys, Backend, ChangeFeed, Command, Fact, FactKind, Facts, Observer, Owners,
    Store, StoreError, Transactions,
};
use tokio::sync::watch;

use crate::readers::Readers;
use crate::rows::{API_KEY_COLUMNS, api_key, collect, id};
use crate::writer::Writer;

pub use look::look;

/// See the head of the file.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    feed: Arc<ChangeFeed>,
}

// === impl SqliteStore ===

impl SqliteStore {
    /// Opens the database file, making it (readable by its owner only) or migrating it first. Before an
    /// existing one is migrated, a copy is kept as `backups/<file>.before-v<N>` beside it.
    ///
    /// # Errors
    /// [`StoreError`]: an old library, a newer schema, somebody else's database, a file or disk that does
    /// not let us.
    pub async fn open(path: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let path = path.into();
        let opened = tokio::task::spawn_blocking(move || {
            let writer = open::writer(&path, migrate::MIGRATIONS, &*clock)?;
            let readers = open::readers(&path)?;
            Ok::<_, StoreError>((writer, readers))
        });
        let (writer, readers) =
            opened.await.map_err(|e| StoreError::unavailable("open the database", e))??;
        let feed = Arc::new(ChangeFeed::new());
        Ok(Self { writer: Writer::start(writer, Arc::clone(&feed))?, readers: Readers::new(readers), feed })
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transactions for SqliteStore {
    async fn apply(&self, commands: Vec<Command>) -> Result<(), StoreError> {
        Command::check_limits(&commands)?;
        self.writer.write(commands).await
    }
}

#[async_trait]
impl ApiKeys for SqliteStore {
    async fn list_api_keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKeyRow>, StoreError> {
        let limit = i64::try_from(API_KEYS_MAX).unwrap_or(i64::MAX);
        self.readers
            .read("list API keys", move |db| {
                let mut query = db.prepare_cached(&format!(
                    "SELECT {API_KEY_COLUMNS} FROM api_keys WHERE workspace_id = ?1 \
                     ORDER BY revoked_at IS NOT NULL, id DESC LIMIT ?2"
                ))?;
                collect(query.query_map(params![workspace.uuid().as_bytes(), limit], api_key)?)
            })
            .await
    }

    async fn find_api_key(
        &self,
        workspace: WorkspaceId,
        id: ApiKeyId,
    ) -> Result<Option<ApiKeyRow>, StoreError> {
        self.readers
            .read("find an API key", move |db| {
                let mut query = db.prepare_cached(&format!(
                    "SELECT {API_KEY_COLUMNS} FROM api_keys WHERE workspace_id = ?1 AND id = ?2"
                ))?;
                query
                    .query_row(params![workspace.uuid().as_bytes(), id.uuid().as_bytes()], api_key)
                    .optional()
            })
            .await?
            .transpose()
    }

    async fn find_api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        let digest = *digest;
        self.readers
            .read("find an API key", move |db| {
                let mut query =
                    db.prepare_cached(&format!("SELECT {API_KEY_COLUMNS} FROM api_keys WHERE digest = ?1"))?;
                query.query_row([digest], api_key).optional()
            })
            .await?
            .transpose()
    }

    async fn list_live_api_keys(&self) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.readers
            .read("list API keys", |db| {
                let mut query = db.prepare_cached(&format!(
                    "SELECT {API_KEY_COLUMNS} FROM api_keys WHERE revoked_at IS NULL ORDER BY workspace_id, id"
                ))?;
                collect(query.query_map([], api_key)?)
            })
            .await
    }
}

#[async_trait]
impl Facts for SqliteStore {
    async fn find_fact(
        &self,
        workspace: WorkspaceId,
        connection: &Key,
        kind: FactKind,
    ) -> Result<Option<Fact>, StoreError> {
        let connection = connection.clone();
        self.readers
            .read("read a fact", move |db| {
                let mut query = db.prepare_cached(
                    "SELECT bytes, updated_at FROM connection_facts \
                     WHERE workspace_id = ?1 AND connection_key = ?2 AND kind = ?3",
                )?;
                query
                    .query_row(
                        params![workspace.uuid().as_bytes(), connection.as_str(), kind.as_str()],
                        rows::fact,
                    )
                    .optional()
            })
            .await
    }
}

#[async_trait]
impl Owners for SqliteStore {
    async fn find_owner(&self) -> Result<Option<Owner>, StoreError> {
        self.readers
            .read("find the owner", |db| {
                let mut query =
                    db.prepare_cached("SELECT workspace_id, id FROM users ORDER BY created_at, id LIMIT 1")?;
                let owner = |row: &rusqlite::Row<'_>| Ok(Owner { workspace: id(row, 0)?, user: id(row, 1)? });
                query.query_row([], owner).optional()
            })
            .await
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn backend(&self) -> Backend {
        Backend::Sqlite
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.feed.subscribe()
    }

    fn observe(&self, observer: Observer) {
        self.feed.observe(observer);
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
