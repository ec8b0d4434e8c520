//! The connector itself: one API, reached over the network.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use catalog::api::{Api, Grant};
use connector::oauth::Tokens;
use connector::{Connector, Ctx, Event, Inventory, Outcome, Request, Standing, State};
use model::{AuthMethod, CallKind, Clock, Code, Entropy, Fault, Key, Sealer, Secret};
use outbound::{Client, Head, Route, Target};
use serde_json::{Map, Value};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::authorize::Authorizer;
use crate::rate::Pace;
use crate::run::{Bench, Done, run};
use crate::{Answer, Outgoing, Sender, build};

/// What a connection says.
pub struct Settings {
    /// Its key.
    pub key: Key,
    /// What it is a connection with; has to have an `api`.
    pub entry: Arc<catalog::Entry>,
    /// What its user filled in, defaults included.
    pub config: Map<String, Value>,
    /// A base URL in the place of the manifest's.
    pub endpoint: Option<String>,
    /// How it proves itself.
    pub method: AuthMethod,
    /// The way to a token, where it chooses one.
    pub grant: Option<Grant>,
    /// Its secrets, by name.
    pub secrets: BTreeMap<String, Secret>,
    /// Where its tokens come from, where it has any.
    pub tokens: Option<Arc<dyn Tokens>>,
    /// How long one request may take, milliseconds.
    pub timeout_ms: u32,
    /// The largest answer, bytes.
    pub result_bytes_max: usize,
    /// A test has passed before; otherwise it is `testing` until one has.
    pub is_proven: bool,
    /// How it is reached: what is allowed, whom it trusts, what it shows of itself.
    pub route: Route,
}

/// What all connections share.
#[derive(Clone)]
pub struct Parts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// What seals cursors.
    pub sealer: Arc<dyn Sealer>,
}

/// See the head of the file.
pub struct HttpApi {
    key: Key,
    entry: Arc<catalog::Entry>,
    config: Map<String, Value>,
    base: (String, String),
    authorizer: Authorizer,
    wire: Wire,
    pace: Pace,
    parts: Parts,
    inventory: Arc<Inventory>,
    standing: Standing,
}

/// The network, to one origin: a credential goes nowhere else.
struct Wire {
    target: Target,
    origin: String,
    timeout: Duration,
    result_bytes_max: usize,
    follows_redirects: bool,
}

// === impl HttpApi ===

impl HttpApi {
    /// A connection. Nothing is sent before its first call or test.
    ///
    /// # Errors
    /// What is wrong with its settings.
    pub fn new(settings: Settings, parts: Parts) -> Result<Arc<Self>, Fault> {
        let Some(api) = &settings.entry.api else {
            return Err(Fault::new(Code::BUG, format!("`{}` is no HTTP API", settings.entry.slug)));
        };
        let base = match &settings.endpoint {
            Some(url) => build::split(url)?,
            None => build::base(&api.base_url, &settings.config)?,
        };
        let target = Target::parse(&base.0, &settings.route)?;
        let pace = Pace::new(&api.rate);
        let inventory = Arc::new(crate::inventory(&settings.entry, api));
        let authorizer = Authorizer::new(
            Arc::clone(&settings.entry),
            settings.method,
            settings.config.clone(),
            settings.secrets,
            settings.tokens,
            Arc::clone(&parts.clock),
            Arc::clone(&parts.entropy),
        );
        let server = format!("{} {}", settings.entry.name, settings.entry.version);
        let standing = Standing::new("http", Some(server), settings.is_proven);
        Ok(Arc::new(Self {
            key: settings.key,
            config: settings.config,
            authorizer,
            wire: Wire {
                target,
                origin: base.0.clone(),
                timeout: Duration::from_millis(settings.timeout_ms.into()),
                result_bytes_max: settings.result_bytes_max,
                follows_redirects: settings.route.follows_redirects(),
            },
            base,
            pace,
            parts,
            inventory,
            standing,
            entry: settings.entry,
        }))
    }

    fn api(&self) -> Result<&Api, Fault> {
        self.entry.api.as_ref().ok_or_else(|| Fault::new(Code::BUG, "the entry is no HTTP API"))
    }

