//! Leases: one holder at a time, and a number by which a late holder is known.
//!
//! A lease alone does not stop a holder that slept past its end. Whoever writes under a lease puts
//! [`LeaseCommand::Require`] into the same transaction: the store refuses the write of a token that is not
//! the newest, however late it comes.

use async_trait::async_trait;
use model::Timestamp;

use crate::text::{check_bytes, check_name};
use crate::{Command, StoreError, Transactions};

/// The longest name of a lease or a holder, in bytes.
pub const LEASE_NAME_LEN_MAX: usize = 200;

/// One lease. Names are the hub's own (`refresh:con_...`), never a caller's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What it is about.
    pub name: String,
    /// Who has it: a name that is used for one taking only.
    pub holder: String,
    /// Grows with every taking of this name, and never goes back.
    pub token: u64,
    /// Until when it is held.
    pub expires_at: Timestamp,
}

/// How asking for a lease ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is ours, with this token.
    Ours(u64),
    /// Somebody else's, so long.
    Theirs(Lease),
}

/// Changes of leases.
#[derive(Debug, Clone)]
pub enum LeaseCommand {
    /// Takes a lease that is free or over ([`StoreError::LeaseHeld`] otherwise), with the next token; the
    /// first token of a name is the present in milliseconds ([`first_token`]). The
    /// holder of a running lease who asks again is refused like everybody.
    Acquire {
        /// Which.
        name: String,
        /// For whom.
        holder: String,
        /// What ends by now is over.
        now: Timestamp,
        /// Until when.
        expires_at: Timestamp,
    },
    /// Holds it longer. Refused as [`LeaseCommand::Require`] is.
    Renew {
        /// Which.
        name: String,
        /// Whose.
        token: u64,
        /// The present.
        now: Timestamp,
        /// Until when.
        expires_at: Timestamp,
    },
    /// Lets it go; nothing when it is somebody else's by now.
    Release {
        /// Which.
        name: String,
        /// Whose.
        token: u64,
    },
    /// Forgets leases that ended by `before` and whose tokens are older than it too, at most `limit` (up to
    /// [`crate::SWEEP_MAX`]). A name that was forgotten begins with a token that is larger than all it had.
    Expire {
        /// What ended by then goes.
        before: Timestamp,
        /// At most so many.
        limit: usize,
    },
    /// Only a precondition: the lease is held with this token now ([`StoreError::LeaseLost`]). It holds to
    /// the end of the transaction.
    Require {
        /// Which.
        name: String,
        /// Whose.
        token: u64,
        /// The present.
        now: Timestamp,
    },
}

/// The store of leases.
#[async_trait]
pub trait Leases: Transactions {
    /// The lease, held or over; `None` when it was never taken.
    async fn find_lease(&self, name: &str) -> Result<Option<Lease>, StoreError>;

    /// Takes a lease for `ttl_ms` milliseconds, or says who has it.
    async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        ttl_ms: u32,
        now: Timestamp,
    ) -> Result<Taken, StoreError> {
        let acquire = LeaseCommand::Acquire {
            name: name.to_owned(),
            holder: holder.to_owned(),
            now,
            expires_at: now.plus_ms(i64::from(ttl_ms)),
        };
        match self.change_lease(acquire).await {
            Ok(()) => {}
            Err(StoreError::LeaseHeld) => {
                let lease = self.find_lease(name).await?;
                return lease.map(Taken::Theirs).ok_or(StoreError::LeaseHeld);
            }
            Err(error) => return Err(error),
        }
        match self.find_lease(name).await? {
            Some(lease) if lease.holder == holder => Ok(Taken::Ours(lease.token)),
            Some(lease) => Ok(Taken::Theirs(lease)),
            None => Err(StoreError::LeaseLost),
        }
    }

    /// Runs one command.
    async fn change_lease(&self, command: LeaseCommand) -> Result<(), StoreError> {
        self.apply(vec![Command::Lease(command)]).await
    }
}

// === impl Lease ===

impl Lease {
    /// Whether it is held with this token at `now`.
    #[must_use]
    pub fn is_held_by(&self, token: u64, now: Timestamp) -> bool {
        self.token == token && self.expires_at > now
    }
}

// === impl LeaseCommand ===

impl LeaseCommand {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Acquire { name, holder, .. } => {
                check_name("the name of a lease", name, LEASE_NAME_LEN_MAX)?;
                check_name("the holder of a lease", holder, LEASE_NAME_LEN_MAX)
            }
            Self::Expire { limit, .. } => check_bytes("rows removed at once", *limit, crate::SWEEP_MAX),
            Self::Renew { .. } | Self::Release { .. } | Self::Require { .. } => Ok(()),
        }
    }
}

/// The first token of a name: the present. Tokens grow by one with each taking, and nobody takes a lease a
/// thousand times a second for days, so that it is larger than those of a lease that was forgotten.
#[must_use]
pub fn first_token(now: Timestamp) -> u64 {
    u64::try_from(now.0).unwrap_or(0).max(1)
}
