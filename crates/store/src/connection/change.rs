//! What can happen to a connection.

use model::id::{ConnectionId, WorkspaceId};
use model::{AuthMethod, ConnectionStatus, Timestamp};

use super::ConnectionRow;
use crate::integration::{JSON_LEN_MAX, NAME_LEN_MAX};
use crate::text::{check_bytes, check_name};
use crate::{Json, Scope, StoreError};

/// Changes of connections.
#[derive(Debug, Clone)]
pub enum ConnectionCommand {
    /// Adds one. Owner and integration must exist ([`StoreError::Missing`]), id, key and name must be new
    /// ([`StoreError::Taken`]), the workspace must have room
    /// ([`StoreError::TooLarge`]).
    Insert(Box<ConnectionRow>),
    /// Changes what its owner wrote.
    Update {
        /// Who may.
        scope: Scope,
        /// Which one.
        id: ConnectionId,
        /// The revision that the writer saw ([`StoreError::StaleRevision`] otherwise), or `None` for
        /// whichever.
        expected: Option<u64>,
        /// What becomes different.
        change: Box<ConnectionChange>,
        /// When.
        at: Timestamp,
    },
    /// Moves it along an edge of [`ConnectionStatus::may_become`] ([`StoreError::IllegalMove`] otherwise).
    Move(Box<StatusMove>),
    /// Moves everything of the workspace that is `testing` since before `before` to `error`: whoever
    /// tested it is gone.
    FailTesting {
        /// The workspace.
        workspace: WorkspaceId,
        /// Tests that began from here on are left alone.
        before: Timestamp,
        /// When.
        at: Timestamp,
        /// What becomes the last error.
        reason: String,
    },
    /// Removes it with its credentials, log, metrics and facts.
    Delete {
        /// Who may.
        scope: Scope,
        /// Which one.
        id: ConnectionId,
    },
}

/// What becomes different; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionChange {
    /// Another name.
    pub name: Option<String>,
    /// Another configuration, whole.
    pub config: Option<Json>,
    /// Another way to prove itself.
    pub auth_method: Option<AuthMethod>,
    /// Pins another version; the one before is remembered.
    pub version: Option<String>,
    /// Shares it, or not any more.
    pub is_shared: Option<bool>,
    /// Every user's own credentials, or one for all.
    pub is_per_user: Option<bool>,
    /// Allows private networks, or not any more.
    pub egress_private: Option<bool>,
}

/// A move of status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusMove {
    /// Who may.
    pub scope: Scope,
    /// Which one.
    pub id: ConnectionId,
    /// The revision that was tried out ([`StoreError::StaleRevision`] when it is another by now), or
    /// `None` for whichever.
    pub expected: Option<u64>,
    /// Where to.
    pub to: ConnectionStatus,
    /// Why, when it is to [`ConnectionStatus::Error`]; cut to [`super::LAST_ERROR_LEN_MAX`].
    pub error: Option<String>,
    /// When.
    pub at: Timestamp,
}

// === impl ConnectionCommand ===

impl ConnectionCommand {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Insert(row) => row.check(),
            Self::Update { change, .. } => change.check(),
            Self::Move(_) | Self::FailTesting { .. } | Self::Delete { .. } => Ok(()),
        }
    }
}

// === impl ConnectionChange ===

impl ConnectionChange {
    fn check(&self) -> Result<(), StoreError> {
        if let Some(name) = &self.name {
            check_name("the name of a connection", name, NAME_LEN_MAX)?;
        }
        if let Some(version) = &self.version {
            check_name("the version of a connection", version, 64)?;
        }
        let length = self.config.as_ref().map_or(0, |config| config.as_str().len());
        check_bytes("the configuration of a connection, in bytes,", length, JSON_LEN_MAX)
    }
}
