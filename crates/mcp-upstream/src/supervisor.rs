//! The life of a connection: greet, read the lists, keep them fresh, notice the end, start again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use connector::{Abilities, State};
use model::{Condition, ConnectionStatus, Fault};
use process::Backoff;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use wire::Object;

use crate::classes::IDLE_MS;
use crate::handshake::{Live, Road, Way, connect};
use crate::inner::{Inner, Phase};
use crate::inventory::Unread;
use crate::listen;
use crate::settings::Transport;
use crate::signals::Nudge;
use crate::trouble::{Ended, Trouble};

/// List changes within this time make one reading.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// The lists are never read again by time sooner than this.
const TTL_MS_MIN: u64 = 5_000;
/// What a `ttlMs` of nothing means here: a list nobody may keep would otherwise be read without end.
const TTL_MS_NONE: u64 = 60_000;
/// How often idle sessions are looked for.
const SWEEP_MS: u64 = 30_000;
/// Failing calls make the hub greet a server again, but not more often than this.
const SUSPECT_AFTER: Duration = Duration::from_secs(2);

type Reply = oneshot::Sender<Result<(), Fault>>;

/// Runs until the connector is closed or dropped.
pub(crate) async fn supervise(inner: Arc<Inner>, mut nudges: mpsc::Receiver<Nudge>) {
    tokio::select! {
        () = inner.stop.cancelled() => {}
        () = run(&inner, &mut nudges) => {}
    }
    let live = inner.live.swap(None);
    inner.set_phase(Phase::Closed);
    if let Some(channel) = live.as_ref().and_then(|live| live.stop()) {
        let _ = tokio::time::timeout(Duration::from_secs(2), channel.wait_end()).await;
    }
    inner.classes.clear();
    inner.publish(|state| {
        state.status = ConnectionStatus::Disconnected;
        state.condition = Condition::Stopped;
        state.pid = None;
    });
    inner.closed.cancel();
}

/// Why a connected server is to be connected again.
enum Why {
    Ended(Arc<Ended>),
    Refresh(Reply),
    Suspect(Trouble),
    Idle,
}

async fn run(inner: &Arc<Inner>, nudges: &mut mpsc::Receiver<Nudge>) {
    inner.recall().await;
    let mut backoff = Backoff::new();
    let mut replies: Vec<Reply> = Vec::new();
    let (mut is_afresh, mut is_replaced) = (false, false);
    loop {
        inner.last_attempt_ms.store(inner.now_ms(), Ordering::Relaxed);
        // Streamable HTTP has no connection that could be down: calls find out for themselves.
        if inner.live.load().is_none() {
            inner.set_phase(Phase::Starting);
        }
        inner.publish(|state| {
            // What has failed before is not on its way up: lists would stand still at its every try.
            let has_failed = state.status == ConnectionStatus::Error;
            state.status = ConnectionStatus::Testing;
            if state.condition != Condition::Started && !has_failed {
                state.condition = Condition::Starting;
            }
        });
        let remembered = if is_afresh { None } else { inner.remembered_era() };
        let greeted = connect(&inner.settings, &inner.parts, &inner.signals, remembered).await;
        is_afresh = false;
        let live = match greeted {
            Ok(live) => Arc::new(live),
            Err(trouble) => {
                let fault = trouble.while_connecting();
                fail(inner, &fault);
                for reply in replies.drain(..) {
                    let _ = reply.send(Err(fault.clone()));
                }
                // What was remembered may be the reason.
                inner.remember_era(None);
                let wait = backoff.next_wait(Duration::ZERO, &*inner.parts.entropy);
                if let Some(reply) = rest(nudges, Some(wait)).await {
                    replies.push(reply);
                    is_afresh = true;
                }
                continue;
            }
        };
        let started_ms = inner.now_ms();
        let why = serve(inner, &live, nudges, &mut replies, std::mem::take(&mut is_replaced)).await;
        let ran = Duration::from_millis(inner.now_ms().saturating_sub(started_ms));
        match why {
            Why::Refresh(reply) => {
                replies.push(reply);
                is_afresh = true;
                let_go(inner);
            }
            Why::Suspect(trouble) => {
                is_replaced = trouble == Trouble::SessionGone;
                tracing::debug!(connection = %inner.settings.key, %trouble, "calls fail; greeting the server again");
                inner.publish(|state| {
                    state.condition = Condition::Degraded;
                    state.reason = Some(trouble.to_string());
                });
            }
            Why::Ended(ended) => {
                let fault = Trouble::Ended { ended, was_sent: false }.while_connecting();
                tracing::warn!(connection = %inner.settings.key, reason = %fault.detail, "the server ended");
                // Only this one: calls on sessions of other classes run on processes of their own.
                inner.live.store(None);
                inner.publish(|state| {
                    state.restarts += 1;
                    state.pid = None;
                    state.reason = Some(fault.advice());
                    state.code = Some(fault.code);
                });
                let wait = backoff.next_wait(ran, &*inner.parts.entropy);
                // The first restart is quick, and calls wait for it; later ones fail fast.
                if wait > process::backoff::FIRST {
                    fail(inner, &fault);
                } else {
                    inner.set_phase(Phase::Starting);
                }
                replies.extend(rest(nudges, Some(wait)).await);
            }
            Why::Idle => {
                inner.set_phase(Phase::Resting);
                let_go(inner);
                inner.publish(|state| {
                    state.condition = Condition::Stopped;
                    state.reason = Some("stopped because nobody used it; a call starts it again".to_owned());
                    state.pid = None;
                });
                replies.extend(rest(nudges, None).await);
            }
        }
    }
}

