//! `/api/v1/integrations`: the catalogue, as far as the caller's workspace has it.

pub(crate) mod change;
pub(crate) mod manifest;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use model::{Caller, Category, Code, Fault, IntegrationKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{IntegrationQuery, IntegrationRow};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::extract::{Params, Segments, Signed, limit_of};
use crate::openapi::schema;
use crate::page;
use crate::rescue::Problem;
use crate::{AuthWay, Proof};

const LIMIT_DEFAULT: usize = 100;
/// The icon of what has none.
const PLAIN_ICON: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2"><rect x="4" y="4" width="16" height="16" rx="3"/><path d="M9 12h6M12 9v6"/></svg>"#;

/// A page of the catalogue.
#[derive(Serialize, ToSchema)]
#[schema(as = IntegrationTypes)]
pub(crate) struct IntegrationsView {
    integrations: Vec<IntegrationView>,
    /// `cursor` of the next page; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A kind of thing that can be connected.
#[derive(Serialize, ToSchema)]
#[schema(as = IntegrationTypeData)]
pub(crate) struct IntegrationView {
    /// `int_...`
    id: String,
    /// What it is called in requests.
    slug: String,
    name: String,
    #[schema(value_type = schema::IntegrationType)]
    r#type: IntegrationKind,
    #[schema(value_type = schema::IntegrationCategory)]
    category: Category,
    description: String,
    /// Which icon shows it.
    icon_type: String,
    /// Where its documentation is; empty for nowhere.
    docs_url: String,
    /// Whether new connections of it can be made.
    is_active: bool,
    /// Why it cannot be connected by this hub; null where it can.
    #[schema(required = true)]
    unavailable: Option<String>,
    /// The ways to prove oneself, the usual one first; empty where the configuration says it.
    auth_methods: Vec<AuthWay>,
    /// How many tools it has; null where only a connection tells.
    #[schema(required = true)]
    tool_count: Option<usize>,
    /// What replaying its recorded exchanges showed on this hub; null where it has none, or not yet.
    #[schema(required = true)]
    proof: Option<Proof>,
    /// JSON Schema of a connection's configuration.
    #[schema(value_type = Object)]
    config_schema: Value,
    /// Version of its definition.
    version: String,
    /// `builtin`, `folder` or `api`.
    origin: &'static str,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    created_at: Timestamp,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    updated_at: Timestamp,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageParams {
    /// How many.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^int_[0-7][0-9a-hjkmnp-tv-z]{25}[.].{1,256}$")]
    cursor: Option<String>,
}

/// The catalogue: what is active, by name
#[utoipa::path(get, path = "/api/v1/integrations", operation_id = "getAllIntegrationTypes", tag = "integrations",
    params(PageParams), responses((status = OK, description = "A page", body = IntegrationsView)))]
pub(crate) async fn list_all(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Params(params): Params<PageParams>,
) -> Result<Json<IntegrationsView>, Problem> {
    list(&app, &caller, IntegrationQuery::default(), params).await
}

/// What is active of one type, by name
#[utoipa::path(get, path = "/api/v1/integrations/by-type/{type}", operation_id = "getIntegrationTypesByType",
    tag = "integrations",
    params(("type" = inline(schema::IntegrationType), Path, description = "The type."), PageParams),
    responses((status = OK, description = "A page", body = IntegrationsView)))]
pub(crate) async fn list_by_type(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(kind): Segments<String>,
    Params(params): Params<PageParams>,
) -> Result<Json<IntegrationsView>, Problem> {
    let query = IntegrationQuery { kind: Some(word("type", &kind)?), ..IntegrationQuery::default() };
    list(&app, &caller, query, params).await
}

/// What is active of one category, by name
#[utoipa::path(get, path = "/api/v1/integrations/by-category/{category}",
    operation_id = "getIntegrationTypesByCategory", tag = "integrations",
    params(("category" = inline(schema::IntegrationCategory), Path, description = "The category."), PageParams),
    responses((status = OK, description = "A page", body = IntegrationsView)))]
