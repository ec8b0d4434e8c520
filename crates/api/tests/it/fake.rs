//! A connection whose tools do what their names say, and the entries of a configuration.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use api::{Directory, Entry, Source};
use async_trait::async_trait;
use bytes::Bytes;
use call::{Connector, Ctx, Event, Inventory, Outcome, Request, State, Tool};
use model::id::UserId;
use model::{Caller, Code, Condition, ConnectionStatus, Era, Fault, IntegrationKind, Key};
use serde_json::{Value, json};
use store::{ConnectionRow, IntegrationRow};
use tokio::sync::{Semaphore, broadcast, watch};

/// The fake upstream.
pub(crate) struct Fake {
    /// How many calls reached it.
    pub(crate) called: AtomicUsize,
    /// How many calls of `slow` may end.
    pub(crate) gate: Semaphore,
    /// Calls of `shaky` fail before they are sent while this is set.
    pub(crate) is_down: AtomicBool,
    changes: watch::Sender<u64>,
    events: broadcast::Sender<Event>,
    inventory: Arc<Inventory>,
}

fn tool(name: &str, description: &str, input: &Value, output: Option<&Value>) -> Arc<Tool> {
    let raw =
        json!({ "name": name, "description": description, "inputSchema": input, "outputSchema": output });
    Arc::new(Tool {
        name: name.into(),
        raw: raw.to_string().into(),
        description: description.into(),
        input_schema: input.to_string().into(),
        output_schema: output.map(|output| output.to_string().into()),
        claims_read_only: name == "echo",
        claims_idempotent: false,
    })
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        let any = json!({ "type": "object" });
        let number =
            json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        let tools = vec![
            tool("echo", "Says it back.\nWord for word.", &number, Some(&number)),
            tool("text", "Answers with a text", &any, None),
            tool("fail", "Says that it failed", &any, None),
            tool("ask", "Asks its caller", &any, None),
            tool("refuse", "Answers with a protocol error", &any, None),
            tool("slow", "Waits for the gate", &any, None),
            tool("large", "Answers with a long text", &any, None),
            tool("shaky", "Is unreachable now and then", &any, None),
            tool(
                "odd/name",
                "Has a slash in its name",
                &json!({ "$ref": "https://elsewhere.example/x" }),
                None,
            ),
            tool("hidden", "Is not offered", &any, None),
        ];
        let capabilities = Some(Bytes::from_static(b"{}"));
        Arc::new(Self {
            called: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            is_down: AtomicBool::new(false),
            changes: watch::Sender::new(0),
            events: broadcast::Sender::new(1),
            inventory: Arc::new(Inventory { tools, capabilities, ..Inventory::default() }),
        })
    }

    pub(crate) fn calls(&self) -> usize {
        self.called.load(Ordering::SeqCst)
    }
}

fn complete(result: &Value, is_error: bool) -> Outcome {
    Outcome::Complete { result: result.to_string().into(), is_error }
}

#[async_trait]
impl Connector for Fake {
    fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(&self.inventory)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn state(&self) -> State {
        State {
            status: ConnectionStatus::Connected,
            condition: Condition::Started,
            reason: None,
            code: None,
            transport: "http",
            era: Some(Era::Modern),
            protocol_version: Some("2026-07-28".to_owned()),
            server: Some("fake 1".to_owned()),
            pid: None,
            restarts: 0,
        }
    }

    async fn call(&self, _ctx: &Ctx, request: Request) -> Result<Outcome, Fault> {
        if &*request.target == "shaky" && self.is_down.load(Ordering::SeqCst) {
            return Err(Fault::new(Code::UNREACHABLE, "nobody is there"));
        }
        let number = self.called.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(!request.is_replayable && request.method == "tools/call");
        let params: Value = serde_json::from_slice(&request.params).unwrap();
        assert_eq!(params["name"], *request.target);
        Ok(match &*request.target {
            "echo" => complete(&json!({ "content": [], "structuredContent": params["arguments"] }), false),
            "fail" => complete(
                &json!({ "content": [{ "type": "text", "text": "no luck" }], "isError": true }),
                true,
            ),
            "ask" => {
                Outcome::InputRequired { result: Bytes::from_static(b"{\"resultType\":\"input_required\"}") }
            }
            "refuse" => {
                Outcome::RpcError { error: Bytes::from_static(b"{\"code\":-32603,\"message\":\"on fire\"}") }
            }
            "large" => {
                complete(&json!({ "content": [{ "type": "text", "text": "x".repeat(300_000) }] }), false)
            }
            "slow" => {
                self.gate.acquire().await.unwrap().forget();
                complete(&json!({ "content": [{ "type": "text", "text": format!("run {number}") }] }), false)
            }
            _ => {
                complete(&json!({ "content": [{ "type": "text", "text": format!("run {number}") }] }), false)
            }
        })
    }

