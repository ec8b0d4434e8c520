//! Uses everything that a server offers, through the hub's own upstream room: calls each tool, gets each prompt, reads
//! each resource, and answers questions with the defaults they bring along. It knows no scenario by name.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use bytes::Bytes;
use connector::{
    Abilities, AskError, Connector as _, Ctx, Downstream, Inventory, Outcome, Peer, Question, Request,
};
use mcp_upstream::{EraChoice, McpUpstream, Parts, Sessions, Settings, Transport};
use model::{
    Access, CallKind, Caller, Code, ConnectionStatus, Entropy, Era, Fault, Id, Owner, SeededEntropy,
    SystemClock,
};
use serde_json::{Map, Value, json};

use super::leave::{self, Leave};

/// The argument under which the program is the room's guard.
pub const GUARD: &str = "guard";
/// How long greeting the server, and each call, may take.
const PATIENCE_MS: u64 = 30_000;
const BYTES_MAX: usize = 4 << 20;
/// How often leave is given.
const LEAVES: usize = 3;
/// How often a call may come back with further questions.
const ROUNDS: usize = 10;

/// Greets the server at `url` and uses what it offers. `context` is what the suite says beside the URL; its `toolCalls`
/// take the place of arguments made up here. `say` hears what is being done, line by line.
///
/// # Errors
/// When the server cannot be greeted, or a request gets no answer. A refusal is an answer.
pub async fn drive(url: &str, context: &Value, say: &mut dyn FnMut(String)) -> anyhow::Result<()> {
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
    let settings = Settings {
        key: "peer".parse()?,
        transport: Transport::Http { url: url.to_owned() },
        headers: Vec::new(),
        era: EraChoice::Auto,
        sessions: Sessions::Auto,
        timeout_ms: PATIENCE_MS,
        connect_timeout_ms: PATIENCE_MS,
        line_bytes_max: BYTES_MAX,
        result_bytes_max: BYTES_MAX,
        // The suite's servers are on loopback.
        route: outbound::Route::new(
            outbound::EgressRule { private_allowed: true },
            outbound::target::CONNECT_TIMEOUT,
        ),
        tokens: None,
        idle_stop_ms: None,
    };
    let parts = Parts {
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::clone(&entropy),
        client: outbound::Client::new(),
        guard: Arc::new(process::Guard::start("/proc/self/exe".as_ref(), GUARD)?),
        facts: None,
    };
    // As an operator would: connect; where leave is wanting, give it, and connect again.
    let mut leave = None;
    for n in 0..=LEAVES {
        let tokens = leave.as_ref().map(|leave: &Leave| mcp_upstream::Leave(leave.keeper.clone()));
        let settings = Settings { tokens, ..settings.clone() };
        let upstream = McpUpstream::start(settings, parts.clone());
        let used = match greeted(&upstream).await {
            Err(why) => Err(why),
            Ok(inventory) => {
                say(format!("greeted: {:?}", upstream.state().protocol_version));
                let user = User { upstream: Arc::clone(&upstream), entropy: Arc::clone(&entropy) };
                user.use_all(&inventory, context, say).await
            }
        };
        upstream.close().await;
        match used {
            Err(why) if n < LEAVES && is_leave_wanting(&why) => {
                say(format!("leave is wanting: {why:#}"));
                leave = Some(leave::leave(url, context, leave.as_ref()).await?);
            }
            used => return used,
        }
    }
    Ok(())
}

/// Whether a failure is one that somebody's leave mends.
fn is_leave_wanting(why: &anyhow::Error) -> bool {
    let codes = [Code::UPSTREAM_REFUSED, Code::LEAVE_NEEDED];
    why.chain().any(|cause| {
        let fault = cause.downcast_ref::<Faulty>();
        fault.is_some_and(|Faulty(fault)| codes.contains(&fault.code))
    })
}

/// A fault among other errors.
#[derive(Debug)]
struct Faulty(Fault);

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Faulty {}

