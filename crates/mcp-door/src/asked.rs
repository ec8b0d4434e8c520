//! Legacy clients of modern upstreams: the upstream's `input_required` becomes questions to the client, and
//! its answers become the retry (MCP 2026-07-28, multi round-trip requests).

use std::sync::Arc;

use bytes::Bytes;
use call::{AskError, Downstream, Question};
use futures_util::future::join_all;
use model::{Code, Fault};
use wire::{Object, object};

/// How often one call may come back with questions.
pub(crate) const ROUNDS_MAX: usize = 10;

/// Answers the questions of `result` through `downstream`, and gives the parameters of the next round.
pub(crate) async fn next_round(
    result: &[u8],
    params: &[u8],
    downstream: &Arc<dyn Downstream>,
) -> Result<Bytes, Fault> {
    let unusable = |why: &str| {
        Fault::new(Code::BAD_ANSWER, format!("the upstream asks for input in an unusable way: {why}"))
    };
    let result = Object::scan(result).map_err(|e| unusable(&e.to_string()))?;
    let state = result.get("requestState");
    let mut answers = Vec::from(*b"{");
    match result.get("inputRequests") {
        None if state.is_none() => return Err(unusable("neither inputRequests nor requestState")),
        // Nothing to ask: the upstream only wants to be called again; a moment later is kinder.
        None => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        Some(requests) => {
            let requests = Object::scan(requests).map_err(|e| unusable(&e.to_string()))?;
            let asked =
                requests.iter().map(|(key, request)| async move { (key, ask(request, downstream).await) });
            for (n, (key, answer)) in join_all(asked).await.into_iter().enumerate() {
                if n > 0 {
                    answers.push(b',');
                }
                object::push_str(&mut answers, key);
                answers.push(b':');
                answers.extend_from_slice(&answer?);
            }
        }
    }
    answers.push(b'}');
    let params = Object::scan(params).map_err(|e| unusable(&e.to_string()))?;
    Ok(params.edit(&[("inputResponses", Some(&answers)), ("requestState", state)]).into())
}

/// Puts those of a task's questions that were not put yet; their answers as an object, `None` when none were new.
pub(crate) async fn answers(
    requests: &[u8],
    downstream: &Arc<dyn Downstream>,
    put: &mut ahash::AHashSet<String>,
) -> Result<Option<Vec<u8>>, Fault> {
    let requests = Object::scan(requests)
        .map_err(|error| Fault::new(Code::BAD_ANSWER, format!("unusable input requests: {error}")))?;
    let new: Vec<(&str, &[u8])> = requests.iter().filter(|(key, _)| put.insert((*key).to_owned())).collect();
    if new.is_empty() {
        return Ok(None);
    }
    let asked = new.into_iter().map(|(key, request)| async move { (key, ask(request, downstream).await) });
    let mut out = vec![b'{'];
    for (key, answer) in join_all(asked).await {
        if out.len() > 1 {
            out.push(b',');
        }
        object::push_str(&mut out, key);
        out.push(b':');
        out.extend_from_slice(&answer?);
    }
    out.push(b'}');
    Ok(Some(out))
}

async fn ask(request: &[u8], downstream: &Arc<dyn Downstream>) -> Result<Bytes, Fault> {
    let request = Object::scan(request)
        .map_err(|e| Fault::new(Code::BAD_ANSWER, format!("unusable input request: {e}")))?;
    let method = request.get_str("method").unwrap_or_default();
    let raw = request.get("params").unwrap_or(b"{}");
    let params = match Object::scan(raw) {
        // Revision 2025-11-25 requires an id here; 2026-07-28 has none.
        Ok(object)
            if object.get_str("mode").as_deref() == Some("url") && object.get("elicitationId").is_none() =>
        {
            object.edit(&[("elicitationId", Some(b"\"tl-elicitation\""))]).into()
        }
        _ => Bytes::copy_from_slice(raw),
    };
    match downstream.ask(Question { method: method.as_ref().into(), params }).await {
        Ok(answer) => Ok(answer),
        // Whoever does not want to answer a form has declined it; the tool decides what that means.
        Err(AskError::Refused(_)) if method == "elicitation/create" => {
            Ok(Bytes::from_static(b"{\"action\":\"cancel\"}"))
        }
        Err(error) => Err(unanswered(&method, &error)),
    }
}

/// A question without an answer, as a fault.
pub(crate) fn unanswered(method: &str, error: &AskError) -> Fault {
    let why = match error {
        AskError::Refused(raw) => wire::error::message_of(raw).unwrap_or_else(|| error.to_string()),
        _ => error.to_string(),
    };
    Fault::new(Code::UNANSWERED, format!("the tool needs an answer to {method}: {why}"))
        .with_hint("use a client that declares the capability, or answer in time")
}
