//! What an answer means: a result, a failure that the caller is told, or a fault of the way there. A function of
//! values.

use std::time::Duration;

use catalog::api::{Api, Reset, Tool};
use model::{Blame, Code, Fault, Retry, Timestamp};
use serde_json::{Value, json};

use crate::Answer;

/// How much of an API's words is repeated, characters.
const WORDS_MAX: usize = 1_000;
/// The longest wait that an API's word is believed for.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// A failure that the API tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
}

/// Reads a body: JSON where it is that, else a text; null where there is none.
pub(crate) fn body(answer: &Answer) -> Value {
    if answer.body.is_empty() {
        return Value::Null;
    }
    match serde_json::from_slice(&answer.body) {
        Ok(value) => value,
        Err(_) => String::from_utf8_lossy(&answer.body).into_owned().into(),
    }
}

/// The failure that an answer tells, if it does.
pub(crate) fn failure(api: &Api, answer: &Answer, body: &Value) -> Option<Failure> {
    let text_at = |paths: &[catalog::api::Path]| {
        paths.iter().find_map(|path| match path.find(body)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    };
    let is_disguised =
        api.errors.failed_when.as_ref().is_some_and(|(path, means)| path.find(body) == Some(means));
    // GraphQL tells failures with status 200, and `errors` beside no data.
    let is_graphql = body.get("errors").and_then(Value::as_array).is_some_and(|errors| !errors.is_empty())
        && body.get("data").is_none_or(Value::is_null);
    if answer.status < 300 && !is_disguised && !is_graphql {
        return None;
    }
    let code = text_at(&api.errors.code);
    let message = text_at(&api.errors.message)
        .or_else(|| body.pointer("/errors/0/message").and_then(Value::as_str).map(str::to_owned))
        .or_else(|| match body {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        })
        .unwrap_or_default();
    let meant = api.errors.statuses.iter().find(|(word, _)| Some(word) == code.as_ref());
    let status = match (answer.status, meant) {
        (_, Some((_, status))) => *status,
        (status, None) if status < 300 => 400,
        (status, None) => status,
    };
    Some(Failure { status, code, message: message.chars().take(WORDS_MAX).collect() })
}

/// How long to wait before the next request, as the answer has it.
pub(crate) fn wait(api: &Api, answer: &Answer, now: Timestamp) -> Option<Duration> {
    let seconds = |text: &str| text.trim().parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
    let after = answer.header(&api.rate.retry_after).and_then(|text| match seconds(text) {
        Some(seconds) => Some(seconds),
        None => http_date(text).map(|at| at.ms_since(now).max(0) as f64 / 1000.0),
    });
    let reset = || {
        let (name, how) = api.rate.reset.as_ref()?;
        let said = answer.header(name).and_then(seconds)?;
        let now_s = now.0 as f64 / 1000.0;
        Some(match how {
            Reset::Seconds => said,
            Reset::Epoch => (said - now_s).max(0.0),
            Reset::EpochMs => (said / 1000.0 - now_s).max(0.0),
        })
    };
    after.or_else(reset).map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_MAX).min(WAIT_MAX))
}

/// True when the answer says that nothing is left for now.
pub(crate) fn is_used_up(api: &Api, answer: &Answer) -> bool {
    let remaining = api.rate.remaining.as_ref().and_then(|name| answer.header(name));
    remaining.and_then(|text| text.trim().parse::<f64>().ok()).is_some_and(|left| left < 1.0)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7, the one form that is written today).
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_whitespace().skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    Timestamp::from_rfc3339(&format!("{year}-{month:02}-{day:0>2}T{time}Z"))
}

/// A failure as a fault, where it is one of the way there: the credentials, the pace, a server that is down.
/// `None` for what the caller is told as the tool's own answer.
pub(crate) fn fault(
    name: &str,
    failure: &Failure,
    wait: Option<Duration>,
    is_replayable: bool,
) -> Option<Fault> {
    let said = said(name, failure);
    match failure.status {
        401 => Some(Fault::new(Code::UPSTREAM_REFUSED, said).with_hint(
            "the credential is wrong, was revoked or has expired: store a new one, or authorise again",
        )),
        429 => Some(rate_limited(said, wait.unwrap_or(Duration::from_secs(1)))),
        502..=504 => {
            let retry = match (is_replayable, wait) {
                (_, Some(wait)) if failure.status == 503 => {
                    Retry::AfterMs(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX))
                }
                (true, _) => Retry::Safe,
                (false, _) => Retry::OutcomeUnknown,
            };
            Some(Fault::new(Code::UNREACHABLE, said).with_retry(retry).with_hint("try again later"))
        }
        _ => None,
    }
}

/// The fault of being asked too much, with how long to wait.
pub(crate) fn rate_limited(said: String, wait: Duration) -> Fault {
    let ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
    Fault::new(Code::RATE_LIMITED, said)
        .with_blame(Blame::Upstream)
        .with_retry(Retry::AfterMs(ms))
        .with_hint(format!("wait {:.0} s, or ask for less at once", wait.as_secs_f64().ceil()))
}

/// In words: who, which status, what it said.
pub(crate) fn said(name: &str, failure: &Failure) -> String {
    let mut out = format!("{name} answered {}", failure.status);
    if !failure.message.is_empty() {
        out.push_str(&format!(": {}", failure.message));
    }
    if let Some(code) = &failure.code
        && !failure.message.contains(code.as_str())
    {
        out.push_str(&format!(" ({code})"));
    }
    out
}

/// The tool result of a failure that the caller is told.
pub(crate) fn told(name: &str, tool: &Tool, failure: &Failure) -> Vec<u8> {
    let mut words = said(name, failure);
    if failure.status == 403 && !tool.scopes.is_empty() {
        words.push_str(&format!(". The tool needs leave for: {}", tool.scopes.join(" or ")));
    }
    json!({
        "content": [{ "type": "text", "text": words }],
        "structuredContent": { "status": failure.status, "code": failure.code, "message": failure.message },
        "isError": true,
    })
    .to_string()
    .into_bytes()
}

/// The tool result of a value.
pub(crate) fn result(value: &Value) -> Vec<u8> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "done".to_owned(),
        other => other.to_string(),
    };
    let mut out = json!({ "content": [{ "type": "text", "text": text }] });
    if let (Some(members), Value::Object(_)) = (out.as_object_mut(), value) {
        members.insert("structuredContent".to_owned(), value.clone());
    }
    out.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::http_date;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap().0, 784_111_777_000);
        assert!(http_date("soon").is_none());
    }
}
