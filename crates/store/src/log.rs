//! The log of a connection (table `integration_logs`): what happened to it, for its owner to read.

use async_trait::async_trait;
use model::Timestamp;
use model::id::{ConnectionId, EventId, WorkspaceId};

use crate::text::{check_bytes, check_text};
use crate::{Command, Json, Page, Scope, StoreError, TimeCursor, Transactions};

/// The longest message, in bytes.
pub const MESSAGE_LEN_MAX: usize = 4 * 1024;
/// The largest metadata, in bytes.
pub const METADATA_LEN_MAX: usize = 16 * 1024;
/// The most rows that one command of retention removes or rolls up.
pub const SWEEP_MAX: usize = 10_000;

/// How many entries one page looks at where it tells only of some: what is asked for may be rare, and a page has
/// its time.
pub const LOG_LOOK_MAX: usize = 20_000;

/// Where a page of the log begins: after this one.
pub type LogCursor = TimeCursor<EventId>;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// It was connected.
    Connected,
    /// It was switched off.
    Disconnected,
    /// It was tried out.
    Tested,
    /// It failed.
    Error,
    /// What its owner wrote changed.
    ConfigUpdated,
    /// A credential got a successor.
    CredentialRotated,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Which one.
    pub id: EventId,
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// Of which connection.
    pub connection: ConnectionId,
    /// What happened.
    pub event_type: EventType,
    /// In a sentence.
    pub message: String,
    /// The particulars.
    pub metadata: Json,
    /// When.
    pub created_at: Timestamp,
}

/// Changes of the log.
#[derive(Debug, Clone)]
pub enum LogCommand {
    /// Adds an entry. The connection must be in the workspace ([`StoreError::Missing`]).
    Append(Box<LogRow>),
    /// Removes the oldest entries from before `before`, at most `limit` (up to [`SWEEP_MAX`]).
    Prune {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// What is older goes.
        before: Timestamp,
        /// At most so many.
        limit: usize,
    },
}

/// Which entries a list is to hold.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Of this type only.
    pub event_type: Option<EventType>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Contained in the message, whatever the case. Every character means itself.
    pub text: Option<String>,
    /// Rows of a page, up to [`crate::PAGE_MAX`].
    pub limit: usize,
    /// Entries that a page with `event_type` or `text` looks at; [`LOG_LOOK_MAX`] when zero.
    pub look: usize,
    /// Where the page begins.
    pub after: Option<LogCursor>,
}

/// The store of logs.
#[async_trait]
pub trait Logs: Transactions {
    /// A page of a connection's log, newest first. One that has looked at as many entries as it may ends
    /// early, with fewer rows than asked for or none, and says where to go on.
    async fn list_logs(
        &self,
        scope: Scope,
        connection: ConnectionId,
        query: LogQuery,
    ) -> Result<Page<LogRow, LogCursor>, StoreError>;

    /// When the oldest entry of the workspace was made: whether there is something to prune.
    async fn oldest_log(&self, workspace: WorkspaceId) -> Result<Option<Timestamp>, StoreError>;

    /// Adds an entry.
    async fn append_log(&self, row: LogRow) -> Result<(), StoreError> {
        self.apply(vec![Command::Log(LogCommand::Append(Box::new(row)))]).await
    }

    /// Removes old entries, a bounded number.
    async fn prune_logs(
        &self,
        workspace: WorkspaceId,
        before: Timestamp,
        limit: usize,
    ) -> Result<(), StoreError> {
        self.apply(vec![Command::Log(LogCommand::Prune { workspace, before, limit })]).await
    }
}

// === impl EventType ===

impl EventType {
    /// Every one there is.
    pub const ALL: &'static [Self] = &[
        Self::Connected,
        Self::Disconnected,
        Self::Tested,
        Self::Error,
        Self::ConfigUpdated,
        Self::CredentialRotated,
    ];

    /// The word in the column `event_type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Tested => "tested",
            Self::Error => "error",
            Self::ConfigUpdated => "config_updated",
            Self::CredentialRotated => "credential_rotated",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.as_str() == word)
    }
}

// === impl LogQuery ===

impl LogQuery {
    /// The text as it is compared.
    #[must_use]
    pub fn folded_text(&self) -> Option<String> {
        crate::text::sought(self.text.as_deref())
    }

    /// How many entries this page looks at; `None` where each that it looks at is on it.
    #[must_use]
    pub fn looks_at(&self) -> Option<usize> {
        let is_picky = self.event_type.is_some() || self.folded_text().is_some();
        let most = if self.look == 0 { LOG_LOOK_MAX } else { self.look.min(LOG_LOOK_MAX) };
        is_picky.then_some(most)
    }
}

// === impl LogRow ===

impl LogRow {
    /// Where the page after this row begins.
    #[must_use]
    pub const fn cursor(&self) -> LogCursor {
        TimeCursor { at: self.created_at, id: self.id }
    }
}

// === impl LogCommand ===

impl LogCommand {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Append(row) => {
                check_text("the message of a log entry, in bytes,", &row.message, MESSAGE_LEN_MAX)?;
                let length = row.metadata.as_str().len();
                check_bytes("the metadata of a log entry, in bytes,", length, METADATA_LEN_MAX)
            }
            Self::Prune { limit, .. } => check_bytes("rows removed at once", *limit, SWEEP_MAX),
        }
    }
}
