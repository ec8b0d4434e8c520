//! What a server says outside of answers, sorted: to the call it belongs to, to the world, to the supervisor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use connector::{Event, ListKind};
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

const KINDS: [(u8, ListKind); 3] = [(1, ListKind::Tools), (2, ListKind::Prompts), (4, ListKind::Resources)];

/// Where signals go. Never waits: a full queue loses the nudge, and its sender's next one says the same.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) nudges: mpsc::Sender<Nudge>,
    /// The lists that the server said have changed since they were last read, a bit each.
    pub(crate) said: Arc<AtomicU8>,
    /// What is for everyone comes on the first connection; further ones would say it again.
    pub(crate) is_lane: bool,
}

impl Signals {
    /// Those of a further connection to the same server.
    pub(crate) fn of_a_lane(&self) -> Self {
        Self { is_lane: true, ..self.clone() }
    }

    /// The lists that the server said have changed; asked for once.
    pub(crate) fn take_said(&self) -> impl Iterator<Item = ListKind> + use<> {
        let said = self.said.swap(0, Ordering::AcqRel);
        KINDS.into_iter().filter(move |(bit, _)| said & bit != 0).map(|(_, kind)| kind)
    }

    fn list_changed(&self, kind: ListKind) {
        for (bit, _) in KINDS.iter().filter(|(_, known)| *known == kind) {
            self.said.fetch_or(*bit, Ordering::AcqRel);
        }
        self.nudge(Nudge::ListChanged);
    }

    pub(crate) fn nudge(&self, nudge: Nudge) {
        let _ = self.nudges.try_send(nudge);
    }

    pub(crate) fn event(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Handles a notification that belongs to no call. True when it was one of those.
    pub(crate) fn notification(&self, method: &str, params: Option<&[u8]>) -> bool {
        if self.is_lane && method != "notifications/message" {
            return true;
        }
        let owned = || Bytes::copy_from_slice(params.unwrap_or(b"{}"));
        match method {
            "notifications/tools/list_changed" => self.list_changed(ListKind::Tools),
            "notifications/prompts/list_changed" => self.list_changed(ListKind::Prompts),
            "notifications/resources/list_changed" => self.list_changed(ListKind::Resources),
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
