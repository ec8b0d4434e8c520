//! The log of a connection: what happened to it, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{EventType, LogQuery, LogRow, MESSAGE_LEN_MAX, Scope};
use utoipa::{IntoParams, ToSchema};

use super::create::{log_entry, unfit};
use super::stored;
use crate::app::App;
use crate::extract::{Params, Segments, Sent, Signed, limit_of};
use crate::openapi::schema;
use crate::page;
use crate::rescue::Problem;

const LIMIT_DEFAULT: usize = 50;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogParams {
    /// Of this type only.
    #[param(value_type = Option<schema::EventType>, inline)]
    event_type: Option<String>,
    /// Text in the message; every character means itself.
    search: Option<String>,
    /// From then on, milliseconds since 1970.
    since: Option<i64>,
    /// Before then, milliseconds since 1970.
    until: Option<i64>,
    /// How many.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^-?[0-9]{1,15}\\.[a-z]{3}_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    cursor: Option<String>,
}

/// A page of a connection's log.
#[derive(Serialize, ToSchema)]
#[schema(as = IntegrationLogs)]
pub(crate) struct LogsView {
    logs: Vec<LogView>,
    /// `cursor` of the next page; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Something that happened to a connection.
#[derive(Serialize, ToSchema)]
#[schema(as = IntegrationLog)]
pub(crate) struct LogView {
    /// `evt_...`
    id: String,
    /// `con_...`
    user_integration_id: String,
    #[schema(inline, value_type = schema::EventType)]
    event_type: &'static str,
    message: String,
    #[schema(value_type = Object)]
    metadata: Value,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    created_at: Timestamp,
}

/// Something that happened.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewIntegrationLog)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLogBody {
    #[schema(inline, value_type = schema::EventType)]
    event_type: String,
    #[schema(min_length = 1, max_length = 4096)]
    message: String,
    /// The particulars, at most 16 KiB; no secrets.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

/// What happened to a connection, newest first
///
/// With `search` or `event_type` a page looks at 20,000 entries at most: it may hold fewer than `limit`, or
/// none, and `next_cursor` goes on from there.
#[utoipa::path(get, path = "/api/v1/connections/{connection}/logs", operation_id = "getIntegrationLogs",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id."), LogParams),
    responses((status = OK, description = "A page", body = LogsView)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
    Params(params): Params<LogParams>,
) -> Result<Json<LogsView>, Problem> {
    let query = LogQuery {
        event_type: params.event_type.as_deref().map(event_type).transpose()?,
        since: params.since.map(Timestamp),
        until: params.until.map(Timestamp),
        text: params.search,
        limit: limit_of(params.limit, LIMIT_DEFAULT, store::PAGE_MAX)?,
        look: 0,
        after: page::read_time(params.cursor.as_deref())?,
    };
    let row = stored(&app, &caller, &named).await?;
    let page = app.parts.store.list_logs(Scope::from(caller.owner.workspace), row.id, query).await?;
    let next_cursor = page.next.as_ref().map(page::write_time);
    Ok(Json(LogsView { logs: page.items.into_iter().map(view).collect(), next_cursor }))
}

/// Write something into a connection's log
///
/// For the hub's own agents and administrators.
#[utoipa::path(post, path = "/api/v1/connections/{connection}/logs", operation_id = "logEvent",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id.")),
    request_body = NewLogBody, responses((status = NO_CONTENT, description = "It is written.")))]
pub(crate) async fn append(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
    Sent(new): Sent<NewLogBody>,
) -> Result<StatusCode, Problem> {
    if new.message.trim().is_empty() || new.message.len() > MESSAGE_LEN_MAX {
        return Err(unfit(format!("message: has to have 1 to {MESSAGE_LEN_MAX} bytes")));
    }
    let metadata = match new.metadata {
        None => serde_json::json!({}),
        Some(Value::Object(members)) => Value::Object(members),
        Some(_) => return Err(unfit("metadata: is not an object")),
    };
    let row = stored(&app, &caller, &named).await?;
    let entry = log_entry(&app, &row, event_type(&new.event_type)?, &new.message, &metadata)?;
    app.parts.store.apply(vec![entry]).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn event_type(word: &str) -> Result<EventType, Problem> {
    EventType::from_word(word).ok_or_else(|| {
        let all: Vec<&str> = EventType::ALL.iter().map(|one| one.as_str()).collect();
        let word: String = word.chars().take(64).collect();
        unfit(format!("event_type: `{word}` is none of {}", all.join(", ")))
    })
}

fn view(row: LogRow) -> LogView {
    LogView {
        id: row.id.to_string(),
        user_integration_id: row.connection.to_string(),
        event_type: row.event_type.as_str(),
        message: row.message,
        metadata: row.metadata.value(),
        created_at: row.created_at,
    }
}
