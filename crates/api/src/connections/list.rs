//! Reading connections: a page of them, one of them, and how many there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use model::{Category, ConnectionStatus, IntegrationKind};
use serde::{Deserialize, Serialize};
use store::{ConnectionQuery, Scope};
use utoipa::{IntoParams, ToSchema};

use super::{ConnectionDetail, ConnectionView, Live, find_stored, view_of};
use crate::app::App;
use crate::extract::{Params, Segments, Signed, limit_of};
use crate::openapi::schema;
use crate::page;
use crate::rescue::Problem;

const LIMIT_DEFAULT: usize = 100;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionParams {
    /// Of this type only.
    #[param(value_type = Option<schema::IntegrationType>, inline)]
    r#type: Option<IntegrationKind>,
    /// Of this category only.
    #[param(value_type = Option<schema::IntegrationCategory>, inline)]
    category: Option<Category>,
    /// In this status only.
    #[param(value_type = Option<schema::ConnectionStatus>, inline)]
    status: Option<ConnectionStatus>,
    /// With the integration of this slug only.
    integration: Option<String>,
    /// How many; the first page has the file's connections besides.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^-?[0-9]{1,15}\\.[a-z]{3}_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    cursor: Option<String>,
}

/// A page of connections.
#[derive(Serialize, ToSchema)]
#[schema(as = UserIntegrations)]
pub(crate) struct ConnectionsView {
    connections: Vec<ConnectionView>,
    /// `cursor` of the next page; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// How many connections there are.
#[derive(Serialize, ToSchema)]
#[schema(as = IntegrationStats)]
pub(crate) struct StatsView {
    total: u64,
    connected: u64,
    disconnected: u64,
    errors: u64,
    by_status: BTreeMap<&'static str, u64>,
    by_type: BTreeMap<&'static str, u64>,
    by_category: BTreeMap<&'static str, u64>,
    /// Of the file, in none of the numbers above.
    file_managed: usize,
}

/// What is configured and how it stands
///
/// The file's connections first, on the first page and by key; then those of the store, newest first, each
/// with its integration. A filter by category or integration leaves the file's out, which have neither.
#[utoipa::path(get, path = "/api/v1/connections", operation_id = "getUserIntegrations", tag = "connections",
    params(ConnectionParams), responses((status = OK, description = "A page", body = ConnectionsView)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Params(params): Params<ConnectionParams>,
) -> Result<Json<ConnectionsView>, Problem> {
    let after = page::read_time(params.cursor.as_deref())?;
    let live = Live::read(&app);
    let of_file = after.is_none() && params.category.is_none() && params.integration.is_none();
    let is_mcp = params.r#type.is_none_or(|kind| kind == IntegrationKind::Mcp);
    let mut connections = if of_file && is_mcp { live.of_file() } else { Vec::new() };
    connections.retain(|view| params.status.is_none_or(|status| view.status == status));
    let query = ConnectionQuery {
        kind: params.r#type,
        category: params.category,
        status: params.status,
        integration: params.integration,
        limit: limit_of(params.limit, LIMIT_DEFAULT, store::PAGE_MAX)?,
        after,
        ..ConnectionQuery::default()
    };
    let page = app.parts.store.list_connections(Scope::from(caller.owner.workspace), query).await?;
    connections.extend(page.items.into_iter().map(|one| live.of_stored(one)));
    Ok(Json(ConnectionsView { connections, next_cursor: page.next.as_ref().map(page::write_time) }))
}

/// One connection with its tools, or null
#[utoipa::path(get, path = "/api/v1/connections/{connection}", operation_id = "getUserIntegrationById",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id.")),
    responses((status = OK, description = "The connection; null when there is none that you may know of",
        body = Option<ConnectionDetail>, headers(("ETag" = String, description = "Its revision.")))))]
pub(crate) async fn find(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
) -> Result<Response, Problem> {
    let connection = match find_stored(&app, &caller, &named).await? {
        Some(row) => Some(view_of(&app, row).await?),
        None => Live::read(&app).find_of_file(&named),
    };
    let Some(connection) = connection else { return Ok(Json(()).into_response()) };
    let tools = Live::read(&app).tools(&connection.key);
    let revision = connection.revision;
    let detail = Json(ConnectionDetail { connection, tools });
    Ok(match revision {
        Some(revision) => ([(ETAG, etag(revision))], detail).into_response(),
        None => detail.into_response(),
    })
}

/// How many connections there are, by status, type and category
#[utoipa::path(get, path = "/api/v1/stats", operation_id = "getIntegrationStats", tag = "connections",
    responses((status = OK, description = "The numbers", body = StatsView)))]
pub(crate) async fn count(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
) -> Result<Json<StatsView>, Problem> {
    let stats = app.parts.store.count_connections(Scope::from(caller.owner.workspace)).await?;
    let of = |status| stats.by_status.get(&status).copied().unwrap_or(0);
    Ok(Json(StatsView {
        total: stats.total,
        connected: of(ConnectionStatus::Connected),
        disconnected: of(ConnectionStatus::Disconnected),
        errors: of(ConnectionStatus::Error),
        by_status: stats.by_status.iter().map(|(word, count)| (word.as_str(), *count)).collect(),
        by_type: stats.by_kind.iter().map(|(word, count)| (word.as_str(), *count)).collect(),
        by_category: stats.by_category.iter().map(|(word, count)| (word.as_str(), *count)).collect(),
        file_managed: Live::read(&app).of_file().len(),
    }))
}

/// The `ETag` of a revision (RFC 9110 §8.8.3).
pub(crate) fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}
