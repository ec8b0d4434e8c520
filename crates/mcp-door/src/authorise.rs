//! A call that is refused because its caller has no credential of their own: how a client that can open a page is
//! sent to it, and goes on when the user is back.
//!
//! Legacy clients get the error -32042 and hear `notifications/elicitation/complete` (MCP 2025-11-25, elicitation,
//! URL mode); modern ones get `input_required` with a `url` elicitation, and come again (2026-07-28, multi round-trip
//! requests). For clients that cannot, the link stands in the words (`rescue`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use call::Event;
use model::id::UserId;
use model::{CallKind, Code, Era, Fault, Key};
use tokio::sync::broadcast;
use tokio::time::Instant;
use wire::{Method, Object, object};

use crate::door::{Door, Who};
use crate::rescue::{self, Reply};
use crate::routing::Routed;
use crate::session::{Session, lock};

/// What our own states of this kind begin with.
const STATE_PREFIX: &str = "tla.";
const PURPOSE: &str = "authorise";
/// The name of the question.
const QUESTION: &str = "authorise";
/// How long a state is good, milliseconds: as long as the link.
const STATE_MS: i64 = 10 * 60 * 1000;
/// How much of what the client carried for the upstream is carried along, bytes.
const CARRIED_MAX: usize = 16 * 1024;
/// How long a client that has come again is kept waiting for its user to finish on the page; then it is asked again.
const WAIT: Duration = Duration::from_secs(20);
/// Pages that legacy clients are told of; the oldest are forgotten.
const ELICITED_MAX: usize = 1024;

/// How far one call may ask for an authorisation.
pub(crate) struct Asking {
    method: Method,
    /// It comes back from the page: its user may still be there.
    is_back: bool,
    /// Its user does not want to.
    is_declined: bool,
    session: Option<Arc<Session>>,
}

/// Pages that legacy clients were sent to, until they are told that it is done.
#[derive(Default)]
pub(crate) struct Elicited(Mutex<VecDeque<Sent>>);

struct Sent {
    connection: Key,
    user: UserId,
    id: String,
    session: Weak<Session>,
    at: Instant,
}

// === impl Elicited ===

impl Elicited {
    fn remember(&self, sent: Sent) {
        let mut all = lock(&self.0);
        let age = Duration::from_millis(STATE_MS.unsigned_abs());
        all.retain(|one| one.at.elapsed() < age && one.session.strong_count() > 0);
        if all.len() >= ELICITED_MAX {
            all.pop_front();
        }
        all.push_back(sent);
    }

    /// A user has a credential now: tells the clients that sent them for it, and no other.
    pub(crate) fn complete(&self, connection: &Key, user: UserId) {
        let done: Vec<Sent> = {
            let mut all = lock(&self.0);
            let (done, rest) =
                all.drain(..).partition(|one| one.connection == *connection && one.user == user);
            *all = rest;
            done.into()
        };
        for one in done {
            if let Some(stream) = one.session.upgrade().and_then(|session| session.stream()) {
                let params = [b"{\"elicitationId\":".as_slice(), &object::quoted(&one.id), b"}"].concat();
                stream
                    .offer(wire::message::notification("notifications/elicitation/complete", &params).into());
            }
        }
    }
}

// === impl Asking ===

impl Asking {
    /// What happens at the connection from now on, where that is waited for.
    pub(crate) fn news(&self, door: &Door, connection: &Key) -> Option<broadcast::Receiver<Event>> {
        let snapshot = door.parts().pipeline.snapshot();
        let mounted = snapshot.connection(connection.as_str()).filter(|_| self.is_back)?;
        Some(mounted.connector.events())
    }

    /// Waits for the user to be done on the page; false when that took too long, or nobody is there.
    pub(crate) async fn wait(&mut self, news: &mut Option<broadcast::Receiver<Event>>, user: UserId) -> bool {
        // Once: who is not done then is asked again.
        let (Some(news), true) = (news, std::mem::take(&mut self.is_back)) else { return false };
        let done = async {
            loop {
                match news.recv().await {
                    Ok(Event::Authorised { user: done }) if done == user => return true,
                    Ok(_) => {}
                    // It may have been among what was lost.
                    Err(broadcast::error::RecvError::Lagged(_)) => return true,
                    Err(broadcast::error::RecvError::Closed) => return false,
                }
            }
        };
        tokio::time::timeout(WAIT, done).await.unwrap_or(false)
    }
}

