//! `/api/v1/connections`: what is configured, how it stands and why, and trying it out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use call::{Mounted, MountedTool};
use model::{Code, Condition, ConnectionStatus, Era, Fault, Key};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::extract::Segments;
use crate::openapi::schema;
use crate::rescue::Problem;
use crate::{Entry, Source};

/// What there is, by key.
#[derive(Serialize, ToSchema)]
#[schema(as = Connections)]
pub(crate) struct ConnectionsView {
    connections: Vec<ConnectionView>,
}

/// A connection or an entry that never became one.
#[derive(Serialize, ToSchema)]
#[schema(as = Connection)]
pub(crate) struct ConnectionView {
    key: String,
    #[schema(inline, value_type = schema::ConnectionStatus)]
    status: ConnectionStatus,
    #[schema(inline, value_type = schema::Condition)]
    condition: Condition,
    /// Why it is not well, with a remedy.
    #[schema(required = true)]
    reason: Option<String>,
    /// The same as a code, where it is a fault.
    #[schema(required = true, value_type = Option<String>)]
    code: Option<Code>,
    #[schema(required = true)]
    transport: Option<String>,
    #[schema(required = true, inline, value_type = Option<schema::Era>)]
    era: Option<Era>,
    #[schema(required = true)]
    protocol_version: Option<String>,
    /// What the upstream calls itself.
    #[schema(required = true)]
    server: Option<String>,
    #[schema(required = true)]
    pid: Option<u32>,
    restarts: u32,
    is_file_managed: bool,
    #[schema(required = true)]
    source: Option<Source>,
    /// What it offers is remembered from before: it does not answer now.
    is_stale: bool,
    tool_count: usize,
    prompt_count: usize,
    resource_count: usize,
    open_call_count: usize,
}

/// A connection with its tools.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConnectionDetail {
    #[serde(flatten)]
    connection: ConnectionView,
    tools: Vec<ToolState>,
}

/// A tool of a connection, as its owner has to know it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ToolState {
    /// `connection__tool`.
    name: String,
    /// The upstream's own name.
    tool: String,
    description: String,
    /// False where the connection's lists leave it out.
    is_offered: bool,
    /// Why its arguments cannot be checked, when they cannot.
    #[schema(required = true)]
    problem: Option<String>,
}

/// What came of trying a connection out.
#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionTest)]
pub(crate) struct TestView {
    is_ok: bool,
    duration_ms: u64,
    /// What went wrong, as problem JSON.
    #[schema(required = true, value_type = Option<crate::rescue::View>)]
    problem: Option<serde_json::Value>,
    connection: ConnectionView,
}

/// What is configured and how it stands
#[utoipa::path(get, path = "/api/v1/connections", operation_id = "listConnections", tag = "management",
    responses((status = OK, description = "All of them, by key", body = ConnectionsView)))]
pub(crate) async fn list_connections(State(app): State<Arc<App>>) -> Json<ConnectionsView> {
    Json(ConnectionsView { connections: views(&app).into_values().collect() })
}

/// One connection with its tools
#[utoipa::path(get, path = "/api/v1/connections/{key}", operation_id = "showConnection", tag = "management",
    params(("key" = String, Path, description = "The connection's key.")),
    responses((status = OK, description = "The connection", body = ConnectionDetail)))]
pub(crate) async fn show_connection(
    State(app): State<Arc<App>>,
    Segments(key): Segments<String>,
) -> Result<Json<ConnectionDetail>, Problem> {
    let connection = views(&app).remove(&key).ok_or_else(|| absent(&key))?;
    let snapshot = app.parts.pipeline.snapshot();
    let tools = snapshot.connection(&key).map(|mounted| tool_states(mounted)).unwrap_or_default();
    Ok(Json(ConnectionDetail { connection, tools }))
}

/// Connect afresh and say which layer fails
///
/// A test that fails is a good answer to the question: 200, with the problem inside.
#[utoipa::path(post, path = "/api/v1/connections/{key}/test", operation_id = "testConnection", tag = "management",
    params(("key" = String, Path, description = "The connection's key.")),
    responses((status = OK, description = "What came of it", body = TestView)))]
