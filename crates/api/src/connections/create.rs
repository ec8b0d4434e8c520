//! Making a connection. What is stored fits the integration's schema and can be read as it will be
//! connected with; it starts out in `configuring`, and is used only once a test has passed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use call::schema::Check;
use http::StatusCode;
use http::header::{ETAG, LOCATION};
use model::id::ConnectionId;
use model::{AuthMethod, Caller, Code, ConnectionStatus, Fault, Key};
use serde::Deserialize;
use serde_json::{Map, Value};
use store::{
    Command, ConnectionCommand, ConnectionRow, EventType, IntegrationRow, Json as StoredJson, LogCommand,
    LogRow,
};
use utoipa::ToSchema;

use super::list::etag;
use super::{ConnectionView, view_of};
use crate::app::App;
use crate::extract::{Sent, Signed};
use crate::openapi::schema;
use crate::rescue::Problem;

/// A connection to be made.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewUserIntegration)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewConnectionBody {
    /// Slug of what it is to be a connection with.
    #[schema(min_length = 1, max_length = 64)]
    integration: String,
    /// What people call it; unique for you, whatever the case.
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    /// What URLs and tool names call it: 1 to 32 of `a-z`, `0-9` and `-`. Made of the name when left out.
    #[schema(pattern = "^[a-z0-9-]{1,32}$")]
    key: Option<String>,
    /// What the integration's `config_schema` asks for, without secrets.
    #[schema(value_type = Object)]
    #[serde(default = "empty")]
    connection_config: Value,
    #[schema(inline, value_type = Option<schema::AuthMethod>)]
    auth_method: Option<AuthMethod>,
    /// It may reach private and loopback addresses.
    #[serde(default)]
    egress_private: bool,
    /// Everybody uses their own credentials: nobody's calls go out with somebody else's, and who has stored none
    /// is told where to. For connections that prove themselves.
    #[serde(default)]
    is_per_user: bool,
    /// For one that starts a program: the exact command line, as the refusal without it tells.
    consent: Option<String>,
}

/// Make a connection
///
/// It starts out in `configuring`: connect it, and it is used once a test has passed. One that starts a
/// program asks for your consent to the exact command line, which the refusal tells.
#[utoipa::path(post, path = "/api/v1/connections", operation_id = "createUserIntegration", tag = "connections",
    request_body = NewConnectionBody,
    responses((status = CREATED, description = "Made", body = ConnectionView,
        headers(("ETag" = String, description = "Its revision."), ("Location" = String, description = "Where it is.")))))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Sent(new): Sent<NewConnectionBody>,
) -> Result<Response, Problem> {
    let integration = usable_integration(&app, &caller, &new.integration).await?;
    check_config(&app, &integration, &new.connection_config)?;
    check_length("name", &new.name, store::NAME_LEN_MAX)?;
    let key = match &new.key {
        Some(text) => text.parse::<Key>().map_err(|error| unfit(format!("key: {error}")))?,
        None => free_key(&app, &caller, &new.name).await?,
    };
    if app.parts.directory.entries().iter().any(|entry| entry.key == key.as_str() && entry.is_file_managed) {
        let detail = format!("the key `{key}` is taken by a connection of the configuration file");
        return Err(Fault::new(Code::CONFLICT, detail).with_hint("choose another").into());
    }
    let now = app.parts.clock.now();
    let row = ConnectionRow {
        id: ConnectionId::new(&*app.parts.clock, &*app.parts.entropy),
        owner: caller.owner,
        key,
        name: new.name.trim().to_owned(),
        integration_id: integration.id,
        integration: integration.slug,
        version: integration.version,
        previous_version: None,
        config: StoredJson::from_value("connection_config", &new.connection_config)?,
        auth_method: new.auth_method.unwrap_or(AuthMethod::None),
        status: ConnectionStatus::Configuring,
        last_error: None,
        last_tested_at: None,
        connected_at: None,
        is_shared: true,
        is_per_user: new.is_per_user,
        egress_private: new.egress_private,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    check_consent(&app, &row, None, new.consent.as_deref())?;
    app.parts.directory.own_way(&row)?;
    let consent = new.consent.map(|line| serde_json::json!({ "consent_to": line, "by": &*caller.principal }));
    let metadata = consent.unwrap_or_else(empty);
    let entry = log_entry(&app, &row, EventType::ConfigUpdated, "was made", &metadata)?;
    app.parts
        .store
        .apply(vec![Command::Connection(ConnectionCommand::Insert(Box::new(row.clone()))), entry])
        .await?;
    let location = format!("/api/v1/connections/{}", row.key);
    let tag = etag(row.revision);
    let view = view_of(&app, row).await?;
    Ok((StatusCode::CREATED, [(ETAG, tag), (LOCATION, location)], Json(view)).into_response())
}

/// The integration of a slug, if connections of it can be made.
async fn usable_integration(app: &App, caller: &Caller, slug: &str) -> Result<IntegrationRow, Problem> {
    let found = app.parts.store.find_integration(caller.owner.workspace, slug).await?;
    let Some(row) = found.filter(|row| row.is_active) else {
        let slug: String = slug.chars().take(64).collect();
        return Err(Fault::new(
            Code::BAD_ARGUMENTS,
            format!("integration: there is no active one called `{slug}`"),
        )
        .with_hint("GET /api/v1/integrations lists them")
        .into());
    };
    match app.parts.directory.describe(&row).unavailable {
        None => Ok(row),
        Some(why) => Err(Fault::new(Code::UNSUPPORTED, format!("`{slug}` cannot be connected yet: {why}"))
            .with_hint("GET /api/v1/integrations tells which can")
            .into()),
    }
}

/// Whether a configuration fits its integration's schema, and holds nothing that must not stand there.
pub(crate) fn check_config(app: &App, integration: &IntegrationRow, config: &Value) -> Result<(), Problem> {
    let Some(members) = config.as_object() else {
        return Err(unfit("connection_config: is not an object"));
    };
    // What the hub itself understands is checked when the connection is read.
    let hubs = app.parts.directory.describe(integration).hub_keys;
    let own = members.iter().filter(|(name, _)| !hubs.contains(&name.as_str()));
    let own: Value = own.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into();
    let check = Check::compile(integration.config_schema.as_str().as_bytes());
    if let Some(why) = check.problem() {
        return Err(Problem::new(
            Code::MISCONFIGURED,
            format!("the schema of `{}`: {why}", integration.slug),
        ));
    }
    check.apply(own.to_string().as_bytes()).map_err(|why| unfit(format!("connection_config: {why}")))?;
    // References reach into the hub's own environment and files: only the operator's file may use them.
    match find_reference(config, "connection_config") {
        None => Ok(()),
        Some(path) => Err(unfit(format!("{path}: holds a reference (`${{...}}`), which only the file may"))),
    }
}

/// The path of the first text with a reference.
fn find_reference(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::String(text) => text.contains("${").then(|| path.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(n, item)| find_reference(item, &format!("{path}.{n}")))
        }
        Value::Object(members) => members.iter().find_map(|(name, item)| {
            let path = format!("{path}.{name}");
            if name.contains("${") { Some(path) } else { find_reference(item, &path) }
        }),
        _ => None,
    }
}

