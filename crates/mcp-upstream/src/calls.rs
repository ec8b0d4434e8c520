//! The way of one call: from the pipeline to the server's era and transport, and back.

use std::sync::Arc;
use std::time::Duration;

use connector::{Abilities, Ctx, Outcome, Request};
use model::{CallKind, Era, Fault};
use tokio::time::Instant;
use wire::param_header::value_of;
use wire::{Object, RpcCode};

use crate::answer::{Answer, outcome};
use crate::ask::Ask;
use crate::channel::{Channel, within};
use crate::handshake::{Live, Road, Way, open_session};
use crate::inner::{Inner, Phase};
use crate::lanes::Lanes;
use crate::modern_http::{ModernHttp, code_of};
use crate::params::{Prepared, for_legacy, for_modern};
use crate::session::Session;
use crate::signals::Nudge;
use crate::trouble::Trouble;

/// How long a call waits for the supervisor to notice what the call has noticed.
const NOTICE: Duration = Duration::from_millis(200);

impl Inner {
    pub(crate) async fn call(self: &Arc<Self>, ctx: &Ctx, request: &Request) -> Result<Outcome, Fault> {
        let deadline = ctx.deadline;
        self.touch();
        let live = self.ready(deadline).await?;
        let mut answered = self.call_followed(&live, ctx, request, deadline).await;
        match &answered {
            Err(Trouble::Ended { was_sent: false, .. }) => {
                // It ended before the call reached it: the next one gets it, as nothing was done yet.
                let mut phase = self.phase.subscribe();
                let noticed = phase.wait_for(|phase| !matches!(phase, Phase::Up));
                let _ = tokio::time::timeout(NOTICE, noticed).await;
                let live = self.ready(deadline).await?;
                answered = self.call_followed(&live, ctx, request, deadline).await;
            }
            Err(Trouble::OtherRevision(_)) => {
                // The server was replaced by another: greet it again, then ask once more. It did nothing yet.
                self.signals.nudge(Nudge::OtherRevision);
                if let Some(live) = self.renewed(&live, deadline).await {
                    answered = self.call_followed(&live, ctx, request, deadline).await;
                }
            }
            _ => {}
        }
        if let Err(Trouble::OtherRevision(error)) = answered {
            answered = Ok(Outcome::RpcError { error });
        }
        match &answered {
            Err(trouble) if trouble.is_suspect() => self.signals.nudge(Nudge::Suspect(trouble.clone())),
            Ok(Outcome::Task { result }) if live.facts.era == Era::Modern => self.watch_task(result),
            _ => {}
        }
        self.touch();
        answered.map_err(Fault::from)
    }

    /// One request, answered as it is.
    pub(crate) async fn call_once(
        self: &Arc<Self>,
        live: &Arc<Live>,
        ctx: &Ctx,
        request: &Request,
        deadline: Instant,
    ) -> Result<Outcome, Trouble> {
        match &live.way {
            Way::ModernHttp(http) => self.call_modern_http(live, http, ctx, request, deadline).await,
            Way::ModernChannel(channel) => {
                if let Some(lane) = Lanes::here(self, live) {
                    match call_modern_channel(live, &lane, ctx, request, deadline).await {
                        // The lane ended before the call reached it.
                        Err(Trouble::Ended { was_sent: false, .. }) => {}
                        answered => return answered,
                    }
                }
                call_modern_channel(live, channel, ctx, request, deadline).await
            }
            Way::Legacy(_, road) => self.call_legacy(live, *road, ctx, request, deadline).await,
        }
    }

    async fn call_modern_http(
        self: &Arc<Self>,
        live: &Arc<Live>,
        http: &ModernHttp,
        ctx: &Ctx,
        request: &Request,
        deadline: Instant,
    ) -> Result<Outcome, Trouble> {
        let version = live.facts.version.as_str();
        let prepared = for_modern(&ctx.peer, version, &request.params, None, request.kind == CallKind::Task)?;
        let ask = ask(ctx, request, prepared, deadline);
        let extra = self.param_headers(request)?;
        let mut answered = http.request(ask.clone(), &extra).await?;
        match code_of(&answered.answer) {
            // Both say that nothing was done.
            Some(RpcCode::HEADER_MISMATCH) if answered.status == 400 => {
                self.read_lists(live, false).await;
                let extra = self.param_headers(request)?;
                answered = http.request(ask, &extra).await?;
            }
            // The second is how the SDKs before 2026 answer whoever has no session.
            Some(RpcCode::UNSUPPORTED_VERSION | RpcCode::SERVER_NOT_INITIALIZED)
                if answered.status == 400 =>
            {
                return Err(other_revision(answered.answer));
            }
            _ => {}
        }
        outcome(Era::Modern, request.kind, &ctx.peer, answered.answer)
    }

    /// Waits until the supervisor has greeted the server again; `None` when it did not in time.
    async fn renewed(&self, old: &Arc<Live>, deadline: Instant) -> Option<Arc<Live>> {
        let mut changes = self.changes.subscribe();
        let deadline = deadline.min(within(self.settings.connect_timeout_ms));
        loop {
            if let Some(live) = self.live.load_full().filter(|live| !Arc::ptr_eq(live, old)) {
                return Some(live);
            }
            tokio::time::timeout_at(deadline, changes.changed()).await.ok()?.ok()?;
        }
    }

