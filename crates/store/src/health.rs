//! The health of a connection (table `integration_health_metrics`) and what is kept of it by the hour.

mod histogram;
mod rollup;

use async_trait::async_trait;
use model::Timestamp;
use model::id::{ConnectionId, EventId, WorkspaceId};

pub use histogram::Histogram;
pub use rollup::{HOUR_MS, HealthSummary, RollupRow, Tally, hour_of};

use crate::log::SWEEP_MAX;
use crate::text::{check_bytes, check_text};
use crate::{Command, Scope, StoreError, Transactions};

/// The longest reason of a failed check, in bytes.
pub const HEALTH_ERROR_LEN_MAX: usize = 2_048;
/// The most single checks that one summary reads; a window with more of them must be rolled up first.
pub const SUMMARY_ROWS_MAX: usize = 100_000;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRow {
    /// Which one.
    pub id: EventId,
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// Of which connection.
    pub connection: ConnectionId,
    /// How long the answer took, in milliseconds.
    pub response_time_ms: u32,
    /// Whether it was a good one.
    pub success: bool,
    /// Why not.
    pub error_message: Option<String>,
    /// When it was asked.
    pub checked_at: Timestamp,
    /// When this was written down.
    pub created_at: Timestamp,
}

/// Changes of health.
#[derive(Debug, Clone)]
pub enum HealthCommand {
    /// Adds a check. The connection must be in the workspace ([`StoreError::Missing`]).
    Append(Box<HealthRow>),
    /// Adds the oldest checks from before `before` (at most `limit`, up to [`SWEEP_MAX`]) to their hours,
    /// and removes them. No check is counted twice or lost, wherever it is cut off.
    RollUp {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// What is older is rolled up.
        before: Timestamp,
        /// At most so many.
        limit: usize,
    },
    /// Removes the oldest hours that began before `before`, at most `limit` (up to [`SWEEP_MAX`]).
    PruneRollups {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// What is older goes.
        before: Timestamp,
        /// At most so many.
        limit: usize,
    },
}

/// The store of health.
#[async_trait]
pub trait Health: Transactions {
    /// The newest checks of a connection, newest first; at most [`crate::PAGE_MAX`].
    async fn list_health(
        &self,
        scope: Scope,
        connection: ConnectionId,
        limit: usize,
    ) -> Result<Vec<HealthRow>, StoreError>;

    /// The hours of a connection that began in a window, oldest first; at most [`crate::PAGE_MAX`].
    async fn list_rollups(
        &self,
        scope: Scope,
        connection: ConnectionId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<RollupRow>, StoreError>;

    /// What the checks from `since` and before `until` come to: single ones, and hours that began within.
    async fn summarise_health(
        &self,
        scope: Scope,
        connection: ConnectionId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<HealthSummary, StoreError>;

    /// When the oldest check of the workspace was asked: whether there is something to roll up.
    async fn oldest_health(&self, workspace: WorkspaceId) -> Result<Option<Timestamp>, StoreError>;

    /// Adds a check.
    async fn append_health(&self, row: HealthRow) -> Result<(), StoreError> {
        self.change_health(HealthCommand::Append(Box::new(row))).await
    }

    /// Runs one command.
    async fn change_health(&self, command: HealthCommand) -> Result<(), StoreError> {
        self.apply(vec![Command::Health(command)]).await
    }
}

// === impl HealthCommand ===

impl HealthCommand {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Append(row) => {
                let reason = row.error_message.as_deref().unwrap_or_default();
                check_text("the reason of a failed check, in bytes,", reason, HEALTH_ERROR_LEN_MAX)
            }
            Self::RollUp { limit, .. } | Self::PruneRollups { limit, .. } => {
                check_bytes("rows removed at once", *limit, SWEEP_MAX)
            }
        }
    }
}
