//! The credentials of a connection: written, recognised by their last characters, removed; never read back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use connector::NewCredential;
use connector::oauth::TOKENS_FIELD;
use connector::sources::External;
use http::StatusCode;
use model::id::UserId;
use model::{Caller, Code, Fault, Secret, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use store::{ConnectionRow, CredentialRow, EventType};
use utoipa::ToSchema;

use super::create::{log_entry, unfit};
use super::stored;
use crate::OwnWay;
use crate::app::App;
use crate::body;
use crate::extract::{Segments, Sent, Signed};
use crate::rescue::Problem;

/// The longest time that a value and its successor are kept beside each other: 30 days.
const OVERLAP_MS_MAX: u32 = 30 * 24 * 60 * 60 * 1000;
/// The longest name of a secret, bytes.
const REFERENCE_LEN_MAX: usize = 2048;

/// The credentials of a connection.
#[derive(Serialize, ToSchema)]
#[schema(as = IntegrationCredentials)]
pub(crate) struct CredentialsView {
    credentials: Vec<CredentialView>,
}

/// What can be seen of a credential.
#[derive(Serialize, ToSchema)]
#[schema(as = IntegrationCredential)]
pub(crate) struct CredentialView {
    /// `cred_...`
    id: String,
    /// Which field it fills.
    credential_type: String,
    /// It is the caller's own; others are not shown.
    is_own: bool,
    /// Tells values apart.
    fingerprint: String,
    /// The value's last characters; empty for short values.
    last_four: String,
    /// Milliseconds since 1970, UTC; null for never.
    #[schema(required = true, value_type = Option<i64>)]
    expires_at: Option<Timestamp>,
    is_expired: bool,
    /// Milliseconds since 1970, UTC.
    #[schema(required = true, value_type = Option<i64>)]
    last_rotated_at: Option<Timestamp>,
    /// Until when the value before it is kept; milliseconds since 1970, UTC.
    #[schema(required = true, value_type = Option<i64>)]
    overlap_until: Option<Timestamp>,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    created_at: Timestamp,
    /// The secret of a source that it names, `vault:team/github#token`; null for a value that is stored here.
    #[schema(required = true)]
    reference: Option<String>,
    /// Of a reference: when this node read it last; milliseconds since 1970, UTC.
    #[schema(required = true, value_type = Option<i64>)]
    last_read_at: Option<Timestamp>,
    /// Of a reference: why it cannot be read or used at the moment.
    #[schema(required = true)]
    read_error: Option<String>,
}

/// What fills a field: a value, or the name of a secret that a source keeps.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewIntegrationCredential)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCredentialBody {
    /// Stored sealed, and never given back. Whatever it looks like, it is what is used.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 32768, format = Password)]
    #[serde(default, deserialize_with = "secret")]
    value: Option<Secret>,
    /// In the place of `value`: `vault:PATH#FIELD` or `aws-sm:NAME#FIELD`. It is looked up when it is used, and only
    /// where the hub's file opened that place (`secrets.vault.from_api`). Not for a user's own.
    #[schema(max_length = 2048)]
    reference: Option<String>,
    /// From when on it is of no use, milliseconds since 1970, UTC; never when left out.
    #[serde(default, deserialize_with = "body::whole")]
    expires_at: Option<i64>,
    /// How long the value before it is kept beside it, milliseconds.
    #[schema(maximum = 2_592_000_000_u32)]
    #[serde(default, deserialize_with = "body::whole")]
    overlap_ms: Option<u32>,
}

/// How a rotation of the data key ended.
#[derive(Serialize, ToSchema)]
#[schema(as = DataKeyRotation)]
pub(crate) struct RotationView {
    /// The data key that seals from now on.
    version: u32,
    /// Values that were sealed anew.
    resealed: u64,
    /// Values that are still sealed with an older key: none.
    remaining: u64,
}

/// What is stored for a connection, without the values
///
/// What all its users share, and what is the caller's own.
#[utoipa::path(get, path = "/api/v1/connections/{connection}/credentials", operation_id = "listCredentials",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id.")),
    responses((status = OK, description = "What can be seen of them", body = CredentialsView)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
) -> Result<Json<CredentialsView>, Problem> {
    let row = stored(&app, &caller, &named).await?;
    let rows = app.parts.credentials.rows(&row).await?;
    let now = app.parts.clock.now();
    let mut credentials = Vec::new();
    for row in rows.into_iter().filter(|row| row.user.is_none_or(|user| user == caller.owner.user)) {
        credentials.push(view(&app, row, now).await);
    }
    Ok(Json(CredentialsView { credentials }))
}

