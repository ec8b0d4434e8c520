//! Replaying an entry's fixtures: its tools are called, what they send is compared with what was recorded, and
//! the recorded answers come back. The code between is the one that speaks to the vendor.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use catalog::api::Scheme;
use catalog::fixture::{Exchange, Expect, Fixture};
use connector::oauth::Tokens;
use model::{Code, Entropy, Fault, ManualClock, SealError, Sealer, Secret, Timestamp};
use serde_json::{Map, Value};

use crate::authorize::Authorizer;
use crate::rate::Pace;
use crate::run::{Bench, run};
use crate::{Answer, Outgoing, Sender, build};

/// The time of every replay: 2026-01-01T00:00:00Z.
const NOW_MS: i64 = 1_767_225_600_000;

/// What a replay of all of an entry's fixtures showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Calls that went as recorded.
    pub passed: usize,
    /// Those that did not: place and reason.
    pub failed: Vec<String>,
    /// Tools that no fixture shows.
    pub unproved: Vec<String>,
}

impl Proof {
    /// Everything is shown, and went as recorded.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.failed.is_empty() && self.unproved.is_empty()
    }
}

/// Replays every fixture of an entry; each with the entry's first way to prove itself, and secrets that are
/// called like their fields (`test-key`).
pub async fn verify(entry: &Arc<catalog::Entry>) -> Proof {
    let fixtures = match entry.fixtures() {
        Ok(fixtures) => fixtures,
        Err(problems) => {
            return Proof { passed: 0, failed: vec![problems.to_string()], unproved: Vec::new() };
        }
    };
    let mut proof = Proof {
        passed: 0,
        failed: Vec::new(),
        unproved: entry.unproved(&fixtures).into_iter().map(str::to_owned).collect(),
    };
    for fixture in &fixtures {
        match replay(entry, fixture).await {
            Ok(()) => proof.passed += 1,
            Err(why) => proof.failed.push(format!("{}: {}: {why}", fixture.place, fixture.name)),
        }
    }
    proof
}

async fn replay(entry: &Arc<catalog::Entry>, fixture: &Fixture) -> Result<(), String> {
    let Some(api) = &entry.api else { return Err("the entry is no HTTP API".to_owned()) };
    let mut said = entry.example().as_object().cloned().unwrap_or_default();
    said.extend(fixture.config.clone());
    let settled = entry.settle(&Value::Object(said)).map_err(|problems| problems.to_string())?;
    let catalog::Settled { config, hubs } = settled;
    let base = match hubs.get("endpoint").and_then(Value::as_str) {
        Some(url) => build::split(url),
        None => build::base(&api.base_url, &config),
    };
    let base = base.map_err(|fault| fault.advice())?;
    let auth = api.auth.first().ok_or("the entry has no `auth`")?;
    let secrets: BTreeMap<String, Secret> = auth
        .fields
        .iter()
        .map(|field| (field.name.clone(), Secret::new(format!("test-{}", field.name))))
        .collect();
    let gives_tokens = matches!(&auth.scheme, Scheme::OAuth(_))
        || matches!(&auth.scheme, Scheme::Jwt(jwt) if jwt.token_url.is_some());
    let tokens = gives_tokens.then(|| Arc::new(Recorded) as Arc<dyn Tokens>);
    let clock = Arc::new(ManualClock::at(Timestamp(NOW_MS)));
    let authorizer = Authorizer::new(
        Arc::clone(entry),
        auth.method,
        config.clone(),
        secrets,
        tokens,
        Arc::clone(&clock) as Arc<dyn model::Clock>,
        Arc::new(Recorded),
    );
    let tape =
        Tape { left: Mutex::new(fixture.exchanges.iter().cloned().collect()), wrong: Mutex::default() };
    let bench = Bench {
        name: &entry.name,
        api,
        config: &config,
        base: (&base.0, &base.1),
        authorizer: &authorizer,
        sender: &tape,
        pace: &Pace::new(&catalog::api::Rate::default()),
        clock: &*clock,
        sealer: &Recorded,
    };
    let tool = api.tool(&fixture.tool).ok_or("its tool is not there")?;
    let arguments = fixture.arguments.as_object().cloned().unwrap_or_default();
    let schema = serde_json::from_str(tool.input.get()).map_err(|error| error.to_string())?;
    check_arguments(&schema, &fixture.arguments)?;
    let done = run(&bench, tool, arguments, "fixture").await;
    if let Some(wrong) = tape.wrong.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(wrong);
    }
    let left = tape.left.lock().unwrap_or_else(PoisonError::into_inner).len();
    if left > 0 {
        return Err(format!("{left} of its exchanges did not take place"));
    }
    match (&fixture.expect, done) {
        (Expect::Error(words), Err(fault)) => holds(&fault.advice(), words),
        (Expect::Error(words), Ok(done)) => {
            let text = String::from_utf8_lossy(&done.result).into_owned();
            if !done.is_error {
                return Err(format!("is no failure: {text}"));
            }
            holds(&text, words)
        }
        (Expect::Result(_), Err(fault)) => Err(format!("failed: {}", fault.advice())),
        (Expect::Result(wanted), Ok(done)) => {
            let result: Value = serde_json::from_slice(&done.result).map_err(|error| error.to_string())?;
            let got = match (result.get("structuredContent"), result.pointer("/content/0/text")) {
                (Some(value), _) => value.clone(),
                (None, Some(Value::String(text))) => {
                    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()))
                }
                _ => Value::Null,
            };
            if got == *wanted { Ok(()) } else { Err(format!("answers {got}, not {wanted}")) }
        }
    }
}

