//! Why the store did not do what it was asked.

use std::path::PathBuf;
use std::sync::Arc;

use model::{Blame, Code, ConnectionStatus, Fault};
use thiserror::Error;

/// What went wrong. Absent rows are not errors of reading: those methods answer `None`.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// A command needs a row that is not there, or that belongs to another workspace.
    #[error("there is no such {noun}")]
    Missing {
        /// What is missing.
        noun: &'static str,
    },
    /// A precondition of a command does not hold.
    #[error("{detail}")]
    Conflict {
        /// Which one.
        detail: &'static str,
    },
    /// The name is another's already.
    #[error("the {field} `{value}` is taken")]
    Taken {
        /// Which field: `name`, `key`, `slug`.
        field: &'static str,
        /// What it was to be.
        value: String,
    },
    /// Somebody changed it since it was read.
    #[error("it is at revision {found} by now, not {expected}")]
    StaleRevision {
        /// The revision that the writer saw.
        expected: u64,
        /// The one it has.
        found: u64,
    },
    /// A status that cannot follow on the present one.
    #[error("a connection that is {from} cannot become {to}")]
    IllegalMove {
        /// Where it stands.
        from: ConnectionStatus,
        /// Where it was to go.
        to: ConnectionStatus,
    },
    /// The lease is somebody else's.
    #[error("the lease is held by another")]
    LeaseHeld,
    /// The lease ended, or somebody else has it by now: what was to be written under it was not.
    #[error("the lease is not held any more")]
    LeaseLost,
    /// The idempotency key is in use.
    #[error("the request was made before")]
    Claimed,
    /// A value that no backend can store.
    #[error("{what} {why}")]
    Malformed {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than a limit allows.
    #[error("{what} is limited to {max}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The limit, in its own unit.
        max: usize,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// More is waiting to be written than the queue holds, for longer than a caller should wait.
    #[error("the store is too busy to take another write")]
    Busy,
    /// A row cannot be read back.
    #[error("a stored {noun} cannot be read")]
    Corrupt {
        /// What kind of row.
        noun: &'static str,
    },
    /// The data was written by a newer version.
    #[error("the data has schema version {found}; this version knows {known}")]
    NewerSchema {
        /// What the data has.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// A migration that ran earlier is not the one this program has under its number.
    #[error("schema migration {version} was not applied as this version has it")]
    ChangedMigration {
        /// Its number.
        version: u32,
    },
    /// The file is a database, but not ours.
    #[error("{} is not a database of this program", path.display())]
    NotOurs {
        /// Which file.
        path: PathBuf,
    },
    /// What should be a backup is none, or not as it was made.
    #[error("{}: {why}", path.display())]
    BadBackup {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file or folder that is to be made is there already.
    #[error("{} is there already", path.display())]
    InTheWay {
        /// Which.
        path: PathBuf,
    },
    /// The data folder is in use.
    #[error("the data folder {} is in use by another hub{holder}", folder.display())]
    Locked {
        /// Which folder.
        folder: PathBuf,
        /// ` (process 123)`, when it is known.
        holder: String,
    },
    /// The database library has known faults.
    #[error("the SQLite library is version {found}; 3.51.3 or newer is needed")]
    OldLibrary {
        /// Its version.
        found: String,
    },
    /// The disk, the file or the server does not do its part.
    #[error("the store cannot {doing}")]
    Unavailable {
        /// What was attempted.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

// === impl StoreError ===

impl StoreError {
    /// The store cannot do its part because of `source`.
    pub fn unavailable(doing: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Unavailable { doing, source: Arc::new(source) }
    }

    /// Checks an optimistic precondition.
    ///
    /// # Errors
    /// [`StoreError::StaleRevision`].
    pub fn check_revision(expected: Option<u64>, found: u64) -> Result<(), Self> {
        match expected {
            Some(expected) if expected != found => Err(Self::StaleRevision { expected, found }),
            _ => Ok(()),
        }
    }

    /// The same fact for every face.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let source = std::error::Error::source(self).map(|s| format!(": {s}")).unwrap_or_default();
        let detail = format!("{self}{source}");
        match self {
            Self::Missing { .. } => Fault::new(Code::NOT_FOUND, detail),
            Self::Conflict { .. } | Self::StaleRevision { .. } | Self::IllegalMove { .. } => {
                Fault::new(Code::CONFLICT, detail).with_hint("look at the present state, then decide again")
            }
            Self::Taken { .. } => Fault::new(Code::CONFLICT, detail).with_hint("choose another"),
            Self::Malformed { .. } => Fault::new(Code::BAD_ARGUMENTS, detail).with_hint("mend the value"),
            Self::LeaseHeld | Self::LeaseLost => Fault::new(Code::BUSY, detail)
                .with_hint("whoever has the lease does the work; ask again when it is done"),
            Self::Claimed => Fault::new(Code::KEY_REUSED, detail)
                .with_hint("wait for its answer, or use another idempotency key"),
            Self::TooLarge { .. } => Fault::new(Code::TOO_LARGE, detail),
            Self::Busy => Fault::new(Code::BUSY, detail),
            Self::Closed => Fault::new(Code::STORE, detail).with_hint("the hub is shutting down"),
            Self::Corrupt { .. } => Fault::new(Code::STORE, detail)
                .with_retry(model::Retry::Never)
                .with_hint("restore the last backup"),
            Self::NewerSchema { .. } | Self::ChangedMigration { .. } => Fault::new(Code::STORE, detail)
                .with_retry(model::Retry::Never)
                .with_hint("run the version that wrote this data, or restore the backup made before it"),
            Self::NotOurs { .. } => Fault::new(Code::STORE, detail)
                .with_retry(model::Retry::Never)
                .with_hint("choose another data folder"),
            Self::BadBackup { .. } => Fault::new(Code::STORE, detail)
                .with_retry(model::Retry::Never)
                .with_hint("take another backup"),
            Self::InTheWay { .. } => Fault::new(Code::STORE, detail)
                .with_retry(model::Retry::Never)
                .with_hint("move it away or choose another folder; nothing is overwritten"),
            Self::Locked { .. } => Fault::new(Code::STORE, detail)
                .with_retry(model::Retry::Never)
                .with_hint("stop the other hub, or start this one with another --data folder"),
            Self::OldLibrary { .. } => {
                Fault::new(Code::BUG, detail).with_hint("build with the bundled library")
            }
            Self::Unavailable { .. } => Fault::new(Code::STORE, detail)
                .with_blame(Blame::Operator)
                .with_hint("check the disk's free space and rights, or that the database server answers"),
        }
    }
}
