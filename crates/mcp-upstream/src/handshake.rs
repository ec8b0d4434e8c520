//! Finding out which era a server speaks, and greeting it: the ladder of 2026-07-28 (versioning).
//!
//! A modern question goes first, because old servers answer it with an error while new ones may not know the
//! old greeting. No single error code decides, and neither does a network failure: some old servers hang up
//! on the question, some answer nonsense, and a proxy's 502 says nothing about the server behind it.

use std::sync::Arc;

use bytes::Bytes;
use connector::Abilities;
use model::Era;
use wire::object::items;
use wire::{Object, RpcCode, version};

use crate::answer::Answer;
use crate::ask::Ask;
use crate::channel::{Channel, within};
use crate::http::Endpoint;
use crate::lanes::Lanes;
use crate::legacy_http::{self, LegacyHttp};
use crate::modern_http::ModernHttp;
use crate::params;
use crate::session::{Carrier, Session};
use crate::settings::{EraChoice, Parts, Settings, Transport};
use crate::signals::Signals;
use crate::transport;
use crate::trouble::Trouble;

/// Longest time for the modern question; slow starters are greeted the old way afterwards.
const PROBE_MS_MAX: u64 = 10_000;

/// What a server said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerFacts {
    pub(crate) era: Era,
    pub(crate) version: String,
    /// Raw `capabilities`.
    pub(crate) capabilities: Bytes,
    pub(crate) server_info: Option<Bytes>,
    pub(crate) instructions: Option<Arc<str>>,
}

impl ServerFacts {
    /// True when the capabilities have this member; with `flag`, when that flag in it is true.
    pub(crate) fn declares(&self, member: &str, flag: Option<&str>) -> bool {
        let Ok(all) = Object::scan(&self.capabilities) else { return false };
        match (all.get(member), flag) {
            (Some(_), None) => true,
            (Some(raw), Some(flag)) => Object::scan(raw).is_ok_and(|inner| inner.is_true(flag)),
            (None, _) => false,
        }
    }

    /// True when the server has the core tasks of 2025-11-25 for its tools.
    pub(crate) fn has_core_tasks(&self) -> bool {
        self.era == Era::Legacy && wire::task::has_core(&self.capabilities)
    }

    /// True when the server knows the tasks extension.
    pub(crate) fn has_task_extension(&self) -> bool {
        let extensions = Object::scan(&self.capabilities).ok().and_then(|all| all.get("extensions"));
        extensions.and_then(|raw| Object::scan(raw).ok()).is_some_and(|e| e.get(params::TASKS).is_some())
    }
}

/// A greeted server.
pub(crate) struct Live {
    pub(crate) facts: ServerFacts,
    pub(crate) way: Way,
    /// Further connections, where the way is a modern channel that can be had more than once.
    pub(crate) lanes: Lanes,
}

impl Live {
    fn new(facts: ServerFacts, way: Way) -> Self {
        Self { facts, way, lanes: Lanes::default() }
    }

    /// Ends its byte streams. The first is handed back, to wait for.
    pub(crate) fn stop(&self) -> Option<&Arc<Channel>> {
        self.lanes.stop();
        self.way.channel().inspect(|channel| channel.stop())
    }
}

/// How a greeted server is talked to.
pub(crate) enum Way {
    ModernHttp(Arc<ModernHttp>),
    ModernChannel(Arc<Channel>),
    /// The session that declares everything; others are in the pool.
    Legacy(Arc<Session>, Road),
}

/// On what further legacy sessions travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    Http,
    Channel,
}

impl Way {
    /// The channel whose end is the connection's end.
    pub(crate) fn channel(&self) -> Option<&Arc<Channel>> {
        match self {
            Self::ModernHttp(_) => None,
            Self::ModernChannel(channel) => Some(channel),
            Self::Legacy(session, _) => session.channel(),
        }
    }
}

/// What came back from the modern question.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    Answer(Answer),
    /// An HTTP status whose body is no JSON-RPC.
    Status(u16),
    /// Nothing, in the time allowed.
    Silence,
    /// The process or connection ended.
    Ended,
    /// Not even a connection, or a broken one.
    Trouble(Trouble),
}

