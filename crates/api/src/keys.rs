//! `/api/v1/keys`: API keys. A key's text is in the answer that makes it, and nowhere else, ever.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use identity::{IdentityError, MadeKey, NewKey};
use model::id::ApiKeyId;
use model::{Access, Caller, Code, Fault, Timestamp};
use policy::Pattern;
use serde::{Deserialize, Serialize};
use store::ApiKeyRow;
use utoipa::ToSchema;

use crate::app::App;
use crate::body;
use crate::extract::{Segments, Sent, Signed};
use crate::openapi::schema;
use crate::rescue::Problem;

/// How long a rotated key goes on working when nothing else is asked: a day.
const OVERLAP_MS: u32 = 24 * 60 * 60 * 1000;
/// And at most: 30 days.
const OVERLAP_MS_MAX: u32 = 30 * OVERLAP_MS;

#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeys)]
pub(crate) struct KeysView {
    keys: Vec<KeyView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct KeyView {
    /// `key_...`
    #[schema(value_type = String)]
    id: ApiKeyId,
    name: String,
    /// The first characters of the key, to recognise it by.
    prefix: String,
    #[schema(value_type = schema::Access)]
    access: Access,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    created_at: Timestamp,
    /// Milliseconds since 1970, UTC.
    #[schema(required = true, value_type = Option<i64>)]
    expires_at: Option<Timestamp>,
    /// Milliseconds since 1970, UTC.
    #[schema(required = true, value_type = Option<i64>)]
    last_used_at: Option<Timestamp>,
    /// Milliseconds since 1970, UTC.
    #[schema(required = true, value_type = Option<i64>)]
    revoked_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MadeApiKey)]
pub(crate) struct MadeKeyView {
    /// The key itself: shown once.
    key: String,
    #[serde(flatten)]
    view: KeyView,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewApiKey)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKeyBody {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    access: AccessBody,
    /// Milliseconds since 1970, UTC; never when left out.
    #[schema(value_type = Option<i64>)]
    #[serde(default, deserialize_with = "body::whole")]
    expires_at: Option<i64>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewAccess)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessBody {
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default)]
    manage: bool,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = ApiKeyRotation)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationBody {
    /// How long the old key goes on working: a day unless said.
    #[schema(maximum = 2_592_000_000_u32)]
    #[serde(default, deserialize_with = "body::whole")]
    overlap_ms: Option<u32>,
}

/// The API keys, those in use first
#[utoipa::path(get, path = "/api/v1/keys", operation_id = "listKeys", tag = "management",
    responses((status = OK, description = "The keys, without their text", body = KeysView)))]
pub(crate) async fn list_keys(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
) -> Result<Json<KeysView>, Problem> {
    let rows = app.parts.identity.list_keys(caller.owner.workspace).await.map_err(refused)?;
    Ok(Json(KeysView { keys: rows.into_iter().map(view).collect() }))
}

/// Make an API key
///
/// Its text is in this answer and nowhere else. It can be given no more than the asking key has: each `allow`
/// pattern within one of its own, its `deny` patterns repeated, `manage` only with `manage`, and an end no
/// later than its own; else 403 (TL-1002).
#[utoipa::path(post, path = "/api/v1/keys", operation_id = "createKey", tag = "management",
    request_body = NewKeyBody,
    responses((status = CREATED, description = "Made", body = MadeKeyView)))]
pub(crate) async fn create_key(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Sent(new): Sent<NewKeyBody>,
) -> Result<(StatusCode, Json<MadeKeyView>), Problem> {
    let AccessBody { allow, deny, manage } = new.access;
    for pattern in allow.iter().chain(&deny) {
        Pattern::compile(pattern).map_err(|error| unfit(format!("access: {error}")))?;
    }
    let expires_at = new.expires_at.map(Timestamp);
    if expires_at.is_some_and(|at| at <= app.parts.clock.now()) {
        return Err(unfit("expires_at: lies in the past; it is milliseconds since 1970, UTC"));
    }
    let new =
        NewKey { owner: caller.owner, name: new.name, access: Access { allow, deny, manage }, expires_at };
    new.check().map_err(refused)?;
    hand_on(&app, &caller, &new.access, new.expires_at).await?;
    let made = app.parts.identity.make_key(new).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(made_view(made))))
}

