//! What the handlers share: the parts handed in by the binary and the little state of their own.

use std::sync::Arc;

use call::{Peer, Pipeline, Silent};
use connector::Credentials;
use identity::{Identity, Origins};
use ledger::Recorder;
use model::id::{EventId, EventTag, Sequence};
use model::{Clock, Entropy, Sealer, Timestamp};
use store::Store;

use crate::idempotency::Idempotency;
use crate::{Counters, Directory, Links, Live};

/// What the API is made of.
pub struct Parts {
    /// The one way in which connections are used.
    pub pipeline: Arc<Pipeline>,
    /// Who is calling, and the keys there are.
    pub identity: Arc<Identity>,
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// The credentials of connections.
    pub credentials: Arc<Credentials>,
    /// Where call records are found again.
    pub recorder: Arc<Recorder>,
    /// What seals links.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// What only the binary knows: configured entries, draining, tests.
    pub directory: Arc<dyn Directory>,
    /// Counts of calls; the binary feeds it from the recorder.
    pub counters: Arc<Counters>,
    /// What happens, for those who follow it.
    pub live: Arc<Live>,
    /// How it is set up.
    pub settings: Settings,
}

/// How the API is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Hosts beside the loopback names, `listen` and `public_url`: `name` (any port) or `name:port`.
    pub allowed_hosts: Vec<String>,
    /// Origins beside the loopback ones and `public_url`'s: `https://name[:port]`.
    pub allowed_origins: Vec<String>,
    /// The largest request body, bytes.
    pub body_bytes_max: usize,
    /// Version of the program.
    pub version: String,
    /// When the hub started.
    pub started_at: Timestamp,
    /// The address that is listened on, `127.0.0.1:4780`.
    pub listen: String,
    /// How the hub is reached from outside, `https://hub.example.com`.
    pub public_url: String,
    /// Connections made through the API may start programs, with the consent of whoever makes them.
    pub may_define_commands: bool,
    /// `/metrics` needs no key.
    pub is_metrics_open: bool,
}

/// The state of all handlers.
pub(crate) struct App {
    pub(crate) parts: Parts,
    pub(crate) origins: Origins,
    /// Log entries and metrics, in the order in which they are made.
    pub(crate) events: Sequence<EventTag>,
    pub(crate) idempotency: Arc<Idempotency>,
    /// Makes and opens the links of `/oauth`.
    pub(crate) links: Links,
    /// Callers of this door are no MCP clients: one description fits all.
    pub(crate) peer: Arc<Peer>,
    pub(crate) silent: Arc<Silent>,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        let settings = &parts.settings;
        let (hosts, origins) = (&settings.allowed_hosts, &settings.allowed_origins);
        let origins = Origins::new(&settings.listen, &settings.public_url, hosts, origins);
        let idempotency = Arc::new(Idempotency::new(
            Arc::clone(&parts.store),
            Arc::clone(&parts.sealer),
            Arc::clone(&parts.clock),
        ));
        let events = Sequence::new();
        let (sealer, clock) = (Arc::clone(&parts.sealer), Arc::clone(&parts.clock));
        let links = Links::new(sealer, clock, Arc::clone(&parts.entropy), &parts.settings.public_url);
        let (peer, silent) = (Arc::new(Peer::plain()), Arc::new(Silent));
        Self { parts, origins, events, idempotency, links, peer, silent }
    }

    /// The id of something that happens now.
    pub(crate) fn event_id(&self) -> EventId {
        self.events.next(&*self.parts.clock, &*self.parts.entropy)
    }
}
