//! The way back to a client while its call runs: where notifications go, and how it is asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use call::{Abilities, AskError, Downstream, Peer, Question};
use model::Era;
use wire::Object;

use crate::outbox::Outbox;
use crate::park::Questions;
use crate::peer::is_loud_enough;
use crate::session::{Session, lock};

/// How a client is asked.
pub(crate) enum Asks {
    /// It cannot be.
    Nobody,
    /// By a request of our own on its stream.
    Session(Arc<Session>),
    /// By an `input_required` answer; it comes again with what it was asked for.
    Park(Arc<Questions>),
}

/// The way back of one call.
pub(crate) struct Way {
    outbox: Mutex<Option<Arc<Outbox>>>,
    asks: Asks,
    peer: Arc<Peer>,
    patience: Duration,
}

impl Way {
    pub(crate) fn new(outbox: Arc<Outbox>, asks: Asks, peer: Arc<Peer>, patience: Duration) -> Self {
        Self { outbox: Mutex::new(Some(outbox)), asks, peer, patience }
    }

    /// Points the way at another stream, or at none while the call is parked.
    pub(crate) fn lead_to(&self, outbox: Option<Arc<Outbox>>) {
        *lock(&self.outbox) = outbox;
    }

    /// Whether this client gets this log message. A modern client gets none that it did not ask for; a
    /// legacy one gets all until it says otherwise.
    fn wants_log(&self, params: &[u8]) -> bool {
        let session_level = match &self.asks {
            Asks::Session(session) => session.peer().log_level.clone(),
            _ => self.peer.log_level.clone(),
        };
        match session_level {
            None => self.peer.era == Some(Era::Legacy),
            Some(wanted) => {
                let level =
                    Object::scan(params).ok().and_then(|p| p.get_str("level").map(|l| l.into_owned()));
                level.is_none_or(|level| is_loud_enough(&level, &wanted))
            }
        }
    }
}

#[async_trait]
impl Downstream for Way {
    fn notify(&self, method: &str, params: Bytes) {
        let Some(outbox) = lock(&self.outbox).clone() else { return };
        if method != "notifications/message" || self.wants_log(&params) {
            outbox.offer(wire::message::notification(method, &params).into());
        }
    }

    fn pause(&self) {
        if let Asks::Session(session) = &self.asks
            && session.can_poll()
            && let Some(outbox) = lock(&self.outbox).clone()
        {
            outbox.hang_up();
        }
    }

    async fn ask(&self, question: Question) -> Result<Bytes, AskError> {
        if !can_answer(self.peer.abilities, &question) {
            return Err(AskError::Unable(question.method.to_string()));
        }
        match &self.asks {
            Asks::Nobody => Err(AskError::Unable(question.method.to_string())),
            Asks::Park(questions) => questions.ask(question, self.patience).await,
            Asks::Session(session) => {
                let outbox =
                    lock(&self.outbox).clone().or_else(|| session.stream()).ok_or(AskError::NoAnswer)?;
                session.ask(&outbox, &question, self.patience).await
            }
        }
    }
}

/// Whether a client with these abilities may be asked this at all.
fn can_answer(abilities: Abilities, question: &Question) -> bool {
    match question.method.as_ref() {
        "elicitation/create" => {
            let mode =
                Object::scan(&question.params).ok().and_then(|p| p.get_str("mode").map(|m| m.into_owned()));
            if mode.as_deref() == Some("url") { abilities.elicit_url } else { abilities.elicit_form }
        }
        "sampling/createMessage" => {
            let needs_tools = Object::scan(&question.params).is_ok_and(|p| p.get("tools").is_some());
            abilities.sampling && (abilities.sampling_tools || !needs_tools)
        }
        "roots/list" => abilities.roots,
        _ => false,
    }
}
