//! How a connection stands that holds nothing open between calls: as its last test found it.

use std::sync::{Mutex, PoisonError};

use model::{Condition, ConnectionStatus, Fault};
use tokio::sync::{broadcast, watch};

use crate::{Event, State};

/// The state of such a connection, and who is told when it changes. Its inventory never does, and nothing happens
/// outside of its calls.
pub struct Standing {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    events: broadcast::Sender<Event>,
}

impl Standing {
    /// Of a connection that nothing has been sent on. With `is_proven` a test has passed before; otherwise it is
    /// `testing` until one has.
    #[must_use]
    pub fn new(transport: &'static str, server: Option<String>, is_proven: bool) -> Self {
        let state = State {
            status: if is_proven { ConnectionStatus::Connected } else { ConnectionStatus::Testing },
            condition: Condition::Started,
            reason: None,
            code: None,
            transport,
            era: None,
            protocol_version: None,
            server,
            pid: None,
            restarts: 0,
        };
        Self { state: Mutex::new(state), changes: watch::Sender::new(0), events: broadcast::Sender::new(1) }
    }

    /// For [`crate::Connector::state`].
    #[must_use]
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For [`crate::Connector::changes`].
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// For [`crate::Connector::events`].
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Takes in how a test went.
    pub fn tested(&self, outcome: &Result<(), Fault>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, reason, code) = match outcome {
            Ok(()) => (ConnectionStatus::Connected, None, None),
            Err(fault) => (ConnectionStatus::Error, Some(fault.advice()), Some(fault.code)),
        };
        let is_change = state.status != status || state.reason != reason;
        (state.status, state.reason, state.code) = (status, reason, code);
        drop(state);
        if is_change {
            self.changes.send_modify(|change| *change += 1);
        }
    }
}
