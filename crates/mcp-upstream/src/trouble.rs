//! Everything that can keep an MCP server's answer from coming, and the fault it becomes.

use std::sync::Arc;

use model::{Blame, Code, Fault, Retry};
use outbound::OutboundError;
use thiserror::Error;

/// How a process, socket or stream ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ended {
    /// In words: `exited with status 3`, `closed the connection`.
    pub(crate) why: String,
    /// The last lines a process wrote to its standard error.
    pub(crate) stderr: Vec<String>,
    /// It was cut off because it said too much in one message: the limit.
    pub(crate) too_large: Option<usize>,
}

impl Ended {
    pub(crate) fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }

    fn told(&self) -> String {
        if self.stderr.is_empty() {
            return self.why.clone();
        }
        format!("{}; it last wrote: {}", self.why, self.stderr.join(" | "))
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the server did not answer {what} in time")]
    Timeout { what: String, was_sent: bool },
    #[error("the server {}", .ended.told())]
    Ended { ended: Arc<Ended>, was_sent: bool },
    #[error("the server no longer knows its session")]
    SessionGone,
    #[error("the server answered HTTP {status}{}", .said)]
    Status { status: u16, said: String },
    #[error("the server refused our credentials with HTTP {status}")]
    Refused { status: u16 },
    #[error("the server's answer is unusable: {0}")]
    BadAnswer(String),
    #[error("the server answered with the error {code}: {message}")]
    Rpc { code: i64, message: String },
    /// It refused the call as a server of another era or revision does. Holds the raw error.
    #[error("the server speaks another revision than it did")]
    OtherRevision(bytes::Bytes),
    #[error("{0}")]
    Spawn(String),
    #[error("{0}")]
    Fault(Fault),
}

impl Trouble {
    /// True when connecting again may help, so that the supervisor should look.
    pub(crate) const fn is_suspect(&self) -> bool {
        matches!(
            self,
            Self::Outbound(_)
                | Self::SessionGone
                | Self::Refused { status: 401 }
                | Self::Status { status: 400 | 404 | 405, .. }
                | Self::Ended { .. }
        )
    }

    /// The fault for calls that wait for a greeting which failed so: nothing of them was sent.
    pub(crate) fn while_connecting(self) -> Fault {
        let fault = Fault::from(match self {
            Self::Ended { ended, .. } => Self::Ended { ended, was_sent: false },
            Self::Timeout { what, .. } => Self::Timeout { what, was_sent: false },
            other => other,
        });
        if fault.retry != Retry::OutcomeUnknown {
            return fault;
        }
        let code = if fault.code == Code::ANSWER_TOO_LARGE { fault.code } else { Code::UNREACHABLE };
        Fault { code, hint: "look at the server, and try again".to_owned(), ..fault }.with_retry(Retry::Safe)
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        let detail = trouble.to_string();
        match trouble {
            Trouble::Outbound(error) => error.into(),
            Trouble::Fault(fault) => fault,
            Trouble::Timeout { was_sent, .. } => {
                let fault = Self::new(Code::TIMEOUT, detail)
                    .with_hint("raise the connection's timeout, or look at the server");
                if was_sent { fault } else { fault.with_retry(Retry::Safe) }
            }
            Trouble::Ended { ended, was_sent } => match (ended.too_large, was_sent) {
                (Some(_), _) => Self::new(Code::ANSWER_TOO_LARGE, detail)
                    .with_hint("ask for less, or raise `limits.line_bytes`")
                    .with_retry(Retry::OutcomeUnknown),
                (None, true) => Self::new(Code::GONE_MIDWAY, detail)
                    .with_hint("look whether it happened before sending again"),
                (None, false) => Self::new(Code::UNREACHABLE, detail)
                    .with_hint("look at what the server wrote before it ended"),
            },
            Trouble::SessionGone => {
                Self::new(Code::GONE_MIDWAY, detail).with_hint("send it again").with_retry(Retry::Safe)
            }
            Trouble::Status { status, .. } => {
                let fault = match status {
                    404 | 405 => Self::new(Code::BAD_ANSWER, detail)
                        .with_blame(Blame::Operator)
                        .with_hint("check that the URL is that of an MCP endpoint"),
                    429 | 503 => Self::new(Code::UNREACHABLE, detail).with_retry(Retry::AfterMs(1000)),
                    500.. => Self::new(Code::UNREACHABLE, detail).with_retry(Retry::OutcomeUnknown),
                    _ => Self::new(Code::BAD_ANSWER, detail),
                };
                if fault.hint.is_empty() { fault.with_hint("look at the server") } else { fault }
            }
            Trouble::Refused { .. } => Self::new(Code::UPSTREAM_REFUSED, detail)
                .with_blame(Blame::Operator)
                .with_hint("renew the connection's credentials; for a server that signs in with OAuth, make the connection with `--auth oauth` and authorise it"),
            Trouble::BadAnswer(_) | Trouble::Rpc { .. } | Trouble::OtherRevision(_) => {
                Self::new(Code::BAD_ANSWER, detail).with_hint("report it to the server's maintainers")
            }
            Trouble::Spawn(_) => {
                Self::new(Code::UNREACHABLE, detail).with_hint("check the command, its path and its rights")
            }
        }
    }
}
