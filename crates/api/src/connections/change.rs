//! Changing and removing a connection.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, StatusCode};
use model::{AuthMethod, Caller, Code, ConnectionStatus};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::{
    Command, ConnectionChange, ConnectionCommand, ConnectionRow, EventType, Json as StoredJson, Scope,
};
use utoipa::ToSchema;

use super::create::{check_config, check_consent, check_length, log_entry, unfit};
use super::list::etag;
use super::{ConnectionView, stored, view_of};
use crate::app::App;
use crate::extract::{Segments, Sent, Signed};
use crate::openapi::schema;
use crate::rescue::Problem;

/// What becomes different; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[schema(as = UserIntegrationPatch)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionPatch {
    #[schema(min_length = 1, max_length = 256)]
    name: Option<String>,
    /// Merged into the present one: members replace members, null removes one (RFC 7396).
    #[schema(value_type = Option<Object>)]
    connection_config: Option<Value>,
    #[schema(inline, value_type = Option<schema::AuthMethod>)]
    auth_method: Option<AuthMethod>,
    /// Pins another version of the integration's definition.
    #[schema(min_length = 1, max_length = 64)]
    version: Option<String>,
    egress_private: Option<bool>,
    /// Everybody uses their own credentials. Those of the other kind stay stored, and are not used.
    is_per_user: Option<bool>,
    /// For one that starts a program, when its command line changes: the new one.
    consent: Option<String>,
}

/// Change a connection
///
/// With `If-Match` only if it still has that revision. One that is connected goes on with the new settings
/// from its next call on.
#[utoipa::path(patch, path = "/api/v1/connections/{connection}", operation_id = "updateUserIntegration",
    tag = "connections",
    params(
        ("connection" = String, Path, description = "Its key or id."),
        ("If-Match" = Option<String>, Header, pattern = r#"^(\*|"[0-9]{1,19}")$"#, description = "The `ETag` that you read.")),
    request_body = ConnectionPatch,
    responses((status = OK, description = "As it is now", body = ConnectionView,
        headers(("ETag" = String, description = "Its revision.")))))]
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
    headers: HeaderMap,
    Sent(patch): Sent<ConnectionPatch>,
) -> Result<Response, Problem> {
    for (field, text, max) in [("name", &patch.name, store::NAME_LEN_MAX), ("version", &patch.version, 64)] {
        if let Some(text) = text {
            check_length(field, text, max)?;
        }
    }
    let row = stored(&app, &caller, &named).await?;
    let expected = expected(&headers, &row)?;
    let integration = app.parts.store.find_integration_by_id(row.owner.workspace, row.integration_id).await?;
    let integration = integration.ok_or_else(|| Problem::new(Code::STORE, "its integration is gone"))?;
    let config = match patch.connection_config {
        None => None,
        Some(Value::Object(members)) => {
            let mut config = row.config.value();
            merge(&mut config, &Value::Object(members));
            check_config(&app, &integration, &config)?;
            Some(StoredJson::from_value("connection_config", &config)?)
        }
        Some(_) => return Err(unfit("connection_config: is not an object")),
    };
    if let Some(version) = &patch.version {
        let known = app.parts.store.list_integration_versions(row.owner.workspace, integration.id).await?;
        if !known.iter().any(|one| one.version == *version) {
            let all: Vec<&str> = known.iter().map(|one| one.version.as_str()).collect();
            return Err(unfit(format!("version: there is no `{version}`; there is {}", all.join(", "))));
        }
    }
    let change = ConnectionChange {
        name: patch.name.map(|name| name.trim().to_owned()),
        config,
        auth_method: patch.auth_method,
        version: patch.version,
        egress_private: patch.egress_private,
        is_per_user: patch.is_per_user,
        ..ConnectionChange::default()
    };
    let mut after = row.clone();
    after.edit(change.clone(), app.parts.clock.now());
    check_consent(&app, &after, Some(&row), patch.consent.as_deref())?;
    app.parts.directory.own_way(&after)?;
    let mut metadata = difference(&row, &after);
    if let (Some(consent), Some(members)) = (patch.consent, metadata.as_object_mut()) {
        members.insert("consent_to".to_owned(), consent.into());
        members.insert("by".to_owned(), caller.principal.to_string().into());
    }
    let command = ConnectionCommand::Update {
        scope: Scope::from(row.owner.workspace),
        id: row.id,
        // What the checks above saw is what may be changed.
        expected: Some(expected),
        change: Box::new(change),
        at: app.parts.clock.now(),
    };
    let entry = log_entry(&app, &row, EventType::ConfigUpdated, "was changed", &metadata)?;
    app.parts.store.apply(vec![Command::Connection(command), entry]).await?;
    app.parts.directory.settle().await;
    let row = stored(&app, &caller, row.id.to_string().as_str()).await?;
    let tag = etag(row.revision);
    Ok(([(ETAG, tag)], Json(view_of(&app, row).await?)).into_response())
}

