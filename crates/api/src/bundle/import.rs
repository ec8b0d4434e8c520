//! Reading a document: item by item, each whole or not at all, and by key, so that an import that was cut
//! off is finished by doing it again.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use connector::carry::{Carried, open_secrets};
use model::{Code, Fault, Secret};
use serde::{Deserialize, Serialize};
use store::ConnectionRow;
use utoipa::ToSchema;

use super::items::Import;
use super::{Document, FORM};
use crate::app::App;
use crate::extract::{Sent, Signed};
use crate::rescue::Problem;

/// A document to be imported.
#[derive(Deserialize, ToSchema)]
#[schema(as = Import)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportBody {
    document: Document,
    /// What its secrets are sealed under. Without it they are left out.
    #[serde(default, deserialize_with = "maybe_secret")]
    #[schema(value_type = Option<String>, max_length = 1024, format = Password)]
    passphrase: Option<Secret>,
    /// Only says what would be done.
    #[serde(default)]
    is_dry_run: bool,
    /// The exact command lines that imported connections may start, as the refusal without them tells.
    #[serde(default)]
    #[schema(max_items = 1000)]
    consents: BTreeSet<String>,
}

/// What came of an import.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportReport)]
pub(crate) struct ReportView {
    is_dry_run: bool,
    made: usize,
    changed: usize,
    /// Were as the document says already.
    skipped: usize,
    failed: usize,
    items: Vec<ItemView>,
}

/// What came of one item.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportedItem)]
pub(crate) struct ItemView {
    /// `integration`, `connection` or `toolset`.
    kind: &'static str,
    key: String,
    outcome: Done,
    /// Why not, where it failed.
    #[schema(required = true)]
    detail: Option<String>,
}

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ImportOutcome)]
pub(crate) enum Done {
    /// It is new.
    Made,
    /// It was another.
    Changed,
    /// It was as the document says.
    Skipped,
    /// It is as it was.
    Failed,
}

/// Put what a document holds into this hub
///
/// Item by item: what is not there is made, what says something else is changed, what says the same is
/// skipped, and what cannot be is told. New connections are `configuring`. Doing it again finishes an import
/// that was cut off.
#[utoipa::path(post, path = "/api/v1/import", operation_id = "importAll", tag = "management",
    request_body = ImportBody,
    responses((status = OK, description = "What came of each item", body = ReportView)))]
pub(crate) async fn import(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Sent(body): Sent<ImportBody>,
) -> Result<Json<ReportView>, Problem> {
    let ImportBody { document, passphrase, is_dry_run, consents } = body;
    if document.trunkline_export != FORM {
        let what = format!("document.trunkline_export: is {}, and {FORM} is read", document.trunkline_export);
        return Err(Fault::new(Code::BAD_ARGUMENTS, what).with_hint("use a newer version").into());
    }
    // Before anything is written: a wrong passphrase leaves everything as it was.
    let secrets = secrets_of(&document, passphrase).await?;
    let import = Import::new(&app, &caller, &document, is_dry_run, &consents);
    let mut items = Vec::new();
    let mut note = |kind, key: &str, done: Result<Done, Problem>| {
        let (outcome, detail) = match done {
            Ok(outcome) => (outcome, None),
            Err(problem) => (Done::Failed, Some(problem.fault().advice())),
        };
        items.push(ItemView { kind, key: key.chars().take(64).collect(), outcome, detail });
    };
    for one in &document.integrations {
        note("integration", &one.slug, import.integration(one).await);
    }
    for one in &document.connections {
        let values = secrets.as_ref().and_then(|all| all.get(&one.key));
        note("connection", &one.key, import.connection(one, values).await);
    }
    for one in &document.toolsets {
        note("toolset", &one.key, import.toolset(one).await);
    }
    if !is_dry_run {
        app.parts.directory.settle().await;
        tracing::info!(by = %caller.principal, items = items.len(), "a document was imported");
    }
    let count = |wanted| items.iter().filter(|item| item.outcome == wanted).count();
    Ok(Json(ReportView {
        is_dry_run,
        made: count(Done::Made),
        changed: count(Done::Changed),
        skipped: count(Done::Skipped),
        failed: count(Done::Failed),
        items,
    }))
}

async fn secrets_of(document: &Document, passphrase: Option<Secret>) -> Result<Option<Carried>, Problem> {
    match (document.sealed.clone(), passphrase) {
        (Some(sealed), Some(passphrase)) => {
            let context = document.digest()?;
            let opening =
                tokio::task::spawn_blocking(move || open_secrets(&sealed, &context, &passphrase)).await;
            Ok(Some(opening.map_err(|_| Problem::new(Code::BUG, "opening broke off"))??))
        }
        (None, Some(_)) => {
            let what = "passphrase: there is nothing sealed in the document";
            Err(Fault::new(Code::BAD_ARGUMENTS, what).with_hint("leave it out").into())
        }
        (_, None) => Ok(None),
    }
}

fn maybe_secret<'de, D: serde::Deserializer<'de>>(source: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(source)?.map(Secret::new))
}

/// Whether what its owner wrote is the same.
pub(super) fn is_same(there: &ConnectionRow, wanted: &ConnectionRow) -> bool {
    there.name == wanted.name
        && there.version == wanted.version
        && there.config.value() == wanted.config.value()
        && there.auth_method == wanted.auth_method
        && there.is_shared == wanted.is_shared
        && there.is_per_user == wanted.is_per_user
        && there.egress_private == wanted.egress_private
}
