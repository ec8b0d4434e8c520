//! `/api/v1/connections`: what is configured, how it stands and why. Those of the file and those made here
//! are one list; the file's are marked, and change in the file only.
//!
//! This file has what a connection looks like outside ([`ConnectionView`]); what is done with it is beside it.

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod credentials;
pub(crate) mod health;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod log;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use call::{Mounted, MountedTool, Snapshot};
use model::Timestamp;
use model::id::ConnectionId;
use model::{
    AuthMethod, Caller, Category, Code, Condition, ConnectionStatus, Era, Fault, IntegrationKind, Key,
};
use serde::Serialize;
use serde_json::Value;
use store::{Connected, ConnectionRow, Scope};
use utoipa::ToSchema;

use crate::app::App;
use crate::openapi::schema;
use crate::rescue::Problem;
use crate::{Entry, Source};

/// A connection, or an entry of the file that never became one.
#[derive(Serialize, ToSchema)]
#[schema(as = UserIntegration)]
pub(crate) struct ConnectionView {
    /// `con_...`; null for one of the file, which is named by its key.
    #[schema(required = true)]
    id: Option<String>,
    /// What URLs and tool names call it.
    key: String,
    /// What people call it.
    name: String,
    /// What it is a connection with; null for one of the file.
    #[schema(required = true)]
    integration: Option<IntegrationSummary>,
    #[schema(inline, value_type = schema::ConnectionStatus)]
    status: ConnectionStatus,
    is_connected: bool,
    #[schema(inline, value_type = schema::Condition)]
    condition: Condition,
    /// Why it is not well, with a remedy.
    #[schema(required = true)]
    reason: Option<String>,
    /// The same as a code, where it is a fault.
    #[schema(required = true, value_type = Option<String>)]
    code: Option<Code>,
    /// Why it did not work when it was last tried out.
    #[schema(required = true)]
    last_error: Option<String>,
    /// Milliseconds since 1970, UTC.
    #[schema(required = true, value_type = Option<i64>)]
    last_tested_at: Option<Timestamp>,
    /// Milliseconds since 1970, UTC.
    #[schema(required = true, value_type = Option<i64>)]
    connected_at: Option<Timestamp>,
    #[schema(required = true, inline, value_type = Option<schema::AuthMethod>)]
    auth_method: Option<AuthMethod>,
    /// What its owner filled in, without secrets; null for one of the file.
    #[schema(required = true, value_type = Option<Object>)]
    connection_config: Option<Value>,
    /// Addresses of private networks are allowed for it; null for one of the file.
    #[schema(required = true)]
    egress_private: Option<bool>,
    /// Everybody uses their own credentials; null for one of the file, whose are shared.
    #[schema(required = true)]
    is_per_user: Option<bool>,
    /// Grows with every change of what its owner wrote; also the `ETag`. Null for one of the file.
    #[schema(required = true)]
    revision: Option<u64>,
    /// Milliseconds since 1970, UTC.
    #[schema(required = true, value_type = Option<i64>)]
    created_at: Option<Timestamp>,
    /// Milliseconds since 1970, UTC.
    #[schema(required = true, value_type = Option<i64>)]
    updated_at: Option<Timestamp>,
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
    /// Changed in the file only, not here.
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

/// What a connection is a connection with.
#[derive(Serialize, ToSchema)]
pub(crate) struct IntegrationSummary {
    slug: String,
    name: String,
    #[schema(inline, value_type = schema::IntegrationType)]
    r#type: IntegrationKind,
    #[schema(inline, value_type = schema::IntegrationCategory)]
    category: Category,
    icon_type: String,
    /// The version that the connection is pinned to.
    version: String,
    /// The version it was pinned to before.
    #[schema(required = true)]
    previous_version: Option<String>,
    /// The newest version there is.
    newest_version: String,
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

/// How everything stands at one moment, for as many views as are wanted.
pub(crate) struct Live {
    snapshot: Arc<Snapshot>,
    open: HashMap<Key, usize>,
    entries: BTreeMap<String, Entry>,
}

// === impl Live ===

impl Live {
    /// Reads it, from memory.
    pub(crate) fn read(app: &App) -> Self {
        let entries = app.parts.directory.entries().into_iter().map(|entry| (entry.key.clone(), entry));
        Self {
            snapshot: app.parts.pipeline.snapshot(),
            open: app.parts.pipeline.open_calls().into_iter().collect(),
            entries: entries.collect(),
        }
    }

