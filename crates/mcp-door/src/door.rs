//! The door: what it is made of, and the state that its faces share.

use std::sync::Arc;
use std::time::Duration;

use call::{Peer, Pipeline};
use identity::{Identity, Origins};
use model::{Caller, Clock, Entropy, Sealer};

use crate::endpoint::Endpoint;
use crate::events::Events;
use crate::park::ParkingLot;
use crate::session::Sessions;
use crate::standing::OpenStreams;
use crate::tasks::Tasks;
use crate::view::Views;

/// What the binary hands in.
pub struct Parts {
    /// The one way to use connections.
    pub pipeline: Arc<Pipeline>,
    /// Who is calling.
    pub identity: Arc<Identity>,
    /// Seals session ids, cursors, states and task ids.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

/// Limits and switches.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Version that the hub gives itself.
    pub version: String,
    /// The address that is listened on, `127.0.0.1:4780`.
    pub listen: String,
    /// How the hub is reached from outside; empty where that is the listen address.
    pub public_url: String,
    /// Hosts beside loopback names.
    pub allowed_hosts: Vec<String>,
    /// Origins beside loopback ones.
    pub allowed_origins: Vec<String>,
    /// Largest HTTP body, bytes.
    pub body_bytes_max: usize,
    /// Largest line or WebSocket message, bytes.
    pub line_bytes_max: usize,
    /// Serve WebSocket upgrades.
    pub has_websocket: bool,
    /// Serve the legacy HTTP+SSE transport.
    pub has_sse: bool,
    /// Items on one page of a list.
    pub page_items: usize,
    /// How long the lists of one connection wait while it is on its way up.
    pub settle: Duration,
    /// How long gathering lists wait for each connection on its way up, once.
    pub gather: Duration,
    /// How long a question to the client may stay open.
    pub ask_timeout: Duration,
    /// How long an HTTP answer may wait before it becomes a stream.
    pub stream_after: Duration,
    /// Calls open at once on one byte stream.
    pub open_calls_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: String::new(),
            public_url: String::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            body_bytes_max: 10 * 1024 * 1024,
            line_bytes_max: 16 * 1024 * 1024,
            has_websocket: true,
            has_sse: true,
            page_items: 100,
            settle: Duration::from_secs(10),
            gather: Duration::from_secs(2),
            ask_timeout: Duration::from_secs(600),
            stream_after: Duration::from_secs(15),
            open_calls_max: 256,
        }
    }
}

/// The hub as an MCP server. One for all cores.
pub struct Door {
    parts: Parts,
    settings: Settings,
    pub(crate) origins: Origins,
    pub(crate) views: Arc<Views>,
    pub(crate) sessions: Sessions,
    pub(crate) parking: ParkingLot,
    pub(crate) tasks: Tasks,
    pub(crate) open_streams: OpenStreams,
    pub(crate) events: Arc<Events>,
    pub(crate) modern_version: Arc<str>,
}

/// Who asks, of which face.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) caller: Arc<Caller>,
    pub(crate) endpoint: Endpoint,
    pub(crate) peer: Arc<Peer>,
}

impl Door {
    /// Opens the door. Has to be called inside a runtime that lives as long as the hub: what happens
    /// outside of calls is passed on from there.
    #[must_use]
    pub fn new(parts: Parts, settings: Settings) -> Arc<Self> {
        let events = Events::start(&parts.pipeline);
        let (hosts, origins) = (&settings.allowed_hosts, &settings.allowed_origins);
        let origins = Origins::new(&settings.listen, &settings.public_url, hosts, origins);
        let door = Arc::new(Self {
            origins,
            views: Arc::clone(&events.views),
            sessions: Sessions::default(),
            parking: ParkingLot::default(),
            tasks: Tasks::default(),
            open_streams: OpenStreams::default(),
            events,
            modern_version: wire::version::LATEST_MODERN.into(),
            parts,
            settings,
        });
        tokio::spawn(crate::session::sweep(Arc::downgrade(&door)));
        tokio::spawn(crate::standing::follow_keys(Arc::downgrade(&door)));
        door
    }

    pub(crate) const fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }
}
