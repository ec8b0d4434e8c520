//! Why a child did not start, in words for whoever configured it.

use std::io;
use std::path::PathBuf;

use model::{Blame, Code, Fault, Retry};

/// Why a child did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No such program, or the interpreter that its first line names is missing.
    #[error("`{program}` was not found")]
    NotFound {
        /// As configured.
        program: String,
        /// What to do about it.
        hint: String,
    },
    /// It is there, but the system does not run it.
    #[error("`{}` is not an executable program", path.display())]
    NotExecutable {
        /// What was found.
        path: PathBuf,
    },
    /// The working directory is missing, is none, or may not be entered.
    #[error("the working directory `{}` cannot be used", cwd.display())]
    BadCwd {
        /// As configured.
        cwd: PathBuf,
        /// What the system says about it.
        source: io::Error,
    },
    /// A NUL byte, an empty command, or a variable name that is none.
    #[error("{place} is empty or holds a character that cannot be passed on")]
    BadText {
        /// Which part of the command.
        place: String,
    },
    /// A limit could not be set on the started child, which was ended again.
    #[error("the limit `{limit}` could not be set")]
    Limit {
        /// The field of `Limits`.
        limit: &'static str,
        /// What the system says about it.
        source: io::Error,
    },
    /// The hub watches over as many children as it can.
    #[error("{children_max} child processes run already")]
    TooMany {
        /// How many there may be.
        children_max: usize,
    },
    /// The system refused otherwise: out of processes, files or memory.
    #[error("`{program}` could not be started")]
    Io {
        /// As configured.
        program: String,
        /// What the system says about it.
        source: io::Error,
    },
}

impl SpawnError {
    /// The same for the edges: all of these are for whoever configures or runs the hub.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let fault = |code, hint: &str| Fault::new(code, self.to_string()).with_hint(hint);
        match self {
            Self::NotFound { hint, .. } => fault(Code::MISCONFIGURED, hint),
            Self::NotExecutable { path } => fault(
                Code::MISCONFIGURED,
                &format!("run `chmod +x {}`, or start it through its interpreter", path.display()),
            ),
            Self::BadCwd { source, .. } => Fault::new(Code::MISCONFIGURED, format!("{self}: {source}"))
                .with_hint("name an existing directory that the hub may enter, or leave `cwd` out"),
            Self::BadText { .. } => fault(
                Code::MISCONFIGURED,
                "give the command, its arguments and its variables as plain text, one entry each",
            ),
            Self::Limit { source, .. } => Fault::new(Code::MISCONFIGURED, format!("{self}: {source}"))
                .with_hint("leave the limit out or give another value"),
            Self::TooMany { .. } => {
                fault(Code::BUSY, "disconnect connections that run a program and are not needed")
            }
            Self::Io { source, .. } => Fault::new(Code::UNREACHABLE, format!("{self}: {source}"))
                .with_hint("look at the hub's own limits on processes, open files and memory")
                .with_blame(Blame::Operator)
                .with_retry(Retry::AfterMs(1000)),
        }
    }
}
