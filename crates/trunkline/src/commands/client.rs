//! Talking to a running hub over its HTTP API, for the commands that look at one.

use std::time::Duration;

use model::Secret;
use outbound::target::CONNECT_TIMEOUT;
use outbound::{Body, Client, EgressRule, Head, OutboundError, Outgoing, Route, Target};
use serde_json::Value;
use tokio::time::Instant;

use super::export::base_url;
use super::{configuration, env};
use crate::cli::Shared;
use crate::say::Quit;

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a call may take: longer than any hub lets it.
const CALL_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// How long anything else may take; a test of a connection starts a program.
const TIMEOUT: Duration = Duration::from_secs(180);

/// A hub somewhere.
pub(crate) struct Remote {
    /// `http://host:port`, without a slash at the end.
    pub(crate) url: String,
    /// The key, when there is one.
    pub(crate) key: Option<Secret>,
}

/// An answer.
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body; null where there is none.
    pub(crate) body: Value,
}

/// Why nothing can be followed.
pub(crate) enum Followed {
    /// The hub says no; asking again changes nothing.
    Refused(Quit),
    /// No answer, or one that is no answer: it may be better later.
    Broken(Quit),
}

/// A runtime for one command.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Quit>>) -> Result<T, Quit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Quit::failed(format!("no runtime: {error}")))?;
    runtime.block_on(work)
}

// === impl Remote ===

impl Remote {
    /// The hub and key that the command line or the environment name.
    pub(crate) fn of(shared: &Shared) -> Self {
        let set =
            |flag: &Option<String>, name| flag.clone().or_else(|| env(name)).filter(|text| !text.is_empty());
        let url = set(&shared.url, "TRUNKLINE_URL").unwrap_or_else(|| base_url(&configuration(shared, None)));
        let url = url.trim_end_matches('/').trim_end_matches("/mcp").trim_end_matches("/api/v1").to_owned();
        Self { url, key: set(&shared.key, "TRUNKLINE_KEY").map(Secret::new) }
    }

    /// True when the command line or the environment name a hub.
    pub(crate) fn is_named(shared: &Shared) -> bool {
        shared.url.is_some() || env("TRUNKLINE_URL").is_some_and(|url| !url.is_empty())
    }

