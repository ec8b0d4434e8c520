//! Modern requests over HTTP: rung 5 of the ladder, first failure wins.
//!
//! Decisions are made on the body alone; headers repeat parts of it and can only make us refuse.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{Response, StatusCode};
use memchr::memmem::Finder;
use model::Era;
use serde_json::Value;
use wire::{Envelope, Meta, Method, Object, RpcCode, header, param_header, version};

use super::body::DoorBody;
use super::exchange::{self, EventStream};
use super::{Read, Visit, empty, rpc_refusal};
use crate::Endpoint;
use crate::door::Who;
use crate::outbox::Outbox;
use crate::peer;
use crate::rescue::Reply;

/// Made once: building a searcher costs more than most searches.
static ANNOTATION: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"x-mcp-header"));

/// HTTP status of an error code, by 2026-07-28.
pub(crate) const fn status_of(code: RpcCode) -> StatusCode {
    match code.0 {
        -32700 | -32600 | -32602 | -32022..=-32020 => StatusCode::BAD_REQUEST,
        -32601 => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

/// The same for what a handler answered: unknown names and bad cursors are not transport errors.
fn status_of_reply(reply: &Reply) -> StatusCode {
    match reply {
        Reply::Error(code, _) if code.0 != RpcCode::INVALID_PARAMS.0 => status_of(*code),
        _ => StatusCode::OK,
    }
}

impl Visit {
    pub(crate) async fn modern_post(
        self,
        message: Envelope<'_>,
        read: Read<'_>,
        body: &Bytes,
    ) -> Response<DoorBody> {
        let (id, method, params) = match message {
            Envelope::Request { id, method, params } => (id, method, params),
            // Nothing is defined for clients to notify over HTTP; acknowledged and dropped. A cancellation by
            // an id that the client chose is never honoured here: it could name another caller's request.
            Envelope::Notification { .. } => return empty(StatusCode::ACCEPTED),
            Envelope::Response { .. } | Envelope::Error { .. } => {
                return rpc_refusal(
                    None,
                    RpcCode::INVALID_REQUEST,
                    "clients send no responses in this revision",
                );
            }
        };
        let refuse = |code, text: &str| rpc_refusal(Some(id), code, text);
        let params = params.unwrap_or(b"{}");
        // a. what every request has to say of itself
        let (object, meta) = match (read.params, read.meta) {
            (Ok(object), Ok(meta)) => (object, meta),
            (Err(why), _) | (_, Err(why)) => return refuse(RpcCode::INVALID_PARAMS, &why),
        };
        let Some(claim) = meta.protocol_version.as_deref() else {
            let text = format!(
                "`params._meta[\"{}\"]` is required and must be a string",
                wire::meta::PROTOCOL_VERSION
            );
            return refuse(RpcCode::INVALID_PARAMS, &text);
        };
        if meta.client_capabilities.is_none() {
            let text = format!(
                "`params._meta[\"{}\"]` is required and must be an object",
                wire::meta::CLIENT_CAPABILITIES
            );
            return refuse(RpcCode::INVALID_PARAMS, &text);
        }
        // b. headers that repeat the body
        if let Err(why) = self.check_headers(&method, claim, &object) {
            return refuse(RpcCode::HEADER_MISMATCH, &why);
        }
        // c. the revision
        if !version::MODERN.contains(&claim) {
            let data = serde_json::json!({ "supported": version::MODERN, "requested": claim });
            let error = wire::message::error(
                Some(id),
                RpcCode::UNSUPPORTED_VERSION,
                &format!(
                    "protocol version `{claim}` is not served; use one of {}",
                    version::MODERN.join(", ")
                ),
                Some(data.to_string().as_bytes()),
            );
            return super::json(StatusCode::BAD_REQUEST, error);
        }
        // d. the method
        let Some(method) = Method::find(&method, Era::Modern) else {
            return refuse(RpcCode::METHOD_NOT_FOUND, &format!("method `{method}` is not known in {claim}"));
        };
        let who = self.who_modern(&meta, body);
        // e. arguments that headers repeat
        if method == Method::ToolsCall
            && let Err(why) = self.check_param_headers(&who, &object)
        {
            return refuse(RpcCode::HEADER_MISMATCH, &why);
        }
        let id = peer::slice_of(body, id);
        let outbox = Arc::new(Outbox::default());
        if method == Method::Listen {
            return match self.door.listen(&who, &id, params, &outbox).await {
                Ok(listening) => {
                    exchange::streamed(EventStream::new(outbox, None, Some(Box::new(listening))))
                }
                Err(reply) => exchange::plain(&id, &reply, StatusCode::BAD_REQUEST),
            };
        }
        let params = peer::slice_of(body, params);
        let stream_after = self.door.settings().stream_after;
        let work = {
            let (door, outbox) = (Arc::clone(&self.door), Arc::clone(&outbox));
            Box::pin(async move { door.serve(&who, method, params, &outbox, None).await })
        };
        exchange::answer(id, work, outbox, stream_after, status_of_reply).await
    }

    fn who_modern(&self, meta: &Meta<'_>, body: &Bytes) -> Who {
        Who {
            caller: Arc::clone(&self.caller),
            endpoint: self.endpoint.clone(),
            peer: Arc::new(peer::modern(meta, body, &self.door.modern_version)),
        }
    }

    fn check_headers(&self, method: &str, claim: &str, params: &Object<'_>) -> Result<(), String> {
        if self.single(header::PROTOCOL_VERSION)?.as_deref() != Some(claim) {
            return Err(format!("header MCP-Protocol-Version must be `{claim}`, as in the body"));
        }
        if self.single(header::METHOD)?.as_deref() != Some(method) {
            return Err(format!("header Mcp-Method must be `{method}`, as in the body"));
        }
        let member = Method::find(method, Era::Modern).and_then(Method::target_member);
        if let Some(value) = member.and_then(|member| params.get_str(member)) {
            let said = self.single(header::NAME)?;
            let said = said
                .as_deref()
                .map(|said| header::decode(said).ok_or("header Mcp-Name has a broken encoding"));
            if said.transpose()?.as_deref() != Some(value.as_ref()) {
                return Err(format!("header Mcp-Name must be `{}`, as in the body", header::encode(&value)));
            }
        }
        Ok(())
    }

    /// The one value of a header; an error when it occurs twice or is not text.
    fn single(&self, name: &str) -> Result<Option<String>, String> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next();
        if values.next().is_some() {
            return Err(format!("header {name} occurs twice"));
        }
        let text = first.map(|value| value.to_str().map(|text| text.trim().to_owned()));
        text.transpose().map_err(|_| format!("header {name} has characters that do not belong there"))
    }

    /// `Mcp-Param-*` against the arguments, where the tool's schema asks for them.
    fn check_param_headers(&self, who: &Who, params: &Object<'_>) -> Result<(), String> {
        let Some(name) = params.get_str("name") else { return Ok(()) };
        let snapshot = self.door.parts().pipeline.snapshot();
        let tool = match &who.endpoint {
            Endpoint::Connection(key) => {
                snapshot.connection(key.as_str()).and_then(|m| m.tool(&name).cloned())
            }
            _ => {
                let view = self.door.view(who);
                view.tool(&name).and_then(|route| {
                    snapshot.connection(route.connection.as_str())?.tool(&route.own).cloned()
                })
            }
        };
        let Some(tool) = tool else { return Ok(()) };
        if ANNOTATION.find(&tool.tool.input_schema).is_none() {
            return Ok(());
        }
        let schema: Value = serde_json::from_slice(&tool.tool.input_schema).unwrap_or_default();
        let Ok(annotated) = param_header::annotations(&schema) else { return Ok(()) };
        let arguments: Value =
            params.get("arguments").and_then(|raw| serde_json::from_slice(raw).ok()).unwrap_or_default();
        for parameter in annotated {
            let header_name = format!("{}{}", header::PARAM_PREFIX, parameter.name.to_ascii_lowercase());
            let said = self.single(&header_name)?;
            let said = match said.as_deref() {
                None => None,
                Some(said) => Some(
                    header::decode(said)
                        .ok_or(format!("header {header_name} has a broken encoding"))?
                        .into_owned(),
                ),
            };
            let wanted = param_header::value_of(&arguments, &parameter);
            if !is_same(said.as_deref(), wanted.as_deref()) {
                return Err(format!(
                    "header {header_name} must repeat the argument `{}`",
                    parameter.path.join(".")
                ));
            }
        }
        Ok(())
    }
}

/// Equal as text, or as integers written differently.
fn is_same(said: Option<&str>, wanted: Option<&str>) -> bool {
    match (said, wanted) {
        (Some(said), Some(wanted)) => {
            said == wanted
                || matches!((said.parse::<f64>(), wanted.parse::<f64>()), (Ok(a), Ok(b)) if a.total_cmp(&b).is_eq())
        }
        (None, None) => true,
        _ => false,
    }
}
