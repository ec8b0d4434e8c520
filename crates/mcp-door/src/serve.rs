//! What each method does, whatever it came over. Transports and eras differ in how messages travel; here
//! a request of a known caller becomes a reply.

use std::sync::Arc;

use bytes::Bytes;
use call::{Call, Downstream, Outcome};
use model::{CallKind, Code, Era, Fault, Key};
use wire::task::EXTENSION;
use wire::{Method, Object, RpcCode};

use crate::asked;
use crate::authorise::Asking;
use crate::bridge::{Asks, Way};
use crate::door::{Door, Who};
use crate::outbox::Outbox;
use crate::park::{AskableCall, Questions};
use crate::rescue::{self, Reply};
use crate::routing::Routed;
use crate::session::Session;

impl Door {
    /// Answers one request. `params` is the raw object (`{}` when there was none).
    pub(crate) async fn serve(
        self: &Arc<Self>,
        who: &Who,
        method: Method,
        params: Bytes,
        outbox: &Arc<Outbox>,
        session: Option<&Arc<Session>>,
    ) -> Reply {
        match method {
            Method::Ping => Reply::Result(Bytes::from_static(b"{}")),
            Method::Discover => self.discover(who).await,
            Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourcesTemplatesList => self.list(who, method, &params).await,
            Method::LoggingSetLevel => set_level(session, &params),
            Method::ResourcesSubscribe | Method::ResourcesUnsubscribe => {
                self.subscription(who, session, method == Method::ResourcesSubscribe, &params).await
            }
            Method::TasksList => Reply::error(
                RpcCode::METHOD_NOT_FOUND,
                "`tasks/list` is not served: callers share the hub's sessions, and a list would show each the others' tasks",
            ),
            Method::Initialize | Method::Listen => {
                Reply::error(RpcCode::METHOD_NOT_FOUND, &format!("`{}` is not served here", method.name()))
            }
            _ => self.call_method(who, method, params, outbox, session).await,
        }
    }

    /// Calls, reads, prompts, completions and tasks: what goes through the pipeline.
    async fn call_method(
        self: &Arc<Self>,
        who: &Who,
        method: Method,
        params: Bytes,
        outbox: &Arc<Outbox>,
        session: Option<&Arc<Session>>,
    ) -> Reply {
        let era = who.peer.era.unwrap_or(Era::Legacy);
        let kind = method.call_kind().unwrap_or(CallKind::Tool);
        if kind == CallKind::Task && era == Era::Modern && !wire::task::has_extension(&who.peer.capabilities)
        {
            return missing_tasks();
        }
        let object = match Object::scan(&params) {
            Ok(object) => object,
            Err(error) => return Reply::error(RpcCode::INVALID_PARAMS, &format!("`params`: {error}")),
        };
        if kind == CallKind::Task {
            return self.task_method(who, method, &object, outbox, session).await;
        }
        let mut routed = match self.route(who, method, kind, &params, &object).await {
            Ok(routed) => routed,
            Err(fault) => return rescue::reply(&fault, Some(kind), era),
        };
        let asking = match self.asking(who, method, &object, &mut routed, session) {
            Ok(asking) => asking,
            Err(fault) => return rescue::reply(&fault, None, era),
        };
        let patience = self.settings().ask_timeout;
        if era == Era::Modern {
            let subject = || format!("{} {} {}", who.endpoint, method.name(), routed.request.target);
            if object.get("requestState").is_some()
                && let Some(reply) = self.resume(who, &subject(), &object, outbox).await
            {
                return reply;
            }
            if who.peer.abilities != call::Abilities::default()
                && self.upstream_era(&routed.connection) == Some(Era::Legacy)
            {
                // Only here can a question come up in the middle: the call gets a life of its own.
                let subject = subject();
                let questions = Arc::new(Questions::default());
                let way = Arc::new(Way::new(
                    Arc::clone(outbox),
                    Asks::Park(Arc::clone(&questions)),
                    Arc::clone(&who.peer),
                    patience,
                ));
                let downstream = Arc::clone(&way) as Arc<dyn Downstream>;
                let (door, who_owned) = (Arc::clone(self), who.clone());
                let work =
                    async move { door.call_through(&who_owned, kind, routed, downstream, asking).await };
                let call = AskableCall::start(who, subject, questions, way, patience, work);
                return self.drive(who, call).await;
            }
        }
        let asks = session.map_or(Asks::Nobody, |session| Asks::Session(Arc::clone(session)));
        let way = Way::new(Arc::clone(outbox), asks, Arc::clone(&who.peer), patience);
        let wants_task = routed.wants_task;
        let reply = self.call_through(who, kind, routed, Arc::new(way), asking).await;
        if wants_task
            && let (Some(session), Reply::Result(result)) = (session, &reply)
            && let Some(task) = wire::task::Task::read(result)
            && let Ok(found) = self.open_task(who, &task.id)
        {
            session.follow_task(found.connection, found.own, &task.id);
        }
        reply
    }

