//! A legacy session, whatever it travels on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wire::object::quoted;

use crate::answer::Answer;
use crate::ask::Ask;
use crate::channel::{Channel, within};
use crate::legacy_http::LegacyHttp;
use crate::open::{OpenCalls, severity};
use crate::params::own_legacy;
use crate::trouble::Trouble;

/// No level was asked for yet.
const NO_LEVEL: usize = usize::MAX;
/// Time for the server to take a log level.
const LEVEL_MS: u64 = 5_000;

/// One `initialize`d session.
pub(crate) struct Session {
    carrier: Carrier,
    /// The most talkative log level that was set.
    level: AtomicUsize,
    has_logging: bool,
}

/// What a session travels on.
pub(crate) enum Carrier {
    Http(Arc<LegacyHttp>),
    Channel(Arc<Channel>),
}

impl Session {
    pub(crate) fn new(carrier: Carrier, has_logging: bool) -> Arc<Self> {
        Arc::new(Self { carrier, level: AtomicUsize::new(NO_LEVEL), has_logging })
    }

    pub(crate) fn is_alive(&self) -> bool {
        match &self.carrier {
            Carrier::Http(http) => !http.is_gone(),
            Carrier::Channel(channel) => channel.ended().is_none(),
        }
    }

    pub(crate) fn open(&self) -> &OpenCalls {
        match &self.carrier {
            Carrier::Http(http) => &http.open,
            Carrier::Channel(channel) => &channel.open,
        }
    }

    /// The channel, where it is one.
    pub(crate) fn channel(&self) -> Option<&Arc<Channel>> {
        match &self.carrier {
            Carrier::Channel(channel) => Some(channel),
            Carrier::Http(_) => None,
        }
    }

    pub(crate) fn touch(&self, now_ms: u64) {
        match &self.carrier {
            Carrier::Http(http) => http.touch(now_ms),
            Carrier::Channel(channel) => channel.touch(now_ms),
        }
    }

    pub(crate) fn last_used_ms(&self) -> u64 {
        match &self.carrier {
            Carrier::Http(http) => http.last_used_ms(),
            Carrier::Channel(channel) => channel.last_used_ms(),
        }
    }

    /// Sends a request under an id from [`OpenCalls::mint`] and waits for its answer.
    pub(crate) async fn request_as(&self, id: u64, ask: Ask<'_>) -> Result<Answer, Trouble> {
        match &self.carrier {
            Carrier::Http(http) => http.request_as(id, ask).await,
            Carrier::Channel(channel) => channel.request_as(id, ask).await,
        }
    }

    /// A request of the hub's own.
    pub(crate) async fn request(&self, ask: Ask<'_>) -> Result<Answer, Trouble> {
        self.request_as(self.open().mint(), ask).await
    }

    /// Makes the server send log messages of at least this level. The session is shared, so that the level only
    /// ever becomes more talkative; each call filters for itself.
    pub(crate) async fn want_level(&self, level: &str) {
        let wanted = severity(level);
        if !self.has_logging || self.level.load(Ordering::Relaxed) <= wanted {
            return;
        }
        self.level.store(wanted, Ordering::Relaxed);
        let members = format!("\"level\":{}", String::from_utf8_lossy(&quoted(level)));
        let ask = Ask::own("logging/setLevel", own_legacy(&members), within(LEVEL_MS));
        if let Err(trouble) = self.request(ask).await {
            tracing::debug!(%trouble, "the server took no log level");
        }
    }
}
