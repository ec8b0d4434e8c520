//! Connections as they are stored (table `user_integrations`): what somebody configured, and where it stands.

mod change;
mod query;

use async_trait::async_trait;
use model::id::{ConnectionId, IntegrationId, WorkspaceId};
use model::{AuthMethod, ConnectionStatus, Key, Owner, Timestamp};

pub use change::{ConnectionChange, ConnectionCommand, StatusMove};
pub use query::{Connected, ConnectionCursor, ConnectionQuery, ConnectionStats, IntegrationSummary};

use crate::integration::{JSON_LEN_MAX, NAME_LEN_MAX, SLUG_LEN_MAX};
use crate::text::{check_bytes, check_name, check_text};
use crate::{Command, Json, Page, Scope, StoreError, Transactions};

/// The most connections of one workspace.
pub const CONNECTIONS_MAX: usize = 100_000;
/// The longest reason of a failure that is kept, in bytes; longer ones are cut.
pub const LAST_ERROR_LEN_MAX: usize = 2_048;

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRow {
    /// Which one.
    pub id: ConnectionId,
    /// Whose.
    pub owner: Owner,
    /// What URLs and tool names call it. Unique in its workspace, and stays.
    pub key: Key,
    /// What people call it. Unique for its owner, whatever the case.
    pub name: String,
    /// What it is a connection with.
    pub integration_id: IntegrationId,
    /// The slug of that.
    pub integration: String,
    /// The version of the integration's definition that it is pinned to.
    pub version: String,
    /// The version it was pinned to before, to go back to.
    pub previous_version: Option<String>,
    /// What its owner filled in, without secrets.
    pub config: Json,
    /// How it proves itself.
    pub auth_method: AuthMethod,
    /// Where it stands. Changes only by [`ConnectionCommand::Move`].
    pub status: ConnectionStatus,
    /// Why it does not work, from the last failure; empty when it does.
    pub last_error: Option<String>,
    /// When it was last tried out.
    pub last_tested_at: Option<Timestamp>,
    /// When it last became connected.
    pub connected_at: Option<Timestamp>,
    /// Others of the workspace may use it.
    pub is_shared: bool,
    /// Every user brings credentials of their own.
    pub is_per_user: bool,
    /// Addresses of private networks are allowed for it.
    pub egress_private: bool,
    /// Grows by one with every change of what the owner wrote (not with status): 1 when it is made.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed, status included; set by the store, never moves back.
    pub updated_at: Timestamp,
}

/// The store of connections.
#[async_trait]
pub trait Connections: Transactions {
    /// A page of connections, newest first, each with its integration.
    async fn list_connections(
        &self,
        scope: Scope,
        query: ConnectionQuery,
    ) -> Result<Page<Connected, ConnectionCursor>, StoreError>;

    /// One connection; somebody else's is not there.
    async fn find_connection(
        &self,
        scope: Scope,
        id: ConnectionId,
    ) -> Result<Option<ConnectionRow>, StoreError>;

    /// The connection with this key.
    async fn find_connection_by_key(
        &self,
        scope: Scope,
        key: &Key,
    ) -> Result<Option<ConnectionRow>, StoreError>;

    /// How many there are, of which kinds.
    async fn count_connections(&self, scope: Scope) -> Result<ConnectionStats, StoreError>;

    /// Runs one command.
    async fn change_connection(&self, command: ConnectionCommand) -> Result<(), StoreError> {
        self.apply(vec![Command::Connection(command)]).await
    }

    /// Adds a connection.
    async fn insert_connection(&self, row: ConnectionRow) -> Result<(), StoreError> {
        self.change_connection(ConnectionCommand::Insert(Box::new(row))).await
    }

    /// For the start of a hub: what was being tested when the last one ended did not pass.
    async fn fail_testing(
        &self,
        workspace: WorkspaceId,
        before: Timestamp,
        at: Timestamp,
        reason: &str,
    ) -> Result<(), StoreError> {
        let reason = reason.to_owned();
        self.change_connection(ConnectionCommand::FailTesting { workspace, before, at, reason }).await
    }
}

// === impl ConnectionRow ===

impl ConnectionRow {
    /// Whether it is connected: what its status says, in a word.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.status == ConnectionStatus::Connected
    }

    /// What a search looks through, beside the integration's: name and key, folded.
    #[must_use]
    pub fn search_text(&self) -> String {
        crate::fold(&format!("{}\n{}", self.name, self.key))
    }

    /// Carries out a change of what the owner wrote.
    pub fn edit(&mut self, change: ConnectionChange, at: Timestamp) {
        if let Some(version) = change.version
            && version != self.version
        {
            self.previous_version = Some(std::mem::replace(&mut self.version, version));
        }
        self.name = change.name.unwrap_or_else(|| std::mem::take(&mut self.name));
        if let Some(config) = change.config {
            self.config = config;
        }
        self.auth_method = change.auth_method.unwrap_or(self.auth_method);
        self.is_shared = change.is_shared.unwrap_or(self.is_shared);
        self.is_per_user = change.is_per_user.unwrap_or(self.is_per_user);
        self.egress_private = change.egress_private.unwrap_or(self.egress_private);
        self.revision = self.revision.saturating_add(1);
        self.updated_at = self.updated_at.max(at);
    }

    /// Carries out a move.
    ///
    /// # Errors
    /// [`StoreError::IllegalMove`] where [`ConnectionStatus::may_become`] says no.
    pub fn step(
        &mut self,
        to: ConnectionStatus,
        error: Option<&str>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if !self.status.may_become(to) {
            return Err(StoreError::IllegalMove { from: self.status, to });
        }
        if self.status == ConnectionStatus::Testing {
            self.last_tested_at = Some(at);
        }
        match to {
            ConnectionStatus::Connected => {
                self.connected_at = Some(at);
                self.last_error = None;
            }
            ConnectionStatus::Error => {
                self.last_error = Some(cut(error.unwrap_or("no reason was given"), LAST_ERROR_LEN_MAX));
            }
            _ => {}
        }
        self.status = to;
        self.updated_at = self.updated_at.max(at);
        Ok(())
    }

    /// As the store keeps it when it is new.
    #[must_use]
    pub fn as_new(&self) -> Self {
        Self { revision: 1, updated_at: self.created_at, ..self.clone() }
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.status != ConnectionStatus::Configuring {
            return Err(StoreError::IllegalMove { from: ConnectionStatus::Configuring, to: self.status });
        }
        check_name("the name of a connection", &self.name, NAME_LEN_MAX)?;
        check_name("the integration of a connection", &self.integration, SLUG_LEN_MAX)?;
        check_name("the version of a connection", &self.version, 64)?;
        check_text("the last error", self.last_error.as_deref().unwrap_or_default(), LAST_ERROR_LEN_MAX)?;
        check_bytes("the configuration of a connection, in bytes,", self.config.as_str().len(), JSON_LEN_MAX)
    }
}

/// At most `max` bytes of `text`, whole characters, without NUL.
pub(crate) fn cut(text: &str, max: usize) -> String {
    let mut kept = String::new();
    for c in text.chars().filter(|c| *c != '\0') {
        if kept.len() + c.len_utf8() > max {
            break;
        }
        kept.push(c);
    }
    kept
}