/// Store a credential of a connection
///
/// For every way to prove oneself. The value is sealed and never given back. One that takes the place of
/// another is used from the next call on; calls in flight finish with the old one. Where everybody uses their own
/// credentials it is the caller's own, and no other user's calls go out with it. A `reference` in the place of the
/// value names what Vault or AWS Secrets Manager keeps: a new value there is used without a word here.
#[utoipa::path(put, path = "/api/v1/connections/{connection}/credentials/{field}", operation_id = "storeCredential",
    tag = "connections",
    params(
        ("connection" = String, Path, description = "Its key or id."),
        ("field" = String, Path, pattern = "^[A-Za-z0-9_.-]{1,64}$",
            description = "Which field it fills: `auth.credentials.key`, `headers.X-Api-Key`, `env.TOKEN`.")),
    request_body = NewCredentialBody,
    responses((status = OK, description = "What can be seen of it", body = CredentialView)))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments((named, field)): Segments<(String, String)>,
    Sent(new): Sent<NewCredentialBody>,
) -> Result<Json<CredentialView>, Problem> {
    let overlap_ms = new.overlap_ms.unwrap_or(0);
    if overlap_ms > OVERLAP_MS_MAX {
        return Err(unfit(format!("overlap_ms: is {overlap_ms}, and at most {OVERLAP_MS_MAX} (30 days)")));
    }
    let now = app.parts.clock.now();
    let expires_at = new.expires_at.map(Timestamp);
    if expires_at.is_some_and(|at| at <= now) {
        return Err(unfit("expires_at: lies in the past; it is milliseconds since 1970, UTC"));
    }
    let row = stored(&app, &caller, &named).await?;
    check_name(&field)?;
    app.parts.directory.check_field(&row, &field)?;
    let user = whose(&app, &row, &caller, &field)?;
    let credentials = &app.parts.credentials;
    let mut metadata = metadata(&caller, &field, user);
    let is_rotation = match (new.value, new.reference) {
        (Some(value), None) => {
            let new = NewCredential { field: field.clone(), user, value, expires_at, overlap_ms };
            credentials.put(&row, new).await?
        }
        (None, Some(text)) => {
            let external = reference(&text)?;
            if user.is_some() {
                return Err(unfit(
                    "reference: is for what all users share; a credential of your own is a value",
                ));
            }
            if expires_at.is_some() || overlap_ms > 0 {
                let what =
                    "reference: the source says how long it is good; leave out expires_at and overlap_ms";
                return Err(unfit(what));
            }
            if let Some(members) = metadata.as_object_mut() {
                members.insert("reference".to_owned(), external.name().into());
            }
            credentials.put_reference(&row, field.clone(), &external).await?
        }
        (Some(_), Some(_)) => return Err(unfit("reference: stands beside `value`; send one of them")),
        (None, None) => return Err(unfit("value: is missing; send it, or a `reference` in its place")),
    };
    let (event, message) = match is_rotation {
        true => (EventType::CredentialRotated, "a credential has got a successor"),
        false => (EventType::ConfigUpdated, "a credential was stored"),
    };
    app.parts.store.apply(vec![log_entry(&app, &row, event, message, &metadata)?]).await?;
    app.parts.directory.settle().await;
    let rows = app.parts.credentials.rows(&row).await?;
    let kept = rows.into_iter().find(|row| row.user == user && row.field == field);
    let kept = kept.ok_or_else(|| Problem::new(Code::CONFLICT, "it was removed at the same time"))?;
    Ok(Json(view(&app, kept, now).await))
}