    /// The pipeline, round after round while a modern upstream has questions for a legacy client.
    async fn call_through(
        &self,
        who: &Who,
        kind: CallKind,
        mut routed: Routed,
        downstream: Arc<dyn Downstream>,
        mut asking: Asking,
    ) -> Reply {
        let era = who.peer.era.unwrap_or(Era::Legacy);
        for _ in 0..asked::ROUNDS_MAX {
            let mut news = asking.news(self, &routed.connection);
            let outcome = self
                .parts()
                .pipeline
                .call(Call {
                    id: self.parts().pipeline.new_id(),
                    caller: Arc::clone(&who.caller),
                    door: "mcp",
                    connection: routed.connection.clone(),
                    request: routed.request.clone(),
                    arguments: routed.arguments.clone(),
                    peer: Arc::clone(&who.peer),
                    downstream: Arc::clone(&downstream),
                })
                .await;
            match outcome {
                Err(fault) if fault.code == Code::AUTHORISE_HERE => {
                    if !asking.wait(&mut news, who.caller.owner.user).await {
                        return self.authorise(who, kind, &routed, &asking, &fault);
                    }
                }
                Err(fault) => return rescue::reply(&fault, Some(kind), era),
                Ok(Outcome::InputRequired { result }) if era == Era::Legacy => {
                    match asked::next_round(&result, &routed.request.params, &downstream).await {
                        Ok(params) => routed.request.params = params,
                        Err(fault) => return rescue::reply(&fault, Some(kind), era),
                    }
                }
                Ok(outcome) => return self.shape(who, kind, &routed, outcome),
            }
        }
        let fault =
            Fault::new(Code::BAD_ANSWER, format!("the upstream asked for input {} times", asked::ROUNDS_MAX));
        rescue::reply(&fault, Some(kind), era)
    }

    pub(crate) fn upstream_era(&self, connection: &Key) -> Option<Era> {
        self.parts().pipeline.snapshot().connection(connection.as_str()).and_then(|m| m.inventory.era)
    }
}

fn set_level(session: Option<&Arc<Session>>, params: &[u8]) -> Reply {
    const LEVELS: [&str; 8] =
        ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
    let level = Object::scan(params).ok().and_then(|p| p.get_str("level").map(|l| l.into_owned()));
    match (level.filter(|level| LEVELS.contains(&level.as_str())), session) {
        (Some(level), Some(session)) => {
            session.set_log_level(&level);
            Reply::Result(Bytes::from_static(b"{}"))
        }
        _ => Reply::error(
            RpcCode::INVALID_PARAMS,
            "`level` must be one of debug, info, notice, warning, error, critical, alert, emergency",
        ),
    }
}

fn missing_tasks() -> Reply {
    let data = format!("{{\"requiredCapabilities\":{{\"extensions\":{{\"{EXTENSION}\":{{}}}}}}}}");
    let text = format!("this method needs the client capability `extensions[\"{EXTENSION}\"]`");
    let error = wire::error::object(RpcCode::MISSING_CAPABILITY, &text, Some(data.as_bytes()));
    Reply::Error(RpcCode::MISSING_CAPABILITY, error.into())
}
