//! The one place where a [`Fault`] becomes an MCP answer.

use bytes::Bytes;
use model::{CallKind, Code, Era, Fault};
use wire::{RpcCode, object};

/// What goes back for one request: a result or an error object, raw.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// The `result`.
    Result(Bytes),
    /// The `error` object and its code.
    Error(RpcCode, Bytes),
}

impl Reply {
    /// An error from its parts.
    pub(crate) fn error(code: RpcCode, message: &str) -> Self {
        Self::Error(code, wire::error::object(code, message, None).into())
    }

    /// The whole message, for the request `id`.
    pub(crate) fn message(&self, id: &[u8]) -> Vec<u8> {
        match self {
            Self::Result(result) => wire::message::response(id, result),
            Self::Error(_, error) => wire::message::error_raw(Some(id), error),
        }
    }
}

/// As [`RpcCode::URL_ELICITATION`] (MCP 2025-11-25): the client asks its user to open these pages, and calls again.
pub(crate) fn url_elicitation(fault: &Fault, elicitation: &[u8]) -> Reply {
    let data = [b"{\"elicitations\":[", elicitation, b"]}"].concat();
    let code = RpcCode::URL_ELICITATION;
    Reply::Error(code, wire::error::object(code, &fault.to_string(), Some(&data)).into())
}

/// A fault as the answer to a request. For a tool call that reached its tool, what went wrong is a tool
/// result with `isError`: the model can read it and act. All else is a protocol error.
pub(crate) fn reply(fault: &Fault, kind: Option<CallKind>, era: Era) -> Reply {
    if kind == Some(CallKind::Tool) && is_for_the_model(fault.code) {
        return Reply::Result(tool_error(fault, era));
    }
    let code = match fault.code {
        Code::NOT_FOUND if kind == Some(CallKind::Resource) && era == Era::Legacy => {
            RpcCode::RESOURCE_NOT_FOUND
        }
        Code::NOT_FOUND | Code::BAD_ARGUMENTS | Code::STALE_STATE | Code::UNSUPPORTED | Code::FORBIDDEN => {
            RpcCode::INVALID_PARAMS
        }
        Code::BAD_MESSAGE | Code::TOO_LARGE => RpcCode::INVALID_REQUEST,
        _ => RpcCode::INTERNAL,
    };
    let message = if fault.code == Code::NOT_FOUND && kind == Some(CallKind::Tool) {
        format!("Unknown tool: {fault}")
    } else {
        said(fault)
    };
    let mut data = serde_json::json!({ "code": fault.code, "blame": fault.blame, "retry": fault.retry.to_string(), "hint": fault.hint });
    if let (Some(link), Some(members)) = (&fault.link, data.as_object_mut()) {
        members.insert("link".to_owned(), link.url.as_str().into());
    }
    Reply::Error(code, wire::error::object(code, &message, Some(data.to_string().as_bytes())).into())
}

const fn is_for_the_model(code: Code) -> bool {
    matches!(code.0, 1202 | 1301 | 1401..=1407 | 1410 | 1501 | 1601)
}

/// In words, with the page on which the caller can mend it: for a client that shows words and no more.
fn said(fault: &Fault) -> String {
    match &fault.link {
        Some(link) => format!("{fault}\nAuthorise here: {}", link.url),
        None => fault.to_string(),
    }
}

fn tool_error(fault: &Fault, era: Era) -> Bytes {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"content\":[{\"type\":\"text\",\"text\":");
    object::push_str(&mut out, &said(fault));
    out.extend_from_slice(b"}],\"isError\":true");
    if era == Era::Modern {
        out.extend_from_slice(b",\"resultType\":\"complete\"");
    }
    out.extend_from_slice(b",\"_meta\":{\"io.trunkline/fault\":");
    let fault =
        serde_json::json!({ "code": fault.code, "blame": fault.blame, "retry": fault.retry.to_string() });
    out.extend_from_slice(fault.to_string().as_bytes());
    out.extend_from_slice(b"}}");
    out.into()
}

#[cfg(test)]
mod tests {
    use super::{Reply, reply};
    use model::{CallKind, Code, Era, Fault};
    use wire::RpcCode;

    #[test]
    fn what_the_model_can_act_on_is_a_tool_result_and_the_rest_an_error() {
        let late = Fault::new(Code::TIMEOUT, "no answer within 5 ms");
        assert!(matches!(reply(&late, Some(CallKind::Tool), Era::Modern), Reply::Result(_)));
        assert!(matches!(
            reply(&late, Some(CallKind::Resource), Era::Modern),
            Reply::Error(RpcCode::INTERNAL, _)
        ));
        let absent = Fault::new(Code::NOT_FOUND, "no tool `x`");
        assert!(matches!(
            reply(&absent, Some(CallKind::Tool), Era::Legacy),
            Reply::Error(RpcCode::INVALID_PARAMS, _)
        ));
        assert!(matches!(
            reply(&absent, Some(CallKind::Resource), Era::Legacy),
            Reply::Error(RpcCode::RESOURCE_NOT_FOUND, _)
        ));
    }
}
