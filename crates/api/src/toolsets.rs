//! `/api/v1/toolsets`: chosen, renamed and re-described tools, each set an MCP endpoint of its own at
//! `/mcp/s/{toolset}`. Those of the configuration file change in the file only.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ETAG, LOCATION};
use model::{Caller, Code, Fault, Key, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Json as StoredJson, ToolsetCommand, ToolsetRow};
use utoipa::ToSchema;

use crate::app::App;
use crate::connections::create::{check_length, unfit};
use crate::connections::list::etag;
use crate::extract::{Segments, Sent, Signed};
use crate::rescue::Problem;

/// The most tools of one set.
const TOOLS_MAX: usize = 1_000;
const TEXT_LEN_MAX: usize = 4_096;

/// One chosen tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChosenTool {
    /// `connection__tool`.
    #[schema(max_length = 512, pattern = "^[a-z0-9-]{1,32}__.+$")]
    pub tool: String,
    /// What the set calls it; its own name unless said.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub rename: Option<String>,
    /// What the set says of it; its own description unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096)]
    pub description: Option<String>,
}

/// All toolsets.
#[derive(Serialize, ToSchema)]
#[schema(as = Toolsets)]
pub(crate) struct ToolsetsView {
    toolsets: Vec<ToolsetView>,
}

/// A toolset.
#[derive(Serialize, ToSchema)]
#[schema(as = Toolset)]
pub(crate) struct ToolsetView {
    /// What URLs call it: `/mcp/s/{key}`.
    key: String,
    name: String,
    description: String,
    tools: Vec<ChosenTool>,
    /// Grows with every change; also the `ETag`.
    revision: u64,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    created_at: Timestamp,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    updated_at: Timestamp,
}

/// A toolset to be made, or what one becomes.
#[derive(Deserialize, ToSchema)]
#[schema(as = ToolsetContent)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolsetBody {
    #[schema(min_length = 1, max_length = 256)]
    pub(crate) name: String,
    #[serde(default)]
    #[schema(max_length = 4096)]
    pub(crate) description: String,
    #[schema(max_items = 1000)]
    pub(crate) tools: Vec<ChosenTool>,
}

/// The toolsets made here, by key
#[utoipa::path(get, path = "/api/v1/toolsets", operation_id = "listToolsets", tag = "toolsets",
    responses((status = OK, description = "All of them", body = ToolsetsView)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
) -> Result<Json<ToolsetsView>, Problem> {
    let rows = app.parts.store.list_toolsets(caller.owner.workspace).await?;
    Ok(Json(ToolsetsView { toolsets: rows.into_iter().map(view).collect::<Result<_, _>>()? }))
}

/// One toolset
#[utoipa::path(get, path = "/api/v1/toolsets/{toolset}", operation_id = "getToolset", tag = "toolsets",
    params(("toolset" = String, Path, description = "Its key.")),
    responses((status = OK, description = "The toolset", body = ToolsetView,
        headers(("ETag" = String, description = "Its revision.")))))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(key): Segments<String>,
) -> Result<Response, Problem> {
    let row = find(&app, &caller, &key).await?;
    Ok(([(ETAG, etag(row.revision))], Json(view(row)?)).into_response())
}

/// Make a toolset, or replace its content
///
/// It is an MCP endpoint at once, at `/mcp/s/{toolset}`. A tool that is not there now is offered once it is.
#[utoipa::path(put, path = "/api/v1/toolsets/{toolset}", operation_id = "putToolset", tag = "toolsets",
    params(("toolset" = String, Path, pattern = "^[a-z0-9-]{1,32}$", description = "Its key.")),
    request_body = ToolsetBody,
    responses(
        (status = OK, description = "Replaced", body = ToolsetView),
        (status = CREATED, description = "Made", body = ToolsetView)))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(key): Segments<String>,
    Sent(body): Sent<ToolsetBody>,
) -> Result<Response, Problem> {
    let key = key.parse::<Key>().map_err(|error| unfit(format!("toolset: {error}")))?;
    let before = app.parts.store.find_toolset(caller.owner.workspace, &key).await?;
    if let Some(command) = command(&app, &caller, &key, body, before.as_ref())? {
        app.parts.store.change_toolset(command).await?;
    }
    app.parts.directory.settle().await;
    let row = find(&app, &caller, key.as_str()).await?;
    let headers = [(ETAG, etag(row.revision)), (LOCATION, format!("/api/v1/toolsets/{key}"))];
    let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, headers, Json(view(row)?)).into_response())
}

