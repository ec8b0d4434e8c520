//! The change feed's sending side, shared by the backends.

use tokio::sync::watch;

/// Counts commits and wakes whoever watches.
#[derive(Debug)]
pub struct ChangeFeed(watch::Sender<u64>);

impl ChangeFeed {
    /// A feed that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Something was committed.
    pub fn bump(&self) {
        self.0.send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    /// Watches from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

impl Default for ChangeFeed {
    fn default() -> Self {
        Self::new()
    }
}