    /// What is in no store: the file's entries, by key.
    pub(crate) fn of_file(&self) -> Vec<ConnectionView> {
        let entries = self.entries.values().filter(|entry| entry.is_file_managed);
        let mut views: BTreeMap<String, ConnectionView> =
            entries.map(|entry| (entry.key.clone(), self.of_entry(entry))).collect();
        // What is mounted without an entry is there all the same.
        for mounted in self.snapshot.connections() {
            if !self.entries.contains_key(mounted.key.as_str()) {
                let mut view = bare(mounted.key.to_string());
                self.add_live(&mut view);
                views.insert(mounted.key.to_string(), view);
            }
        }
        views.into_values().collect()
    }

    /// One of those.
    pub(crate) fn find_of_file(&self, key: &str) -> Option<ConnectionView> {
        match self.entries.get(key) {
            Some(entry) => entry.is_file_managed.then(|| self.of_entry(entry)),
            None => self.snapshot.connection(key).map(|mounted| {
                let mut view = bare(mounted.key.to_string());
                self.add_live(&mut view);
                view
            }),
        }
    }

    /// A stored connection.
    pub(crate) fn of_stored(&self, one: Connected) -> ConnectionView {
        let Connected { connection: row, integration } = one;
        let mut view = bare(row.key.to_string());
        self.add_live(&mut view);
        let entry = self.entries.get(row.key.as_str());
        view.reason = entry.and_then(|entry| entry.reason.clone()).or(view.reason.take());
        view.reason = view.reason.take().or_else(|| row.last_error.clone());
        view.is_connected = row.is_connected();
        ConnectionView {
            id: Some(row.id.to_string()),
            name: row.name,
            integration: Some(IntegrationSummary {
                slug: row.integration,
                name: integration.name,
                r#type: integration.kind,
                category: integration.category,
                icon_type: integration.icon_type,
                version: row.version,
                previous_version: row.previous_version,
                newest_version: integration.version,
            }),
            status: row.status,
            last_error: row.last_error,
            last_tested_at: row.last_tested_at,
            connected_at: row.connected_at,
            auth_method: Some(row.auth_method),
            connection_config: Some(row.config.value()),
            egress_private: Some(row.egress_private),
            is_per_user: Some(row.is_per_user),
            revision: Some(row.revision),
            created_at: Some(row.created_at),
            updated_at: Some(row.updated_at),
            ..view
        }
    }

    /// The tools of a connection, whether or not they are offered.
    pub(crate) fn tools(&self, key: &str) -> Vec<ToolState> {
        self.snapshot.connection(key).map(|mounted| tool_states(mounted)).unwrap_or_default()
    }

    fn of_entry(&self, entry: &Entry) -> ConnectionView {
        let mut view = bare(entry.key.clone());
        view.status = entry.status;
        view.transport.clone_from(&entry.transport);
        view.code = entry.reason.is_some().then_some(Code::MISCONFIGURED);
        self.add_live(&mut view);
        view.is_connected = view.status == ConnectionStatus::Connected;
        view.is_file_managed = entry.is_file_managed;
        view.source.clone_from(&entry.source);
        // The entry's own fault first: it is what the next start would stumble over.
        view.reason = entry.reason.clone().or(view.reason.take());
        view
    }