/// Remove a credential of a connection
///
/// Where everybody uses their own, the caller's own: the next call of this user asks for another. A token is
/// `oauth.tokens`.
#[utoipa::path(delete, path = "/api/v1/connections/{connection}/credentials/{field}",
    operation_id = "deleteCredential", tag = "connections",
    params(
        ("connection" = String, Path, description = "Its key or id."),
        ("field" = String, Path, description = "Which field it fills.")),
    responses((status = NO_CONTENT, description = "It is gone.")))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments((named, field)): Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    let row = stored(&app, &caller, &named).await?;
    let user = whose(&app, &row, &caller, &field)?;
    if !app.parts.credentials.remove(&row, user, &field).await? {
        let field: String = field.chars().take(64).collect();
        return Err(Fault::new(Code::NOT_FOUND, format!("there is no credential `{field}`"))
            .with_hint("GET .../credentials lists them")
            .into());
    }
    let metadata = metadata(&caller, &field, user);
    let entry = log_entry(&app, &row, EventType::ConfigUpdated, "a credential was removed", &metadata)?;
    app.parts.store.apply(vec![entry]).await?;
    app.parts.directory.settle().await;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose a credential in this place is: the caller's own, or everybody's.
fn whose(app: &App, row: &ConnectionRow, caller: &Caller, field: &str) -> Result<Option<UserId>, Problem> {
    let is_own = match app.parts.directory.own_way(row)? {
        None => false,
        Some(OwnWay::Leave) => field == TOKENS_FIELD,
        Some(OwnWay::Entered(_)) => true,
    };
    Ok(is_own.then_some(caller.owner.user))
}

fn metadata(caller: &Caller, field: &str, user: Option<UserId>) -> serde_json::Value {
    json!({ "field": field, "by": &*caller.principal, "user": user })
}

/// Give the workspace a new data key, and seal every credential with it
///
/// Online: values can be used and stored all the while. One that was cut off is finished by the next.
#[utoipa::path(post, path = "/api/v1/data-keys/rotate", operation_id = "rotateDataKey", tag = "connections",
    responses((status = OK, description = "No credential uses an older key any more", body = RotationView)))]
pub(crate) async fn rotate_data_key(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
) -> Result<Json<RotationView>, Problem> {
    let told = |done: u64, total: u64| tracing::info!(done, total, "sealing credentials with a new data key");
    let rotated = app.parts.credentials.rotate_data_key(caller.owner.workspace, &told).await?;
    let remaining = rotated.counts.iter().filter(|(version, _)| *version != rotated.version);
    Ok(Json(RotationView {
        version: rotated.version,
        resealed: rotated.resealed,
        remaining: remaining.map(|(_, count)| count).sum(),
    }))
}

/// Whether it can be the name of a credential.
pub(crate) fn check_name(field: &str) -> Result<(), Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if field.is_empty() || field.len() > 64 || !field.chars().all(fits) {
        return Err(unfit("field: has to have 1 to 64 of letters, digits, `_`, `.` and `-`"));
    }
    Ok(())
}

async fn view(app: &App, row: CredentialRow, now: Timestamp) -> CredentialView {
    // What does not open is told when it is used: here it is a row like any other.
    let reference = app.parts.credentials.reference_of(&row).await.unwrap_or_default();
    let (reference, standing) = reference.map(|(external, standing)| (external.name(), standing)).unzip();
    let standing = standing.unwrap_or_default();
    CredentialView {
        reference,
        last_read_at: standing.read_at,
        read_error: standing.failure.map(|failure| format!("{}; {}", failure.why, failure.hint)),
        id: row.id.to_string(),
        credential_type: row.field,
        is_own: row.user.is_some(),
        fingerprint: model::hex(&row.fingerprint),
        last_four: row.last_four,
        expires_at: row.expires_at,
        is_expired: row.expires_at.is_some_and(|at| at <= now),
        last_rotated_at: row.last_rotated_at,
        overlap_until: row.previous.map(|previous| previous.overlap_until),
        created_at: row.created_at,
    }
}

/// Reads the name of a secret that a source keeps.
pub(crate) fn reference(text: &str) -> Result<External, Problem> {
    let fits = (text.len() <= REFERENCE_LEN_MAX).then(|| External::parse(text)).flatten();
    fits.ok_or_else(|| {
        let text: String = text.chars().take(64).collect();
        unfit(format!(
            "reference: `{text}` is none; write vault:PATH#FIELD or aws-sm:NAME#FIELD, without `${{}}`"
        ))
    })
}

fn secret<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(source)?.map(Secret::new))
}