/// Waits until the server has been greeted and its lists have been read.
async fn greeted(upstream: &McpUpstream) -> anyhow::Result<Arc<Inventory>> {
    let mut changes = upstream.changes();
    let greeting = async {
        loop {
            let (state, inventory) = (upstream.state(), upstream.inventory());
            if let Some(code @ (Code::LEAVE_NEEDED | Code::UPSTREAM_REFUSED)) = state.code {
                return Err(Faulty(Fault::new(code, state.reason.unwrap_or_default())).into());
            }
            match state.status {
                ConnectionStatus::Connected if inventory.generation > 0 => return Ok(inventory),
                ConnectionStatus::Error => {
                    let code = state.code.unwrap_or(Code::BUG);
                    return Err(Faulty(Fault::new(code, state.reason.unwrap_or_default())).into());
                }
                _ => changes.changed().await?,
            }
        }
    };
    tokio::time::timeout(Duration::from_millis(PATIENCE_MS), greeting).await.context("greeting the server")?
}

struct User {
    upstream: Arc<McpUpstream>,
    entropy: Arc<dyn Entropy>,
}

impl User {
    async fn use_all(
        &self,
        inventory: &Inventory,
        context: &Value,
        say: &mut dyn FnMut(String),
    ) -> anyhow::Result<()> {
        let mut calls: Vec<(Arc<str>, Value)> = Vec::new();
        let given = context.get("toolCalls").and_then(Value::as_array);
        for call in given.into_iter().flatten() {
            let name = call.get("name").and_then(Value::as_str).context("a tool call has no name")?;
            calls.push((name.into(), call.get("arguments").cloned().unwrap_or_default()));
        }
        if given.is_none() {
            // A tool that wants a schema gets one that this server wrote, as it arrived here.
            let schema = inventory.tools.first().map(|tool| serde_json::from_slice(&tool.input_schema));
            let schema = schema.transpose()?.unwrap_or_default();
            for tool in &inventory.tools {
                let wanted = serde_json::from_slice(&tool.input_schema)?;
                calls.push((Arc::clone(&tool.name), arguments(&wanted, &schema)));
            }
        }
        for (name, arguments) in calls {
            let params = json!({ "name": &*name, "arguments": arguments });
            say(self.ask(CallKind::Tool, "tools/call", name, params).await?);
        }
        for prompt in &inventory.prompts {
            let params = json!({ "name": &*prompt.id });
            say(self.ask(CallKind::Prompt, "prompts/get", Arc::clone(&prompt.id), params).await?);
        }
        for resource in &inventory.resources {
            let params = json!({ "uri": &*resource.id });
            say(self.ask(CallKind::Resource, "resources/read", Arc::clone(&resource.id), params).await?);
        }
        Ok(())
    }

    /// One request, asked again with answers for as long as the server asks back. Gives what came of it, in words.
    async fn ask(
        &self,
        kind: CallKind,
        method: &'static str,
        target: Arc<str>,
        first: Value,
    ) -> anyhow::Result<String> {
        let mut params = first.clone();
        for _ in 0..ROUNDS {
            let request = Request {
                kind,
                method,
                target: Arc::clone(&target),
                params: Bytes::from(params.to_string()),
                is_replayable: false,
            };
            let outcome = self.upstream.call(&self.ctx(), request).await;
            let outcome = outcome.map_err(Faulty).with_context(|| format!("{method} {target}"))?;
            let Outcome::InputRequired { result } = outcome else {
                return Ok(format!("{method} {target}: {}", String::from_utf8_lossy(outcome.bytes())));
            };
            params = next_round(&first, &serde_json::from_slice(&result)?)?;
        }
        bail!("{method} {target} still asks after {ROUNDS} rounds")
    }

    /// A client of 2025 that can fill in forms: the room has to bridge it to either era.
    fn ctx(&self) -> Ctx {
        let clock = SystemClock::new();
        let entropy = &*self.entropy;
        let owner = Owner { workspace: Id::new(&clock, entropy), user: Id::new(&clock, entropy) };
        Ctx {
            call: Id::new(&clock, entropy),
            caller: Arc::new(Caller {
                owner,
                api_key: None,
                principal: "conformance".into(),
                access: Arc::new(Access::everything()),
            }),
            peer: Arc::new(Peer {
                era: Some(Era::Legacy),
                protocol_version: "2025-11-25".into(),
                abilities: Abilities { elicit_form: true, ..Abilities::default() },
                ..Peer::plain()
            }),
            downstream: Arc::new(Defaults),
            deadline: tokio::time::Instant::now() + Duration::from_millis(PATIENCE_MS),
        }
    }
}

/// Accepts every form with the values it proposes itself (SEP-1034).
struct Defaults;

#[async_trait]
impl Downstream for Defaults {
    fn notify(&self, _method: &str, _params: Bytes) {}

