//! The connector itself: one server, one folder.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connector::{Connector, Ctx, Event, Inventory, Outcome, Request, Standing, State};
use model::{CallKind, Code, Entropy, Fault};
use russh::keys::PrivateKey;
use serde_json::{Map, Value, json};
use tokio::sync::{broadcast, watch};

use crate::files::Work;
use crate::session::{Session, Start, authority, private_key};
use crate::trouble::Trouble;
use crate::{PORT, Plan, Settings, pin, tools};

/// A session that nobody used for so long is closed.
const IDLE: Duration = Duration::from_secs(300);

/// See the head of the file.
pub struct Sftp {
    settings: Settings,
    plan: Plan,
    place: String,
    key: Option<Arc<PrivateKey>>,
    entropy: Arc<dyn Entropy>,
    inventory: Arc<Inventory>,
    standing: Standing,
    /// The lock is held while a session is opened, so that one is opened.
    session: tokio::sync::Mutex<Option<Arc<Session>>>,
}

fn plan(config: &Map<String, Value>) -> Result<Plan, Fault> {
    let bad =
        |name: &str, what: &str| Fault::new(Code::BAD_ARGUMENTS, format!("connection_config.{name}: {what}"));
    let text =
        |name: &str| config.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let host = text("host").ok_or_else(|| bad("host", "missing"))?;
    if host.chars().any(|c| c.is_whitespace() || c.is_control() || "/@?#".contains(c)) {
        return Err(
            bad("host", "is no name or address").with_hint("the port and the user have fields of their own")
        );
    }
    let port = match config.get("port").and_then(Value::as_u64) {
        None => PORT,
        Some(port) => u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| bad("port", "is no port from 1 to 65535"))?,
    };
    let root = text("root").unwrap_or(".");
    if root.chars().any(char::is_control) {
        return Err(bad("root", "has control characters"));
    }
    Ok(Plan {
        host: host.to_owned(),
        port,
        user: text("user").ok_or_else(|| bad("user", "missing"))?.to_owned(),
        root: root.to_owned(),
        allow_writes: config.get("allow_writes").and_then(Value::as_bool).unwrap_or(false),
        pins: pin::read(text("host_key").unwrap_or_default())?,
    })
}

/// Whether the settings can be a connection; needs no secret.
///
/// # Errors
/// What is wrong with which.
pub fn check(config: &Map<String, Value>) -> Result<(), Fault> {
    plan(config).map(|_| ())
}

// === impl Sftp ===

impl Sftp {
    /// A connection. Nothing is sent before its first call or test.
    ///
    /// # Errors
    /// What is wrong with its settings or its key.
    pub fn new(settings: Settings, entropy: Arc<dyn Entropy>) -> Result<Arc<Self>, Fault> {
        let plan = plan(&settings.config)?;
        let key = private_key(&settings)?;
        let standing = Standing::new("ssh", None, settings.is_proven);
        Ok(Arc::new(Self {
            place: authority(&plan),
            inventory: Arc::new(tools::inventory(plan.allow_writes)),
            settings,
            plan,
            key,
            entropy,
            standing,
            session: tokio::sync::Mutex::new(None),
        }))
    }

    /// The session: the one that there is, or a new one.
    async fn session(&self) -> Result<Arc<Session>, Fault> {
        let mut held = self.session.lock().await;
        if let Some(session) = held.as_ref() {
            if session.is_alive().await {
                return Ok(Arc::clone(session));
            }
            *held = None;
        }
        let start = Start { settings: &self.settings, plan: &self.plan, key: self.key.as_ref() };
        let session = Session::open(start).await?;
        tokio::spawn(close_when_idle(Arc::downgrade(&session)));
        *held = Some(Arc::clone(&session));
        Ok(session)
    }

    async fn forget(&self, which: &Arc<Session>) {
        let mut held = self.session.lock().await;
        if held.as_ref().is_some_and(|session| Arc::ptr_eq(session, which)) {
            *held = None;
        }
    }

