//! Manifests of the catalogue's entries: reading anyone's, and making entries of one's own with them, as
//! whole as those of the operator's folders.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use model::id::IntegrationId;
use model::{Caller, Code, Fault};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{IntegrationRow, Json as StoredJson, Origin};
use utoipa::ToSchema;

use super::change::{check_slug, write};
use super::{IntegrationView, view};
use crate::app::App;
use crate::extract::{Segments, Sent, Signed};
use crate::rescue::Problem;

/// A manifest.
#[derive(Serialize, ToSchema)]
#[schema(as = IntegrationManifest)]
pub(crate) struct ManifestView {
    slug: String,
    version: String,
    /// YAML, as it was given.
    manifest: String,
}

/// A manifest that is to be an entry of the catalogue.
#[derive(Deserialize, ToSchema)]
#[schema(as = IntegrationManifestContent)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestBody {
    /// YAML or JSON by the grammar of docs/reference/catalogue.md; its `slug` is the path's.
    #[schema(min_length = 1, max_length = 524_288)]
    manifest: String,
    /// False takes it out of the catalogue; its connections stay.
    is_active: Option<bool>,
}

/// Read the manifest of an entry of the catalogue
#[utoipa::path(get, path = "/api/v1/integrations/{slug}/manifest", operation_id = "getIntegrationManifest",
    tag = "integrations", params(("slug" = String, Path, description = "Its slug.")),
    responses((status = OK, description = "The manifest of its present version", body = ManifestView)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(slug): Segments<String>,
) -> Result<Json<ManifestView>, Problem> {
    let row = app.parts.store.find_integration(caller.owner.workspace, &slug).await?;
    let absent = |slug: &str, what: &str, hint: &str| {
        let slug: String = slug.chars().take(64).collect();
        Problem::from(Fault::new(Code::NOT_FOUND, format!("{what} `{slug}`")).with_hint(hint))
    };
    let hint = "GET /api/v1/integrations lists them";
    let row = row.ok_or_else(|| absent(&slug, "there is no integration", hint))?;
    let IntegrationRow { slug, version, manifest, .. } = row;
    let hint = "it was made from its members alone: GET /api/v1/integrations/{slug} shows them";
    let manifest = manifest.ok_or_else(|| absent(&slug, "there is no manifest of", hint))?;
    Ok(Json(ManifestView { slug, version, manifest }))
}

/// Make an entry of the catalogue from a manifest, or replace one that was made here
///
/// It appears at once, in your workspace, and is connected like any other. Its connections stay with the
/// version that they are pinned to. Recorded exchanges cannot be given here: it is shown as not proved.
#[utoipa::path(put, path = "/api/v1/integrations/{slug}/manifest", operation_id = "putIntegrationManifest",
    tag = "integrations",
    params(("slug" = String, Path, pattern = "^[a-z0-9-]{1,64}$", description = "Its slug.")),
    request_body = ManifestBody,
    responses(
        (status = OK, description = "Replaced", body = IntegrationView),
        (status = CREATED, description = "Made", body = IntegrationView)))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(slug): Segments<String>,
    Sent(body): Sent<ManifestBody>,
) -> Result<Response, Problem> {
    check_slug(&slug)?;
    let row = row_of_manifest(&app, &caller, &slug, body.manifest, body.is_active.unwrap_or(true))?;
    let (row, is_new) = write(&app, &caller, row).await?;
    app.parts.directory.settle().await;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/api/v1/integrations/{slug}");
    Ok((status, [(LOCATION, location)], Json(view(&app, row))).into_response())
}

/// The row of an entry that a manifest describes.
pub(crate) fn row_of_manifest(
    app: &App,
    caller: &Caller,
    slug: &str,
    manifest: String,
    is_active: bool,
) -> Result<IntegrationRow, Problem> {
    let read = app.parts.directory.read_manifest(slug, &manifest)?;
    let now = app.parts.clock.now();
    Ok(IntegrationRow {
        id: IntegrationId::new(&*app.parts.clock, &*app.parts.entropy),
        workspace: Some(caller.owner.workspace),
        slug: slug.to_owned(),
        name: read.name,
        kind: read.kind,
        category: read.category,
        description: read.description,
        icon_type: "default".to_owned(),
        docs_url: read.docs_url,
        is_active,
        config_schema: StoredJson::from_value("config_schema", &read.config_schema)?,
        version: read.version,
        manifest_digest: Sha256::digest(manifest.as_bytes()).into(),
        manifest: Some(manifest),
        origin: Origin::Api,
        revision: 1,
        created_at: now,
        updated_at: now,
    })
}
