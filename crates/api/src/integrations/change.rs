//! Entries of the catalogue that a workspace makes for itself: they appear at once, and in that workspace
//! only. Those of the program and of the operator's folders change there.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use call::schema::Check;
use http::StatusCode;
use http::header::LOCATION;
use model::id::IntegrationId;
use model::{Caller, Category, Code, Fault, IntegrationKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{IntegrationCommand, IntegrationRow, Json as StoredJson, Origin};
use utoipa::ToSchema;

use super::manifest::row_of_manifest;
use super::{IntegrationView, view};
use crate::ReadManifest;
use crate::app::App;
use crate::connections::create::{check_length, unfit};
use crate::extract::{Segments, Sent, Signed};
use crate::openapi::schema;
use crate::rescue::Problem;

/// An entry of the catalogue.
#[derive(Deserialize, ToSchema)]
#[schema(as = IntegrationTypeContent)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntegrationBody {
    #[schema(min_length = 1, max_length = 256)]
    pub(crate) name: String,
    #[schema(inline, value_type = schema::IntegrationType)]
    pub(crate) r#type: IntegrationKind,
    #[schema(inline, value_type = schema::IntegrationCategory)]
    pub(crate) category: Category,
    #[serde(default)]
    #[schema(max_length = 4096)]
    pub(crate) description: String,
    /// Which icon shows it; one that there is not is shown as `default`.
    #[schema(max_length = 256)]
    pub(crate) icon_type: Option<String>,
    #[serde(default)]
    #[schema(max_length = 4096)]
    pub(crate) docs_url: String,
    /// False takes it out of the catalogue; its connections stay.
    pub(crate) is_active: Option<bool>,
    /// JSON Schema of a connection's configuration; or a template, the plain object that other hubs keep
    /// here (`{"protocol", "command", "args", "url", "env"}` or `{"api_url", "scopes", ...}`), of which a
    /// whole entry is made.
    #[schema(value_type = Object)]
    pub(crate) config_schema: Value,
    /// Version of this definition, for connections to pin.
    #[schema(min_length = 1, max_length = 64)]
    pub(crate) version: Option<String>,
}

/// An entry that was made.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeIntegrationType)]
pub(crate) struct MadeView {
    #[serde(flatten)]
    view: IntegrationView,
    /// What of a template did not map.
    notes: Vec<String>,
}

/// Make an entry of the catalogue, or replace one that was made here
///
/// It appears at once, in your workspace. Its connections stay with the version that they are pinned to.
#[utoipa::path(put, path = "/api/v1/integrations/{slug}", operation_id = "putIntegrationType", tag = "integrations",
    params(("slug" = String, Path, pattern = "^[a-z0-9-]{1,64}$", description = "Its slug.")),
    request_body = IntegrationBody,
    responses(
        (status = OK, description = "Replaced", body = MadeView),
        (status = CREATED, description = "Made", body = MadeView)))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(slug): Segments<String>,
    Sent(body): Sent<IntegrationBody>,
) -> Result<Response, Problem> {
    check_slug(&slug)?;
    let (row, notes) = row_of_any(&app, &caller, slug, body)?;
    let (row, is_new) = write(&app, &caller, row).await?;
    app.parts.directory.settle().await;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/api/v1/integrations/{}", row.slug);
    let made = MadeView { view: view(&app, row), notes };
    Ok((status, [(LOCATION, location)], Json(made)).into_response())
}

/// The row of what was sent: of a template, by the manifest that is made of it.
fn row_of_any(
    app: &App,
    caller: &Caller,
    slug: String,
    body: IntegrationBody,
) -> Result<(IntegrationRow, Vec<String>), Problem> {
    check_length("name", &body.name, store::NAME_LEN_MAX)?;
    let about = ReadManifest {
        name: body.name.clone(),
        kind: body.r#type,
        category: body.category,
        description: body.description.clone(),
        docs_url: body.docs_url.clone(),
        config_schema: body.config_schema.clone(),
        version: body.version.clone().unwrap_or_else(|| "1.0.0".to_owned()),
    };
    let Some((manifest, notes)) = app.parts.directory.of_template(&about, &slug)? else {
        return Ok((row_of(app, caller, slug, body)?, Vec::new()));
    };
    let row = row_of_manifest(app, caller, &slug, manifest, body.is_active.unwrap_or(true))?;
    let icon_type = body.icon_type.unwrap_or(row.icon_type);
    check_length("icon_type", &icon_type, store::NAME_LEN_MAX)?;
    Ok((IntegrationRow { icon_type, ..row }, notes))
}

