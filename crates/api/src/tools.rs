//! `/api/v1/tools`: the tools that the caller may use, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use call::MountedTool;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::extract::{Params, Signed, limit_of};
use crate::rescue::Problem;

/// The longest page.
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolFilter {
    /// Words that all stand in the name or the description, in any case.
    search: Option<String>,
    /// How many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// One page.
#[derive(Serialize, ToSchema)]
#[schema(as = Tools)]
pub(crate) struct ToolsView {
    tools: Vec<ToolView>,
    /// `cursor` of the next page; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A tool that the key may use.
#[derive(Serialize, ToSchema)]
#[schema(as = Tool)]
pub(crate) struct ToolView {
    /// `connection__tool`.
    name: String,
    connection: String,
    /// The upstream's own name.
    tool: String,
    description: String,
    /// As the upstream wrote it.
    #[schema(required = true, value_type = Option<Object>)]
    input_schema: Option<Box<RawValue>>,
    #[schema(required = true, value_type = Option<Object>)]
    output_schema: Option<Box<RawValue>>,
    /// The upstream's claims; nobody has checked them.
    claims_read_only: bool,
    claims_idempotent: bool,
    /// Why its arguments cannot be checked, when they cannot.
    #[schema(required = true)]
    problem: Option<String>,
}

/// The tools that the key may use, by name
#[utoipa::path(get, path = "/api/v1/tools", operation_id = "listTools", tag = "tools",
    params(ToolFilter), responses((status = OK, description = "A page", body = ToolsView)))]
pub(crate) async fn list_tools(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Params(filter): Params<ToolFilter>,
) -> Result<Json<ToolsView>, Problem> {
    let limit = limit_of(filter.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let words = words(filter.search.as_deref());
    let snapshot = app.parts.pipeline.snapshot();
    let mut found: Vec<(&str, &Arc<MountedTool>)> = snapshot
        .connections()
        .flat_map(|mounted| mounted.tools_for(&caller.access).map(|tool| (mounted.key.as_str(), tool)))
        // The cursor is the last name of the page before: pages stay right while tools come and go.
        .filter(|(_, tool)| filter.cursor.as_deref().is_none_or(|after| *tool.full_name > *after))
        .filter(|(_, tool)| fits(&words, tool))
        .collect();
    found.sort_unstable_by(|(_, a), (_, b)| a.full_name.cmp(&b.full_name));
    let is_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| is_more).map(|(_, tool)| tool.full_name.to_string());
    let tools = found.into_iter().map(|(connection, tool)| view(connection, tool)).collect();
    Ok(Json(ToolsView { tools, next_cursor: last }))
}

/// The words of a search, lower case.
fn words(search: Option<&str>) -> Vec<String> {
    search.unwrap_or_default().split_whitespace().take(16).map(str::to_lowercase).collect()
}

fn fits(words: &[String], tool: &MountedTool) -> bool {
    if words.is_empty() {
        return true;
    }
    let text = format!("{} {}", tool.full_name, tool.tool.description).to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}

fn view(connection: &str, tool: &MountedTool) -> ToolView {
    ToolView {
        name: tool.full_name.to_string(),
        connection: connection.to_owned(),
        tool: tool.tool.name.to_string(),
        description: tool.tool.description.to_string(),
        input_schema: raw(&tool.tool.input_schema),
        output_schema: tool.tool.output_schema.as_deref().and_then(raw),
        claims_read_only: tool.tool.claims_read_only,
        claims_idempotent: tool.tool.claims_idempotent,
        problem: tool.check.problem().map(str::to_owned),
    }
}

/// Bytes of an upstream as JSON, if they are.
pub(crate) fn raw(bytes: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(bytes).ok()
}
