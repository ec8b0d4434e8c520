//! Idempotency keys: a request that comes twice is done once, also over a restart and on every node.

use async_trait::async_trait;
use model::Timestamp;
use model::id::WorkspaceId;

use crate::text::{check_bytes, check_name};
use crate::{Command, StoreError, Transactions};

/// The largest answer that is kept, in bytes.
pub const RESPONSE_LEN_MAX: usize = 256 * 1024;
/// The longest key or caller, in bytes.
pub const IDEMPOTENCY_KEY_LEN_MAX: usize = 255;

/// Which request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey {
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// Whose: `Caller::principal`.
    pub caller: String,
    /// The caller's own name for it.
    pub key: String,
}

/// One request that was claimed.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestRow {
    /// Which.
    pub key: RequestKey,
    /// Digest of what it asks for: the same key for something else is a mistake.
    pub digest: [u8; 32],
    /// The answer; `None` while it is under way.
    pub response: Option<Vec<u8>>,
    /// When it was claimed.
    pub created_at: Timestamp,
    /// Until when it is kept.
    pub expires_at: Timestamp,
}

/// How claiming ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is new: carry it out, then finish it.
    Ours,
    /// It was claimed before.
    Before(RequestRow),
}

/// Changes of idempotency keys.
#[derive(Debug, Clone)]
pub enum RequestCommand {
    /// Claims a request that was not claimed, or whose claim is over ([`StoreError::Claimed`] otherwise).
    /// The workspace must exist.
    Claim {
        /// The request, without a response.
        row: Box<RequestRow>,
        /// What ends by now is over.
        now: Timestamp,
    },
    /// Keeps the answer of a request that is under way with this digest ([`StoreError::Conflict`]
    /// otherwise).
    Finish {
        /// Which.
        key: RequestKey,
        /// Of what.
        digest: [u8; 32],
        /// The answer.
        response: Vec<u8>,
        /// Until when it is kept.
        expires_at: Timestamp,
    },
    /// Forgets a request that did not happen; nothing to forget is fine.
    Abandon {
        /// Which.
        key: RequestKey,
        /// Of what.
        digest: [u8; 32],
    },
    /// Removes what is over, at most `limit` (up to [`crate::SWEEP_MAX`]).
    Expire {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// What ends by now is over.
        now: Timestamp,
        /// At most so many.
        limit: usize,
    },
}

/// The store of idempotency keys.
#[async_trait]
pub trait Requests: Transactions {
    /// A request that was claimed, also when it is over.
    async fn find_request(&self, key: &RequestKey) -> Result<Option<RequestRow>, StoreError>;

    /// Claims a request, or finds what became of it.
    async fn claim_request(&self, row: RequestRow, now: Timestamp) -> Result<Claim, StoreError> {
        let key = row.key.clone();
        match self.change_request(RequestCommand::Claim { row: Box::new(row), now }).await {
            Ok(()) => Ok(Claim::Ours),
            // Gone in between: whoever asks again finds it free.
            Err(StoreError::Claimed) => {
                self.find_request(&key).await?.map(Claim::Before).ok_or(StoreError::Claimed)
            }
            Err(error) => Err(error),
        }
    }

    /// Runs one command.
    async fn change_request(&self, command: RequestCommand) -> Result<(), StoreError> {
        self.apply(vec![Command::Request(command)]).await
    }
}

// === impl RequestCommand ===

impl RequestCommand {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Claim { row, .. } => {
                check_name("an idempotency key", &row.key.key, IDEMPOTENCY_KEY_LEN_MAX)?;
                check_name("the caller of a request", &row.key.caller, IDEMPOTENCY_KEY_LEN_MAX)?;
                check_bytes("a response kept, in bytes,", row.response.as_ref().map_or(0, Vec::len), 0)
            }
            Self::Finish { response, .. } => {
                check_bytes("a response kept, in bytes,", response.len(), RESPONSE_LEN_MAX)
            }
            Self::Abandon { .. } => Ok(()),
            Self::Expire { limit, .. } => check_bytes("rows removed at once", *limit, crate::SWEEP_MAX),
        }
    }
}

impl std::fmt::Debug for RequestRow {
    /// The answer stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestRow")
            .field("key", &self.key)
            .field("is_finished", &self.response.is_some())
            .finish_non_exhaustive()
    }
}