pub(crate) async fn test_connection(
    State(app): State<Arc<App>>,
    Segments(text): Segments<String>,
) -> Result<Json<TestView>, Problem> {
    let key = text.parse::<Key>().map_err(|_| absent(&text))?;
    let started_us = app.parts.clock.monotonic_us();
    let tested = app.parts.directory.retest(&key).await;
    let duration_ms = app.parts.clock.monotonic_us().saturating_sub(started_us) / 1000;
    let connection = views(&app).remove(&text).ok_or_else(|| absent(&text))?;
    let problem = tested.err().map(|fault| Problem::from(fault).to_value());
    Ok(Json(TestView { is_ok: problem.is_none(), duration_ms, problem, connection }))
}

/// The tools that a connection offers, whoever asks, in the upstream's order.
pub(crate) fn offered(mounted: &Mounted) -> impl Iterator<Item = &Arc<MountedTool>> {
    mounted.inventory.tools.iter().filter_map(|tool| mounted.tool(&tool.name))
}

fn views(app: &App) -> BTreeMap<String, ConnectionView> {
    let snapshot = app.parts.pipeline.snapshot();
    let open = app.parts.pipeline.open_calls();
    let mut views: BTreeMap<String, ConnectionView> = snapshot
        .connections()
        .map(|mounted| {
            (mounted.key.to_string(), of_mounted(mounted, open.get(&mounted.key).copied().unwrap_or(0)))
        })
        .collect();
    for entry in app.parts.directory.entries() {
        match views.get_mut(&entry.key) {
            Some(view) => {
                view.is_file_managed = entry.is_file_managed;
                view.source = entry.source;
                // The entry's own fault first: it is what the next start would stumble over.
                view.reason = entry.reason.or(view.reason.take());
            }
            None => {
                views.insert(entry.key.clone(), of_entry(entry));
            }
        }
    }
    views
}

fn of_mounted(mounted: &Mounted, open_call_count: usize) -> ConnectionView {
    let state = mounted.connector.state();
    let inventory = &mounted.inventory;
    ConnectionView {
        key: mounted.key.to_string(),
        status: state.status,
        condition: state.condition,
        reason: state.reason,
        code: state.code,
        transport: Some(state.transport.to_owned()),
        era: state.era,
        protocol_version: state.protocol_version,
        server: state.server,
        pid: state.pid,
        restarts: state.restarts,
        is_file_managed: false,
        source: None,
        is_stale: inventory.is_stale,
        tool_count: offered(mounted).count(),
        prompt_count: inventory.prompts.len(),
        resource_count: inventory.resources.len() + inventory.templates.len(),
        open_call_count,
    }
}

fn of_entry(entry: Entry) -> ConnectionView {
    ConnectionView {
        key: entry.key,
        status: entry.status,
        condition: Condition::Stopped,
        code: entry.reason.is_some().then_some(Code::MISCONFIGURED),
        reason: entry.reason,
        transport: entry.transport,
        era: None,
        protocol_version: None,
        server: None,
        pid: None,
        restarts: 0,
        is_file_managed: entry.is_file_managed,
        source: entry.source,
        is_stale: false,
        tool_count: 0,
        prompt_count: 0,
        resource_count: 0,
        open_call_count: 0,
    }
}

fn tool_states(mounted: &Mounted) -> Vec<ToolState> {
    let states = mounted.inventory.tools.iter().map(|tool| {
        let known = mounted.tool(&tool.name);
        ToolState {
            name: format!("{}__{}", mounted.key, tool.name),
            tool: tool.name.to_string(),
            description: tool.description.to_string(),
            is_offered: known.is_some(),
            problem: known.and_then(|known| known.check.problem()).map(str::to_owned),
        }
    });
    states.collect()
}

fn absent(key: &str) -> Problem {
    let key: String = key.chars().take(64).collect();
    Fault::new(Code::NOT_FOUND, format!("there is no connection `{key}`"))
        .with_hint("GET /api/v1/connections lists what there is")
        .into()
}
