//! `/api/v1/export` and `/api/v1/import`: what was made through the API (entries of the catalogue,
//! connections, toolsets) as one document, to be kept, compared, or put into another hub.
//!
//! This file is the document and how it is written; [`import`] is how one is read.

pub(crate) mod import;
mod items;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use connector::carry::{Carried, SealedSecrets, seal_secrets};
use model::{AuthMethod, Caller, Category, Code, Fault, IntegrationKind, Secret};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::{ConnectionQuery, ConnectionRow, IntegrationQuery, IntegrationRow, Origin, Scope};
use utoipa::ToSchema;

use crate::ChosenTool;
use crate::app::App;
use crate::extract::{Sent, Signed};
use crate::openapi::schema;
use crate::rescue::Problem;

/// The one form of the document so far.
pub(crate) const FORM: u32 = 1;
/// The most connections of one document.
const CONNECTIONS_MAX: usize = 10_000;

/// What was made through the API, without secrets unless they are sealed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ExportDocument)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    /// The form of the document: 1.
    #[schema(minimum = 1, maximum = 1)]
    pub(crate) trunkline_export: u32,
    /// Entries of the catalogue, by slug.
    #[schema(max_items = 10000)]
    pub(crate) integrations: Vec<ExportedIntegration>,
    /// Connections, by key.
    #[schema(max_items = 10000)]
    pub(crate) connections: Vec<ExportedConnection>,
    /// Toolsets, by key.
    #[schema(max_items = 1000)]
    pub(crate) toolsets: Vec<ExportedToolset>,
    /// The secrets of the connections, sealed under a passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::openapi::schema::SealedSecrets>)]
    pub(crate) sealed: Option<SealedSecrets>,
}

/// An entry of the catalogue that was made through the API.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportedIntegration {
    pub(crate) slug: String,
    pub(crate) name: String,
    #[schema(inline, value_type = schema::IntegrationType)]
    pub(crate) r#type: IntegrationKind,
    #[schema(inline, value_type = schema::IntegrationCategory)]
    pub(crate) category: Category,
    pub(crate) description: String,
    pub(crate) icon_type: String,
    pub(crate) docs_url: String,
    pub(crate) is_active: bool,
    pub(crate) version: String,
    #[schema(value_type = Object)]
    pub(crate) config_schema: Value,
    /// The manifest that it was made from; the members beside it say the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<String>,
    /// Definitions before the present one, oldest first.
    pub(crate) earlier: Vec<ExportedVersion>,
}

/// A definition that an entry had before.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportedVersion {
    pub(crate) version: String,
    #[schema(value_type = Object)]
    pub(crate) config_schema: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<String>,
}

/// A connection. It starts out in `configuring` where it is put.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportedConnection {
    pub(crate) key: String,
    pub(crate) name: String,
    /// Slug of what it is a connection with.
    pub(crate) integration: String,
    /// The version it is pinned to.
    pub(crate) version: String,
    pub(crate) previous_version: Option<String>,
    #[schema(value_type = Object)]
    pub(crate) connection_config: Value,
    #[schema(inline, value_type = schema::AuthMethod)]
    pub(crate) auth_method: AuthMethod,
    pub(crate) egress_private: bool,
    pub(crate) is_shared: bool,
    pub(crate) is_per_user: bool,
    /// Credentials that name what a source keeps, by field. They are no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) references: BTreeMap<String, String>,
}

/// A toolset.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportedToolset {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) tools: Vec<ChosenTool>,
}

/// What an export with secrets is sealed under.
#[derive(Deserialize, ToSchema)]
#[schema(as = SealedExport)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportBody {
    /// At least 12 bytes. Whoever has it and the document has the secrets.
    #[schema(value_type = String, min_length = 12, max_length = 1024, format = Password)]
    #[serde(deserialize_with = "secret")]
    passphrase: Secret,
}

/// What was made through the API, as one document without secrets
#[utoipa::path(get, path = "/api/v1/export", operation_id = "exportAll", tag = "management",
    responses((status = OK, description = "The document", body = Document)))]
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
) -> Result<Json<Document>, Problem> {
    let (document, _) = document(&app, &caller).await?;
    Ok(Json(document))
}

/// The same with the secrets of connections, sealed under a passphrase
///
/// Needs a key that may use everything. The log says who took them.
#[utoipa::path(post, path = "/api/v1/export", operation_id = "exportSealed", tag = "management",
    request_body = ExportBody,
    responses((status = OK, description = "The document", body = Document)))]
pub(crate) async fn export_sealed(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Sent(body): Sent<ExportBody>,
) -> Result<Json<Document>, Problem> {
    if policy::beyond(&model::Access::everything(), &caller.access).is_some() {
        let what = "secrets are given, sealed, only to a key that may use everything";
        return Err(Fault::new(Code::FORBIDDEN, what).with_hint("use one without lists of tools").into());
    }
    let (mut document, rows) = document(&app, &caller).await?;
    let mut values = Carried::new();
    for row in rows {
        let carried = app.parts.credentials.carried(&row).await?;
        if !carried.is_empty() {
            values.insert(row.key.to_string(), carried);
        }
    }
    let (context, entropy) = (document.digest()?, Arc::clone(&app.parts.entropy));
    let sealing =
        tokio::task::spawn_blocking(move || seal_secrets(&values, &context, &body.passphrase, &*entropy));
    let sealed = sealing.await.map_err(|_| Problem::new(Code::BUG, "sealing broke off"))??;
    document.sealed = Some(sealed);
    tracing::warn!(by = %caller.principal, "the secrets of all connections were exported, sealed under a passphrase");
    check_size(&app, &document)?;
    Ok(Json(document))
}

