//! What goes wrong while a call runs, and whether it may run again.

use model::{Code, Fault, Retry};
use russh_sftp::client::error::Error;
use russh_sftp::protocol::StatusCode;

/// See the head of the file.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The server said no. It is an answer: the session goes on.
    Said(StatusCode, String),
    /// The path leads out of the folder, through a symbolic link.
    Outside(String),
    /// What was asked for cannot be.
    Refused(Fault),
    /// The session is of no use any more.
    Lost(String),
    /// No answer within the time of one step.
    Slow,
    /// An answer that is not the protocol.
    Odd(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Status(status) => Self::Said(status.status_code, status.error_message),
            Error::Timeout => Self::Slow,
            Error::IO(what) => Self::Lost(what),
            // The library's words for a channel that has ended under a request.
            Error::UnexpectedBehavior(what) => Self::Lost(what),
            Error::Limited(what) => Self::Odd(what),
            Error::UnexpectedPacket => Self::Odd("another packet than the one that was asked for".to_owned()),
        }
    }
}

impl Trouble {
    /// Whether the session is to be given up.
    pub(crate) fn ends_session(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Slow | Self::Odd(_))
    }

    /// What a tool answers when the server said no; `None` where it is no answer.
    pub(crate) fn said(&self) -> Option<String> {
        match self {
            Self::Said(StatusCode::NoSuchFile, _) => Some("there is no such file or folder".to_owned()),
            Self::Said(StatusCode::PermissionDenied, _) => {
                Some("the server does not permit this to the connection's user".to_owned())
            }
            Self::Said(StatusCode::OpUnsupported, _) => Some("the server cannot do this".to_owned()),
            Self::Said(_, what) => {
                let what: String = what.chars().filter(|c| !c.is_control()).take(300).collect();
                Some(format!("the server refused: {what}"))
            }
            _ => None,
        }
    }

    /// As a fault. `is_begun`: something may have been changed already.
    pub(crate) fn fault(self, host: &str, is_begun: bool) -> Fault {
        let said = self.said();
        let fault = match self {
            Self::Said(..) => Fault::new(Code::BAD_ANSWER, said.unwrap_or_default()),
            Self::Outside(path) => {
                let what = format!("arguments: `{path}` leads out of the connection's folder");
                Fault::new(Code::BAD_ARGUMENTS, what)
                    .with_hint("symbolic links are followed only inside of the folder (`root`)")
            }
            Self::Refused(fault) => fault,
            Self::Lost(what) => {
                Fault::new(Code::GONE_MIDWAY, format!("the session with `{host}` ended: {what}"))
            }
            Self::Slow => Fault::new(Code::TIMEOUT, format!("`{host}` did not answer in time"))
                .with_hint("raise the connection's `timeout`, or ask for less"),
            Self::Odd(what) => Fault::new(Code::BAD_ANSWER, format!("`{host}` answered oddly: {what}")),
        };
        if is_begun { fault.with_retry(Retry::OutcomeUnknown) } else { fault }
    }
}