pub(crate) async fn list_by_category(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(category): Segments<String>,
    Params(params): Params<PageParams>,
) -> Result<Json<IntegrationsView>, Problem> {
    let query =
        IntegrationQuery { category: Some(word("category", &category)?), ..IntegrationQuery::default() };
    list(&app, &caller, query, params).await
}

/// One entry of the catalogue, or null
#[utoipa::path(get, path = "/api/v1/integrations/{slug}", operation_id = "getIntegrationTypeBySlug",
    tag = "integrations", params(("slug" = String, Path, description = "Its slug.")),
    responses((status = OK, description = "The entry; null when there is none", body = Option<IntegrationView>)))]
pub(crate) async fn find_by_slug(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(slug): Segments<String>,
) -> Result<Json<Option<IntegrationView>>, Problem> {
    let found = app.parts.store.find_integration(caller.owner.workspace, &slug).await?;
    Ok(Json(found.map(|row| view(&app, row))))
}

/// An entry's icon
///
/// An SVG without scripts, styles and references; where an entry has none, a plain one.
#[utoipa::path(get, path = "/api/v1/integrations/{slug}/icon", operation_id = "getIntegrationIcon",
    tag = "integrations", params(("slug" = String, Path, description = "Its slug.")),
    responses((status = OK, description = "The picture", body = String, content_type = "image/svg+xml")))]
pub(crate) async fn icon(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(slug): Segments<String>,
) -> Result<Response, Problem> {
    let row = app.parts.store.find_integration(caller.owner.workspace, &slug).await?;
    let row = row.ok_or_else(|| {
        Problem::from(
            Fault::new(Code::NOT_FOUND, "there is no such integration")
                .with_hint("GET /api/v1/integrations lists them"),
        )
    })?;
    let svg = app.parts.directory.icon(&row).unwrap_or_else(|| PLAIN_ICON.to_owned());
    // Opened by itself it is a document: it runs nothing and loads nothing.
    let headers = [
        (CONTENT_TYPE, "image/svg+xml"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    ];
    Ok((headers, svg).into_response())
}

/// A page of what fits `query`.
pub(crate) async fn list(
    app: &App,
    caller: &Caller,
    query: IntegrationQuery,
    params: PageParams,
) -> Result<Json<IntegrationsView>, Problem> {
    let query = IntegrationQuery {
        limit: limit_of(params.limit, LIMIT_DEFAULT, store::PAGE_MAX)?,
        after: page::read_name(params.cursor.as_deref())?,
        ..query
    };
    let page = app.parts.store.list_integrations(caller.owner.workspace, query).await?;
    Ok(Json(IntegrationsView {
        integrations: page.items.into_iter().map(|row| view(app, row)).collect(),
        next_cursor: page.next.as_ref().map(page::write_name),
    }))
}

pub(crate) fn view(app: &App, row: IntegrationRow) -> IntegrationView {
    let described = app.parts.directory.describe(&row);
    IntegrationView {
        id: row.id.to_string(),
        slug: row.slug,
        name: row.name,
        r#type: row.kind,
        category: row.category,
        description: row.description,
        icon_type: row.icon_type,
        docs_url: row.docs_url,
        is_active: row.is_active,
        unavailable: described.unavailable,
        auth_methods: described.auth,
        tool_count: described.tool_count,
        proof: described.proof,
        config_schema: row.config_schema.value(),
        version: row.version,
        origin: row.origin.as_str(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// Reads a word of a closed vocabulary; the refusal lists it.
pub(crate) fn word<T: std::str::FromStr<Err = model::BadWord>>(
    field: &str,
    text: &str,
) -> Result<T, Problem> {
    text.parse().map_err(|error: model::BadWord| {
        Problem::bad_message(format!("{field}: {error}"), "use one of these words")
    })
}
