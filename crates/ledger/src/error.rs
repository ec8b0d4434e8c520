//! What can go wrong with the ledger. Recording itself cannot: it drops and counts.

use std::path::PathBuf;
use std::sync::Arc;

use model::{Code, Fault};
use thiserror::Error;

/// What went wrong.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The folder cannot be made, listed or written to.
    #[error("the folder {} for call records cannot be used", folder.display())]
    Open {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The system gives us no thread.
    #[error("the writer of call records cannot be started")]
    Start(#[source] std::io::Error),
    /// The disk refuses.
    #[error("call records cannot be written: {detail}")]
    Write {
        /// Why.
        detail: Arc<str>,
    },
    /// The files cannot be read.
    #[error("call records cannot be read")]
    Read(#[source] std::io::Error),
    /// The ledger is closed.
    #[error("the ledger is closed")]
    Closed,
}

// === impl LedgerError ===

impl LedgerError {
    /// The same fact for every face.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let source = std::error::Error::source(self).map(|s| format!(": {s}")).unwrap_or_default();
        let fault = Fault::new(Code::STORE, format!("{self}{source}"));
        match self {
            Self::Closed => fault.with_hint("the hub is shutting down"),
            _ => fault.with_hint("check the free space and rights of the data folder"),
        }
    }
}