    async fn refresh(&self) -> Result<(), Fault> {
        Ok(())
    }

    async fn subscribe(&self, _uri: &str) -> Result<(), Fault> {
        Ok(())
    }

    async fn unsubscribe(&self, _uri: &str) {}

    async fn close(&self) {}
}

/// What the binary would tell.
#[derive(Default)]
pub(crate) struct FakeDirectory {
    pub(crate) is_draining: AtomicBool,
    pub(crate) retested: Mutex<Vec<String>>,
    /// Keys that were tried out.
    pub(crate) tried: Mutex<Vec<String>>,
    /// What comes of it.
    pub(crate) trouble: Mutex<Option<Fault>>,
    /// How often what runs was brought in step.
    pub(crate) settled: AtomicUsize,
}

#[async_trait]
impl Directory for FakeDirectory {
    fn entries(&self) -> Vec<Entry> {
        let entry = |key: &str, reason: Option<&str>, line| Entry {
            key: key.to_owned(),
            status: ConnectionStatus::Configuring,
            reason: reason.map(str::to_owned),
            source: Some(Source { file: "trunkline.yaml".to_owned(), line: Some(line) }),
            is_file_managed: true,
            transport: Some("stdio".to_owned()),
        };
        vec![entry("files", None, 3), entry("broken", Some("add `command`"), 9)]
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    async fn retest(&self, key: &Key) -> Result<(), Fault> {
        self.retested.lock().unwrap().push(key.to_string());
        match key.as_str() {
            "files" => Ok(()),
            "broken" => {
                Err(Fault::new(Code::MISCONFIGURED, "`broken` has no command").with_hint("add `command`"))
            }
            other => Err(Fault::new(Code::NOT_FOUND, format!("no connection `{other}`"))),
        }
    }

    fn file_toolsets(&self) -> BTreeSet<Key> {
        BTreeSet::from(["written".parse().unwrap()])
    }

    fn describe(&self, integration: &IntegrationRow) -> api::Described {
        let unavailable =
            (integration.kind != IntegrationKind::Mcp).then(|| "not in this version".to_owned());
        api::Described { unavailable, ..api::Described::default() }
    }

    /// A manifest here is JSON with `name`, `version` and `config_schema`.
    fn read_manifest(&self, slug: &str, manifest: &str) -> Result<api::ReadManifest, Fault> {
        let read: Value = serde_json::from_str(manifest)
            .map_err(|error| Fault::new(Code::BAD_ARGUMENTS, format!("manifest: {slug}: {error}")))?;
        let text = |member: &str| read[member].as_str().unwrap_or_default().to_owned();
        Ok(api::ReadManifest {
            name: text("name"),
            kind: IntegrationKind::Vendor,
            category: model::Category::ALL[0],
            description: text("description"),
            docs_url: String::new(),
            config_schema: read["config_schema"].clone(),
            version: text("version"),
        })
    }

    fn of_template(
        &self,
        entry: &api::ReadManifest,
        _slug: &str,
    ) -> Result<Option<(String, Vec<String>)>, Fault> {
        let is_template = entry.config_schema.get("command").is_some();
        let manifest = json!({ "name": entry.name, "version": entry.version, "config_schema": {} });
        Ok(is_template.then(|| (manifest.to_string(), vec!["as it was".to_owned()])))
    }

    fn icon(&self, _integration: &IntegrationRow) -> Option<String> {
        None
    }

    fn command_line(&self, row: &ConnectionRow) -> Result<Option<String>, Fault> {
        Ok(row.config.value()["command"].as_str().map(str::to_owned))
    }

    fn check_field(&self, _row: &ConnectionRow, field: &str) -> Result<(), Fault> {
        let fault = || Fault::new(Code::BAD_ARGUMENTS, format!("field: `{field}` is no place"));
        field.starts_with("auth.").then_some(()).ok_or_else(fault)
    }

    fn own_way(&self, _row: &ConnectionRow) -> Result<Option<api::OwnWay>, Fault> {
        Ok(None)
    }

    async fn try_out(&self, row: &ConnectionRow, _caller: &Caller) -> Result<usize, Fault> {
        self.tried.lock().unwrap().push(row.key.to_string());
        match self.trouble.lock().unwrap().clone() {
            None => Ok(7),
            Some(fault) => Err(fault),
        }
    }

    async fn leave(
        &self,
        _row: &ConnectionRow,
        _url: &str,
        _fresh: bool,
        _user: UserId,
    ) -> Result<api::Leave, Fault> {
        Err(Fault::new(Code::BAD_ARGUMENTS, "it does not sign in with OAuth"))
    }

    async fn settle(&self) {
        self.settled.fetch_add(1, Ordering::SeqCst);
    }
}