/// Makes or replaces an entry of the workspace: how it stands in the store, and whether it is new.
pub(super) async fn write(
    app: &App,
    caller: &Caller,
    row: IntegrationRow,
) -> Result<(IntegrationRow, bool), Problem> {
    let slug = row.slug.clone();
    let before = app.parts.store.find_integration(caller.owner.workspace, &slug).await?;
    let command = match &before {
        None => IntegrationCommand::Insert(Box::new(row)),
        Some(before) if before.origin == Origin::Api => {
            IntegrationCommand::Update { row: Box::new(row), expected: Some(before.revision) }
        }
        Some(before) => return Err(of_others(before)),
    };
    app.parts.store.change_integration(command).await?;
    let row = app.parts.store.find_integration(caller.owner.workspace, &slug).await?;
    let row = row.ok_or_else(|| Problem::new(Code::CONFLICT, "it was removed at the same time"))?;
    Ok((row, before.is_none()))
}

/// Remove an entry that was made here and has no connections
#[utoipa::path(delete, path = "/api/v1/integrations/{slug}", operation_id = "deleteIntegrationType",
    tag = "integrations", params(("slug" = String, Path, description = "Its slug.")),
    responses((status = NO_CONTENT, description = "It is gone.")))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(slug): Segments<String>,
) -> Result<StatusCode, Problem> {
    let workspace = caller.owner.workspace;
    match app.parts.store.find_integration(workspace, &slug).await? {
        None => {
            let slug: String = slug.chars().take(64).collect();
            Err(Fault::new(Code::NOT_FOUND, format!("there is no integration `{slug}`"))
                .with_hint("GET /api/v1/integrations lists them")
                .into())
        }
        Some(row) if row.origin != Origin::Api => Err(of_others(&row)),
        Some(row) => {
            let command = IntegrationCommand::Delete { workspace, slug: row.slug };
            app.parts.store.change_integration(command).await?;
            Ok(StatusCode::NO_CONTENT)
        }
    }
}

pub(crate) fn check_slug(slug: &str) -> Result<(), Problem> {
    let is_slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if slug.is_empty() || slug.len() > store::SLUG_LEN_MAX || !slug.chars().all(is_slug) {
        return Err(unfit("slug: has to have 1 to 64 of a-z, 0-9 and -"));
    }
    Ok(())
}

pub(crate) fn row_of(
    app: &App,
    caller: &Caller,
    slug: String,
    body: IntegrationBody,
) -> Result<IntegrationRow, Problem> {
    if !body.config_schema.is_object() {
        return Err(unfit("config_schema: is not an object"));
    }
    let text = body.config_schema.to_string();
    if let Some(why) = Check::compile(text.as_bytes()).problem() {
        return Err(unfit(format!("config_schema: {why}")));
    }
    check_length("name", &body.name, store::NAME_LEN_MAX)?;
    if let Some(version) = &body.version {
        check_length("version", version, 64)?;
    }
    let icon_type = body.icon_type.unwrap_or_else(|| "default".to_owned());
    for (field, text, max) in [
        ("description", &body.description, store::DESCRIPTION_LEN_MAX),
        ("docs_url", &body.docs_url, store::DESCRIPTION_LEN_MAX),
        ("icon_type", &icon_type, store::NAME_LEN_MAX),
    ] {
        if text.len() > max || text.contains('\0') {
            return Err(unfit(format!("{field}: has at most {max} bytes, and no NUL")));
        }
    }
    let now = app.parts.clock.now();
    let said = json!({
        "slug": slug,
        "name": body.name,
        "type": body.r#type,
        "category": body.category,
        "description": body.description,
        "docs_url": body.docs_url,
        "config_schema": body.config_schema,
    });
    Ok(IntegrationRow {
        id: IntegrationId::new(&*app.parts.clock, &*app.parts.entropy),
        workspace: Some(caller.owner.workspace),
        slug,
        name: body.name.trim().to_owned(),
        kind: body.r#type,
        category: body.category,
        description: body.description,
        icon_type,
        docs_url: body.docs_url,
        is_active: body.is_active.unwrap_or(true),
        config_schema: StoredJson::from_value("config_schema", &body.config_schema)?,
        version: body.version.unwrap_or_else(|| "1.0.0".to_owned()),
        manifest_digest: Sha256::digest(said.to_string().as_bytes()).into(),
        manifest: None,
        origin: Origin::Api,
        revision: 1,
        created_at: now,
        updated_at: now,
    })
}

pub(crate) fn of_others(row: &IntegrationRow) -> Problem {
    let whose = if row.origin == Origin::Builtin { "the program's own" } else { "in the operator's folder" };
    Fault::new(Code::CONFLICT, format!("the integration `{}` is {whose}", row.slug))
        .with_hint("make one with another slug")
        .into()
}
