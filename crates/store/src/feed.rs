//! The change feed's sending side, shared by the backends: a number that moves, and observers who are told
//! what has changed.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::{Change, Command};

/// Is told of every change, in the order in which they were committed. Must be quick and must not wait.
pub type Observer = Arc<dyn Fn(&Change) + Send + Sync>;

/// Counts commits, wakes whoever watches, and tells observers.
pub struct ChangeFeed {
    generation: watch::Sender<u64>,
    observers: RwLock<Vec<Observer>>,
}

impl ChangeFeed {
    /// A feed that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { generation: watch::Sender::new(0), observers: RwLock::default() }
    }

    /// These commands were committed, here.
    pub fn committed<'a>(&self, commands: impl Iterator<Item = &'a Command> + Clone) {
        let observers = self.observers.read().unwrap_or_else(PoisonError::into_inner);
        if !observers.is_empty() {
            for change in commands.clone().filter_map(Change::of) {
                observers.iter().for_each(|observer| observer(&change));
            }
        }
        drop(observers);
        let mut commands = commands;
        if commands.any(Command::wakes_feed) {
            self.bump();
        }
    }

    /// Something was committed on another node; what, is not known here.
    pub fn changed_elsewhere(&self) {
        let observers = self.observers.read().unwrap_or_else(PoisonError::into_inner);
        observers.iter().for_each(|observer| observer(&Change::SOMETHING));
        drop(observers);
        self.bump();
    }

    /// Tells `observer` of every change from now on.
    pub fn observe(&self, observer: Observer) {
        self.observers.write().unwrap_or_else(PoisonError::into_inner).push(observer);
    }

    /// Watches from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    fn bump(&self) {
        self.generation.send_modify(|generation| *generation = generation.wrapping_add(1));
    }
}

impl Default for ChangeFeed {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for ChangeFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeFeed").field("generation", &*self.generation.borrow()).finish_non_exhaustive()
    }
}