/// What that means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Modern(ServerFacts),
    /// Modern, but in another revision: ask again with this one.
    Again(&'static str),
    Legacy,
    /// Legacy, and a new process or connection is needed.
    LegacyAfresh,
    /// No verdict on the era.
    Undecided(Trouble),
}

/// Reads what came back. `is_http`: silence is a network failure there, and a sign of age elsewhere.
pub(crate) fn verdict(seen: Seen, is_http: bool) -> Verdict {
    match seen {
        Seen::Answer(Answer::Result(result)) => match discovered(&result) {
            Some(facts) => Verdict::Modern(facts),
            None => Verdict::Legacy,
        },
        Seen::Answer(Answer::Error(error)) => match wire::error::code_of(&error) {
            Some(RpcCode::UNSUPPORTED_VERSION) => {
                let supported = supported_in(&error);
                match newest_modern(&supported) {
                    Some(known) => Verdict::Again(known),
                    None if supported.iter().any(|v| version::LEGACY.contains(&v.as_str())) => {
                        Verdict::Legacy
                    }
                    None => Verdict::Undecided(rpc(error)),
                }
            }
            Some(code) if code.is_modern() => Verdict::Undecided(rpc(error)),
            _ => Verdict::Legacy,
        },
        Seen::Status(status @ (401 | 403)) => Verdict::Undecided(Trouble::Refused { status }),
        Seen::Status(status @ (429 | 500..)) => {
            Verdict::Undecided(Trouble::Status { status, said: String::new() })
        }
        Seen::Status(_) => Verdict::Legacy,
        Seen::Silence if is_http => {
            Verdict::Undecided(Trouble::Timeout { what: "server/discover".to_owned(), was_sent: true })
        }
        Seen::Silence => Verdict::Legacy,
        Seen::Ended => Verdict::LegacyAfresh,
        // Something answered, but not in a way any era knows: the old greeting may fare better.
        Seen::Trouble(Trouble::BadAnswer(_)) => Verdict::Legacy,
        Seen::Trouble(trouble) => Verdict::Undecided(trouble),
    }
}

fn rpc(error: Bytes) -> Trouble {
    match Answer::Error(error).into_result() {
        Err(trouble) => trouble,
        Ok(_) => Trouble::BadAnswer("an error that is none".to_owned()),
    }
}

fn texts(raw: Option<&[u8]>) -> Vec<String> {
    let all = raw.and_then(items).unwrap_or_default();
    all.into_iter().filter_map(wire::object::as_str).map(std::borrow::Cow::into_owned).collect()
}

fn supported_in(error: &[u8]) -> Vec<String> {
    let data = Object::scan(error).ok().and_then(|object| object.get("data"));
    texts(data.and_then(|raw| Object::scan(raw).ok()).and_then(|data| data.get("supported")))
}

fn newest_modern(supported: &[String]) -> Option<&'static str> {
    version::MODERN.iter().rev().find(|known| supported.iter().any(|v| v == *known)).copied()
}

/// A `DiscoverResult` that names a modern revision; legacy ones in the list are ignored.
fn discovered(result: &Bytes) -> Option<ServerFacts> {
    let object = Object::scan(result).ok()?;
    let version = newest_modern(&texts(object.get("supportedVersions")))?;
    let server_info = object
        .get("_meta")
        .and_then(|raw| Object::scan(raw).ok())
        .and_then(|meta| meta.get(wire::meta::SERVER_INFO))
        .map(Bytes::copy_from_slice);
    Some(ServerFacts {
        era: Era::Modern,
        version: version.to_owned(),
        capabilities: Bytes::copy_from_slice(object.get("capabilities").unwrap_or(b"{}")),
        server_info,
        instructions: object.get_str("instructions").map(|text| text.as_ref().into()),
    })
}

/// The answer to `initialize`.
fn initialized(result: &Bytes) -> Result<ServerFacts, Trouble> {
    let bad = |why: String| Trouble::BadAnswer(format!("to initialize: {why}"));
    let object = Object::scan(result).map_err(|error| bad(error.to_string()))?;
    let version = object.get_str("protocolVersion").ok_or_else(|| bad("no protocolVersion".to_owned()))?;
    if !version::LEGACY.contains(&&*version) {
        let shown: String = version.chars().take(40).collect();
        return Err(bad(format!("the revision {shown} is not one that begins with initialize")));
    }
    Ok(ServerFacts {
        era: Era::Legacy,
        version: version.into_owned(),
        capabilities: Bytes::copy_from_slice(object.get("capabilities").unwrap_or(b"{}")),
        server_info: object.get("serverInfo").map(Bytes::copy_from_slice),
        instructions: object.get_str("instructions").map(|text| text.as_ref().into()),
    })
}