impl Door {
    /// How far this call may ask, and what it brings back from when it was asked before.
    ///
    /// # Errors
    /// A state of this kind that is not this caller's for this call, or too old.
    pub(crate) fn asking(
        &self,
        who: &Who,
        method: Method,
        params: &Object<'_>,
        routed: &mut Routed,
        session: Option<&Arc<Session>>,
    ) -> Result<Asking, Fault> {
        let mut asking = Asking { method, is_back: false, is_declined: false, session: session.cloned() };
        let state = params.get_str("requestState").filter(|_| who.peer.era == Some(Era::Modern));
        let Some(sealed) = state.as_deref().and_then(|state| state.strip_prefix(STATE_PREFIX)) else {
            return Ok(asking);
        };
        let plain = self.parts().sealer.open(PURPOSE, &subject(who, method, routed), sealed).ok();
        let carried = plain.as_deref().and_then(|plain| Object::scan(plain).ok());
        let now = self.parts().clock.now().0;
        let until =
            carried.as_ref().and_then(|all| std::str::from_utf8(all.get("until")?).ok()?.parse().ok());
        let Some(carried) = carried.filter(|_| until.is_some_and(|until: i64| now < until)) else {
            let what = "`requestState` is unknown, expired, or was made for another call";
            return Err(Fault::new(Code::STALE_STATE, what)
                .with_hint("call again without requestState and inputResponses"));
        };
        let answers = params.get("inputResponses").and_then(|raw| Object::scan(raw).ok());
        let answer = answers.as_ref().and_then(|all| Object::scan(all.get(QUESTION)?).ok());
        let action = answer.as_ref().and_then(|answer| answer.get_str("action"));
        asking.is_back = action.as_deref() == Some("accept");
        asking.is_declined = matches!(action.as_deref(), Some("decline" | "cancel"));
        // What is ours is not for the upstream; what the client carried for that one before is.
        let theirs = [("requestState", carried.get("state")), ("inputResponses", carried.get("responses"))];
        let edited = Object::scan(&routed.request.params).ok().map(|params| params.edit(&theirs));
        if let Some(edited) = edited {
            routed.request.params = edited.into();
        }
        Ok(asking)
    }

    /// The answer to a caller whose own credential is missing.
    pub(crate) fn authorise(
        &self,
        who: &Who,
        kind: CallKind,
        routed: &Routed,
        asking: &Asking,
        fault: &Fault,
    ) -> Reply {
        let era = who.peer.era.unwrap_or(Era::Legacy);
        let plain = || rescue::reply(fault, Some(kind), era);
        let Some(link) = fault.link.as_ref().filter(|_| who.peer.abilities.elicit_url && !asking.is_declined)
        else {
            return plain();
        };
        let mut members = Vec::from(*b"{\"mode\":\"url\",\"message\":");
        object::push_str(&mut members, &fault.detail);
        members.extend_from_slice(b",\"url\":");
        object::push_str(&mut members, &link.url);
        if era == Era::Legacy {
            members.extend_from_slice(b",\"elicitationId\":");
            object::push_str(&mut members, &link.id);
            members.push(b'}');
            if let Some(session) = &asking.session {
                // A connection that is new may not be listened to yet, and its user may be quick.
                self.events.listen(&self.parts().pipeline.snapshot());
                self.events.elicited.remember(Sent {
                    connection: routed.connection.clone(),
                    user: who.caller.owner.user,
                    id: link.id.clone(),
                    session: Arc::downgrade(session),
                    at: Instant::now(),
                });
            }
            return rescue::url_elicitation(fault, &members);
        }
        members.push(b'}');
        // The three requests that may be answered so (2026-07-28, multi round-trip requests).
        if !matches!(asking.method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead) {
            return plain();
        }
        let Some(state) = self.seal_asking(who, asking.method, routed) else { return plain() };
        let mut out = Vec::from(*b"{\"resultType\":\"input_required\",\"inputRequests\":{");
        object::push_str(&mut out, QUESTION);
        out.extend_from_slice(b":{\"method\":\"elicitation/create\",\"params\":");
        out.extend_from_slice(&members);
        out.extend_from_slice(b"}},\"requestState\":");
        object::push_str(&mut out, &state);
        out.push(b'}');
        Reply::Result(self.to_modern(who, kind, out.into()))
    }

    /// What the client carried before, sealed, so that it is there again when it comes back; `None` when it is too
    /// much.
    fn seal_asking(&self, who: &Who, method: Method, routed: &Routed) -> Option<String> {
        let params = Object::scan(&routed.request.params).ok()?;
        let until = self.parts().clock.now().0 + STATE_MS;
        let mut plain = format!("{{\"until\":{until}").into_bytes();
        for (name, raw) in
            [("state", params.get("requestState")), ("responses", params.get("inputResponses"))]
        {
            if let Some(raw) = raw {
                plain.extend_from_slice(format!(",\"{name}\":").as_bytes());
                plain.extend_from_slice(raw);
            }
        }
        plain.push(b'}');
        if plain.len() > CARRIED_MAX {
            return None;
        }
        let sealed = self.parts().sealer.seal(PURPOSE, &subject(who, method, routed), &plain).ok()?;
        Some(format!("{STATE_PREFIX}{sealed}"))
    }
}

/// What a state is good for, and nothing else: this caller, this endpoint, this method, this target.
fn subject(who: &Who, method: Method, routed: &Routed) -> String {
    let (connection, target) = (&routed.connection, &routed.request.target);
    format!("{} {} {} {connection} {target}", who.caller.principal, who.endpoint, method.name())
}
