//! What surrounds a call: who asks, what its client can do, until when, and the way back to it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use model::id::CallId;
use model::{Caller, Era};
use thiserror::Error;

/// The surroundings of one call.
#[derive(Clone)]
pub struct Ctx {
    /// Which call.
    pub call: CallId,
    /// On whose behalf.
    pub caller: Arc<Caller>,
    /// What the calling client is and can do.
    pub peer: Arc<Peer>,
    /// The way back to the client while the call runs.
    pub downstream: Arc<dyn Downstream>,
    /// When the call has to be over.
    pub deadline: tokio::time::Instant,
}

/// The calling client, as it described itself. Self-reported: never a reason to allow anything.
#[derive(Debug, Clone)]
pub struct Peer {
    /// How it speaks; `None` for callers that are no MCP clients (HTTP call, command line).
    pub era: Option<Era>,
    /// The revision it speaks, for example `2025-11-25`.
    pub protocol_version: Arc<str>,
    /// Raw `clientInfo` object, when it gave one.
    pub client_info: Option<Bytes>,
    /// Raw `capabilities` / `clientCapabilities` object (`{}` when it gave none).
    pub capabilities: Bytes,
    /// The same, as far as the hub bridges it.
    pub abilities: Abilities,
    /// The log level it asked for (`debug`..`emergency`); `None` = send no log messages.
    pub log_level: Option<Arc<str>>,
}

impl Peer {
    /// A caller that is no MCP client: it can answer nothing.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            era: None,
            protocol_version: "".into(),
            client_info: None,
            capabilities: Bytes::from_static(b"{}"),
            abilities: Abilities::default(),
            log_level: None,
        }
    }
}

/// Which questions a client can answer: the capability class that upstream sessions are pooled by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Abilities {
    /// Fill in a form.
    pub elicit_form: bool,
    /// Open a URL.
    pub elicit_url: bool,
    /// Ask its model.
    pub sampling: bool,
    /// Ask its model with tools.
    pub sampling_tools: bool,
    /// List its roots.
    pub roots: bool,
}

impl Abilities {
    /// Everything that can be bridged: what the hub declares when it reads an inventory.
    pub const ALL: Self =
        Self { elicit_form: true, elicit_url: true, sampling: true, sampling_tools: true, roots: true };
}

/// A question back to the caller.
#[derive(Debug, Clone)]
pub struct Question {
    /// `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: Arc<str>,
    /// Raw `params` object (`{}` when there was none).
    pub params: Bytes,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AskError {
    /// The client cannot be asked this (it never declared it, or is no MCP client).
    #[error("the calling client cannot answer {0}")]
    Unable(String),
    /// It went away, or took longer than the time allowed.
    #[error("the calling client did not answer in time")]
    NoAnswer,
    /// It answered with this JSON-RPC error object.
    #[error("the calling client refused")]
    Refused(Bytes),
}

/// The way back to the calling client while its call runs. One implementation per kind of client, in the doors.
#[async_trait]
pub trait Downstream: Send + Sync {
    /// Passes a notification on: `notifications/progress` (with the client's own token) or
    /// `notifications/message`. Never waits: a client that does not read loses it.
    fn notify(&self, method: &str, params: Bytes);

    /// The upstream has hung up for now and is being polled (SEP-1699): a client that can poll may be told
    /// to do the same. The call goes on.
    fn pause(&self) {}

    /// Asks, and waits for the raw `result` object.
    async fn ask(&self, question: Question) -> Result<Bytes, AskError>;
}

/// The way back of callers that listen to nothing and can answer nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

#[async_trait]
impl Downstream for Silent {
    fn notify(&self, _method: &str, _params: Bytes) {}

    async fn ask(&self, question: Question) -> Result<Bytes, AskError> {
        Err(AskError::Unable(question.method.to_string()))
    }
}
