//! Retention: what is old goes in bounded steps, each a short transaction of its own, and only while the
//! lease of whoever sweeps is still the newest.

use async_trait::async_trait;
use model::Timestamp;
use model::id::WorkspaceId;

use crate::{
    Command, CredentialCommand, HealthCommand, LeaseCommand, LogCommand, RequestCommand, StoreError,
    Transactions,
};

/// What can grow old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Old {
    /// Entries of logs.
    Logs,
    /// Single checks of health; they are added to their hours and then go.
    Checks,
    /// Hours of health.
    Hours,
    /// Idempotency keys that are over.
    Requests,
    /// Leases that are over, and were never taken since.
    Leases,
}

/// Under which lease a step is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Under {
    /// The name of the lease.
    pub name: String,
    /// Its token.
    pub token: u64,
    /// The present.
    pub now: Timestamp,
}

/// The store of what is old.
#[async_trait]
pub trait Sweeps: Transactions {
    /// How many rows one step would take, counted up to `limit`.
    async fn count_old(
        &self,
        workspace: WorkspaceId,
        what: Old,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError>;

    /// One step: takes at most `limit` rows from before `before` ([`crate::SWEEP_MAX`] at most), and tells
    /// how many there were to take. Nothing is written where there are none.
    async fn sweep(
        &self,
        workspace: WorkspaceId,
        what: Old,
        before: Timestamp,
        limit: usize,
        under: Under,
    ) -> Result<usize, StoreError> {
        let count = self.count_old(workspace, what, before, limit).await?;
        if count > 0 {
            let Under { name, token, now } = under;
            let require = Command::Lease(LeaseCommand::Require { name, token, now });
            self.apply(vec![require, what.command(workspace, before, limit)]).await?;
        }
        Ok(count)
    }

    /// Drops values of credentials that have a successor, once their overlap is over.
    async fn drop_previous(
        &self,
        workspace: WorkspaceId,
        now: Timestamp,
        under: Under,
    ) -> Result<(), StoreError> {
        let Under { name, token, now: present } = under;
        let require = Command::Lease(LeaseCommand::Require { name, token, now: present });
        let drop = Command::Credential(CredentialCommand::DropPrevious { workspace, now });
        self.apply(vec![require, drop]).await
    }
}

// === impl Old ===

impl Old {
    /// Every one there is.
    pub const ALL: &'static [Self] = &[Self::Logs, Self::Checks, Self::Hours, Self::Requests, Self::Leases];

    /// The word for it, in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Checks => "health_checks",
            Self::Hours => "health_hours",
            Self::Requests => "idempotency_keys",
            Self::Leases => "leases",
        }
    }

    /// The command of one step.
    #[must_use]
    pub const fn command(self, workspace: WorkspaceId, before: Timestamp, limit: usize) -> Command {
        match self {
            Self::Logs => Command::Log(LogCommand::Prune { workspace, before, limit }),
            Self::Checks => Command::Health(HealthCommand::RollUp { workspace, before, limit }),
            Self::Hours => Command::Health(HealthCommand::PruneRollups { workspace, before, limit }),
            Self::Requests => Command::Request(RequestCommand::Expire { workspace, now: before, limit }),
            Self::Leases => Command::Lease(LeaseCommand::Expire { before, limit }),
        }
    }
}