    /// Runs a tool; once more over a new session when the old one was gone and nothing had been changed.
    async fn perform(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<Result<Value, String>, Fault> {
        let is_begun = AtomicBool::new(false);
        for is_last in [false, true] {
            let session = self.session().await?;
            let trouble = match self.over(&session, tool, arguments.clone(), &is_begun).await {
                Ok(value) => return Ok(Ok(value)),
                Err(trouble) => trouble,
            };
            if let Some(said) = trouble.said() {
                return Ok(Err(said));
            }
            if trouble.ends_session() {
                self.forget(&session).await;
            }
            let is_begun = is_begun.load(Ordering::Acquire);
            if is_last || is_begun || !matches!(trouble, Trouble::Lost(_)) {
                let is_unknown = is_begun && trouble.ends_session();
                return Err(trouble.fault(&self.place, is_unknown));
            }
        }
        Err(Fault::new(Code::BUG, "a call ended without an answer"))
    }

    async fn over(
        &self,
        session: &Arc<Session>,
        tool: &str,
        arguments: Map<String, Value>,
        is_begun: &AtomicBool,
    ) -> Result<Value, Trouble> {
        let lease = session.lease().await?;
        let work = Work {
            lease: &lease,
            entropy: &*self.entropy,
            is_begun,
            result_bytes_max: self.settings.result_bytes_max,
        };
        let done = work.run(tool, arguments).await;
        if !matches!(&done, Err(trouble) if trouble.ends_session()) {
            lease.give_back();
        }
        done
    }
}

async fn close_when_idle(session: Weak<Session>) {
    loop {
        tokio::time::sleep(IDLE / 5).await;
        let Some(session) = session.upgrade() else { return };
        if !session.is_busy() && session.used().elapsed() >= IDLE {
            session.close().await;
            return;
        }
    }
}

#[async_trait]
impl Connector for Sftp {
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

    async fn call(&self, _ctx: &Ctx, request: Request) -> Result<Outcome, Fault> {
        if request.kind != CallKind::Tool {
            let what = format!("an SFTP server has tools only; `{}` is for MCP servers", request.method);
            return Err(Fault::new(Code::UNSUPPORTED, what));
        }
        // What is not offered is not done: writing needs the connection's leave.
        if !self.inventory.tools.iter().any(|tool| *tool.name == *request.target) {
            return Err(Fault::new(Code::NOT_FOUND, format!("there is no tool `{}`", request.target)));
        }
        let (result, is_error) = match self.perform(&request.target, request.arguments()?).await? {
            Ok(value) => {
                let content = json!([{ "type": "text", "text": value.to_string() }]);
                (json!({ "content": content, "structuredContent": value, "isError": false }), false)
            }
            Err(said) => (json!({ "content": [{ "type": "text", "text": said }], "isError": true }), true),
        };
        let result = result.to_string();
        if result.len() > self.settings.result_bytes_max {
            let what = format!(
                "the answer has {} bytes; the limit is {}",
                result.len(),
                self.settings.result_bytes_max
            );
            return Err(
                Fault::new(Code::ANSWER_TOO_LARGE, what).with_hint("ask for less with `limit` or `length`")
            );
        }
        Ok(Outcome::Complete { result: Bytes::from(result), is_error })
    }

    async fn refresh(&self) -> Result<(), Fault> {
        let mut arguments = Map::new();
        arguments.insert("limit".to_owned(), 1.into());
        let outcome = match self.perform("list_directory", arguments).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(said)) => {
                let what = format!("connection_config.root: `{}`: {said}", self.plan.root);
                Err(Fault::new(Code::MISCONFIGURED, what).with_hint("a folder that the user may read"))
            }
            Err(fault) => Err(fault),
        };
        self.standing.tested(&outcome);
        outcome
    }

    async fn subscribe(&self, _uri: &str) -> Result<(), Fault> {
        Err(Fault::new(Code::UNSUPPORTED, "an SFTP server has no resources to follow"))
    }

    async fn unsubscribe(&self, _uri: &str) {}

    async fn close(&self) {
        let session = self.session.lock().await.take();
        if let Some(session) = session {
            session.close().await;
        }
    }
}
