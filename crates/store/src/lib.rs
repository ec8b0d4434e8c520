//! What is remembered, as traits per noun, with one transaction type and the suite that every backend
//! passes. The memory backend lives here; SQLite and PostgreSQL have rooms of their own.
//!
//! Not its job: SQL (`store-*`), call records (`ledger`), or anything on the hot path: readers hold a
//! snapshot in memory and reload it when [`Store::subscribe`] says so.
//! Start reading at [`Store`], then [`Command`].

mod api_key;
mod bulk;
mod change;
mod command;
mod connection;
#[cfg(feature = "contract")]
pub mod contract;
mod credential;
mod data_key;
mod error;
mod fact;
mod feed;
mod health;
mod idempotency;
mod integration;
mod lease;
mod lock;
mod log;
mod memory;
pub mod migration;
mod owner;
mod page;
mod sweep;
mod text;
mod toolset;

use async_trait::async_trait;
use tokio::sync::watch;

pub use api_key::{API_KEYS_MAX, ApiKeyRow, ApiKeys, Touch};
pub use bulk::{
    Bulk, Cell, CellRow, Column, ColumnKind, CopiedRows, MOVE_LEASE, Progress, TABLES, Table, is_half_moved,
    move_all,
};
pub use change::{Change, Changed};
pub use command::{COMMANDS_MAX, Command};
pub use connection::{
    CONNECTIONS_MAX, Connected, ConnectionChange, ConnectionCommand, ConnectionCursor, ConnectionQuery,
    ConnectionRow, ConnectionStats, Connections, IntegrationSummary, LAST_ERROR_LEN_MAX, StatusMove,
};
pub use credential::{
    CREDENTIALS_MAX, CredentialCommand, CredentialRow, Credentials, PreviousValue, Replaces, SEALED_LEN_MAX,
};
pub use data_key::{DATA_KEYS_MAX, DataKeyCommand, DataKeyRow, DataKeyState, DataKeys, WRAPPED_LEN_MAX};
pub use error::StoreError;
pub use fact::{FACT_BYTES_MAX, Fact, FactKind, Facts};
pub use feed::{ChangeFeed, Observer};
pub use health::{
    HEALTH_ERROR_LEN_MAX, HOUR_MS, Health, HealthCommand, HealthRow, HealthSummary, Histogram, RollupRow,
    SUMMARY_ROWS_MAX, Tally, hour_of,
};
pub use idempotency::{
    Claim, IDEMPOTENCY_KEY_LEN_MAX, RESPONSE_LEN_MAX, RequestCommand, RequestKey, RequestRow, Requests,
};
pub use integration::{
    DESCRIPTION_LEN_MAX, INTEGRATIONS_MAX, IntegrationCommand, IntegrationQuery, IntegrationRow,
    IntegrationVersion, Integrations, JSON_LEN_MAX, MANIFEST_LEN_MAX, NAME_LEN_MAX, NameCursor, Origin,
    SLUG_LEN_MAX, VERSIONS_MAX,
};
pub use lease::{LEASE_NAME_LEN_MAX, Lease, LeaseCommand, Leases, Taken, first_token};
pub use lock::FolderLock;
pub use log::{
    EventType, LOG_LOOK_MAX, LogCommand, LogCursor, LogQuery, LogRow, Logs, MESSAGE_LEN_MAX,
    METADATA_LEN_MAX, SWEEP_MAX,
};
pub use memory::MemoryStore;
pub use owner::{NewOwner, Owners};
pub use page::{PAGE_MAX, Page, Scope, TimeCursor, page_size};
pub use sweep::{Old, Sweeps, Under};
pub use text::{Json, fold};
pub use toolset::{TOOLSETS_MAX, ToolsetCommand, ToolsetRow, Toolsets};

/// Which backend holds the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// In this process; lost on restart.
    Memory,
    /// The embedded default.
    Sqlite,
    /// For many nodes.
    Postgres,
}

/// The one way in which anything changes.
#[async_trait]
pub trait Transactions: Send + Sync {
    /// Runs the commands in order, all or none, and returns once they are durable.
    ///
    /// Nothing of the caller's runs inside: preconditions are part of the commands, so a transaction is
    /// never held across somebody else's await.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of the list has happened.
    async fn apply(&self, commands: Vec<Command>) -> Result<(), StoreError>;
}

/// A backend: every noun's trait, the change feed, and an end.
#[async_trait]
pub trait Store:
    ApiKeys
    + Connections
    + Credentials
    + DataKeys
    + Facts
    + Health
    + Integrations
    + Leases
    + Logs
    + Owners
    + Requests
    + Sweeps
    + Toolsets
{
    /// Which one it is.
    fn backend(&self) -> Backend;

    /// The change feed: a number that grows with every commit a snapshot could care about, on this node
    /// or (where the backend is shared) on another. It may grow without cause, never fail to grow.
    fn subscribe(&self) -> watch::Receiver<u64>;

    /// Tells `observer` of every change from now on, once it is committed: in order, and in outline, for
    /// showing people what happens. What other nodes commit is told as [`Changed::Something`].
    fn observe(&self, observer: Observer);

    /// Finishes what was accepted and lets go of files and connections. Afterwards every call answers
    /// [`StoreError::Closed`]. Calling it again does nothing.
    async fn close(&self);
}

// === impl Backend ===

impl Backend {
    /// The word for it in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// What an operator must be told on start; `None` where data outlives the process.
    #[must_use]
    pub const fn warning(self) -> Option<&'static str> {
        match self {
            Self::Memory => {
                Some("store: memory keeps keys, facts and calls in this process only; a restart loses them")
            }
            Self::Sqlite | Self::Postgres => None,
        }
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