    async fn perform(
        &self,
        name: &str,
        arguments: Map<String, Value>,
        principal: &str,
    ) -> Result<Done, Fault> {
        let api = self.api()?;
        let tool = api
            .tool(name)
            .ok_or_else(|| Fault::new(Code::NOT_FOUND, format!("there is no tool `{name}`")))?;
        let bench = Bench {
            name: &self.entry.name,
            api,
            config: &self.config,
            base: (&self.base.0, &self.base.1),
            authorizer: &self.authorizer,
            sender: &self.wire,
            pace: &self.pace,
            clock: &*self.parts.clock,
            sealer: &*self.parts.sealer,
        };
        run(&bench, tool, arguments, &format!("{}/{principal}", self.key)).await
    }
}

#[async_trait]
impl Connector for HttpApi {
    fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(&self.inventory)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.standing.changes()
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.standing.events()
    }

    fn state(&self) -> State {
        self.standing.state()
    }

    async fn call(&self, ctx: &Ctx, request: Request) -> Result<Outcome, Fault> {
        if request.kind != CallKind::Tool {
            let what = format!("an HTTP API has tools only; `{}` is for MCP servers", request.method);
            return Err(Fault::new(Code::UNSUPPORTED, what));
        }
        let principal = ctx.caller.principal.to_string();
        let done = self.perform(&request.target, request.arguments()?, &principal).await?;
        Ok(Outcome::Complete { result: Bytes::from(done.result), is_error: done.is_error })
    }

    async fn refresh(&self) -> Result<(), Fault> {
        let test = &self.api()?.test;
        let arguments = test.arguments.as_object().cloned().unwrap_or_default();
        let outcome = match self.perform(&test.tool, arguments, "test").await {
            Ok(done) if done.is_error => Err(refused(&done)),
            Ok(_) => Ok(()),
            Err(fault) => Err(fault),
        };
        self.standing.tested(&outcome);
        outcome
    }

    async fn subscribe(&self, _uri: &str) -> Result<(), Fault> {
        Err(Fault::new(Code::UNSUPPORTED, "an HTTP API has no resources to follow"))
    }

    async fn unsubscribe(&self, _uri: &str) {}

    async fn close(&self) {}
}

/// Why a test that got an answer did not pass.
fn refused(done: &Done) -> Fault {
    let value: Value = serde_json::from_slice(&done.result).unwrap_or_default();
    let said =
        value.pointer("/content/0/text").and_then(Value::as_str).unwrap_or("it refused the test").to_owned();
    match value.pointer("/structuredContent/status").and_then(Value::as_u64) {
        Some(403) => Fault::new(Code::UPSTREAM_REFUSED, said)
            .with_hint("the credential is known and lacks a permission: give it one, or use another"),
        Some(404) => {
            Fault::new(Code::BAD_ANSWER, said).with_hint("check the settings that the URL is made of")
        }
        _ => Fault::new(Code::BAD_ANSWER, said),
    }
}

// === impl Wire ===

#[async_trait]
impl Sender for Wire {
    async fn send(&self, request: &Outgoing) -> Result<Answer, Fault> {
        if request.origin != self.origin {
            return Err(Fault::new(Code::BUG, "a request would leave the origin of its connection"));
        }
        let target = self.target.join(&request.path)?;
        let mut head = Head::new();
        for (name, value) in &request.headers {
            head.push(name, value)?;
        }
        let deadline = Instant::now() + self.timeout;
        let outgoing = outbound::Outgoing {
            method: &request.method,
            head: &head,
            body: &[&request.body],
            is_replayable: request.is_replayable,
            deadline,
        };
        let client = Client::new();
        let response = if self.follows_redirects {
            client.send_following(&target, outgoing).await?.response
        } else {
            client.send(&target, outgoing).await?
        };
        let status = response.status;
        let headers = response
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let collecting = response.body.collect(self.result_bytes_max);
        let body = tokio::time::timeout_at(deadline, collecting).await.map_err(|_| {
            Fault::new(
                Code::TIMEOUT,
                format!("`{}` did not finish its answer in time", self.target.authority()),
            )
            .with_hint("raise the connection's `timeout`, or ask for less")
        })??;
        Ok(Answer { status, headers, body })
    }
}
