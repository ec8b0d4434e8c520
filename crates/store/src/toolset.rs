//! Toolsets as they are stored: chosen, renamed, described tools that are served as one endpoint.

use async_trait::async_trait;
use model::id::WorkspaceId;
use model::{Key, Owner, Timestamp};

use crate::integration::{DESCRIPTION_LEN_MAX, JSON_LEN_MAX, NAME_LEN_MAX};
use crate::text::{check_bytes, check_name, check_text};
use crate::{Command, Json, StoreError, Transactions};

/// The most toolsets of one workspace.
pub const TOOLSETS_MAX: usize = 1_000;

/// One toolset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolsetRow {
    /// Whose.
    pub owner: Owner,
    /// What URLs call it. Unique in its workspace, and stays.
    pub key: Key,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The chosen tools.
    pub tools: Json,
    /// Grows by one with every change: 1 when it is made.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed; the store sets it.
    pub updated_at: Timestamp,
}

/// Changes of toolsets.
#[derive(Debug, Clone)]
pub enum ToolsetCommand {
    /// Adds one. The owner must exist, the key must be new, the workspace must have room.
    Insert(Box<ToolsetRow>),
    /// Replaces name, description and tools of the one with the row's key.
    Update {
        /// The new content, and when (`updated_at`).
        row: Box<ToolsetRow>,
        /// The revision it replaces, or `None` for whichever.
        expected: Option<u64>,
    },
    /// Removes one.
    Delete {
        /// Its workspace.
        workspace: WorkspaceId,
        /// Its key.
        key: Key,
    },
}

/// The store of toolsets.
#[async_trait]
pub trait Toolsets: Transactions {
    /// The workspace's toolsets, by key; at most [`TOOLSETS_MAX`].
    async fn list_toolsets(&self, workspace: WorkspaceId) -> Result<Vec<ToolsetRow>, StoreError>;

    /// One toolset.
    async fn find_toolset(&self, workspace: WorkspaceId, key: &Key)
    -> Result<Option<ToolsetRow>, StoreError>;

    /// Runs one command.
    async fn change_toolset(&self, command: ToolsetCommand) -> Result<(), StoreError> {
        self.apply(vec![Command::Toolset(command)]).await
    }
}

// === impl ToolsetCommand ===

impl ToolsetCommand {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let (Self::Insert(row) | Self::Update { row, .. }) = self else { return Ok(()) };
        check_name("the name of a toolset", &row.name, NAME_LEN_MAX)?;
        check_text("the description of a toolset", &row.description, DESCRIPTION_LEN_MAX)?;
        check_bytes("the tools of a toolset, in bytes,", row.tools.as_str().len(), JSON_LEN_MAX)
    }
}

// === impl ToolsetRow ===

impl ToolsetRow {
    /// As the store keeps it when it is new.
    #[must_use]
    pub fn as_new(&self) -> Self {
        Self { revision: 1, updated_at: self.created_at, ..self.clone() }
    }

    /// As the store keeps it in place of `there`. Its owner stays.
    #[must_use]
    pub fn in_place_of(&self, there: &Self) -> Self {
        Self {
            owner: there.owner,
            revision: there.revision.saturating_add(1),
            created_at: there.created_at,
            updated_at: there.updated_at.max(self.updated_at),
            ..self.clone()
        }
    }
}