/// Remove a toolset
#[utoipa::path(delete, path = "/api/v1/toolsets/{toolset}", operation_id = "deleteToolset", tag = "toolsets",
    params(("toolset" = String, Path, description = "Its key.")),
    responses((status = NO_CONTENT, description = "Its endpoint is gone.")))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(key): Segments<String>,
) -> Result<StatusCode, Problem> {
    let row = find(&app, &caller, &key).await?;
    let command = ToolsetCommand::Delete { workspace: caller.owner.workspace, key: row.key };
    app.parts.store.change_toolset(command).await?;
    app.parts.directory.settle().await;
    Ok(StatusCode::NO_CONTENT)
}

/// What makes a toolset be as `body` says; `None` where it is already.
pub(crate) fn command(
    app: &App,
    caller: &Caller,
    key: &Key,
    body: ToolsetBody,
    before: Option<&ToolsetRow>,
) -> Result<Option<ToolsetCommand>, Problem> {
    check(&body)?;
    if app.parts.directory.file_toolsets().contains(key) {
        let detail = format!("the toolset `{key}` is written in the configuration file");
        return Err(Fault::new(Code::CONFLICT, detail)
            .with_hint("change it there, or choose another key")
            .into());
    }
    let now = app.parts.clock.now();
    let tools = serde_json::to_value(&body.tools).map_err(|error| unfit(format!("tools: {error}")))?;
    let row = ToolsetRow {
        owner: caller.owner,
        key: key.clone(),
        name: body.name.trim().to_owned(),
        description: body.description,
        tools: StoredJson::from_value("tools", &tools)?,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    Ok(match before {
        None => Some(ToolsetCommand::Insert(Box::new(row))),
        Some(before)
            if before.name == row.name
                && before.description == row.description
                && before.tools.value() == row.tools.value() =>
        {
            None
        }
        Some(before) => Some(ToolsetCommand::Update { row: Box::new(row), expected: Some(before.revision) }),
    })
}

async fn find(app: &App, caller: &Caller, key: &str) -> Result<ToolsetRow, Problem> {
    let row = match key.parse::<Key>() {
        Ok(key) => app.parts.store.find_toolset(caller.owner.workspace, &key).await?,
        Err(_) => None,
    };
    row.ok_or_else(|| {
        let key: String = key.chars().take(64).collect();
        Fault::new(Code::NOT_FOUND, format!("there is no toolset `{key}` made here"))
            .with_hint("GET /api/v1/toolsets lists them")
            .into()
    })
}

fn check(body: &ToolsetBody) -> Result<(), Problem> {
    check_length("name", &body.name, store::NAME_LEN_MAX)?;
    if body.description.len() > TEXT_LEN_MAX {
        return Err(unfit(format!("description: has at most {TEXT_LEN_MAX} bytes")));
    }
    if body.tools.len() > TOOLS_MAX {
        return Err(unfit(format!("tools: are {}, and at most {TOOLS_MAX}", body.tools.len())));
    }
    let mut names = BTreeSet::new();
    for (n, one) in body.tools.iter().enumerate() {
        let Some((connection, tool)) = one.tool.split_once("__") else {
            return Err(unfit(format!("tools.{n}.tool: `{}` is not of the form connection__tool", one.tool)));
        };
        if connection.parse::<Key>().is_err() || tool.is_empty() || one.tool.len() > 512 {
            return Err(unfit(format!("tools.{n}.tool: `{}` is not of the form connection__tool", one.tool)));
        }
        if one.rename.as_ref().is_some_and(|name| name.is_empty() || name.len() > 128) {
            return Err(unfit(format!("tools.{n}.as: has to have 1 to 128 bytes")));
        }
        if one.description.as_ref().is_some_and(|text| text.len() > TEXT_LEN_MAX) {
            return Err(unfit(format!("tools.{n}.description: has at most {TEXT_LEN_MAX} bytes")));
        }
        let name = one.rename.as_deref().unwrap_or(&one.tool);
        if !names.insert(name) {
            return Err(unfit(format!(
                "tools.{n}: `{name}` stands in this set twice; give one another name (`as`)"
            )));
        }
    }
    Ok(())
}

fn view(row: ToolsetRow) -> Result<ToolsetView, Problem> {
    let tools = serde_json::from_value(row.tools.value())
        .map_err(|_| Problem::new(Code::STORE, "a stored toolset cannot be read"))?;
    Ok(ToolsetView {
        key: row.key.to_string(),
        name: row.name,
        description: row.description,
        tools,
        revision: row.revision,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