/// Put a new key in the place of one
///
/// Refused (403, TL-1002) when the old key may do more than the asking one.
#[utoipa::path(post, path = "/api/v1/keys/{id}/rotate", operation_id = "rotateKey", tag = "management",
    params(("id" = String, Path, description = "`key_...`")),
    request_body = Option<RotationBody>,
    responses((status = CREATED, description = "Made; name, access and expiry are the old key's", body = MadeKeyView)))]
pub(crate) async fn rotate_key(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(id): Segments<String>,
    Sent(rotation): Sent<RotationBody>,
) -> Result<(StatusCode, Json<MadeKeyView>), Problem> {
    let id = parse(&id)?;
    let overlap_ms = rotation.overlap_ms.unwrap_or(OVERLAP_MS);
    if overlap_ms > OVERLAP_MS_MAX {
        return Err(unfit(format!("overlap_ms: is {overlap_ms}, and at most {OVERLAP_MS_MAX} (30 days)")));
    }
    // The new key's text goes to whoever rotates, so it is made by them as much as a fresh one.
    if let Some(old) = app.parts.identity.find_key(caller.owner.workspace, id).await.map_err(refused)? {
        hand_on(&app, &caller, &old.access, old.expires_at).await?;
    }
    let made =
        app.parts.identity.rotate_key(caller.owner.workspace, id, overlap_ms).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(made_view(made))))
}

/// Revoke an API key
#[utoipa::path(delete, path = "/api/v1/keys/{id}", operation_id = "revokeKey", tag = "management",
    params(("id" = String, Path, description = "`key_...`")),
    responses((status = NO_CONTENT, description = "The next request with it is refused.")))]
pub(crate) async fn revoke_key(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    app.parts.identity.revoke_key(caller.owner.workspace, parse(&id)?).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A key can hand on what it has itself and no more: neither its access nor its time. (Revoking is not
/// handing on: any key that may manage can end any other.)
async fn hand_on(
    app: &App,
    maker: &Caller,
    access: &Access,
    expires_at: Option<Timestamp>,
) -> Result<(), Problem> {
    if let Some(beyond) = policy::beyond(access, &maker.access) {
        return Err(too_much(format!("access: {beyond}")));
    }
    let Some(id) = maker.api_key else { return Ok(()) };
    let row = app.parts.identity.find_key(maker.owner.workspace, id).await.map_err(refused)?;
    match row.map(|row| row.expires_at) {
        Some(None) => Ok(()),
        Some(Some(end)) if expires_at.is_some_and(|at| at <= end) => Ok(()),
        Some(Some(end)) => Err(too_much(format!("expires_at: its own end is {}", end.0))),
        None => Err(too_much("it is not there any more".to_owned())),
    }
}

fn too_much(what: String) -> Problem {
    Fault::new(Code::FORBIDDEN, format!("a key cannot make one that may do more than itself: {what}"))
        .with_hint("ask for no more than this key has, or use one with more")
        .into()
}

fn parse(id: &str) -> Result<ApiKeyId, Problem> {
    id.parse().map_err(|error: model::id::BadId| {
        Fault::new(Code::NOT_FOUND, error.to_string()).with_hint("GET /api/v1/keys lists the keys").into()
    })
}

fn unfit(detail: impl Into<String>) -> Problem {
    Fault::new(Code::BAD_ARGUMENTS, detail).with_hint("GET /openapi.json shows the schema").into()
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn refused(error: IdentityError) -> Problem {
    error.fault().into()
}

fn made_view(made: MadeKey) -> MadeKeyView {
    MadeKeyView { key: made.secret.expose().to_owned(), view: view(made.row) }
}

fn view(row: ApiKeyRow) -> KeyView {
    let ApiKeyRow { id, name, prefix, access, created_at, expires_at, last_used_at, revoked_at, .. } = row;
    KeyView { id, name, prefix, access, created_at, expires_at, last_used_at, revoked_at }
}