/// Greets the server. `remembered`: the era it spoke last time.
pub(crate) async fn connect(
    settings: &Settings,
    parts: &Parts,
    signals: &Signals,
    remembered: Option<Era>,
) -> Result<Live, Trouble> {
    match &settings.transport {
        Transport::Http { url } => {
            let endpoint = transport::endpoint(settings, parts, url)?;
            connect_http(settings, signals, endpoint, remembered).await
        }
        Transport::Sse { .. } => connect_legacy(settings, parts, signals, Road::Channel).await,
        _ => connect_channel(settings, parts, signals, remembered).await,
    }
}

async fn connect_legacy(
    settings: &Settings,
    parts: &Parts,
    signals: &Signals,
    road: Road,
) -> Result<Live, Trouble> {
    let (session, facts) = open_session(settings, parts, signals, road, Abilities::ALL).await?;
    Ok(Live::new(facts, Way::Legacy(session, road)))
}

/// Opens a session that declares exactly these abilities.
pub(crate) async fn open_session(
    settings: &Settings,
    parts: &Parts,
    signals: &Signals,
    road: Road,
    abilities: Abilities,
) -> Result<(Arc<Session>, ServerFacts), Trouble> {
    match (&settings.transport, road) {
        (Transport::Http { url }, Road::Http) => {
            let endpoint = transport::endpoint(settings, parts, url)?;
            greet_http(endpoint, settings, signals, abilities).await
        }
        _ => {
            let channel = transport::open(settings, parts, signals).await?;
            greet_channel(channel, settings, abilities).await
        }
    }
}

async fn greet_channel(
    channel: Arc<Channel>,
    settings: &Settings,
    abilities: Abilities,
) -> Result<(Arc<Session>, ServerFacts), Trouble> {
    let deadline = within(settings.connect_timeout_ms);
    let ask = Ask::own("initialize", params::initialize(abilities), deadline);
    let facts = initialized(&channel.request(ask).await?.into_result()?)?;
    channel.notify("notifications/initialized", b"");
    let has_logging = facts.declares("logging", None);
    Ok((Session::new(Carrier::Channel(channel), has_logging), facts))
}

async fn greet_http(
    endpoint: Endpoint,
    settings: &Settings,
    signals: &Signals,
    abilities: Abilities,
) -> Result<(Arc<Session>, ServerFacts), Trouble> {
    let deadline = within(settings.connect_timeout_ms);
    let greeting = legacy_http::initialize(&endpoint, &params::initialize(abilities), deadline).await?;
    let facts = initialized(&greeting.answer.into_result()?)?;
    let http =
        LegacyHttp::begin(endpoint, &facts.version, greeting.session, signals.clone(), deadline).await?;
    let has_logging = facts.declares("logging", None);
    Ok((Session::new(Carrier::Http(http), has_logging), facts))
}

