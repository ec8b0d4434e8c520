//! A small MCP client over Streamable HTTP, for each era of the protocol, written apart from the product's own code.
//! It answers questions that come back with fixed answers per kind, so that a scene can follow a whole conversation.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hyper::Method;
use serde_json::{Map, Value, json};

use crate::http::{self, Reply};

const LEGACY_VERSION: &str = "2025-11-25";
const MODERN_VERSION: &str = "2026-07-28";
const META: &str = "io.modelcontextprotocol";
/// How long any one request may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a call may come back with further questions.
const ROUNDS: usize = 10;
/// How many pages a list may have.
const PAGES: usize = 100;

/// Which generation a client belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// A handshake and a session.
    Legacy,
    /// Every request for itself.
    Modern,
}

/// A JSON-RPC error, as the other side sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// The HTTP status that carried it.
    pub status: u16,
    /// Its code.
    pub code: i64,
    /// Its message.
    pub message: String,
    /// Its data, null when there was none.
    pub data: Value,
}

impl std::fmt::Display for RpcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (HTTP {}): {} {}", self.code, self.status, self.message, self.data)
    }
}

impl std::error::Error for RpcError {}

/// One client of one endpoint.
pub struct McpClient {
    url: String,
    key: Option<String>,
    generation: Generation,
    session: Option<String>,
    last_id: i64,
    answers: BTreeMap<String, Value>,
    follows_tasks: bool,
    opens_pages: bool,
    /// Everything that came beside the answers: notifications, and questions from a session's server.
    pub heard: Vec<Value>,
}

impl McpClient {
    /// A client that has said nothing yet.
    #[must_use]
    pub fn new(url: &str, key: Option<&str>, generation: Generation) -> Self {
        Self {
            url: url.to_owned(),
            key: key.map(str::to_owned),
            generation,
            session: None,
            last_id: 0,
            answers: BTreeMap::new(),
            follows_tasks: false,
            opens_pages: false,
            heard: Vec::new(),
        }
    }

    /// Says what this client answers to questions of the kind `method`, and thereby that it can answer them.
    #[must_use]
    pub fn answering(mut self, method: &str, result: Value) -> Self {
        self.answers.insert(method.to_owned(), result);
        self
    }

    /// Declares the tasks extension with each request (newer generation).
    #[must_use]
    pub const fn following_tasks(mut self) -> Self {
        self.follows_tasks = true;
        self
    }

    /// Declares that its user can be sent to a page (elicitation, URL mode).
    #[must_use]
    pub const fn opening_pages(mut self) -> Self {
        self.opens_pages = true;
        self
    }