    async fn ask(&self, question: Question) -> Result<Bytes, AskError> {
        let params = serde_json::from_slice(&question.params).unwrap_or_default();
        match filled_in(&question.method, &params) {
            Some(result) => Ok(Bytes::from(result.to_string())),
            None => Err(AskError::Unable(question.method.to_string())),
        }
    }
}

fn filled_in(method: &str, params: &Value) -> Option<Value> {
    let schema = params.get("requestedSchema")?;
    let proposed = |(name, wanted): (&String, &Value)| Some((name.clone(), wanted.get("default")?.clone()));
    let mut content = arguments(schema, &Value::Null);
    if let (Some(content), Some(properties)) =
        (content.as_object_mut(), schema.get("properties").and_then(Value::as_object))
    {
        content.extend(properties.iter().filter_map(proposed));
    }
    (method == "elicitation/create").then(|| json!({ "action": "accept", "content": content }))
}

/// The parameters that answer an `input_required` result (SEP-2322).
fn next_round(first: &Value, result: &Value) -> anyhow::Result<Value> {
    let mut responses = Map::new();
    for (key, question) in result.get("inputRequests").and_then(Value::as_object).into_iter().flatten() {
        let method = question.get("method").and_then(Value::as_str).unwrap_or_default();
        let params = question.get("params").unwrap_or(&Value::Null);
        let answer = filled_in(method, params).with_context(|| format!("nobody can answer {question}"))?;
        responses.insert(key.clone(), answer);
    }
    let mut next = first.as_object().cloned().unwrap_or_default();
    next.insert("inputResponses".to_owned(), Value::Object(responses));
    if let Some(state) = result.get("requestState") {
        next.insert("requestState".to_owned(), state.clone());
    }
    Ok(Value::Object(next))
}

/// What a schema requires, made up. `object` stands for any object.
fn arguments(schema: &Value, object: &Value) -> Value {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let made_up = |name: &Value| {
        let name = name.as_str()?;
        let wanted = schema.get("properties")?.get(name)?;
        let value = match wanted.get("type").and_then(Value::as_str) {
            Some("number" | "integer") => json!(7),
            Some("boolean") => json!(true),
            Some("object") => object.clone(),
            Some("array") => json!([]),
            Some("null") => Value::Null,
            _ => json!("text"),
        };
        Some((name.to_owned(), value))
    };
    Value::Object(required.filter_map(made_up).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_accepted_as_it_proposes_and_no_other_question_is() {
        let params = json!({ "message": "m", "requestedSchema": { "type": "object", "required": ["sure", "age"],
            "properties": { "name": { "type": "string", "default": "John" }, "age": { "type": "integer", "default": 30 },
                "sure": { "type": "boolean" }, "more": { "type": "string" } } } });
        let answer = filled_in("elicitation/create", &params);
        let content = json!({ "name": "John", "age": 30, "sure": true });
        assert_eq!(answer, Some(json!({ "action": "accept", "content": content })));
        assert_eq!(filled_in("elicitation/create", &json!({ "mode": "url", "url": "https://a/" })), None);
        assert_eq!(filled_in("sampling/createMessage", &params), None);
    }

    #[test]
    fn an_answer_carries_the_servers_state_and_makes_up_none() {
        let first = json!({ "name": "t", "arguments": {} });
        let question = json!({ "method": "elicitation/create", "params": { "requestedSchema": {} } });
        let asked = json!({ "inputRequests": { "confirm": question }, "requestState": "{ \"n\": 1 }" });
        let next = next_round(&first, &asked).expect("the parameters of the next round");
        assert_eq!(next["requestState"], asked["requestState"]);
        assert_eq!(next["inputResponses"]["confirm"]["action"], "accept");
        assert_eq!(next["name"], "t");
        let next =
            next_round(&first, &json!({ "inputRequests": {} })).expect("the parameters of the next round");
        assert!(next.get("requestState").is_none());
    }

    #[test]
    fn what_a_schema_requires_is_made_up_and_nothing_beside_it() {
        let schema = json!({ "required": ["a", "schema", "gone"], "properties": {
            "a": { "type": "number" }, "b": { "type": "string" }, "schema": { "type": "object" } } });
        assert_eq!(arguments(&schema, &json!({ "x": 1 })), json!({ "a": 7, "schema": { "x": 1 } }));
        assert_eq!(arguments(&json!(true), &Value::Null), json!({}));
    }
}
