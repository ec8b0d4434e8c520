//! What it means to be connected: the [`Connector`] trait, what a call hands to it and gets back,
//! and the [`Inventory`] of what it offers.
//!
//! Not its job: deciding whether a call may happen (`call`) or how a client speaks (`mcp-door`).
//! `call` is the only room that calls [`Connector::call`].

pub mod carry;
pub mod credentials;
pub mod ctx;
pub mod inventory;
pub mod oauth;
pub mod request;
pub mod sources;
mod standing;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use model::id::UserId;
use model::{Code, Condition, ConnectionStatus, Era, Fault};
use tokio::sync::{broadcast, watch};

pub use credentials::{Credentials, Mark, NewCredential, Opened};
pub use ctx::{Abilities, AskError, Ctx, Downstream, Peer, Question, Silent};
pub use inventory::{Inventory, ListKind, Offered, Tool};
pub use request::{Outcome, Request};
pub use standing::Standing;

/// One connected system. Shared by every core: its methods take `&self` and return `Send` futures.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// What it offers, from memory: the last good answer. Never waits, never fails.
    fn inventory(&self) -> Arc<Inventory>;

    /// Changes whenever [`Connector::inventory`] or [`Connector::state`] would answer differently.
    fn changes(&self) -> watch::Receiver<u64>;

    /// What happens outside of calls. A receiver that lags loses the oldest events.
    fn events(&self) -> broadcast::Receiver<Event>;

    /// How it stands, for people.
    fn state(&self) -> State;

    /// Does one thing. Dropping the future cancels the work upstream.
    ///
    /// # Errors
    /// A [`Fault`] when no answer came; an answer that says "failed" is an [`Outcome`].
    async fn call(&self, ctx: &Ctx, request: Request) -> Result<Outcome, Fault>;

    /// Connects afresh and reads the inventory again.
    ///
    /// # Errors
    /// Which layer failed, and what to do.
    async fn refresh(&self) -> Result<(), Fault>;

    /// Asks for [`Event::ResourceUpdated`] of one resource; counted, so that each call needs its
    /// [`Connector::unsubscribe`].
    ///
    /// # Errors
    /// When the upstream refuses or cannot.
    async fn subscribe(&self, uri: &str) -> Result<(), Fault>;

    /// Ends one [`Connector::subscribe`]. Failure is of no consequence to the caller.
    async fn unsubscribe(&self, uri: &str);

    /// Lets go of sockets, sessions and processes. Calls in flight end with a fault.
    async fn close(&self);
}

/// Something that happened outside of any call.
#[derive(Debug, Clone)]
pub enum Event {
    /// The upstream said that a list changed. Sent once the inventory has been read again.
    ListChanged(ListKind),
    /// A subscribed resource changed; `params` is the notification's raw object.
    ResourceUpdated { uri: Arc<str>, params: Bytes },
    /// A log message of a legacy upstream that belongs to no call; raw `params`.
    Log { params: Bytes },
    /// A task changed its status; raw `params` of `notifications/tasks[/status]`.
    TaskStatus { params: Bytes },
    /// A user has a credential of their own now, on a connection where everybody uses their own.
    Authorised { user: UserId },
}

/// How a connection stands: what `status` and the console show.
#[derive(Debug, Clone, serde::Serialize)]
pub struct State {
    /// What its owner is told.
    pub status: ConnectionStatus,
    /// How it runs.
    pub condition: Condition,
    /// Why it is not well, in words with a remedy.
    pub reason: Option<String>,
    /// The same as a code, where it is a fault.
    pub code: Option<Code>,
    /// How bytes travel: `stdio`, `http`, ...
    pub transport: &'static str,
    /// What the upstream speaks, once known.
    pub era: Option<Era>,
    /// The protocol revision agreed on, once known.
    pub protocol_version: Option<String>,
    /// Name and version that the upstream gives itself. Self-reported: for people only.
    pub server: Option<String>,
    /// The child process, where there is one.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
}
