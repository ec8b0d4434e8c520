//! The connector of an entry that cannot be connected: it offers nothing, and says why. So a call of such a
//! connection gets the reason instead of "there is no such thing".

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Connector, Ctx, Event, Inventory, Outcome, Request, State};
use model::{Code, Condition, ConnectionStatus, Fault};
use tokio::sync::{broadcast, watch};

/// See the head of the file.
pub(crate) struct Waiting {
    state: State,
    changes: watch::Sender<u64>,
    events: broadcast::Sender<Event>,
}

impl Waiting {
    /// An entry that stands so, for this reason.
    pub(crate) fn new(status: ConnectionStatus, transport: &'static str, reason: Option<String>) -> Self {
        let state = State {
            status,
            condition: Condition::Stopped,
            code: reason.is_some().then_some(Code::MISCONFIGURED),
            reason,
            transport,
            era: None,
            protocol_version: None,
            server: None,
            pid: None,
            restarts: 0,
        };
        Self { state, changes: watch::Sender::new(0), events: broadcast::Sender::new(1) }
    }

    fn fault(&self) -> Fault {
        let reason = self.state.reason.clone().unwrap_or_else(|| "it is switched off".to_owned());
        Fault::new(Code::MISCONFIGURED, reason).with_hint("change its entry in the configuration file")
    }
}

#[async_trait]
impl Connector for Waiting {
    fn inventory(&self) -> Arc<Inventory> {
        Arc::new(Inventory::default())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn state(&self) -> State {
        self.state.clone()
    }

    async fn call(&self, _ctx: &Ctx, _request: Request) -> Result<Outcome, Fault> {
        Err(self.fault())
    }

    async fn refresh(&self) -> Result<(), Fault> {
        Err(self.fault())
    }

    async fn subscribe(&self, _uri: &str) -> Result<(), Fault> {
        Err(self.fault())
    }

    async fn unsubscribe(&self, _uri: &str) {}

    async fn close(&self) {}
}
