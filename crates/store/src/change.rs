//! What a committed command changed, in outline: for whoever shows live what happens. Never content: no
//! configuration, no sealed value, no digest.

use model::id::{ApiKeyId, ConnectionId, CredentialId, UserId, WorkspaceId};
use model::{ConnectionStatus, Key, Timestamp};

use crate::{
    Command, ConnectionChange, ConnectionCommand, CredentialCommand, HealthCommand, IntegrationCommand,
    Replaces, ToolsetCommand,
};

/// One thing that is different since a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// In which workspace; `None` when it concerns all, or nobody knows.
    pub workspace: Option<WorkspaceId>,
    /// What it is.
    pub what: Changed,
}

/// What is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// A connection is new.
    ConnectionMade {
        /// Which one.
        id: ConnectionId,
        /// Its key.
        key: Key,
        /// What people call it.
        name: String,
        /// The slug of what it is a connection with.
        integration: String,
        /// Where it stands.
        status: ConnectionStatus,
    },
    /// What the owner of a connection wrote is different.
    ConnectionChanged {
        /// Which one.
        id: ConnectionId,
        /// The members that were written.
        members: Vec<&'static str>,
    },
    /// A connection's status has moved.
    ConnectionMoved {
        /// Which one.
        id: ConnectionId,
        /// Where to.
        to: ConnectionStatus,
        /// Why, when that is [`ConnectionStatus::Error`].
        error: Option<String>,
    },
    /// A connection was tried out.
    ConnectionChecked {
        /// Which one.
        id: ConnectionId,
        /// How long the answer took, in milliseconds.
        response_time_ms: u32,
        /// Whether it was a good one.
        is_ok: bool,
        /// Why not.
        error: Option<String>,
    },
    /// A connection is gone.
    ConnectionRemoved {
        /// Which one.
        id: ConnectionId,
    },
    /// A value was put in its place.
    CredentialStored {
        /// Of which connection.
        connection: ConnectionId,
        /// Which one.
        id: CredentialId,
        /// Which field it fills.
        field: String,
        /// Whose own it is.
        user: Option<UserId>,
        /// It has the place of an earlier one.
        is_rotation: bool,
    },
    /// A value is gone.
    CredentialRemoved {
        /// Of which connection.
        connection: ConnectionId,
        /// Which one.
        id: CredentialId,
    },
    /// An entry of the catalogue is new.
    IntegrationMade {
        /// Its slug.
        slug: String,
    },
    /// An entry of the catalogue is different.
    IntegrationChanged {
        /// Its slug.
        slug: String,
    },
    /// An entry of the catalogue is gone, or takes no new connections.
    IntegrationRemoved {
        /// Its slug.
        slug: String,
    },
    /// A toolset is new.
    ToolsetMade {
        /// Its key.
        key: Key,
    },
    /// A toolset is different.
    ToolsetChanged {
        /// Its key.
        key: Key,
    },
    /// A toolset is gone.
    ToolsetRemoved {
        /// Its key.
        key: Key,
    },
    /// An API key is new.
    KeyMade {
        /// Which one.
        id: ApiKeyId,
        /// What people call it.
        name: String,
    },
    /// An API key opens nothing any more.
    KeyRevoked {
        /// Which one.
        id: ApiKeyId,
    },
    /// An API key has a successor, and ends.
    KeyRetired {
        /// Which one.
        id: ApiKeyId,
        /// When, at the latest.
        expires_at: Timestamp,
    },
    /// Something, on another node. Whoever needs to know has to look.
    Something,
}

impl Change {
    /// What a command will have changed once it is committed; `None` for what is nobody's business but the
    /// hub's own (facts, leases, idempotency keys, last uses) or tells of itself (the log).
    #[must_use]
    pub fn of(command: &Command) -> Option<Self> {
        match command {
            Command::InsertApiKey(row) => {
                let what = Changed::KeyMade { id: row.id, name: row.name.clone() };
                Some(Self { workspace: Some(row.owner.workspace), what })
            }
            Command::RevokeApiKey { workspace, id, .. } => {
                Some(Self { workspace: Some(*workspace), what: Changed::KeyRevoked { id: *id } })
            }
            Command::RetireApiKey { workspace, id, expires_at } => {
                let what = Changed::KeyRetired { id: *id, expires_at: *expires_at };
                Some(Self { workspace: Some(*workspace), what })
            }
            Command::Integration(command) => Some(integration(command)),
            Command::Connection(command) => connection(command),
            Command::Credential(command) => credential(command),
            Command::Health(HealthCommand::Append(row)) => {
                let what = Changed::ConnectionChecked {
                    id: row.connection,
                    response_time_ms: row.response_time_ms,
                    is_ok: row.success,
                    error: row.error_message.clone(),
                };
                Some(Self { workspace: Some(row.workspace), what })
            }
            Command::Toolset(command) => Some(toolset(command)),
            Command::BootstrapOwner(_)
            | Command::TouchApiKeys(_)
            | Command::PutFact { .. }
            | Command::ForgetFacts { .. }
            | Command::DataKey(_)
            | Command::Log(_)
            | Command::Health(_)
            | Command::Lease(_)
            | Command::Request(_)
            // Into a store that no hub has open.
            | Command::Copy(_) => None,
        }
    }