async fn connect_channel(
    settings: &Settings,
    parts: &Parts,
    signals: &Signals,
    remembered: Option<Era>,
) -> Result<Live, Trouble> {
    let is_legacy_known = settings.era == EraChoice::Auto && remembered == Some(Era::Legacy);
    if settings.era == EraChoice::Legacy || is_legacy_known {
        return connect_legacy(settings, parts, signals, Road::Channel).await;
    }
    let channel = transport::open(settings, parts, signals).await?;
    let probe_ms = match settings.era {
        EraChoice::Modern => settings.connect_timeout_ms,
        _ => settings.connect_timeout_ms.min(PROBE_MS_MAX),
    };
    let mut revision = version::LATEST_MODERN;
    for is_last in [false, true] {
        let ask = Ask::own("server/discover", params::own_modern(revision, ""), within(probe_ms));
        let answer = channel.request(ask).await;
        let trouble = answer.as_ref().err().cloned();
        let seen = match answer {
            Ok(answer) => Seen::Answer(answer),
            Err(Trouble::Timeout { was_sent: true, .. }) => Seen::Silence,
            // What was cut off for saying too much would do so again.
            Err(Trouble::Ended { ended, .. }) if ended.too_large.is_none() => Seen::Ended,
            Err(trouble) => Seen::Trouble(trouble),
        };
        let refused = |what: &str| {
            trouble
                .clone()
                .unwrap_or_else(|| Trouble::BadAnswer(format!("it does not speak the modern era: {what}")))
        };
        match verdict(seen, false) {
            Verdict::Modern(facts) => return Ok(Live::new(facts, Way::ModernChannel(channel))),
            Verdict::Again(other) if !is_last => revision = other,
            Verdict::Undecided(trouble) => return Err(trouble),
            _ if settings.era == EraChoice::Modern => return Err(refused("server/discover has no answer")),
            Verdict::LegacyAfresh => return connect_legacy(settings, parts, signals, Road::Channel).await,
            Verdict::Legacy | Verdict::Again(_) => break,
        }
    }
    let (session, facts) = greet_channel(channel, settings, Abilities::ALL).await?;
    Ok(Live::new(facts, Way::Legacy(session, Road::Channel)))
}

async fn connect_http(
    settings: &Settings,
    signals: &Signals,
    endpoint: Endpoint,
    remembered: Option<Era>,
) -> Result<Live, Trouble> {
    let is_legacy_known = settings.era == EraChoice::Auto && remembered == Some(Era::Legacy);
    let mut may_probe = settings.era != EraChoice::Legacy && !is_legacy_known;
    for is_last in [false, true] {
        if may_probe {
            match discover_http(settings, signals, &endpoint).await? {
                Some(live) => return Ok(live),
                None if settings.era == EraChoice::Modern => {
                    return Err(Trouble::BadAnswer("it does not speak the modern era".to_owned()));
                }
                None => {}
            }
        }
        match greet_http(endpoint.clone(), settings, signals, Abilities::ALL).await {
            Ok((session, facts)) => return Ok(Live::new(facts, Way::Legacy(session, Road::Http))),
            // Modern after all: the question had been answered by something in between.
            Err(Trouble::Rpc { code, .. })
                if code == RpcCode::UNSUPPORTED_VERSION.0 && settings.era == EraChoice::Auto && !is_last =>
            {
                may_probe = true;
            }
            Err(trouble @ Trouble::Status { status: 400 | 404 | 405, .. }) => {
                // The oldest transport of all answers GET with an `endpoint` event.
                let channel = match transport::open_sse(endpoint, settings.connect_timeout_ms, signals).await
                {
                    Ok(channel) => channel,
                    Err(_) => return Err(trouble),
                };
                let (session, facts) = greet_channel(channel, settings, Abilities::ALL).await?;
                return Ok(Live::new(facts, Way::Legacy(session, Road::Channel)));
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Err(Trouble::BadAnswer("it refuses the greetings of both eras".to_owned()))
}

/// Asks over HTTP; `None` when the server is to be greeted the old way.
async fn discover_http(
    settings: &Settings,
    signals: &Signals,
    endpoint: &Endpoint,
) -> Result<Option<Live>, Trouble> {
    let mut revision = version::LATEST_MODERN;
    for is_last in [false, true] {
        let http = ModernHttp::new(endpoint.clone(), revision, signals.clone())?;
        let deadline = within(settings.connect_timeout_ms.min(PROBE_MS_MAX));
        let ask = Ask::own("server/discover", params::own_modern(revision, ""), deadline);
        let seen = match http.request(ask, &[]).await {
            Ok(answered) => Seen::Answer(answered.answer),
            Err(Trouble::Status { status, .. } | Trouble::Refused { status }) => Seen::Status(status),
            Err(trouble) => Seen::Trouble(trouble),
        };
        match verdict(seen, true) {
            Verdict::Modern(facts) => return Ok(Some(Live::new(facts, Way::ModernHttp(http)))),
            Verdict::Again(other) if !is_last => revision = other,
            Verdict::Undecided(trouble) => return Err(trouble),
            Verdict::Again(_) | Verdict::Legacy | Verdict::LegacyAfresh => return Ok(None),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
