//! What can be asked of the store: commands that carry their own preconditions.

use model::id::{ApiKeyId, WorkspaceId};
use model::{Key, Timestamp};

use crate::{
    ApiKeyRow, ConnectionCommand, CopiedRows, CredentialCommand, DataKeyCommand, FACT_BYTES_MAX, Fact,
    FactKind, HealthCommand, IntegrationCommand, LeaseCommand, LogCommand, NewOwner, RequestCommand,
    StoreError, ToolsetCommand, Touch,
};

/// The most commands of one transaction, and the most touches of one command.
pub const COMMANDS_MAX: usize = 4_096;

/// One change. A list of them is a transaction; see [`crate::Transactions::apply`].
#[derive(Debug, Clone)]
pub enum Command {
    /// Makes the one owner, unless there is one.
    BootstrapOwner(Box<NewOwner>),
    /// Adds a key. Its owner must exist ([`StoreError::Missing`]), its id and digest must be new
    /// ([`StoreError::Conflict`]), and the workspace must have room ([`StoreError::TooLarge`]).
    InsertApiKey(Box<ApiKeyRow>),
    /// Revokes a key that must exist in the workspace; revoked ones keep their time.
    RevokeApiKey {
        /// The key's workspace.
        workspace: WorkspaceId,
        /// Which key.
        id: ApiKeyId,
        /// When.
        at: Timestamp,
    },
    /// Makes a key expire at `expires_at`, or as it would have if that is earlier. It must exist
    /// ([`StoreError::Missing`]) and not be revoked ([`StoreError::Conflict`]).
    RetireApiKey {
        /// The key's workspace.
        workspace: WorkspaceId,
        /// Which key.
        id: ApiKeyId,
        /// From when on it opens nothing.
        expires_at: Timestamp,
    },
    /// Remembers when keys were last used.
    TouchApiKeys(Vec<Touch>),
    /// Remembers a fact; the workspace must exist.
    PutFact {
        /// The connection's workspace.
        workspace: WorkspaceId,
        /// The connection's key.
        connection: Key,
        /// What it is about.
        kind: FactKind,
        /// The fact.
        fact: Fact,
    },
    /// Forgets everything about a connection.
    ForgetFacts {
        /// The connection's workspace.
        workspace: WorkspaceId,
        /// The connection's key.
        connection: Key,
    },
    /// About the catalogue.
    Integration(IntegrationCommand),
    /// About a connection.
    Connection(ConnectionCommand),
    /// About a sealed value.
    Credential(CredentialCommand),
    /// About a data key.
    DataKey(DataKeyCommand),
    /// About the log of a connection.
    Log(LogCommand),
    /// About the health of a connection.
    Health(HealthCommand),
    /// About a toolset.
    Toolset(ToolsetCommand),
    /// About a lease.
    Lease(LeaseCommand),
    /// About an idempotency key.
    Request(RequestCommand),
    /// Puts rows into a table as they are, when everything is moved here from another store.
    Copy(CopiedRows),
}

// === impl Command ===

impl Command {
    /// Whether a snapshot could care. Touches, logs, health, leases and idempotency keys come all the time
    /// and are in no snapshot: they must not make every node reload.
    #[must_use]
    pub const fn wakes_feed(&self) -> bool {
        !matches!(
            self,
            Self::TouchApiKeys(_) | Self::Log(_) | Self::Health(_) | Self::Lease(_) | Self::Request(_)
        )
    }

    /// Checks the limits that hold for every backend.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::Malformed`].
    pub fn check_limits(commands: &[Self]) -> Result<(), StoreError> {
        let too_large = |what, max| Err(StoreError::TooLarge { what, max });
        if commands.len() > COMMANDS_MAX {
            return too_large("the number of commands in a transaction", COMMANDS_MAX);
        }
        for command in commands {
            match command {
                Self::Integration(command) => command.check()?,
                Self::Connection(command) => command.check()?,
                Self::Credential(command) => command.check()?,
                Self::DataKey(command) => command.check()?,
                Self::Log(command) => command.check()?,
                Self::Health(command) => command.check()?,
                Self::Toolset(command) => command.check()?,
                Self::Lease(command) => command.check()?,
                Self::Request(command) => command.check()?,
                Self::PutFact { fact, .. } if fact.bytes.len() > FACT_BYTES_MAX => {
                    return too_large("a remembered fact, in bytes,", FACT_BYTES_MAX);
                }
                Self::TouchApiKeys(touches) if touches.len() > COMMANDS_MAX => {
                    return too_large("the number of touches in a command", COMMANDS_MAX);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