    /// The header lines that repeat arguments of this tool (SEP-2243), from the server's own schema.
    fn param_headers(&self, request: &Request) -> Result<Vec<(String, String)>, Trouble> {
        if request.kind != CallKind::Tool {
            return Ok(Vec::new());
        }
        let known = self.param_headers.load();
        let Some(headers) = known.get(&*request.target) else { return Ok(Vec::new()) };
        let bad = |why: String| Trouble::Fault(Fault::new(model::Code::BAD_MESSAGE, why));
        let params = Object::scan(&request.params).map_err(|error| bad(error.to_string()))?;
        let Some(raw) = params.get("arguments") else { return Ok(Vec::new()) };
        let arguments = serde_json::from_slice(raw).map_err(|error| bad(error.to_string()))?;
        Ok(headers
            .iter()
            .filter_map(|header| {
                let value = value_of(&arguments, header)?;
                Some((format!("{}{}", wire::header::PARAM_PREFIX, header.name), value))
            })
            .collect())
    }

    async fn call_legacy(
        self: &Arc<Self>,
        live: &Arc<Live>,
        road: Road,
        ctx: &Ctx,
        request: &Request,
        deadline: Instant,
    ) -> Result<Outcome, Trouble> {
        let mut is_retried = false;
        loop {
            let session = self.session(live, road, ctx.peer.abilities, deadline).await?;
            session.touch(self.now_ms());
            if let Some(level) = &ctx.peer.log_level {
                session.want_level(level).await;
            }
            let id = session.open().mint();
            let prepared = for_legacy(&ctx.peer, &request.params, id)?;
            let answer = session.request_as(id, ask(ctx, request, prepared, deadline)).await;
            session.touch(self.now_ms());
            match answer {
                // The session had expired, which also says that nothing was done.
                Err(Trouble::SessionGone) if !is_retried => {
                    self.signals.nudge(Nudge::SessionReplaced);
                    is_retried = true;
                }
                Err(Trouble::Ended { was_sent: false, .. })
                    if !is_retried && ctx.peer.abilities != Abilities::ALL =>
                {
                    is_retried = true;
                }
                Ok(answer) if road == Road::Http && code_of(&answer).is_some_and(RpcCode::is_modern) => {
                    return Err(other_revision(answer));
                }
                answer => return outcome(Era::Legacy, request.kind, &ctx.peer, answer?),
            }
        }
    }

    /// The session of a capability class, opened where there is none.
    pub(crate) async fn session(
        self: &Arc<Self>,
        live: &Arc<Live>,
        road: Road,
        abilities: Abilities,
        deadline: Instant,
    ) -> Result<Arc<Session>, Trouble> {
        let is_one = self.settings.sessions.is_one(&self.settings.transport);
        let abilities = if is_one { Abilities::ALL } else { abilities };
        if abilities == Abilities::ALL && road == Road::Channel {
            // The first channel is the supervisor's: when it ends, the supervisor opens the next.
            if let Way::Legacy(session, _) = &live.way {
                return Ok(Arc::clone(session));
            }
        }
        let class = self.classes.class(abilities, road == Road::Http, self.now_ms())?;
        if let Some(session) = class.alive() {
            return Ok(session);
        }
        // Opened at home, in a task of its own: the caller may go away, the session stays for the next.
        let inner = Arc::clone(self);
        let opening = self.home.spawn(async move {
            let _one = class.connecting.lock().await;
            if let Some(session) = class.alive() {
                return Ok(session);
            }
            let opened = open_session(&inner.settings, &inner.parts, &inner.signals, road, abilities).await;
            let (session, _) = opened?;
            session.touch(inner.now_ms());
            class.put(Arc::clone(&session));
            Ok(session)
        });
        match tokio::time::timeout_at(deadline, opening).await {
            Ok(Ok(session)) => session,
            Ok(Err(_)) => Err(Trouble::BadAnswer("opening a session was given up".to_owned())),
            Err(_) => Err(Trouble::Timeout { what: "initialize".to_owned(), was_sent: false }),
        }
    }
}

fn other_revision(answer: Answer) -> Trouble {
    let (Answer::Error(raw) | Answer::Result(raw)) = answer;
    Trouble::OtherRevision(raw)
}

async fn call_modern_channel(
    live: &Arc<Live>,
    channel: &Channel,
    ctx: &Ctx,
    request: &Request,
    deadline: Instant,
) -> Result<Outcome, Trouble> {
    let id = channel.open.mint();
    let is_about_task = request.kind == CallKind::Task;
    let prepared = for_modern(&ctx.peer, &live.facts.version, &request.params, Some(id), is_about_task)?;
    let answer: Answer = channel.request_as(id, ask(ctx, request, prepared, deadline)).await?;
    outcome(Era::Modern, request.kind, &ctx.peer, answer)
}

fn ask<'a>(ctx: &'a Ctx, request: &'a Request, prepared: Prepared, deadline: Instant) -> Ask<'a> {
    Ask {
        method: request.method,
        target: &request.target,
        params: prepared.params,
        ctx: Some(ctx),
        client_token: prepared.client_token,
        deadline,
        is_replayable: request.is_replayable,
    }
}
