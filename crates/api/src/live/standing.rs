//! Streams end when the key that opened them is revoked, narrowed or runs out: one task follows the keys, and
//! readers look at what it found.

use std::sync::{Arc, Weak};
use std::time::Duration;

use identity::Identity;

use super::Live;

/// Longest time between two looks, should a key run out while the machine's clock is set.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// Follows the keys until the hub is gone.
pub(super) async fn follow_keys(live: Weak<Live>, identity: Arc<Identity>) {
    let mut changes = identity.changes();
    loop {
        let wait = {
            let Some(live) = live.upgrade() else { return };
            let now = live.clock.now();
            let standing = identity.standing(now);
            let until_next = standing.next_end.map(|end| end.0.saturating_sub(now.0));
            let until_next = until_next.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
            live.standing.send_replace(Arc::new(standing));
            until_next.map_or(LOOK_MAX, |wait| wait.min(LOOK_MAX))
        };
        if let Ok(Err(_)) = tokio::time::timeout(wait, changes.changed()).await {
            return;
        }
    }
}
