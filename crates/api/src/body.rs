//! Request bodies: read up to the limit, and JSON or refused.

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use model::{Code, Fault};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::rescue::Problem;

/// Reads a JSON body into `T`; an empty one counts as `{}`.
pub(crate) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<T, Problem> {
    let bytes = object(headers, body, bytes_max).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_message(format!("the body does not fit: {error}"), "GET /openapi.json shows its schema")
    })
}

/// Reads a body that is a JSON object and gives it back as it came; an empty one is `{}`.
pub(crate) async fn object(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let bytes = read(body, bytes_max).await?;
    let trimmed = bytes.trim_ascii();
    if trimmed.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    check_type(headers)?;
    if let Err(error) = serde_json::from_slice::<&RawValue>(trimmed) {
        return Err(Problem::bad_message(format!("the body is not JSON: {error}"), "send one JSON object"));
    }
    if trimmed.first() != Some(&b'{') {
        return Err(Problem::bad_message(
            "the body is JSON, but not an object",
            "send one JSON object, or no body",
        ));
    }
    Ok(bytes.slice_ref(trimmed))
}

/// Reads a body up to the limit.
///
/// # Errors
/// It is larger, or ended early.
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::from(
            Fault::new(Code::TOO_LARGE, format!("the body is larger than {bytes_max} bytes"))
                .with_hint("send less, or raise `limits.body_bytes`"),
        )
    };
    // What announces its size is refused before the first byte is kept.
    if body.size_hint().lower() > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::bad_message("the body ended before it was complete", "send it again")),
    }
}

/// JSON, or nothing said. Forms and plain text are what a foreign page can send without asking.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or("?").to_ascii_lowercase();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let fault = Fault::new(Code::UNSUPPORTED, format!("the body's type `{essence}` is not served"))
        .with_hint("send `Content-Type: application/json`");
    Err(Problem::from(fault).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

/// A whole number, however it is written: to JSON Schema `3.0` is an integer.
///
/// # Errors
/// A fraction, another type, or a number that does not fit `T`.
pub(crate) fn whole<'de, T: TryFrom<i64>, D: Deserializer<'de>>(source: D) -> Result<Option<T>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(source)? else { return Ok(None) };
    // Every integer of up to 2^53 stands exactly in a double; what is larger is no length of time.
    let exact = number.as_i64().or_else(|| number.as_f64().and_then(exactly));
    let value = exact.and_then(|value| T::try_from(value).ok());
    value
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("`{number}` is not a whole number that fits here")))
}

/// The same where one has to be there.
pub(crate) fn whole_required<'de, T: TryFrom<i64>, D: Deserializer<'de>>(source: D) -> Result<T, D::Error> {
    whole(source)?.ok_or_else(|| D::Error::custom("null, where a whole number has to be"))
}

fn exactly(value: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "no fraction, and within what a double holds exactly"
    )]
    (value.fract() == 0.0 && value.abs() <= EXACT_MAX).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "super::whole")]
        n: Option<u32>,
    }

    fn read(text: &str) -> Result<Option<u32>, String> {
        serde_json::from_str::<Body>(text).map(|body| body.n).map_err(|error| error.to_string())
    }

    #[test]
    fn whole_numbers_may_be_written_as_fractions_and_fractions_may_not() {
        assert_eq!(read(r#"{"n":3}"#), Ok(Some(3)));
        assert_eq!(read(r#"{"n":3.0}"#), Ok(Some(3)));
        assert_eq!(read(r#"{"n":3e2}"#), Ok(Some(300)));
        assert_eq!((read(r#"{"n":null}"#), read("{}")), (Ok(None), Ok(None)));
        for bad in ["3.5", "-1", "4294967296", "1e300", "\"3\"", "true"] {
            assert!(read(&format!("{{\"n\":{bad}}}")).is_err(), "{bad}");
        }
    }
}
