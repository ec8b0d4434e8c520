//! Trying out, connecting, disconnecting: the moves of a connection's status. It becomes `connected` only by
//! a test that has passed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Caller, Code, ConnectionStatus, Fault, Key};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{
    Command, ConnectionCommand, ConnectionRow, EventType, HealthCommand, HealthRow, Scope, StatusMove,
};
use utoipa::ToSchema;

use super::create::log_entry;
use super::{ConnectionView, Live, absent, find_stored, stored, view_of};
use crate::app::App;
use crate::extract::{Segments, Sent, Signed};
use crate::openapi::schema;
use crate::rescue::{Problem, View};

/// What came of trying a connection out.
#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionTestResult)]
pub(crate) struct TestView {
    is_ok: bool,
    duration_ms: u64,
    /// What went wrong.
    #[schema(required = true, value_type = Option<View>)]
    problem: Option<serde_json::Value>,
    connection: ConnectionView,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = StatusUpdate)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusBody {
    #[schema(inline, value_type = schema::SettableStatus)]
    status: ConnectionStatus,
    /// Why, when it is to `error`.
    #[schema(max_length = 2048)]
    error: Option<String>,
}

/// Connect afresh and say which layer fails
///
/// A test that fails is a good answer to the question: 200, with the problem inside. One that is `configuring`
/// or `disconnected` stays so, whatever comes of it.
#[utoipa::path(post, path = "/api/v1/connections/{connection}/test", operation_id = "testConnection",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id.")),
    responses((status = OK, description = "What came of it", body = TestView)))]
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
) -> Result<Json<TestView>, Problem> {
    let Some(row) = find_stored(&app, &caller, &named).await? else {
        return test_of_file(&app, &named).await;
    };
    let moves = super::change::is_in_use(row.status);
    run(&app, &caller, row, moves).await.map(Json)
}

/// Test a connection, and use it when the test passes
#[utoipa::path(post, path = "/api/v1/connections/{connection}/connect", operation_id = "connectIntegration",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id.")),
    responses((status = OK, description = "What came of the test", body = TestView)))]
pub(crate) async fn connect(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
) -> Result<Json<TestView>, Problem> {
    let row = stored(&app, &caller, &named).await?;
    run(&app, &caller, row, true).await.map(Json)
}

/// Stop using a connection; what it is and was stays
#[utoipa::path(post, path = "/api/v1/connections/{connection}/disconnect", operation_id = "disconnectIntegration",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id.")),
    responses((status = OK, description = "As it is now", body = ConnectionView)))]
pub(crate) async fn disconnect(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
) -> Result<Json<ConnectionView>, Problem> {
    let row = stored(&app, &caller, &named).await?;
    let entry = log_entry(&app, &row, EventType::Disconnected, "was disconnected", &by(&caller))?;
    let step = step(&app, &row, ConnectionStatus::Disconnected, None);
    moved(&app, &caller, &row, vec![step, entry]).await.map(Json)
}

/// Move a connection's status, along its legal edges
///
/// For the hub's own agents and administrators. `connected` is not among what can be set: it follows from a
/// test that has passed.
#[utoipa::path(put, path = "/api/v1/connections/{connection}/status", operation_id = "updateIntegrationStatus",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id.")),
    request_body = StatusBody,
    responses((status = OK, description = "As it is now", body = ConnectionView)))]
pub(crate) async fn set_status(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
    Sent(body): Sent<StatusBody>,
) -> Result<Json<ConnectionView>, Problem> {
    if matches!(body.status, ConnectionStatus::Connected | ConnectionStatus::Testing) {
        let detail = format!("status: `{}` cannot be set, it follows from a test", body.status);
        return Err(Fault::new(Code::BAD_ARGUMENTS, detail)
            .with_hint("POST .../connect tests the connection, and connects it when the test passes")
            .into());
    }
    let row = stored(&app, &caller, &named).await?;
    let event = match body.status {
        ConnectionStatus::Error => EventType::Error,
        ConnectionStatus::Disconnected => EventType::Disconnected,
        _ => EventType::ConfigUpdated,
    };
    let message = format!("was set to {}", body.status);
    let entry = log_entry(&app, &row, event, &message, &by(&caller))?;
    let step = step(&app, &row, body.status, body.error);
    moved(&app, &caller, &row, vec![step, entry]).await.map(Json)
}

impl TestView {
    /// Why it did not pass, in words.
    pub(crate) fn trouble(&self) -> Option<String> {
        let problem = self.problem.as_ref()?;
        let detail = problem.get("detail").and_then(serde_json::Value::as_str);
        Some(detail.unwrap_or("it did not pass").to_owned())
    }
}