    /// Adds what its connector knows, where it has one.
    fn add_live(&self, view: &mut ConnectionView) {
        let Some(mounted) = self.snapshot.connection(&view.key) else { return };
        let (state, inventory) = (mounted.connector.state(), &mounted.inventory);
        view.status = state.status;
        view.is_connected = state.status == ConnectionStatus::Connected;
        view.condition = state.condition;
        view.reason = state.reason;
        view.code = state.code;
        view.transport = Some(state.transport.to_owned());
        view.era = state.era;
        view.protocol_version = state.protocol_version;
        view.server = state.server;
        view.pid = state.pid;
        view.restarts = state.restarts;
        view.is_stale = inventory.is_stale;
        view.tool_count = offered(mounted).count();
        view.prompt_count = inventory.prompts.len();
        view.resource_count = inventory.resources.len() + inventory.templates.len();
        view.open_call_count = self.open.get(&mounted.key).copied().unwrap_or(0);
    }
}

/// The tools that a connection offers, whoever asks, in the upstream's order.
pub(crate) fn offered(mounted: &Mounted) -> impl Iterator<Item = &Arc<MountedTool>> {
    mounted.inventory.tools.iter().filter_map(|tool| mounted.tool(&tool.name))
}

/// The stored connection that a path names, by id or key.
///
/// # Errors
/// None there; or it is one of the file, which changes in the file only.
pub(crate) async fn stored(app: &App, caller: &Caller, named: &str) -> Result<ConnectionRow, Problem> {
    if let Some(row) = find_stored(app, caller, named).await? {
        return Ok(row);
    }
    let entries = app.parts.directory.entries();
    let Some(entry) = entries.iter().find(|entry| entry.key == named && entry.is_file_managed) else {
        return Err(absent(named));
    };
    let place = entry.source.as_ref().map_or_else(String::new, |source| {
        let line = source.line.map(|line| format!(", line {line}")).unwrap_or_default();
        format!(" ({}{line})", source.file)
    });
    let detail = format!("the connection `{named}` is written in the configuration file{place}");
    Err(Fault::new(Code::CONFLICT, detail).with_hint("change it there; a change takes effect at once").into())
}

/// The stored connection that a path names, by id or key; another workspace's is not there.
pub(crate) async fn find_stored(
    app: &App,
    caller: &Caller,
    named: &str,
) -> Result<Option<ConnectionRow>, Problem> {
    let scope = Scope::from(caller.owner.workspace);
    let found = if named.contains('_') {
        let Ok(id) = named.parse::<ConnectionId>() else { return Ok(None) };
        app.parts.store.find_connection(scope, id).await?
    } else {
        let Ok(key) = named.parse::<Key>() else { return Ok(None) };
        app.parts.store.find_connection_by_key(scope, &key).await?
    };
    Ok(found)
}

/// The row with its integration, as a view.
pub(crate) async fn view_of(app: &App, row: ConnectionRow) -> Result<ConnectionView, Problem> {
    let known = app.parts.store.find_integration_by_id(row.owner.workspace, row.integration_id).await?;
    let known =
        known.ok_or_else(|| Problem::new(Code::STORE, "its integration is not in the store any more"))?;
    let integration = store::IntegrationSummary {
        name: known.name,
        kind: known.kind,
        category: known.category,
        icon_type: known.icon_type,
        version: known.version,
    };
    Ok(Live::read(app).of_stored(Connected { connection: row, integration }))
}

pub(crate) fn absent(key: &str) -> Problem {
    let key: String = key.chars().take(64).collect();
    Fault::new(Code::NOT_FOUND, format!("there is no connection `{key}`"))
        .with_hint("GET /api/v1/connections lists what there is")
        .into()
}

fn bare(key: String) -> ConnectionView {
    ConnectionView {
        id: None,
        name: key.clone(),
        key,
        integration: None,
        status: ConnectionStatus::Configuring,
        is_connected: false,
        condition: Condition::Stopped,
        reason: None,
        code: None,
        last_error: None,
        last_tested_at: None,
        connected_at: None,
        auth_method: None,
        connection_config: None,
        egress_private: None,
        is_per_user: None,
        revision: None,
        created_at: None,
        updated_at: None,
        transport: None,
        era: None,
        protocol_version: None,
        server: None,
        pid: None,
        restarts: 0,
        is_file_managed: false,
        source: None,
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
