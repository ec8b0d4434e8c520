//! The connector: what the rest of the hub sees of an MCP server.

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Connector, Ctx, Event, Inventory, Outcome, Request, State};
use model::{Code, Fault, Retry};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::inner::Inner;
use crate::settings::{Parts, Settings};
use crate::signals::Nudge;
use crate::supervisor;

/// Words to the supervisor that may wait.
const NUDGES_MAX: usize = 256;
/// Events that a slow receiver may lag behind.
const EVENTS_MAX: usize = 256;

/// One MCP server, connected or on the way. Dropping it lets go of everything.
pub struct McpUpstream {
    inner: Arc<Inner>,
}

impl McpUpstream {
    /// Starts connecting in the background, on the current runtime, which becomes the home of its sockets and
    /// processes (streamable HTTP calls run wherever they are called from). Never blocks, never fails: how it
    /// goes is in [`Connector::state`].
    #[must_use]
    pub fn start(settings: Settings, parts: Parts) -> Arc<Self> {
        let (nudges, queue) = mpsc::channel(NUDGES_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let inner = Inner::new(settings, parts, events, nudges);
        tokio::spawn(supervisor::supervise(Arc::clone(&inner), queue));
        Arc::new(Self { inner })
    }
}

impl Drop for McpUpstream {
    fn drop(&mut self) {
        self.inner.stop.cancel();
    }
}

#[async_trait]
impl Connector for McpUpstream {
    fn inventory(&self) -> Arc<Inventory> {
        self.inner.inventory.load_full()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.signals.events.subscribe()
    }

    fn state(&self) -> State {
        State::clone(&self.inner.state.load())
    }

    async fn call(&self, ctx: &Ctx, request: Request) -> Result<Outcome, Fault> {
        self.inner.call(ctx, &request).await
    }

    async fn refresh(&self) -> Result<(), Fault> {
        let gone =
            || Fault::new(Code::CANCELLED, "the connection was closed meanwhile").with_retry(Retry::Never);
        let (reply, answer) = oneshot::channel();
        self.inner.signals.nudges.send(Nudge::Refresh(reply)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn subscribe(&self, uri: &str) -> Result<(), Fault> {
        self.inner.subscribe(uri).await
    }

    async fn unsubscribe(&self, uri: &str) {
        self.inner.unsubscribe(uri).await;
    }

    async fn close(&self) {
        self.inner.stop.cancel();
        self.inner.closed.cancelled().await;
    }
}