    /// Reads something.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Quit> {
        self.ask("GET", path, None).await
    }

    /// Sends something; `None` is no body.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Quit> {
        self.ask_within(method, path, body, TIMEOUT).await
    }

    /// The same for what takes longer.
    pub(crate) async fn ask_within(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<Value, Quit> {
        let body = body.map(Value::to_string);
        let answer = self
            .send(method, path, body.as_deref(), &[], timeout)
            .await
            .map_err(|error| self.quit(&error))?;
        self.good(answer)
    }

    /// Calls a tool; `arguments` is a JSON object as text.
    pub(crate) async fn call(
        &self,
        path: &str,
        arguments: &str,
        idempotency: Option<&str>,
    ) -> Result<Value, Quit> {
        let extra: Vec<(&str, &str)> =
            idempotency.map(|text| ("idempotency-key", text)).into_iter().collect();
        let answer = self.send("POST", path, Some(arguments), &extra, CALL_TIMEOUT).await;
        self.good(answer.map_err(|error| self.quit(&error))?)
    }

    /// One exchange, whatever comes back.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
        extra: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Answer, OutboundError> {
        // Whoever types the command may reach their own machine.
        let route = Route::new(EgressRule { private_allowed: true }, CONNECT_TIMEOUT);
        let target = Target::parse(&format!("{}{path}", self.url), &route)?;
        let head = self.head(body.is_some(), extra)?;
        let parts: Vec<&[u8]> = body.iter().map(|text| text.as_bytes()).collect();
        let deadline = Instant::now() + timeout;
        let outgoing =
            Outgoing { method, head: &head, body: &parts, is_replayable: method == "GET", deadline };
        let response = Client::new().send(&target, outgoing).await?;
        let status = response.status;
        let collected = tokio::time::timeout_at(deadline, response.body.collect(ANSWER_BYTES_MAX)).await;
        let late = || OutboundError::Timeout { host: target.authority().to_owned(), was_sent: true };
        let bytes = collected.map_err(|_| late())??;
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// A GET whose answer is read piece by piece, for as long as it takes. A refusal becomes its own words.
    pub(crate) async fn follow(&self, path: &str, extra: &[(&str, &str)]) -> Result<Body, Followed> {
        let broken = |error: OutboundError| Followed::Broken(self.quit(&error));
        let route = Route::new(EgressRule { private_allowed: true }, CONNECT_TIMEOUT);
        let target = Target::parse(&format!("{}{path}", self.url), &route).map_err(broken)?;
        let head = self.head(false, extra).map_err(broken)?;
        let deadline = Instant::now() + CALL_TIMEOUT;
        let outgoing = Outgoing { method: "GET", head: &head, body: &[], is_replayable: true, deadline };
        let response = Client::new().send(&target, outgoing).await.map_err(broken)?;
        if (200..300).contains(&response.status) {
            return Ok(response.body);
        }
        let status = response.status;
        let bytes = tokio::time::timeout(TIMEOUT, response.body.collect(ANSWER_BYTES_MAX)).await;
        let bytes = bytes.ok().and_then(Result::ok).unwrap_or_default();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let quit = self.good(Answer { status, body }).err().unwrap_or_else(|| Quit::silent(1));
        Err(if status >= 500 { Followed::Broken(quit) } else { Followed::Refused(quit) })
    }

    /// The header lines, the key among them.
    pub(crate) fn head(&self, has_body: bool, extra: &[(&str, &str)]) -> Result<Head, OutboundError> {
        let mut head = Head::new();
        head.push("accept", "application/json")?;
        if has_body {
            head.push("content-type", "application/json")?;
        }
        if let Some(key) = &self.key {
            head.push("authorization", &format!("Bearer {}", key.expose()))?;
        }
        for (name, value) in extra {
            head.push(name, value)?;
        }
        Ok(head)
    }

    /// The failure to reach the hub, in words.
    pub(crate) fn quit(&self, error: &OutboundError) -> Quit {
        let hint = match error {
            OutboundError::BadUrl { .. } => {
                "give the hub's address with --url, for example http://127.0.0.1:4780"
            }
            OutboundError::Connect { .. } => "start one with `trunkline serve`, or name another with --url",
            _ => "check the address given with --url or TRUNKLINE_URL",
        };
        let quit = Quit::failed(format!("no hub answers at {}: {error}", self.url)).with_hint(hint);
        if matches!(error, OutboundError::BadUrl { .. } | OutboundError::BadHeader(_)) {
            Quit { code: 2, ..quit }
        } else {
            quit
        }
    }

    /// The body of a good answer; a problem becomes its own words.
    fn good(&self, answer: Answer) -> Result<Value, Quit> {
        let Answer { status, body } = answer;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let what =
            text("detail").or_else(|| text("title")).unwrap_or_else(|| format!("the hub answered {status}"));
        let (code, link) = (text("code"), text("link"));
        let unauthenticated = model::Code::UNAUTHENTICATED.to_string();
        let hint = match (status, &self.key) {
            // Not of this hub's own door: an authorisation somewhere else is missing.
            (401, _) if code.as_deref().is_some_and(|code| code != unauthenticated) => {
                text("hint").unwrap_or_default()
            }
            (401, None) => {
                "give an API key with --key or TRUNKLINE_KEY; `trunkline key new --manage`, run on the hub's \
                            machine while the hub is stopped, makes one"
                    .to_owned()
            }
            (401, Some(_)) => {
                "the key given with --key or TRUNKLINE_KEY opens nothing at this hub".to_owned()
            }
            (403, _) => text("hint").unwrap_or_else(|| "this needs a key that may manage the hub".to_owned()),
            _ => text("hint").unwrap_or_default(),
        };
        Err(Quit { code: 1, what, hint, error: code, link })
    }
}

/// Text for the path or query of a URL.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A member as text, for tables; empty where it is absent.
pub(crate) fn cell(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => crate::say::plain(text, 200),
        Some(other) => other.to_string(),
    }
}
