//! `POST /call/{connection}/{tool}`: arguments in, result out, for callers that are no MCP clients.
//!
//! The answer is `{"call_id","result","is_error","truncated","cached","duration_ms"}`; what `result` is
//! stands in [`answer`]. With an `Idempotency-Key` the call runs once; see [`crate::idempotency`].

mod answer;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use call::{Call, Outcome};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use model::id::CallId;
use model::{CallKind, Caller, Code, Fault, Key};

use crate::app::App;
use crate::body;
use crate::extract::{Segments, Signed};
use crate::idempotency::{self, Answer};
use crate::rescue::Problem;

/// The operation's name.
pub(crate) const OPERATION: &str = "call";

/// What is asked, checked as far as a door checks.
struct Asked {
    id: CallId,
    caller: Arc<Caller>,
    connection: String,
    tool: String,
    /// A JSON object, as it came.
    arguments: Bytes,
}

/// Call a tool
///
/// Arguments in, result out. No body counts as `{}`. A name with other characters than letters, digits,
/// `-`, `.`, `_` and `~` is percent-encoded. What is not there and what the key may not use are both 404.
/// A tool that asks its caller something cannot be answered here (TL-1601): use MCP.
#[utoipa::path(post, path = "/call/{connection}/{tool}", operation_id = OPERATION, tag = "call",
    params(
        ("connection" = String, Path, description = "The connection's key."),
        ("tool" = String, Path, description = "The tool's own name."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "A fresh value per call. The same request sent again is answered with what the first one got (header `Idempotency-Replayed: true`) and does not run again; other arguments are 422. Remembered for 24 hours; answers over 190 KiB are not held, and sending such a request again is 409."),
    ),
    request_body(content = Option<Object>, description = "The arguments."),
    responses((status = OK, description = "The tool's answer; `is_error` says whether the tool failed.", body = answer::Answer)))]
pub(crate) async fn call(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments((connection, tool)): Segments<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let key = idempotency::key_of(&head.headers)?;
    let arguments = body::object(&head.headers, body, app.parts.settings.body_bytes_max).await?;
    let asked = Asked { id: app.parts.pipeline.new_id(), caller, connection, tool, arguments };
    let Some(key) = key else {
        return perform(&app, asked).await.map(respond);
    };
    let scope = ["call", asked.connection.as_str(), asked.tool.as_str()];
    let slot = idempotency::slot(&asked.caller, &scope, &key);
    let digest = app.idempotency.digest(&[&asked.arguments]);
    let id = asked.id;
    let work = {
        let app = Arc::clone(&app);
        // Finished whether or not the client still waits: it comes back with the same key for the answer.
        async move {
            let response = perform(&app, asked).await.map(respond).unwrap_or_else(Problem::into_response);
            Answer::of(response, Some(id)).await
        }
    };
    app.idempotency.once(slot, digest, Some(id), work).await
}

fn respond(json: Bytes) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
}

async fn perform(app: &App, asked: Asked) -> Result<Bytes, Problem> {
    let Asked { id, caller, connection, tool, arguments } = asked;
    let started_us = app.parts.clock.monotonic_us();
    let Ok(key) = connection.parse::<Key>() else {
        return Err(absent(&connection, &tool).with_call(id));
    };
    let call = Call {
        id,
        caller: Arc::clone(&caller),
        door: "call",
        connection: key,
        request: call::Request {
            kind: CallKind::Tool,
            method: "tools/call",
            target: tool.as_str().into(),
            params: answer::params(&tool, &arguments)?,
            // What the upstream does with a second copy is unknown here, whatever the caller's own key says.
            is_replayable: false,
        },
        arguments: Some(arguments),
        peer: Arc::clone(&app.peer),
        downstream: Arc::clone(&app.silent) as Arc<dyn call::Downstream>,
    };
    let outcome = app.parts.pipeline.call(call).await;
    let result = match outcome.and_then(|outcome| complete(&connection, outcome)) {
        Ok(result) => result,
        // What is not there and what this caller may not use are one answer, whichever stage said it.
        Err(fault) if fault.code == Code::NOT_FOUND || !may_use(&caller, &connection, &tool) => {
            return Err(absent(&connection, &tool).with_call(id));
        }
        Err(fault) => return Err(Problem::from(fault).with_call(id)),
    };
    let took_us = app.parts.clock.monotonic_us().saturating_sub(started_us);
    answer::json(id, &result, took_us / 1000).map_err(|fault| Problem::from(fault).with_call(id))
}

/// The tool's result, or what there is instead on a door where nobody answers questions or polls tasks.
fn complete(connection: &str, outcome: Outcome) -> Result<(Bytes, bool), Fault> {
    match outcome {
        Outcome::Complete { result, is_error } => Ok((result, is_error)),
        Outcome::InputRequired { .. } => {
            let detail = format!(
                "the tool of `{connection}` asks its caller something, which cannot be answered here"
            );
            Err(Fault::new(Code::UNANSWERED, detail)
                .with_hint("call it through /mcp with a client that answers questions"))
        }
        Outcome::Task { .. } => {
            let detail =
                format!("`{connection}` started a task that nobody asked for; it may still be running");
            Err(Fault::new(Code::BAD_ANSWER, detail)
                .with_retry(model::Retry::OutcomeUnknown)
                .with_hint("call it through /mcp with a client that follows tasks"))
        }
        Outcome::RpcError { error } => Err(answer::rpc_fault(connection, &error)),
    }
}

fn may_use(caller: &Caller, connection: &str, tool: &str) -> bool {
    policy::may_use(&caller.access, &format!("{connection}__{tool}")).allowed
}

fn absent(connection: &str, tool: &str) -> Problem {
    let short = |text: &str| text.chars().take(128).collect::<String>();
    let detail =
        format!("there is no tool `{}` in `{}` that this key may use", short(tool), short(connection));
    Fault::new(Code::NOT_FOUND, detail).with_hint("GET /api/v1/tools lists what there is").into()
}