fn holds(text: &str, words: &str) -> Result<(), String> {
    if text.contains(words) { Ok(()) } else { Err(format!("says `{text}`, without `{words}`")) }
}

/// Calls reach a connector with arguments that fit; a fixture has to be such a call.
fn check_arguments(schema: &Value, arguments: &Value) -> Result<(), String> {
    let known = schema.get("properties").and_then(Value::as_object);
    let unknown = arguments
        .as_object()
        .into_iter()
        .flatten()
        .find(|(name, _)| known.is_none_or(|known| !known.contains_key(name.as_str())));
    if let Some((name, _)) = unknown {
        return Err(format!("the tool has no argument `{name}`"));
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    match required.filter_map(Value::as_str).find(|name| arguments.get(name).is_none()) {
        Some(name) => Err(format!("the argument `{name}` is missing")),
        None => Ok(()),
    }
}

/// Recorded exchanges, in order.
struct Tape {
    left: Mutex<VecDeque<Exchange>>,
    wrong: Mutex<Option<String>>,
}

#[async_trait]
impl Sender for Tape {
    async fn send(&self, request: &Outgoing) -> Result<Answer, Fault> {
        let next = self.left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let differs = match &next {
            None => Some(format!("one more request than recorded: {} {}", request.method, request.path)),
            Some(exchange) => difference(exchange, request),
        };
        if let Some(differs) = differs {
            self.wrong.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(differs);
            return Err(Fault::new(Code::BUG, "the request is not the recorded one"));
        }
        let exchange = next.ok_or_else(|| Fault::new(Code::BUG, "nothing is recorded"))?;
        let body = match &exchange.answer {
            Value::Null => Bytes::new(),
            Value::String(text) => Bytes::from(text.clone()),
            other => Bytes::from(other.to_string()),
        };
        Ok(Answer { status: exchange.status, headers: exchange.answer_headers, body })
    }

    /// What is recorded has happened: nothing is waited for.
    async fn rest(&self, _time: std::time::Duration) {}
}

/// How a request differs from the recorded one.
fn difference(exchange: &Exchange, request: &Outgoing) -> Option<String> {
    let url = format!("{}{}", request.origin, request.path);
    if exchange.method != request.method || exchange.url != url {
        return Some(format!("sends {} {url}, not {} {}", request.method, exchange.method, exchange.url));
    }
    for (name, wanted) in &exchange.headers {
        let got = request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        if got != Some(wanted.as_str()) {
            return Some(format!("sends the header {name} as {got:?}, not {wanted:?}"));
        }
    }
    let sent = String::from_utf8_lossy(&request.body).into_owned();
    let got = body_of(request, &sent);
    let wanted = exchange.body.clone().unwrap_or(Value::Null);
    (got != wanted).then(|| format!("sends the body {got}, not {wanted}"))
}

/// A body as a fixture writes it.
fn body_of(request: &Outgoing, sent: &str) -> Value {
    if sent.is_empty() {
        return Value::Null;
    }
    let kind =
        request.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
    match kind {
        Some("application/x-www-form-urlencoded") => {
            let plain =
                |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            let mut members = Map::new();
            for pair in sent.split('&') {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let (name, value) = (plain(name), Value::from(plain(value)));
                match members.get_mut(&name) {
                    None => {
                        members.insert(name, value);
                    }
                    Some(Value::Array(all)) => all.push(value),
                    Some(one) => *one = Value::Array(vec![one.take(), value]),
                }
            }
            members.into()
        }
        Some(kind) if kind.contains("json") => serde_json::from_str(sent).unwrap_or_else(|_| sent.into()),
        _ => sent.into(),
    }
}

/// Tokens, chance and sealing of a replay: the same every time.
struct Recorded;

#[async_trait]
impl Tokens for Recorded {
    async fn current(&self) -> Result<Secret, Fault> {
        Ok(Secret::new("test-access_token".to_owned()))
    }

    async fn wants(&self, _scope: &str) {}

    async fn renew(&self, _spent: &Secret) -> Result<Secret, Fault> {
        Ok(Secret::new("test-renewed_token".to_owned()))
    }
}

impl Entropy for Recorded {
    fn fill(&self, out: &mut [u8]) {
        out.fill(7);
    }
}

impl Sealer for Recorded {
    fn seal(&self, _purpose: &str, _bound_to: &str, plain: &[u8]) -> Result<String, SealError> {
        Ok(String::from_utf8_lossy(plain).into_owned())
    }

    fn open(&self, _purpose: &str, _bound_to: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        Ok(sealed.as_bytes().to_vec())
    }

    /// Nothing that is replayed is kept under a name.
    fn digest(&self, _purpose: &str, _parts: &[&[u8]]) -> [u8; 32] {
        [0; 32]
    }
}