/// Remove a connection
///
/// Its process or sockets end, and its credentials, log and metrics go with it.
#[utoipa::path(delete, path = "/api/v1/connections/{connection}", operation_id = "deleteUserIntegration",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id.")),
    responses((status = NO_CONTENT, description = "It is gone.")))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
) -> Result<StatusCode, Problem> {
    let row = stored(&app, &caller, &named).await?;
    remove(&app, &caller, &row).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(app: &App, caller: &Caller, row: &ConnectionRow) -> Result<(), Problem> {
    let command = ConnectionCommand::Delete { scope: Scope::from(row.owner.workspace), id: row.id };
    app.parts.store.change_connection(command).await?;
    tracing::info!(connection = %row.key, id = %row.id, by = %caller.principal, "a connection was removed");
    app.parts.directory.settle().await;
    Ok(())
}

/// The revision that the writer means: that of `If-Match`, or the one that is there.
fn expected(headers: &HeaderMap, row: &ConnectionRow) -> Result<u64, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(row.revision) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(row.revision);
    }
    let read =
        text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|tag| tag.parse().ok());
    let wanted: u64 = read.ok_or_else(|| {
        Problem::bad_message(
            "`If-Match` is not an `ETag` of a connection",
            "send the `ETag` that you read, or `*`",
        )
    })?;
    if wanted == row.revision {
        return Ok(wanted);
    }
    let detail = format!("it is at revision {} by now, not {wanted}", row.revision);
    let problem = Problem::new(Code::CONFLICT, detail);
    Err(problem.with_status(StatusCode::PRECONDITION_FAILED))
}

/// JSON Merge Patch (RFC 7396), with the depth that the body's parser allowed.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Which fields became different. Names only: a value may say more than a log should.
fn difference(before: &ConnectionRow, after: &ConnectionRow) -> Value {
    let mut changed = Vec::new();
    let mut note = |is_other: bool, field: &str| {
        if is_other {
            changed.push(field.to_owned());
        }
    };
    note(before.name != after.name, "name");
    note(before.auth_method != after.auth_method, "auth_method");
    note(before.version != after.version, "version");
    note(before.egress_private != after.egress_private, "egress_private");
    note(before.is_per_user != after.is_per_user, "is_per_user");
    let (old, new) = (before.config.value(), after.config.value());
    if let (Some(old), Some(new)) = (old.as_object(), new.as_object()) {
        for (name, value) in new {
            note(old.get(name) != Some(value), &format!("connection_config.{name}"));
        }
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            note(true, &format!("connection_config.{name}"));
        }
    }
    json!({ "changed": changed })
}

/// Whether its status tells of tests: one that is being set up, or switched off, is tried out on the side.
pub(crate) const fn is_in_use(status: ConnectionStatus) -> bool {
    !matches!(status, ConnectionStatus::Configuring | ConnectionStatus::Disconnected)
}