/// Shows why it is down.
fn fail(inner: &Inner, fault: &Fault) {
    tracing::warn!(connection = %inner.settings.key, reason = %fault, "not connected");
    inner.publish(|state| {
        state.status = ConnectionStatus::Error;
        state.condition = if inner.live.load().is_some() { Condition::Degraded } else { Condition::Stopped };
        state.reason = Some(fault.advice());
        state.code = Some(fault.code);
    });
    if inner.live.load().is_none() {
        inner.set_phase(Phase::Down(fault.clone()));
    }
}

/// Drops what byte streams and processes there are. A server over streamable HTTP stays callable meanwhile.
fn let_go(inner: &Inner) {
    if inner.live.load().as_ref().is_some_and(|live| live.way.channel().is_some()) {
        if let Some(live) = inner.live.swap(None) {
            live.stop();
        }
        inner.classes.clear();
    }
}

/// Waits before the next try; somebody who wants it now ends the wait. A request to refresh is handed back.
async fn rest(nudges: &mut mpsc::Receiver<Nudge>, wait: Option<Duration>) -> Option<Reply> {
    let until = wait.map(|wait| Instant::now() + wait);
    loop {
        tokio::select! {
            () = sleep_until_some(until) => return None,
            nudge = nudges.recv() => match nudge {
                Some(Nudge::Refresh(reply)) => return Some(reply),
                Some(Nudge::Wanted) => return None,
                Some(_) => {}
                // All senders are gone, which the connector's own end makes known too.
                None => std::future::pending::<()>().await,
            }
        }
    }
}

async fn sleep_until_some(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// A task that ends with its handle.
struct Helper(JoinHandle<()>);

impl Drop for Helper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Looks after a greeted server until there is a reason to greet it again.
async fn serve(
    inner: &Arc<Inner>,
    live: &Arc<Live>,
    nudges: &mut mpsc::Receiver<Nudge>,
    replies: &mut Vec<Reply>,
    mut is_replaced: bool,
) -> Why {
    adopt(inner, live);
    let _listener = matches!(live.way, Way::ModernHttp(_) | Way::ModernChannel(_))
        .then(|| Helper(tokio::spawn(listen::run(Arc::clone(inner), Arc::clone(live)))));
    let greeted = Instant::now();
    let problems = inner.read_lists(live, std::mem::take(&mut is_replaced)).await;
    settle(inner, &problems);
    inner.resubscribe(live).await;
    let refused = problems.iter().find_map(|one| one.refused.clone());
    let done = || refused.clone().map_or(Ok(()), Err);
    for reply in replies.drain(..) {
        let _ = reply.send(done());
    }

    let mut reread_at: Option<Instant> = None;
    while let Ok(nudge) = nudges.try_recv() {
        match nudge {
            // What was asked for while the server was being greeted has been done.
            Nudge::Refresh(reply) => drop(reply.send(done())),
            Nudge::ListChanged | Nudge::SessionReplaced => {
                reread_at.get_or_insert(Instant::now() + DEBOUNCE);
            }
            Nudge::Suspect(_) | Nudge::OtherRevision | Nudge::Wanted => {}
        }
    }
    let mut ttl_at = next_by_ttl(inner);
    let idle_stop_ms = inner.settings.idle_stop_ms.filter(|_| live.way.channel().is_some());
    let sweep = Duration::from_millis(idle_stop_ms.map_or(SWEEP_MS, |ms| SWEEP_MS.min(ms / 2).max(10)));
    let mut sweeps = tokio::time::interval_at(Instant::now() + sweep, sweep);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = end_of(live) => return Why::Ended(ended),
            nudge = nudges.recv() => match nudge {
                Some(Nudge::ListChanged) => {
                    reread_at.get_or_insert(Instant::now() + DEBOUNCE);
                }
                Some(Nudge::SessionReplaced) => {
                    is_replaced = true;
                    reread_at.get_or_insert(Instant::now() + DEBOUNCE);
                }
                Some(Nudge::Refresh(reply)) => return Why::Refresh(reply),
                Some(Nudge::Suspect(trouble)) => {
                    if live.way.channel().is_none() && greeted.elapsed() > SUSPECT_AFTER {
                        return Why::Suspect(trouble);
                    }
                }
                Some(Nudge::OtherRevision) => {
                    return Why::Suspect(Trouble::BadAnswer("it changed its revision".to_owned()));
                }
                Some(Nudge::Wanted) => {}
                None => std::future::pending::<()>().await,
            },
            () = sleep_until_some(reread_at) => {
                reread_at = None;
                let problems = inner.read_lists(live, std::mem::take(&mut is_replaced)).await;
                if is_first_gone(live) {
                    return Why::Suspect(Trouble::SessionGone);
                }
                settle(inner, &problems);
                ttl_at = next_by_ttl(inner);
            }
            () = sleep_until_some(ttl_at) => {
                let problems = inner.read_lists(live, false).await;
                if is_first_gone(live) {
                    return Why::Suspect(Trouble::SessionGone);
                }
                settle(inner, &problems);
                ttl_at = next_by_ttl(inner);
            }
            _ = sweeps.tick() => {
                let now_ms = inner.now_ms();
                inner.classes.recycle(now_ms.saturating_sub(IDLE_MS));
                if let Some(ms) = idle_stop_ms
                    && now_ms.saturating_sub(inner.last_call_ms().max(now_ms - greeted_ms(greeted).min(now_ms))) >= ms
                    && !is_busy(inner, live)
                {
                    return Why::Idle;
                }
            }
        }
    }
}