    /// Something has changed somewhere else.
    pub(crate) const SOMETHING: Self = Self { workspace: None, what: Changed::Something };
}

fn connection(command: &ConnectionCommand) -> Option<Change> {
    let (workspace, what) = match command {
        ConnectionCommand::Insert(row) => {
            let what = Changed::ConnectionMade {
                id: row.id,
                key: row.key.clone(),
                name: row.name.clone(),
                integration: row.integration.clone(),
                status: row.status,
            };
            (row.owner.workspace, what)
        }
        ConnectionCommand::Update { scope, id, change, .. } => {
            (scope.workspace, Changed::ConnectionChanged { id: *id, members: members(change) })
        }
        ConnectionCommand::Move(step) => {
            let what = Changed::ConnectionMoved { id: step.id, to: step.to, error: step.error.clone() };
            (step.scope.workspace, what)
        }
        // A node does this once, when it starts: before anybody can follow it.
        ConnectionCommand::FailTesting { .. } => return None,
        ConnectionCommand::Delete { scope, id } => (scope.workspace, Changed::ConnectionRemoved { id: *id }),
    };
    Some(Change { workspace: Some(workspace), what })
}

/// The members that a change writes, as the API calls them.
fn members(change: &ConnectionChange) -> Vec<&'static str> {
    let written = [
        ("name", change.name.is_some()),
        ("connection_config", change.config.is_some()),
        ("auth_method", change.auth_method.is_some()),
        ("version", change.version.is_some()),
        ("is_shared", change.is_shared.is_some()),
        ("is_per_user", change.is_per_user.is_some()),
        ("egress_private", change.egress_private.is_some()),
    ];
    written.into_iter().filter_map(|(name, is_written)| is_written.then_some(name)).collect()
}

fn credential(command: &CredentialCommand) -> Option<Change> {
    match command {
        // The value is the same: nothing that anybody would see is different.
        CredentialCommand::Put { replaces: Replaces::SameValue { .. }, .. }
        | CredentialCommand::DropPrevious { .. } => None,
        CredentialCommand::Put { row, .. } => {
            let what = Changed::CredentialStored {
                connection: row.connection,
                id: row.id,
                field: row.field.clone(),
                user: row.user,
                is_rotation: row.last_rotated_at.is_some(),
            };
            Some(Change { workspace: Some(row.owner.workspace), what })
        }
        CredentialCommand::Delete { scope, connection, id } => {
            let what = Changed::CredentialRemoved { connection: *connection, id: *id };
            Some(Change { workspace: Some(scope.workspace), what })
        }
    }
}

fn integration(command: &IntegrationCommand) -> Change {
    let (workspace, what) = match command {
        IntegrationCommand::Insert(row) => {
            (row.workspace, Changed::IntegrationMade { slug: row.slug.clone() })
        }
        IntegrationCommand::Update { row, .. } | IntegrationCommand::Seed(row) => {
            (row.workspace, Changed::IntegrationChanged { slug: row.slug.clone() })
        }
        IntegrationCommand::Delete { workspace, slug } => {
            (Some(*workspace), Changed::IntegrationRemoved { slug: slug.clone() })
        }
        IntegrationCommand::Withdraw { slug, .. } => {
            (None, Changed::IntegrationRemoved { slug: slug.clone() })
        }
    };
    Change { workspace, what }
}

fn toolset(command: &ToolsetCommand) -> Change {
    let (workspace, what) = match command {
        ToolsetCommand::Insert(row) => (row.owner.workspace, Changed::ToolsetMade { key: row.key.clone() }),
        ToolsetCommand::Update { row, .. } => {
            (row.owner.workspace, Changed::ToolsetChanged { key: row.key.clone() })
        }
        ToolsetCommand::Delete { workspace, key } => {
            (*workspace, Changed::ToolsetRemoved { key: key.clone() })
        }
    };
    Change { workspace: Some(workspace), what }
}