/// Carries out a move, brings what runs in step, and shows the connection as it is then.
async fn moved(
    app: &App,
    caller: &Caller,
    row: &ConnectionRow,
    commands: Vec<Command>,
) -> Result<ConnectionView, Problem> {
    app.parts.store.apply(commands).await?;
    app.parts.directory.settle().await;
    let row = stored(app, caller, &row.id.to_string()).await?;
    view_of(app, row).await
}

/// Tests a stored connection. With `moves` its status tells of it; without, only its log does.
pub(crate) async fn run(
    app: &App,
    caller: &Caller,
    row: ConnectionRow,
    moves: bool,
) -> Result<TestView, Problem> {
    // One that is in use on everybody's own credentials: what one user's cannot do says nothing about the others'.
    let moves = moves && !(row.is_per_user && row.status == ConnectionStatus::Connected);
    if moves {
        // Whoever tests it already goes on alone: this is refused as a move from `testing` to `testing`.
        app.parts.store.apply(vec![step(app, &row, ConnectionStatus::Testing, None)]).await?;
    }
    let started_us = app.parts.clock.monotonic_us();
    let tried = app.parts.directory.try_out(&row, caller).await;
    let duration_ms = app.parts.clock.monotonic_us().saturating_sub(started_us) / 1000;
    let (tool_count, fault) = tried.map_or_else(|fault| (0, Some(fault)), |count| (count, None));
    let mut commands = Vec::new();
    if moves {
        let to = if fault.is_none() { ConnectionStatus::Connected } else { ConnectionStatus::Error };
        commands.push(step(app, &row, to, fault.as_ref().map(Fault::to_string)));
    }
    let metadata = json!({ "duration_ms": duration_ms, "by": &*caller.principal });
    let told = fault.as_ref().map_or_else(|| "the test passed".to_owned(), ToString::to_string);
    commands.push(log_entry(app, &row, EventType::Tested, &cut(&told), &metadata)?);
    match (&fault, moves) {
        (None, true) if row.status != ConnectionStatus::Connected => {
            commands.push(log_entry(app, &row, EventType::Connected, "was connected", &by(caller))?);
        }
        (Some(fault), true) => {
            let metadata = json!({ "code": fault.code.to_string() });
            commands.push(log_entry(app, &row, EventType::Error, &cut(&told), &metadata)?);
        }
        _ => {}
    }
    commands.push(Command::Health(HealthCommand::Append(Box::new(HealthRow {
        id: app.event_id(),
        workspace: row.owner.workspace,
        connection: row.id,
        response_time_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
        success: fault.is_none(),
        error_message: fault.as_ref().map(|fault| cut(&fault.to_string())),
        checked_at: app.parts.clock.now(),
        created_at: app.parts.clock.now(),
    }))));
    let mut connection = moved(app, caller, &row, commands).await?;
    let problem = fault.map(|fault| Problem::from(fault).to_value());
    // What has just been mounted is still reading its lists; the test has read them.
    connection.tool_count = connection.tool_count.max(tool_count);
    Ok(TestView { is_ok: problem.is_none(), duration_ms, problem, connection })
}

async fn test_of_file(app: &App, named: &str) -> Result<Json<TestView>, Problem> {
    let key = named.parse::<Key>().map_err(|_| absent(named))?;
    let started_us = app.parts.clock.monotonic_us();
    let tested = app.parts.directory.retest(&key).await;
    let duration_ms = app.parts.clock.monotonic_us().saturating_sub(started_us) / 1000;
    let connection = Live::read(app).find_of_file(named).ok_or_else(|| absent(named))?;
    let problem = tested.err().map(|fault| Problem::from(fault).to_value());
    Ok(Json(TestView { is_ok: problem.is_none(), duration_ms, problem, connection }))
}

fn step(app: &App, row: &ConnectionRow, to: ConnectionStatus, error: Option<String>) -> Command {
    Command::Connection(ConnectionCommand::Move(Box::new(StatusMove {
        scope: Scope::from(row.owner.workspace),
        id: row.id,
        expected: Some(row.revision),
        to,
        error,
        at: app.parts.clock.now(),
    })))
}

fn by(caller: &Caller) -> serde_json::Value {
    json!({ "by": &*caller.principal })
}

/// As much of a message as a log entry or a metric holds.
fn cut(text: &str) -> String {
    text.chars().take(500).collect()
}
