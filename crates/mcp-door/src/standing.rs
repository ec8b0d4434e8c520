//! Streams and conversations end when the key that opened them is revoked, narrowed or runs out: one task follows
//! the keys, and no stream looks for itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ahash::AHashMap;
use identity::Standing;
use model::Caller;

use crate::Door;
use crate::outbox::Outbox;
use crate::session::lock;

/// Longest time between two looks, should a key run out while the machine's clock is set.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// Whose it is, and what ends it.
type Open = (Arc<Caller>, Weak<Outbox>);

/// The conversations that are open.
#[derive(Default)]
pub(crate) struct OpenStreams {
    open: Mutex<AHashMap<u64, Open>>,
    next: AtomicU64,
}

/// Forgets a conversation when dropped.
pub(crate) struct Listed {
    door: Arc<Door>,
    number: u64,
}

impl Door {
    /// Remembers whose key a conversation stands on.
    pub(crate) fn list_stream(self: &Arc<Self>, caller: &Arc<Caller>, outbox: &Arc<Outbox>) -> Listed {
        let number = self.open_streams.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.open_streams.open).insert(number, (Arc::clone(caller), Arc::downgrade(outbox)));
        Listed { door: Arc::clone(self), number }
    }

    /// Ends what stands on a key that is not what it was.
    fn end_fallen(&self, standing: &Standing) {
        let fallen: Vec<Weak<Outbox>> = {
            let open = lock(&self.open_streams.open);
            open.values()
                .filter(|(caller, _)| !standing.still_is(caller))
                .map(|(_, out)| out.clone())
                .collect()
        };
        for outbox in fallen.iter().filter_map(Weak::upgrade) {
            outbox.close();
        }
        self.events.end_fallen(standing);
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.door.open_streams.open).remove(&self.number);
    }
}

/// Follows the keys until the door is gone.
pub(crate) async fn follow_keys(door: Weak<Door>) {
    let Some(mut changes) = door.upgrade().map(|door| door.parts().identity.changes()) else { return };
    loop {
        let wait = {
            let Some(door) = door.upgrade() else { return };
            let now = door.parts().clock.now();
            let standing = door.parts().identity.standing(now);
            door.end_fallen(&standing);
            let until_next = standing.next_end.map(|end| end.0.saturating_sub(now.0));
            let until_next = until_next.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
            until_next.map_or(LOOK_MAX, |wait| wait.min(LOOK_MAX))
        };
        if let Ok(Err(_)) = tokio::time::timeout(wait, changes.changed()).await {
            return;
        }
    }
}
