//! Why bytes could not leave, or did not come back.

use model::{Code, Fault, Retry};
use thiserror::Error;

/// What went wrong on the way out. Never holds a path, a query or a header: they may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OutboundError {
    /// Not something that can be called.
    #[error("`{url}` cannot be called: {why}")]
    BadUrl { url: String, why: String },
    /// The way out itself cannot be used: certificates, key or proxy are not as they should be.
    #[error("the {what} of this connection cannot be used: {why}")]
    BadRoute { what: &'static str, why: String },
    /// A header name or value that would break the message.
    #[error("the header `{0}` has a name or value that is not allowed in HTTP")]
    BadHeader(String),
    /// The egress guard said no.
    #[error("`{host}` is at {address}, a {class} address, which this connection may not reach")]
    Refused { host: String, address: String, class: &'static str },
    /// The name has no address.
    #[error("`{host}` does not resolve: {why}")]
    Unresolved { host: String, why: String },
    /// Nobody there.
    #[error("cannot connect to `{host}`: {why}")]
    Connect { host: String, why: String },
    /// The certificates, on either side, or the handshake; and what to do about it.
    #[error("TLS with `{host}` failed: {why}")]
    Tls { host: String, why: String, advice: &'static str },
    /// The proxy did not open a way.
    #[error("the proxy `{proxy}` does not lead on: {why}")]
    Proxy { proxy: String, why: String },
    /// A redirect that is not followed.
    #[error("`{host}` redirects, and that is not followed: {why}")]
    Redirect { host: String, why: &'static str },
    /// The time allowed is over.
    #[error("no answer from `{host}` in time")]
    Timeout { host: String, was_sent: bool },
    /// The answer began and then took too long.
    #[error("`{host}` {why} {limit_ms} ms")]
    Stalled { host: String, why: &'static str, limit_ms: u128, advice: &'static str },
    /// The connection ended before the answer was complete.
    #[error("`{host}` closed the connection before its answer was complete: {why}")]
    Closed { host: String, why: String, was_sent: bool },
    /// The answer is not HTTP as it should be.
    #[error("`{host}` did not answer with valid HTTP: {why}")]
    NotHttp { host: String, why: &'static str },
    /// The answer is longer than allowed.
    #[error("`{host}` answered more than {limit} bytes")]
    TooLarge { host: String, limit: usize },
    /// A WebSocket upgrade that was not granted.
    #[error("`{host}` refused the WebSocket upgrade: {why}")]
    Upgrade { host: String, status: u16, why: &'static str },
}

impl OutboundError {
    /// True when the other side cannot have acted on the request.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        match self {
            Self::Timeout { was_sent, .. } | Self::Closed { was_sent, .. } => !*was_sent,
            Self::NotHttp { .. } | Self::TooLarge { .. } | Self::Redirect { .. } => false,
            Self::Stalled { .. } => false,
            _ => true,
        }
    }
}

impl From<OutboundError> for Fault {
    fn from(error: OutboundError) -> Self {
        let (code, hint) = match &error {
            OutboundError::BadUrl { .. } | OutboundError::BadHeader(_) | OutboundError::BadRoute { .. } => {
                (Code::MISCONFIGURED, "correct the connection's entry")
            }
            OutboundError::Refused { .. } => {
                (Code::EGRESS_REFUSED, "allow it with `egress: { private: true }` if the address is meant")
            }
            OutboundError::Unresolved { .. } => (Code::UNREACHABLE, "check the host name and DNS"),
            OutboundError::Connect { .. } => {
                (Code::UNREACHABLE, "check that the server runs and listens there")
            }
            OutboundError::Tls { advice, .. } => (Code::UNREACHABLE, *advice),
            OutboundError::Proxy { .. } => {
                (Code::UNREACHABLE, "check the proxy's address, its credentials, and what it lets through")
            }
            OutboundError::Redirect { .. } => {
                (Code::BAD_ANSWER, "give the address that it leads to, if that is meant")
            }
            OutboundError::Timeout { was_sent: false, .. } => {
                (Code::UNREACHABLE, "check that the server runs")
            }
            OutboundError::Timeout { .. } => (Code::TIMEOUT, "look whether it happened before sending again"),
            OutboundError::Stalled { advice, .. } => (Code::TIMEOUT, *advice),
            OutboundError::Closed { was_sent: false, .. } => (Code::UNREACHABLE, "send it again"),
            OutboundError::Closed { .. } => {
                (Code::GONE_MIDWAY, "look whether it happened before sending again")
            }
            OutboundError::NotHttp { .. } => {
                (Code::BAD_ANSWER, "check that the URL is that of an HTTP server")
            }
            OutboundError::TooLarge { .. } => {
                (Code::ANSWER_TOO_LARGE, "ask for less, or raise `limits.result_bytes`")
            }
            OutboundError::Upgrade { .. } => (Code::BAD_ANSWER, "check that the URL serves WebSocket"),
        };
        let is_unsent = error.is_unsent();
        let fault = Self::new(code, error.to_string()).with_hint(hint);
        if is_unsent || code == Code::ANSWER_TOO_LARGE || code == Code::BAD_ANSWER {
            fault
        } else {
            fault.with_retry(Retry::OutcomeUnknown)
        }
    }
}
