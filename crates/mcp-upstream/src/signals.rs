//! What a server says outside of answers, sorted: to the call it belongs to, to the world, to the supervisor.

use std::sync::Arc;

use bytes::Bytes;
use connector::Event;
use tokio::sync::{broadcast, mpsc, oneshot};
use wire::Object;

use crate::trouble::Trouble;

/// A word to the supervisor.
#[derive(Debug)]
pub(crate) enum Nudge {
    /// A list may be different now.
    ListChanged,
    /// A legacy session was replaced: everything may be different.
    SessionReplaced,
    /// Calls fail in a way that reconnecting may heal.
    Suspect(Trouble),
    /// The server speaks another revision than it did.
    OtherRevision,
    /// Somebody needs it and it is not up.
    Wanted,
    /// Connect afresh, and say how it went.
    Refresh(oneshot::Sender<Result<(), model::Fault>>),
}

/// Where signals go. Never waits: a full queue loses the nudge, and its sender's next one says the same.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) nudges: mpsc::Sender<Nudge>,
}

impl Signals {
    pub(crate) fn nudge(&self, nudge: Nudge) {
        let _ = self.nudges.try_send(nudge);
    }

    pub(crate) fn event(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Handles a notification that belongs to no call. True when it was one of those.
    pub(crate) fn notification(&self, method: &str, params: Option<&[u8]>) -> bool {
        let owned = || Bytes::copy_from_slice(params.unwrap_or(b"{}"));
        match method {
            "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed" => self.nudge(Nudge::ListChanged),
            "notifications/resources/updated" => {
                let uri = params
                    .and_then(|raw| Object::scan(raw).ok())
                    .and_then(|object| object.get_str("uri").map(|uri| Arc::<str>::from(&*uri)));
                if let Some(uri) = uri {
                    self.event(Event::ResourceUpdated { uri, params: owned() });
                }
            }
            "notifications/tasks" | "notifications/tasks/status" => {
                self.event(Event::TaskStatus { params: owned() });
            }
            "notifications/message" => self.event(Event::Log { params: owned() }),
            _ => return false,
        }
        true
    }
}