/// Reads the configuration as it will be connected with; a program needs its exact command line as consent,
/// unless it is the one that was consented to before.
pub(crate) fn check_consent(
    app: &App,
    row: &ConnectionRow,
    before: Option<&ConnectionRow>,
    consent: Option<&str>,
) -> Result<(), Problem> {
    let Some(line) = app.parts.directory.command_line(row)? else { return Ok(()) };
    if before.and_then(|before| app.parts.directory.command_line(before).ok().flatten()).as_ref()
        == Some(&line)
    {
        return Ok(());
    }
    if !app.parts.settings.may_define_commands {
        return Err(Fault::new(Code::FORBIDDEN, "this hub starts programs of its configuration file only")
            .with_hint("write it there, or set `stdio: { from_api: admin }`")
            .into());
    }
    if consent == Some(line.as_str()) {
        return Ok(());
    }
    let detail = format!("consent: this connection starts a program with the rights of the hub: {line}");
    Err(Fault::new(Code::BAD_ARGUMENTS, detail)
        .with_hint("read that command line; send it as `consent`, exactly, if it is what you want")
        .into())
}

/// A key made of a name that nothing has yet.
async fn free_key(app: &App, caller: &Caller, name: &str) -> Result<Key, Problem> {
    let base = match name.trim().parse::<Key>() {
        Ok(key) => key.to_string(),
        Err(bad) => bad.suggestion,
    };
    let entries = app.parts.directory.entries();
    for n in 1..100 {
        let suffix = if n == 1 { String::new() } else { format!("-{n}") };
        let kept: String = base.chars().take(Key::LEN_MAX - suffix.len()).collect();
        let Ok(key) = format!("{kept}{suffix}").parse::<Key>() else { continue };
        let is_written = entries.iter().any(|entry| entry.key == key.as_str());
        let scope = store::Scope::from(caller.owner.workspace);
        if !is_written && app.parts.store.find_connection_by_key(scope, &key).await?.is_none() {
            return Ok(key);
        }
    }
    Err(unfit("key: no free one can be made of the name; send one"))
}

/// A log entry, to be written with what it tells of.
pub(crate) fn log_entry(
    app: &App,
    row: &ConnectionRow,
    event_type: EventType,
    message: &str,
    metadata: &Value,
) -> Result<Command, Problem> {
    let entry = LogRow {
        id: app.event_id(),
        workspace: row.owner.workspace,
        connection: row.id,
        event_type,
        message: message.to_owned(),
        metadata: StoredJson::from_value("metadata", metadata)?,
        created_at: app.parts.clock.now(),
    };
    Ok(Command::Log(LogCommand::Append(Box::new(entry))))
}

/// Whether a text has 1 to `max` bytes, blanks around it aside.
pub(crate) fn check_length(field: &str, text: &str, max: usize) -> Result<(), Problem> {
    if text.trim().is_empty() || text.len() > max || text.contains('\0') {
        return Err(unfit(format!(
            "{field}: has {} bytes, and has to have 1 to {max}, no NUL among them",
            text.len()
        )));
    }
    Ok(())
}

pub(crate) fn unfit(detail: impl Into<String>) -> Problem {
    Fault::new(Code::BAD_ARGUMENTS, detail).with_hint("GET /openapi.json shows the schema").into()
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}
