//! What the handlers share: the parts handed in by the binary and the little state of their own.

use std::sync::Arc;

use call::{Peer, Pipeline, Silent};
use identity::{Identity, Origins};
use ledger::Recorder;
use model::{Clock, Entropy, Timestamp};

use crate::door::Idempotency;
use crate::{Counters, Directory};

/// What the API is made of.
pub struct Parts {
    /// The one way in which connections are used.
    pub pipeline: Arc<Pipeline>,
    /// Who is calling, and the keys there are.
    pub identity: Arc<Identity>,
    /// Where call records are found again.
    pub recorder: Arc<Recorder>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// What only the binary knows: configured entries, draining, tests.
    pub directory: Arc<dyn Directory>,
    /// Counts of calls; the binary feeds it from the recorder.
    pub counters: Arc<Counters>,
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
    /// `/metrics` needs no key.
    pub is_metrics_open: bool,
}

/// The state of all handlers.
pub(crate) struct App {
    pub(crate) parts: Parts,
    pub(crate) origins: Origins,
    pub(crate) idempotency: Arc<Idempotency>,
    /// Callers of this door are no MCP clients: one description fits all.
    pub(crate) peer: Arc<Peer>,
    pub(crate) silent: Arc<Silent>,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        let settings = &parts.settings;
        let (hosts, origins) = (&settings.allowed_hosts, &settings.allowed_origins);
        let origins = Origins::new(&settings.listen, &settings.public_url, hosts, origins);
        let idempotency = Arc::new(Idempotency::new(Arc::clone(&parts.clock), parts.entropy.as_ref()));
        Self { parts, origins, idempotency, peer: Arc::new(Peer::plain()), silent: Arc::new(Silent) }
    }
}