fn greeted_ms(greeted: Instant) -> u64 {
    u64::try_from(greeted.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// True when the first session, on which the lists are read, is one that the server forgot.
fn is_first_gone(live: &Live) -> bool {
    matches!(&live.way, Way::Legacy(session, Road::Http) if !session.is_alive())
}

fn is_busy(inner: &Inner, live: &Live) -> bool {
    inner.classes.is_busy()
        || live.lanes.is_busy()
        || live.way.channel().is_some_and(|channel| channel.open.is_busy())
}

async fn end_of(live: &Live) -> Arc<Ended> {
    match live.way.channel() {
        Some(channel) => channel.wait_end().await,
        None => std::future::pending().await,
    }
}

/// Lets calls through to a greeted server.
fn adopt(inner: &Inner, live: &Arc<Live>) {
    if let Way::Legacy(session, road) = &live.way {
        let class = inner.classes.class(Abilities::ALL, *road == Road::Http, inner.now_ms());
        if let Ok(class) = class {
            class.put(Arc::clone(session));
        }
    }
    inner.remember_era(Some(live.facts.era));
    inner.live.store(Some(Arc::clone(live)));
    inner.set_phase(Phase::Up);
    let server = live.facts.server_info.as_ref().and_then(|raw| {
        let info = Object::scan(raw).ok()?;
        let name: String = info.get_str("name")?.chars().take(100).collect();
        let version: String = info.get_str("version").unwrap_or_default().chars().take(40).collect();
        Some(format!("{name} {version}").trim_end().to_owned())
    });
    inner.publish(|state| {
        state.status = ConnectionStatus::Connected;
        state.condition = Condition::Started;
        state.reason = None;
        state.code = None;
        state.transport = match (&inner.settings.transport, &live.way) {
            (Transport::Http { .. }, Way::Legacy(_, Road::Channel)) => "sse",
            (transport, _) => transport.name(),
        };
        state.era = Some(live.facts.era);
        state.protocol_version = Some(live.facts.version.clone());
        state.server = server;
        state.pid = live.way.channel().and_then(|channel| channel.pid());
    });
}

/// Shows what could not be read.
fn settle(inner: &Inner, problems: &[Unread]) {
    let refused = problems.iter().find_map(|one| one.refused.as_ref());
    inner.publish(|state: &mut State| {
        state.condition = if problems.is_empty() { Condition::Started } else { Condition::Degraded };
        let said: Vec<&str> = problems.iter().map(|one| one.said.as_str()).collect();
        state.reason = (!said.is_empty()).then(|| said.join("; "));
        state.code = refused.map(|fault| fault.code);
        state.status = if refused.is_some() { ConnectionStatus::Error } else { ConnectionStatus::Connected };
    });
}

/// When the lists are to be read again because the server said how long they hold.
fn next_by_ttl(inner: &Inner) -> Option<Instant> {
    let ttl_ms = match inner.inventory.load().ttl_ms? {
        0 => TTL_MS_NONE,
        ms => ms.max(TTL_MS_MIN),
    };
    // Up to a tenth later, so that many hubs do not ask at the same moment.
    let jitter_ms = inner.parts.entropy.next_u64() % (ttl_ms / 10 + 1);
    Instant::now().checked_add(Duration::from_millis(ttl_ms.saturating_add(jitter_ms)))
}
