//! `/api/v1/search`: the catalogue and the connections, by words and filters, whatever the case. What is
//! searched for never becomes part of a query's text.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Category, ConnectionStatus, IntegrationKind};
use serde::{Deserialize, Serialize};
use store::{ConnectionQuery, IntegrationQuery, Scope};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::connections::{self, ConnectionView};
use crate::extract::{Params, Signed, limit_of};
use crate::integrations::{self, IntegrationView};
use crate::openapi::schema;
use crate::rescue::Problem;

const LIMIT_DEFAULT: usize = 50;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchParams {
    /// Text in a name or description; every character means itself.
    #[param(max_length = 256)]
    query: Option<String>,
    /// Of this type only.
    #[param(value_type = Option<schema::IntegrationType>, inline)]
    r#type: Option<IntegrationKind>,
    /// Of this category only.
    #[param(value_type = Option<schema::IntegrationCategory>, inline)]
    category: Option<Category>,
    /// Connections in this status only, and of the catalogue what such a connection is of.
    #[param(value_type = Option<schema::ConnectionStatus>, inline)]
    status: Option<ConnectionStatus>,
    /// How many of each.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
}

/// What was found.
#[derive(Serialize, ToSchema)]
#[schema(as = SearchResult)]
pub(crate) struct FoundView {
    /// Of the catalogue, by name.
    integrations: Vec<IntegrationView>,
    /// Of the connections, newest first.
    connections: Vec<ConnectionView>,
    /// There is more of either than `limit`.
    is_cut: bool,
}

/// Search the catalogue and the connections
#[utoipa::path(get, path = "/api/v1/search", operation_id = "searchIntegrations", tag = "integrations",
    params(SearchParams), responses((status = OK, description = "What was found", body = FoundView)))]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Params(params): Params<SearchParams>,
) -> Result<Json<FoundView>, Problem> {
    let limit = limit_of(params.limit, LIMIT_DEFAULT, store::PAGE_MAX)?;
    if params.query.as_ref().is_some_and(|text| text.len() > 256) {
        return Err(Problem::bad_message("`query` is longer than 256 bytes", "search for fewer words"));
    }
    let workspace = caller.owner.workspace;
    let wanted = ConnectionQuery {
        text: params.query.clone(),
        kind: params.r#type,
        category: params.category,
        status: params.status,
        limit,
        ..ConnectionQuery::default()
    };
    let connected = app.parts.store.list_connections(Scope::from(workspace), wanted).await?;
    let wanted = IntegrationQuery {
        text: params.query,
        kind: params.r#type,
        category: params.category,
        limit,
        ..IntegrationQuery::default()
    };
    let known = app.parts.store.list_integrations(workspace, wanted).await?;
    let is_cut = connected.next.is_some() || known.next.is_some();
    // A status is one of connections: of the catalogue it leaves what they are connections of.
    let is_wanted = |slug: &str| {
        params.status.is_none() || connected.items.iter().any(|one| one.connection.integration == slug)
    };
    let integrations = known.items.into_iter().filter(|row| is_wanted(&row.slug));
    let integrations = integrations.map(|row| integrations::view(&app, row)).collect();
    let live = connections::Live::read(&app);
    let connections = connected.items.into_iter().map(|one| live.of_stored(one)).collect();
    Ok(Json(FoundView { integrations, connections, is_cut }))
}
