//! The HTTP side: what comes in on an endpoint's URL, sorted into eras by the classification ladder.

mod body;
mod exchange;
mod legacy;
mod modern;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method as Verb, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use model::{Access, Caller, Code, Fault};
use wire::{Envelope, Incoming, Malformed, Meta, Object, RpcCode, header, version};

pub use body::DoorBody;
pub(crate) use exchange::{EventStream, streamed};
pub(crate) use legacy::take_in;

use crate::Door;
use crate::endpoint::{Endpoint, Place};

/// An authenticated HTTP request to an endpoint.
pub(crate) struct Visit {
    pub(crate) door: Arc<Door>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) endpoint: Endpoint,
    pub(crate) headers: HeaderMap,
}

impl Door {
    /// Answers a request whose path is `/mcp` or below.
    pub async fn handle(self: &Arc<Self>, request: Request<hyper::body::Incoming>) -> Response<DoorBody> {
        // Where from and who, before anything is read or allocated for them.
        if let Err(fault) = self.check_origin(request.uri(), request.headers()) {
            return refusal(StatusCode::FORBIDDEN, &fault);
        }
        let caller = match self.authenticate(request.headers()) {
            Ok(caller) => caller,
            Err(fault) => {
                let mut response = refusal(StatusCode::UNAUTHORIZED, &fault);
                response
                    .headers_mut()
                    .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"trunkline\""));
                return response;
            }
        };
        let Some(place) = Place::parse(request.uri().path()) else {
            let fault = Fault::new(Code::NOT_FOUND, "no MCP endpoint at this path")
                .with_hint("endpoints are /mcp, /mcp/c/{connection} and /mcp/s/{toolset}");
            return refusal(StatusCode::NOT_FOUND, &fault);
        };
        let (Place::Main(endpoint) | Place::Sse(endpoint)) = &place;
        if !self.is_there(endpoint, &caller.access) {
            // The same words for what is not there and for what this caller has no part in.
            let fault = Fault::new(Code::NOT_FOUND, format!("there is no {endpoint} for this key"))
                .with_hint("`trunkline connection list` shows what is connected");
            return refusal(StatusCode::NOT_FOUND, &fault);
        }
        match place {
            Place::Sse(endpoint) => crate::transport::sse::handle(self, caller, endpoint, request).await,
            Place::Main(endpoint) => {
                if fastwebsockets::upgrade::is_upgrade_request(&request) {
                    return crate::transport::websocket::handle(self, caller, endpoint, request);
                }
                let (parts, body) = request.into_parts();
                let visit = Visit { door: Arc::clone(self), caller, endpoint, headers: parts.headers };
                match parts.method {
                    Verb::POST => visit.post(body).await,
                    Verb::GET | Verb::DELETE if visit.says_modern() => not_allowed("POST"),
                    Verb::GET => visit.legacy_get(),
                    Verb::DELETE => visit.legacy_delete(),
                    _ => not_allowed("POST, GET, DELETE"),
                }
            }
        }
    }
}

impl Door {
    /// Whether the endpoint exists for a caller with this access.
    pub(crate) fn is_there(&self, endpoint: &Endpoint, access: &Access) -> bool {
        let snapshot = self.parts().pipeline.snapshot();
        match endpoint {
            Endpoint::All => true,
            Endpoint::Toolset(key) => snapshot.toolset(key.as_str()).is_some(),
            Endpoint::Connection(key) => snapshot.connection(key.as_str()).is_some_and(|mounted| {
                let prefix = format!("{key}__");
                let is_named = |pattern: &String| pattern.starts_with(&prefix) || pattern.starts_with('*');
                mounted.tools_for(access).next().is_some() || access.allow.iter().any(is_named)
            }),
        }
    }
}

impl Visit {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn says_modern(&self) -> bool {
        self.text(header::PROTOCOL_VERSION).is_some_and(|v| version::MODERN.contains(&v))
    }

