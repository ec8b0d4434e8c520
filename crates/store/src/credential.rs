//! Credentials as they are stored: sealed bytes that only the room `credential` can open.

use async_trait::async_trait;
use model::id::{ConnectionId, CredentialId, UserId, WorkspaceId};
use model::{Owner, Timestamp};

use crate::text::{check_bytes, check_name, check_text};
use crate::{Command, Page, Scope, StoreError, Transactions};

/// The largest sealed value, in bytes.
pub const SEALED_LEN_MAX: usize = 64 * 1024;
/// The most credentials of one connection, every user's counted.
pub const CREDENTIALS_MAX: usize = 10_000;

/// One sealed value of a connection. Its place is (connection, user, field).
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialRow {
    /// Which one. A value that takes the place of another keeps the other's id.
    pub id: CredentialId,
    /// The connection it belongs to.
    pub connection: ConnectionId,
    /// The connection's owner.
    pub owner: Owner,
    /// Whose own it is; `None` for the one that all users share.
    pub user: Option<UserId>,
    /// Which field it fills: `api_key`, `password`, `refresh_token` (column `credential_type`).
    pub field: String,
    /// The sealed value.
    pub sealed: Vec<u8>,
    /// The data key that it is sealed with.
    pub key_version: u32,
    /// Tells values apart without opening them.
    pub fingerprint: [u8; 8],
    /// The value's last characters, for people to recognise it by; empty for short values.
    pub last_four: String,
    /// From when on it is of no use; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// When the value last changed.
    pub last_rotated_at: Option<Timestamp>,
    /// When the place was first filled.
    pub created_at: Timestamp,
    /// What stood here before, while both are good.
    pub previous: Option<PreviousValue>,
}

/// A value that has a successor.
#[derive(Clone, PartialEq, Eq)]
pub struct PreviousValue {
    /// The sealed value, by the same data key as its successor.
    pub sealed: Vec<u8>,
    /// Until when it is kept.
    pub overlap_until: Timestamp,
}

/// What must stand in a place for a value to be put there ([`StoreError::Conflict`] otherwise).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// Whatever.
    Anything,
    /// Nothing.
    Nothing,
    /// Exactly the value that was read: sealing it anew must not undo what somebody stored meanwhile.
    Exactly {
        /// Its data key.
        key_version: u32,
        /// Its fingerprint.
        fingerprint: [u8; 8],
    },
    /// As [`Self::Exactly`], by the same value, sealed anew: for people nothing is different.
    SameValue {
        /// The data key it was sealed with.
        key_version: u32,
        /// Its fingerprint then.
        fingerprint: [u8; 8],
    },
}

/// Changes of credentials.
#[derive(Debug, Clone)]
pub enum CredentialCommand {
    /// Puts a value in its place. The connection must be there for the row's owner
    /// ([`StoreError::Missing`]).
    Put {
        /// The value.
        row: Box<CredentialRow>,
        /// What it takes the place of.
        replaces: Replaces,
    },
    /// Removes a value.
    Delete {
        /// Who may: the connection's owner, or the user whose own it is.
        scope: Scope,
        /// Of which connection.
        connection: ConnectionId,
        /// Which one.
        id: CredentialId,
    },
    /// Drops previous values whose overlap is over.
    DropPrevious {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// What ends by now is over.
        now: Timestamp,
    },
}

/// The store of credentials.
#[async_trait]
pub trait Credentials: Transactions {
    /// The values of a connection, by field. With a user's scope: those that all share and the user's own;
    /// with the workspace's: everybody's.
    async fn list_credentials(
        &self,
        scope: Scope,
        connection: ConnectionId,
    ) -> Result<Vec<CredentialRow>, StoreError>;

    /// A page of the workspace's values that are sealed with another data key than `version`, by id.
    async fn list_credentials_not_of(
        &self,
        workspace: WorkspaceId,
        version: u32,
        after: Option<CredentialId>,
        limit: usize,
    ) -> Result<Page<CredentialRow, CredentialId>, StoreError>;

    /// How many values each data key of the workspace seals: (version, count), by version.
    async fn count_credentials(&self, workspace: WorkspaceId) -> Result<Vec<(u32, u64)>, StoreError>;

    /// Puts a value in its place.
    async fn put_credential(&self, row: CredentialRow, replaces: Replaces) -> Result<(), StoreError> {
        self.change_credential(CredentialCommand::Put { row: Box::new(row), replaces }).await
    }

    /// Runs one command.
    async fn change_credential(&self, command: CredentialCommand) -> Result<(), StoreError> {
        self.apply(vec![Command::Credential(command)]).await
    }
}

// === impl CredentialCommand ===

impl CredentialCommand {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let Self::Put { row, .. } = self else { return Ok(()) };
        check_name("the field of a credential", &row.field, 64)?;
        check_text("the last characters of a credential", &row.last_four, 16)?;
        let previous = row.previous.as_ref().map_or(0, |previous| previous.sealed.len());
        check_bytes("a sealed value, in bytes,", row.sealed.len().max(previous), SEALED_LEN_MAX)
    }
}

// === impl Replaces ===

impl Replaces {
    /// Whether it allows what is there: the key version and fingerprint of the present value.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub fn allows(self, present: Option<(u32, [u8; 8])>) -> Result<(), StoreError> {
        let fits = match (self, present) {
            (Self::Anything, _) | (Self::Nothing, None) => true,
            (
                Self::Exactly { key_version, fingerprint } | Self::SameValue { key_version, fingerprint },
                Some(there),
            ) => there == (key_version, fingerprint),
            (Self::Nothing, Some(_)) | (Self::Exactly { .. } | Self::SameValue { .. }, None) => false,
        };
        if fits {
            Ok(())
        } else {
            Err(StoreError::Conflict { detail: "the credential has changed meanwhile" })
        }
    }
}

impl std::fmt::Debug for CredentialRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialRow")
            .field("id", &self.id)
            .field("field", &self.field)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PreviousValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreviousValue").field("overlap_until", &self.overlap_until).finish_non_exhaustive()
    }
}
