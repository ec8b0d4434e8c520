//! The states of a connection. Status is what the owner is told; condition is how it runs right now.

use crate::integration::words;

words! {
    /// Where a connection stands. Moves only along the edges of [`ConnectionStatus::may_become`].
    ConnectionStatus, "status" {
        /// Something is still missing.
        Configuring = "configuring",
        /// Being tried out.
        Testing = "testing",
        /// Works.
        Connected = "connected",
        /// Does not work; the reason is with it.
        Error = "error",
        /// Switched off by its owner.
        Disconnected = "disconnected",
    }
}

impl ConnectionStatus {
    /// The allowed moves.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use ConnectionStatus::{Configuring, Connected, Disconnected, Error, Testing};
        matches!(
            (self, next),
            (Configuring, Testing)
                | (Testing, Connected | Error)
                | (Connected, Testing | Error | Disconnected)
                | (Error, Testing | Configuring | Disconnected)
                | (Disconnected, Testing | Configuring)
        )
    }
}

/// How a connection runs, apart from its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// On its way up.
    Starting,
    /// Answers.
    Started,
    /// Answers badly or from memory (last good catalogue).
    Degraded,
    /// Not running.
    Stopped,
}

/// Which family of MCP revisions a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Era {
    /// 2024-11-05 to 2025-11-25: `initialize`, sessions, requests in both directions.
    Legacy,
    /// 2026-07-28: stateless, everything in each request.
    Modern,
}
