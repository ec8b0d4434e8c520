//! `/api/v1/events`: what happens, as it happens, as server-sent events and over WebSocket.

mod socket;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use model::Timestamp;
use model::id::EventId;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::extract::{Params, Signed};
use crate::live::event::TYPES;
use crate::live::filter::Filter;
use crate::live::reader::{Next, Reader};
use crate::rescue::Problem;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventParams {
    /// `evt_...`: the last event that was seen, to go on after it. The header goes before it.
    #[param(pattern = "^evt_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    after: Option<String>,
    /// Types, or `noun.*`, between commas: `connection.*,call.*`. Everything when left out.
    types: Option<String>,
}

/// One event, as it is sent.
#[derive(ToSchema)]
#[schema(as = Event)]
#[expect(dead_code, reason = "`live::event::Event` is what is sent; this is what it looks like")]
pub(crate) struct EventView {
    /// `evt_...`; later events have higher ids.
    id: String,
    /// A dotted word: `connection.status_changed`. The reference lists them.
    r#type: String,
    /// When it was seen: milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    at: Timestamp,
    /// What happened: ids, names and words, never a secret, never arguments.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

/// What happens, as it happens
///
/// Server-sent events until the client goes away, the key is revoked, changed or runs out, or the hub stops. Each
/// has its id, its type as `event`, and `data` with one JSON object. Comments keep a silent stream alive. A
/// `gap` says that events are missing: read the lists again. See `docs/reference/events.md`.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "streamEvents", tag = "management",
    params(EventParams, ("Last-Event-ID" = Option<String>, Header,
        description = "The last event that was seen, to go on after it.",
        pattern = "^evt_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = OK, description = "The events, each an `Event` in its `data`", body = EventView,
        content_type = "text/event-stream")))]
pub(crate) async fn stream(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    headers: HeaderMap,
    Params(params): Params<EventParams>,
) -> Result<Response, Problem> {
    let (filter, after) = read(&headers, &params)?;
    let reader = Reader::new(&app.parts.live, caller, filter, after);
    // An id alone, first: whoever loses the stream before anything happened knows where to go on.
    let opening = format!("retry: 1000\nid: {}\n\n", reader.cursor());
    let first = futures_util::stream::once(std::future::ready(opening));
    let frames = futures_util::StreamExt::chain(first, unfold(reader, frames));
    let body = Body::from_stream(futures_util::StreamExt::map(frames, Ok::<_, std::convert::Infallible>));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // Some proxies collect an answer before they pass it on, unless they are told not to.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, body).into_response())
}

/// What is sent next; `None` ends the stream.
async fn frames(mut reader: Reader) -> Option<(String, Reader)> {
    let text = match reader.next().await {
        Next::Events(events) => {
            let mut text = String::new();
            events.iter().for_each(|event| event.frame(&mut text));
            text
        }
        // The comment keeps the connection alive, the id keeps the cursor young where nothing passes the filter.
        Next::Nothing(seen) => format!(":\nid: {seen}\n\n"),
        Next::Fallen | Next::Over => return None,
    };
    Some((text, reader))
}

/// The same over WebSocket
///
/// One event per text frame, as JSON. What the client sends is not read. A subprotocol is not needed;
/// `trunkline.events` is agreed to when it is offered.
#[utoipa::path(get, path = "/api/v1/events/ws", operation_id = "streamEventsOverWebSocket", tag = "management",
    params(EventParams, ("Last-Event-ID" = Option<String>, Header,
        description = "The last event that was seen, to go on after it.",
        pattern = "^evt_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = SWITCHING_PROTOCOLS, description = "The frames are `Event`s")))]
pub(crate) async fn socket(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Params(params): Params<EventParams>,
    request: Request,
) -> Result<Response, Problem> {
    let (filter, after) = read(request.headers(), &params)?;
    let reader = Reader::new(&app.parts.live, caller, filter, after);
    socket::upgrade(request, reader)
}

/// What is wanted, and from where.
fn read(headers: &HeaderMap, params: &EventParams) -> Result<(Filter, Option<EventId>), Problem> {
    let filter = Filter::parse(params.types.as_deref())
        .map_err(|detail| Problem::bad_message(detail, &format!("there are: {}", TYPES.join(", "))))?;
    let from_header = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
    let after = from_header.or(params.after.as_deref()).filter(|text| !text.is_empty());
    let after = after.map(str::parse).transpose().map_err(|error: model::id::BadId| {
        Problem::bad_message(error.to_string(), "send the id of an event as it came, or leave it out")
    })?;
    Ok((filter, after))
}