async fn document(app: &App, caller: &Caller) -> Result<(Document, Vec<ConnectionRow>), Problem> {
    let workspace = caller.owner.workspace;
    let rows = connections(app, caller).await?;
    let mut integrations = Vec::new();
    let own =
        IntegrationQuery { with_inactive: true, origin: Some(Origin::Api), ..IntegrationQuery::default() };
    for row in app.parts.store.all_integrations(workspace, own).await? {
        integrations.push(exported_integration(app, row).await?);
    }
    integrations.sort_by(|a, b| a.slug.cmp(&b.slug));
    let mut toolsets = Vec::new();
    for row in app.parts.store.list_toolsets(workspace).await? {
        let tools = serde_json::from_value(row.tools.value())
            .map_err(|_| Problem::new(Code::STORE, "a stored toolset cannot be read"))?;
        let (key, name, description) = (row.key.to_string(), row.name, row.description);
        toolsets.push(ExportedToolset { key, name, description, tools });
    }
    toolsets.sort_by(|a, b| a.key.cmp(&b.key));
    let mut connections = Vec::with_capacity(rows.len());
    for row in &rows {
        let references = app.parts.credentials.references(row).await?;
        let references = references.into_iter().map(|(field, external)| (field, external.name())).collect();
        connections.push(ExportedConnection { references, ..ExportedConnection::of(row) });
    }
    let document = Document { trunkline_export: FORM, integrations, connections, toolsets, sealed: None };
    check_size(app, &document)?;
    Ok((document, rows))
}

async fn connections(app: &App, caller: &Caller) -> Result<Vec<ConnectionRow>, Problem> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let query = ConnectionQuery { limit: store::PAGE_MAX, after, ..ConnectionQuery::default() };
        let page = app.parts.store.list_connections(Scope::from(caller.owner.workspace), query).await?;
        rows.extend(page.items.into_iter().map(|one| one.connection));
        if rows.len() > CONNECTIONS_MAX {
            let what =
                format!("there are more than {CONNECTIONS_MAX} connections, too many for one document");
            return Err(Fault::new(Code::TOO_LARGE, what)
                .with_hint("`trunkline backup` and `trunkline migrate` copy whole stores")
                .into());
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(rows)
}

async fn exported_integration(app: &App, row: IntegrationRow) -> Result<ExportedIntegration, Problem> {
    let workspace = row.workspace.ok_or_else(|| Problem::new(Code::STORE, "an entry has no workspace"))?;
    let mut earlier = app.parts.store.list_integration_versions(workspace, row.id).await?;
    earlier.retain(|one| one.version != row.version);
    earlier.reverse();
    let earlier = earlier.into_iter().map(|one| ExportedVersion {
        version: one.version,
        config_schema: one.config_schema.value(),
        manifest: one.manifest,
    });
    Ok(ExportedIntegration {
        earlier: earlier.collect(),
        slug: row.slug,
        name: row.name,
        r#type: row.kind,
        category: row.category,
        description: row.description,
        icon_type: row.icon_type,
        docs_url: row.docs_url,
        is_active: row.is_active,
        version: row.version,
        config_schema: row.config_schema.value(),
        manifest: row.manifest,
    })
}

/// A document that is larger than what a hub takes could not be imported: better said now.
fn check_size(app: &App, document: &Document) -> Result<(), Problem> {
    let max = app.parts.settings.body_bytes_max;
    let bytes = serde_json::to_vec(document).map_or(usize::MAX, |bytes| bytes.len());
    if bytes <= max {
        return Ok(());
    }
    let what = format!("the document has {bytes} bytes, and a hub takes at most {max} (limits.body_bytes)");
    Err(Fault::new(Code::TOO_LARGE, what)
        .with_hint("raise limits.body_bytes here and where it is to go, or copy the store")
        .into())
}

// === impl Document ===

impl Document {
    /// The digest of all but the sealed secrets: what they are bound to.
    pub(crate) fn digest(&self) -> Result<[u8; 32], Problem> {
        let bare = Self { sealed: None, ..self.clone() };
        let bytes = serde_json::to_vec(&bare).map_err(|error| Problem::new(Code::BUG, error.to_string()))?;
        Ok(Sha256::digest(&bytes).into())
    }
}

// === impl ExportedConnection ===

impl ExportedConnection {
    fn of(row: &ConnectionRow) -> Self {
        Self {
            key: row.key.to_string(),
            name: row.name.clone(),
            integration: row.integration.clone(),
            version: row.version.clone(),
            previous_version: row.previous_version.clone(),
            connection_config: row.config.value(),
            auth_method: row.auth_method,
            egress_private: row.egress_private,
            is_shared: row.is_shared,
            is_per_user: row.is_per_user,
            references: BTreeMap::new(),
        }
    }
}

pub(crate) fn secret<'de, D: Deserializer<'de>>(source: D) -> Result<Secret, D::Error> {
    String::deserialize(source).map(Secret::new)
}