    async fn post(self, body: hyper::body::Incoming) -> Response<DoorBody> {
        let is_json = self.text(CONTENT_TYPE.as_str()).is_some_and(|value| {
            value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        });
        if !is_json {
            let fault = Fault::new(Code::BAD_MESSAGE, "`Content-Type` must be application/json");
            return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &fault);
        }
        if self.text("accept").is_some_and(|accept| !accepts_ours(accept)) {
            let fault =
                Fault::new(Code::BAD_MESSAGE, "`Accept` must list application/json and text/event-stream");
            return refusal(StatusCode::NOT_ACCEPTABLE, &fault);
        }
        let body = match read(body, self.door.settings().body_bytes_max).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        match Incoming::parse(&body) {
            Err(Malformed::NotJson(why)) => {
                rpc_refusal(None, RpcCode::PARSE, &format!("not valid JSON: {why}"))
            }
            Err(malformed) => rpc_refusal(None, RpcCode::INVALID_REQUEST, &malformed.to_string()),
            Ok(Incoming::Batch(messages)) => {
                let messages = messages.into_iter().map(|raw| crate::peer::slice_of(&body, raw)).collect();
                self.legacy_batch(messages).await
            }
            Ok(Incoming::One(message)) => {
                let read = Read::of(&message);
                if self.is_modern(&read) {
                    self.modern_post(message, read, &body).await
                } else {
                    self.legacy_post(message, &body).await
                }
            }
        }
    }

    /// Rung 4 of the ladder: a claim in the body, or a version header that no legacy revision has.
    fn is_modern(&self, read: &Read<'_>) -> bool {
        read.meta.as_ref().is_ok_and(|meta| meta.is_claim)
            || self
                .headers
                .get(header::PROTOCOL_VERSION)
                .is_some_and(|value| value.to_str().map_or(true, |value| !version::LEGACY.contains(&value)))
    }
}

/// What the ladder looks at in a message: its params and their `_meta`, taken apart once.
pub(crate) struct Read<'a> {
    pub(crate) params: Result<Object<'a>, String>,
    pub(crate) meta: Result<Meta<'a>, String>,
}

impl<'a> Read<'a> {
    fn of(message: &Envelope<'a>) -> Self {
        let raw = match message {
            Envelope::Request { params, .. } | Envelope::Notification { params, .. } => {
                params.unwrap_or(b"{}")
            }
            Envelope::Response { .. } | Envelope::Error { .. } => b"{}",
        };
        let params = Object::scan(raw).map_err(|error| format!("`params`: {error}"));
        let meta = match &params {
            Ok(params) => Meta::of(params).map_err(|error| format!("`params._meta`: {error}")),
            Err(_) => Ok(Meta::default()),
        };
        Self { params, meta }
    }
}

/// The whole body, within bounds.
pub(crate) async fn read(body: hyper::body::Incoming, bytes_max: usize) -> Result<Bytes, Response<DoorBody>> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let fault = Fault::new(Code::TOO_LARGE, format!("the body is larger than {bytes_max} bytes"))
                .with_hint("send less, or raise `limits.body_bytes`");
            Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, &fault))
        }
        Err(_) => {
            Err(refusal(StatusCode::BAD_REQUEST, &Fault::new(Code::BAD_MESSAGE, "the body ended early")))
        }
    }
}

/// Both kinds of answer, or anything at all.
fn accepts_ours(accept: &str) -> bool {
    let kinds = || accept.split(',').filter_map(|part| part.split(';').next()).map(str::trim);
    let takes =
        |kind: &str, group: &str| kinds().any(|k| k.eq_ignore_ascii_case(kind) || k == group || k == "*/*");
    takes("application/json", "application/*") && takes("text/event-stream", "text/*")
}

/// A fault as an HTTP answer with an id-less JSON-RPC error.
pub(crate) fn refusal(status: StatusCode, fault: &Fault) -> Response<DoorBody> {
    let code = match status.as_u16() {
        413 | 415 | 406 => RpcCode::INVALID_REQUEST,
        // Outside the range that JSON-RPC reserves: these are refusals of ours, before any message was read.
        _ => RpcCode(i64::from(fault.code.0)),
    };
    let data = serde_json::json!({ "code": fault.code, "blame": fault.blame, "retry": fault.retry.to_string(), "hint": fault.hint });
    json(status, wire::message::error(None, code, &fault.to_string(), Some(data.to_string().as_bytes())))
}

/// A JSON-RPC error with the HTTP status that belongs to its code.
pub(crate) fn rpc_refusal(id: Option<&[u8]>, code: RpcCode, message: &str) -> Response<DoorBody> {
    json(modern::status_of(code), wire::message::error(id, code, message, None))
}

pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response<DoorBody> {
    let mut response = Response::new(DoorBody::full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(crate) fn empty(status: StatusCode) -> Response<DoorBody> {
    let mut response = Response::new(DoorBody::empty());
    *response.status_mut() = status;
    response
}

fn not_allowed(allow: &'static str) -> Response<DoorBody> {
    let mut response =
        rpc_refusal(None, RpcCode::INVALID_REQUEST, &format!("this method is not allowed here; use {allow}"));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

#[cfg(test)]
mod tests {
    use super::accepts_ours;

    #[test]
    fn accept_has_to_cover_both_kinds_of_answer() {
        for good in [
            "application/json, text/event-stream",
            "*/*",
            "text/event-stream;q=0.5,application/json",
            "application/*,text/*",
        ] {
            assert!(accepts_ours(good), "{good}");
        }
        for bad in ["application/json", "text/event-stream", "text/html", ""] {
            assert!(!accepts_ours(bad), "{bad}");
        }
    }
}
