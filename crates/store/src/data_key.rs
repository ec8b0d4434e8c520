//! The data keys of a workspace (table `workspace_keys`): wrapped by the master key, never bare.

use async_trait::async_trait;
use model::Timestamp;
use model::id::WorkspaceId;

use crate::text::check_bytes;
use crate::{Command, StoreError, Transactions};

/// The largest wrapped key, in bytes.
pub const WRAPPED_LEN_MAX: usize = 1_024;
/// The most data keys that one workspace ever has.
pub const DATA_KEYS_MAX: usize = 10_000;

/// Whether a data key still seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKeyState {
    /// Seals and opens. One of each workspace: the newest.
    Active,
    /// Only opens.
    Retired,
}

/// One data key.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKeyRow {
    /// Whose.
    pub workspace: WorkspaceId,
    /// 1, 2, 3 ...
    pub version: u32,
    /// The key, wrapped by the master key.
    pub wrapped: Vec<u8>,
    /// Which master key wraps it.
    pub master_key_id: [u8; 8],
    /// Whether it still seals.
    pub state: DataKeyState,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Changes of data keys.
#[derive(Debug, Clone)]
pub enum DataKeyCommand {
    /// Adds the next version ([`StoreError::Conflict`] for any other) and retires the one before. The
    /// workspace must exist.
    Insert(Box<DataKeyRow>),
    /// Wraps one by another master key. `expected` is the master key that wraps it now.
    Rewrap {
        /// Whose.
        workspace: WorkspaceId,
        /// Which one.
        version: u32,
        /// The master key that was used to open it.
        expected: [u8; 8],
        /// Wrapped anew.
        wrapped: Vec<u8>,
        /// By which master key.
        master_key_id: [u8; 8],
    },
    /// Ends its sealing.
    Retire {
        /// Whose.
        workspace: WorkspaceId,
        /// Which one.
        version: u32,
    },
}

/// The store of data keys.
#[async_trait]
pub trait DataKeys: Transactions {
    /// The workspace's data keys, newest first.
    async fn list_data_keys(&self, workspace: WorkspaceId) -> Result<Vec<DataKeyRow>, StoreError>;

    /// Runs one command.
    async fn change_data_key(&self, command: DataKeyCommand) -> Result<(), StoreError> {
        self.apply(vec![Command::DataKey(command)]).await
    }
}

// === impl DataKeyState ===

impl DataKeyState {
    /// The word in the column `state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Retired].into_iter().find(|one| one.as_str() == word)
    }
}

// === impl DataKeyCommand ===

impl DataKeyCommand {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let (length, version) = match self {
            Self::Insert(row) => (row.wrapped.len(), row.version),
            Self::Rewrap { wrapped, version, .. } => (wrapped.len(), *version),
            Self::Retire { version, .. } => (0, *version),
        };
        let version = usize::try_from(version).unwrap_or(usize::MAX);
        check_bytes("the number of data keys", version, DATA_KEYS_MAX)?;
        check_bytes("a wrapped key, in bytes,", length, WRAPPED_LEN_MAX)
    }
}

impl std::fmt::Debug for DataKeyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataKeyRow")
            .field("version", &self.version)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
