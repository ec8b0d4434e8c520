//! Legacy sessions by what the calling client can do: a session declares its client's abilities once, so
//! that clients that differ in them cannot share one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector::Abilities;
use model::{Code, Fault};

use crate::session::Session;
use crate::trouble::Trouble;

/// Processes or sockets per connection beside the first.
const CHANNELS_MAX: usize = 4;
/// HTTP sessions per connection.
const HTTP_MAX: usize = 32;
/// A session that nobody used for so long is let go.
pub(crate) const IDLE_MS: u64 = 300_000;

/// The sessions of one connection.
#[derive(Default)]
pub(crate) struct Classes {
    map: Mutex<HashMap<Abilities, Arc<Class>>>,
}

/// One class. `connecting` is held while a session is being opened, so that one is.
#[derive(Default)]
pub(crate) struct Class {
    session: Mutex<Option<Arc<Session>>>,
    pub(crate) connecting: tokio::sync::Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Class {
    /// The session, while it lives.
    pub(crate) fn alive(&self) -> Option<Arc<Session>> {
        lock(&self.session).as_ref().filter(|session| session.is_alive()).cloned()
    }

    pub(crate) fn put(&self, session: Arc<Session>) {
        *lock(&self.session) = Some(session);
    }
}

/// True when nobody opens it, nobody calls on it, and nobody has since `before_ms`. Whoever does holds on to the
/// class or to its session, so that counting the holders needs no further bookkeeping.
fn is_idle(class: &Arc<Class>, before_ms: u64) -> bool {
    let is_unused = |session: &Arc<Session>| {
        !session.is_alive() || (Arc::strong_count(session) == 1 && session.last_used_ms() < before_ms)
    };
    Arc::strong_count(class) == 1 && lock(&class.session).as_ref().is_none_or(is_unused)
}

impl Classes {
    /// The class of these abilities, made where there is none yet.
    pub(crate) fn class(
        &self,
        abilities: Abilities,
        is_http: bool,
        now_ms: u64,
    ) -> Result<Arc<Class>, Trouble> {
        let mut map = lock(&self.map);
        if let Some(class) = map.get(&abilities) {
            return Ok(Arc::clone(class));
        }
        let limit = if is_http { HTTP_MAX } else { CHANNELS_MAX + 1 };
        if map.len() >= limit {
            // Of those who are idle right now, the one who has been so longest makes room.
            let idle = map
                .iter()
                .filter(|(known, class)| **known != Abilities::ALL && is_idle(class, now_ms + 1))
                .min_by_key(|(_, class)| lock(&class.session).as_ref().map_or(0, |s| s.last_used_ms()));
            let Some(idle) = idle.map(|(known, _)| *known) else {
                let fault = Fault::new(Code::BUSY, format!("{limit} sessions with this server are in use"));
                return Err(Trouble::Fault(fault.with_hint("try again when other clients' calls are over")));
            };
            map.remove(&idle);
        }
        let class = Arc::new(Class::default());
        map.insert(abilities, Arc::clone(&class));
        Ok(class)
    }

    /// Lets go of sessions that nobody used since `before_ms`, save the first.
    pub(crate) fn recycle(&self, before_ms: u64) {
        lock(&self.map).retain(|abilities, class| *abilities == Abilities::ALL || !is_idle(class, before_ms));
    }

    /// True when a call is open on any of them.
    pub(crate) fn is_busy(&self) -> bool {
        lock(&self.map).values().any(|class| class.alive().is_some_and(|session| session.open().is_busy()))
    }

    /// Lets go of all.
    pub(crate) fn clear(&self) {
        let classes: Vec<Arc<Class>> = lock(&self.map).drain().map(|(_, class)| class).collect();
        for class in classes {
            if let Some(session) = lock(&class.session).take()
                && let Some(channel) = session.channel()
            {
                channel.stop();
            }
        }
    }
}