    /// Shakes hands where the generation needs it. Returns what the server said of itself.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect(&mut self) -> anyhow::Result<Value> {
        if self.generation == Generation::Modern {
            return self.request("server/discover", json!({})).await;
        }
        let hello = json!({ "protocolVersion": LEGACY_VERSION, "capabilities": self.capabilities(),
            "clientInfo": { "name": "testkit", "version": "1" } });
        let welcome = self.request("initialize", hello).await?;
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let reply = self.post(&ready).await?;
        if !reply.status.is_success() {
            bail!("`initialized` was answered with {}", reply.status);
        }
        Ok(welcome)
    }

    /// The session's id, when there is one.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Every tool, over as many pages as there are.
    ///
    /// # Errors
    /// When a page is refused or there are too many.
    pub async fn tools(&mut self) -> anyhow::Result<Vec<Value>> {
        self.list("tools/list", "tools").await
    }

    /// The names of every tool.
    ///
    /// # Errors
    /// As [`Self::tools`].
    pub async fn tool_names(&mut self) -> anyhow::Result<Vec<String>> {
        let names = self.tools().await?;
        Ok(names
            .iter()
            .filter_map(|tool| tool.get("name"))
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }

    /// Every entry of a list: `list("prompts/list", "prompts")`.
    ///
    /// # Errors
    /// When a page is refused or there are too many.
    pub async fn list(&mut self, method: &str, field: &str) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut params = json!({});
        for _ in 0..PAGES {
            let mut page = self.request(method, params).await?;
            if let Some(Value::Array(entries)) = page.get_mut(field).map(Value::take) {
                all.extend(entries);
            }
            match page.get("nextCursor").and_then(Value::as_str) {
                Some(cursor) => params = json!({ "cursor": cursor }),
                None => return Ok(all),
            }
        }
        bail!("{method} has more than {PAGES} pages")
    }

    /// Calls a tool and answers its questions, if it has any.
    ///
    /// # Errors
    /// When the call is refused, or the tool goes on asking.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        let first = json!({ "name": tool, "arguments": arguments });
        let mut params = first.clone();
        for _ in 0..ROUNDS {
            let result = self.request("tools/call", params).await?;
            if result.get("resultType").and_then(Value::as_str) != Some("input_required") {
                return Ok(result);
            }
            params = first.clone();
            let asked = result.get("inputRequests").and_then(Value::as_object).cloned().unwrap_or_default();
            let mut responses = Map::new();
            for (key, question) in asked {
                responses.insert(key, self.answer_to(&question)?);
            }
            if let Some(params) = params.as_object_mut() {
                params.insert("inputResponses".into(), Value::Object(responses));
                if let Some(state) = result.get("requestState") {
                    params.insert("requestState".into(), state.clone());
                }
            }
        }
        bail!("{tool} still asks after {ROUNDS} rounds")
    }

    /// The text of a tool's answer, its blocks one per line.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_for_text(&mut self, tool: &str, arguments: Value) -> anyhow::Result<String> {
        let result = self.call(tool, arguments).await?;
        let blocks = result.get("content").and_then(Value::as_array).cloned().unwrap_or_default();
        let texts: Vec<&str> =
            blocks.iter().filter_map(|block| block.get("text")).filter_map(Value::as_str).collect();
        Ok(texts.join("\n"))
    }

    /// Sends one request and waits for its result. A JSON-RPC error comes back as [`RpcError`] inside the error.
    ///
    /// # Errors
    /// When the server refuses, breaks off, or takes longer than a minute.
    pub async fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        tokio::time::timeout(PATIENCE, self.request_patiently(method, params))
            .await
            .with_context(|| format!("{method} took longer than {PATIENCE:?}"))?
            .with_context(|| method.to_owned())
    }

    async fn request_patiently(&mut self, method: &str, mut params: Value) -> anyhow::Result<Value> {
        self.last_id += 1;
        let id = json!(self.last_id);
        if self.generation == Generation::Modern
            && let Some(params) = params.as_object_mut()
        {
            params.insert(
                "_meta".into(),
                json!({ format!("{META}/protocolVersion"): MODERN_VERSION,
                    format!("{META}/clientCapabilities"): self.capabilities(),
                    format!("{META}/clientInfo"): { "name": "testkit", "version": "1" } }),
            );
        }
        let mut reply =
            self.post(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await?;
        let status = reply.status.as_u16();
        if method == "initialize" {
            self.session = Some(reply.header("mcp-session-id").to_owned()).filter(|id| !id.is_empty());
        }
        if !reply.header("content-type").starts_with("text/event-stream") {
            return outcome(status, reply.json().await?);
        }
        while let Some(event) = reply.event().await? {
            let message: Value =
                serde_json::from_str(&event).with_context(|| format!("the event {event}"))?;
            if message.get("method").is_none() && message.get("id") == Some(&id) {
                return outcome(status, message);
            }
            self.heard.push(message.clone());
            if let (Some(question_id), true) = (message.get("id"), message.get("method").is_some()) {
                let answer =
                    json!({ "jsonrpc": "2.0", "id": question_id, "result": self.answer_to(&message)? });
                let taken = self.post(&answer).await?;
                if !taken.status.is_success() {
                    let status = taken.status;
                    bail!("an answer was turned away with {status}: {}", taken.text().await?);
                }
            }
        }
        bail!("the stream ended without an answer")
    }

    fn answer_to(&self, question: &Value) -> anyhow::Result<Value> {
        let kind = question.get("method").and_then(Value::as_str).unwrap_or_default();
        self.answers.get(kind).cloned().with_context(|| format!("nobody expected to be asked: {question}"))
    }

    fn capabilities(&self) -> Value {
        let kinds = self.answers.keys().filter_map(|kind| match kind.as_str() {
            "elicitation/create" => Some(("elicitation".to_owned(), json!({ "form": {} }))),
            "sampling/createMessage" => Some(("sampling".to_owned(), json!({}))),
            "roots/list" => Some(("roots".to_owned(), json!({}))),
            _ => None,
        });
        let mut all: Map<String, Value> = kinds.collect();
        if self.opens_pages {
            all.insert("elicitation".into(), json!({ "url": {} }));
        }
        if self.follows_tasks {
            all.insert("extensions".into(), json!({ format!("{META}/tasks"): {} }));
        }
        Value::Object(all)
    }

    async fn post(&self, message: &Value) -> anyhow::Result<Reply> {
        let authorization = self.key.as_ref().map(|key| format!("Bearer {key}"));
        let mut headers =
            vec![("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
        if let Some(authorization) = &authorization {
            headers.push(("authorization", authorization));
        }
        let method = message.get("method").and_then(Value::as_str);
        match self.generation {
            Generation::Modern => {
                headers.push(("mcp-protocol-version", MODERN_VERSION));
                headers.extend(method.map(|method| ("mcp-method", method)));
                let name = ["name", "uri", "taskId"]
                    .iter()
                    .find_map(|field| message.pointer(&format!("/params/{field}")).and_then(Value::as_str));
                headers.extend(name.map(|name| ("mcp-name", name)));
            }
            Generation::Legacy if method != Some("initialize") => {
                headers.push(("mcp-protocol-version", LEGACY_VERSION));
                headers.extend(self.session.as_deref().map(|session| ("mcp-session-id", session)));
            }
            Generation::Legacy => {}
        }
        http::send(Method::POST, &self.url, &headers, message.to_string()).await
    }
}

fn outcome(status: u16, mut message: Value) -> anyhow::Result<Value> {
    if let Some(error) = message.get("error") {
        return Err(RpcError {
            status,
            code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
            message: error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
            data: error.get("data").cloned().unwrap_or_default(),
        }
        .into());
    }
    match message.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => bail!("HTTP {status}, neither result nor error: {message}"),
    }
}
