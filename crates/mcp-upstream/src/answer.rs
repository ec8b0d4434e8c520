//! Answers on their way down: what an answer means in the era it came from.

use bytes::Bytes;
use connector::{Outcome, Peer};
use model::{CallKind, Era};
use wire::object::{items, push_str, quoted};
use wire::{Envelope, Object, RpcCode};

use crate::trouble::Trouble;

/// A JSON-RPC answer, its payload raw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Result(Bytes),
    Error(Bytes),
}

impl Answer {
    /// The result, where an error is no answer to live with.
    pub(crate) fn into_result(self) -> Result<Bytes, Trouble> {
        match self {
            Self::Result(result) => Ok(result),
            Self::Error(error) => Err(Trouble::Rpc {
                code: wire::error::code_of(&error).map_or(0, |code| code.0),
                message: wire::error::message_of(&error).unwrap_or_default().chars().take(300).collect(),
            }),
        }
    }

    /// The answer to request `id` in a frame that holds nothing else. An error without an id counts: some
    /// servers could not tell which request it was, and only one was asked.
    pub(crate) fn from_frame(frame: &Bytes, id: &[u8]) -> Result<Self, Trouble> {
        match Envelope::parse(frame) {
            Ok(Envelope::Response { id: answered, result }) if answered == id => {
                Ok(Self::Result(frame.slice_ref(result)))
            }
            Ok(Envelope::Error { id: answered, error }) if answered.is_none_or(|a| a == id) => {
                Ok(Self::Error(frame.slice_ref(error)))
            }
            Ok(_) => Err(Trouble::BadAnswer("it answers something that was not asked".to_owned())),
            Err(error) => Err(Trouble::BadAnswer(error.to_string())),
        }
    }
}

/// What an answer of a server of `era` means for the call.
pub(crate) fn outcome(era: Era, kind: CallKind, peer: &Peer, answer: Answer) -> Result<Outcome, Trouble> {
    let result = match answer {
        Answer::Result(result) => result,
        Answer::Error(error) => {
            if era == Era::Legacy
                && peer.era == Some(Era::Modern)
                && let Some(result) = url_elicitation(&error)
            {
                return Ok(Outcome::InputRequired { result });
            }
            return Ok(Outcome::RpcError { error });
        }
    };
    // A second handle on the same bytes: one is looked into, the other handed on.
    let looked_at = result.clone();
    let object =
        Object::scan(&looked_at).map_err(|error| Trouble::BadAnswer(format!("its result: {error}")))?;
    if era == Era::Legacy {
        let is_task = kind == CallKind::Tool && object.get("task").is_some_and(|t| t.first() == Some(&b'{'));
        let is_error = object.is_true("isError");
        return Ok(if is_task { Outcome::Task { result } } else { Outcome::Complete { result, is_error } });
    }
    match object.get("resultType") {
        None | Some(b"\"complete\"") => {
            let is_error = object.is_true("isError");
            Ok(Outcome::Complete { result, is_error })
        }
        Some(b"\"input_required\"") => Ok(Outcome::InputRequired { result }),
        Some(b"\"task\"") => Ok(Outcome::Task { result }),
        Some(other) => {
            let shown: String = String::from_utf8_lossy(other).chars().take(40).collect();
            Err(Trouble::BadAnswer(format!("resultType {shown} is unknown")))
        }
    }
}

/// The error `-32042` of 2025-11-25 as a modern question: one `url` elicitation per URL to open.
fn url_elicitation(error: &[u8]) -> Option<Bytes> {
    if wire::error::code_of(error) != Some(RpcCode::URL_ELICITATION) {
        return None;
    }
    let error = Object::scan(error).ok()?;
    let data = Object::scan(error.get("data")?).ok()?;
    let asked = items(data.get("elicitations")?)?;
    let mut out = br#"{"resultType":"input_required","inputRequests":{"#.to_vec();
    for (n, elicitation) in asked.iter().take(ELICITATIONS_MAX).enumerate() {
        let elicitation = Object::scan(elicitation).ok()?;
        // The id means nothing in the modern era; everything else is kept.
        let params = elicitation.edit(&[("elicitationId", None), ("mode", Some(&quoted("url")))]);
        // This goes out as words of ours: what a strict reader would refuse (a lone surrogate, say) stays an error.
        serde_json::from_slice::<serde_json::Value>(&params).ok()?;
        let key = if n == 0 { "url_elicitation".to_owned() } else { format!("url_elicitation_{}", n + 1) };
        if n > 0 {
            out.push(b',');
        }
        push_str(&mut out, &key);
        out.extend_from_slice(br#":{"method":"elicitation/create","params":"#);
        out.extend_from_slice(&params);
        out.push(b'}');
    }
    out.extend_from_slice(b"}}");
    (!asked.is_empty()).then(|| out.into())
}

/// URLs that one error may ask to be opened.
const ELICITATIONS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::{Answer, outcome};
    use bytes::Bytes;
    use connector::{Outcome, Peer};
    use model::{CallKind, Era};

    fn read(era: Era, result: &'static str) -> Result<Outcome, super::Trouble> {
        outcome(era, CallKind::Tool, &Peer::plain(), Answer::Result(Bytes::from_static(result.as_bytes())))
    }

    #[test]
    fn each_era_has_its_own_kinds_of_result() {
        assert!(matches!(
            read(Era::Modern, r#"{"resultType":"complete"}"#),
            Ok(Outcome::Complete { is_error: false, .. })
        ));
        assert!(matches!(
            read(Era::Modern, r#"{"isError":true}"#),
            Ok(Outcome::Complete { is_error: true, .. })
        ));
        assert!(matches!(
            read(Era::Modern, r#"{"resultType":"input_required"}"#),
            Ok(Outcome::InputRequired { .. })
        ));
        assert!(matches!(
            read(Era::Modern, r#"{"resultType":"task","taskId":"1"}"#),
            Ok(Outcome::Task { .. })
        ));
        assert!(matches!(read(Era::Legacy, r#"{"task":{"taskId":"1"}}"#), Ok(Outcome::Task { .. })));
        assert!(matches!(read(Era::Legacy, r#"{"content":[]}"#), Ok(Outcome::Complete { .. })));
        for bad in [r#"{"resultType":"surprise"}"#, "[]", "7", r#"{"a":1,"a":2}"#] {
            assert!(read(Era::Modern, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_to_open_becomes_a_modern_question_for_modern_clients_only() {
        let error = Bytes::from_static(
            br#"{"code":-32042,"message":"m","data":{"elicitations":[
            {"mode":"url","elicitationId":"e1","url":"https://a/","message":"go"}]}}"#,
        );
        let modern = Peer { era: Some(Era::Modern), ..Peer::plain() };
        let asked = outcome(Era::Legacy, CallKind::Tool, &modern, Answer::Error(error.clone())).unwrap();
        let Outcome::InputRequired { result } = asked else { panic!("{asked:?}") };
        let value: serde_json::Value = serde_json::from_slice(&result).unwrap();
        assert_eq!(value["inputRequests"]["url_elicitation"]["params"]["url"], "https://a/");
        assert!(value["inputRequests"]["url_elicitation"]["params"].get("elicitationId").is_none());
        let plain = outcome(Era::Legacy, CallKind::Tool, &Peer::plain(), Answer::Error(error)).unwrap();
        assert!(matches!(plain, Outcome::RpcError { .. }));
    }
}
