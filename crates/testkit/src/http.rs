//! The smallest HTTP client that a test needs: one request on one connection, the answer as it comes.
//! It follows nothing, retries nothing and believes nothing, so that a test sees what was really sent.

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// The longest body a test may receive.
const BODY_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// An answer whose body may still be on its way; dropping it closes the connection.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    buffered: BytesMut,
}

/// Sends one request. `Host` is set from the URL unless `headers` names another.
///
/// # Errors
/// When the URL is not `http://`, or nothing answers there.
pub async fn send(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> anyhow::Result<Reply> {
    let uri: Uri = url.parse().with_context(|| format!("the URL {url}"))?;
    let authority = uri.authority().with_context(|| format!("{url} has no host"))?.as_str().to_owned();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header(HOST, &authority);
    }
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_str(value)?);
    }
    let response = exchange(&authority, request.body(Full::new(body.into()))?).await?;
    let (head, body) = response.into_parts();
    Ok(Reply { status: head.status, headers: head.headers, body, buffered: BytesMut::new() })
}

/// Opens a connection to `authority`, sends the request as it is, and gives the answer back as it comes.
///
/// # Errors
/// When nothing listens there or the exchange breaks before an answer.
pub async fn exchange<B>(authority: &str, request: Request<B>) -> anyhow::Result<Response<Incoming>>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's client stands outside the product and its egress guard"
    )]
    let stream = TcpStream::connect(authority).await.with_context(|| format!("connecting to {authority}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer, or when the answer is dropped.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

impl Reply {
    /// A header as text, empty when it is missing or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The whole body.
    ///
    /// # Errors
    /// When the body breaks off, is too long, or is not UTF-8.
    pub async fn text(mut self) -> anyhow::Result<String> {
        while self.read_more().await? {}
        Ok(String::from_utf8(self.buffered.to_vec())?)
    }

    /// The whole body as JSON.
    ///
    /// # Errors
    /// When the body is not JSON; the message holds its beginning.
    pub async fn json(self) -> anyhow::Result<Value> {
        let status = self.status;
        let text = self.text().await?;
        serde_json::from_str(&text).with_context(|| {
            format!("status {status}, not JSON: {}", text.chars().take(500).collect::<String>())
        })
    }

    /// The data of the next server-sent event that has any, `None` when the stream has ended.
    ///
    /// # Errors
    /// When the stream breaks off or an event is too long.
    pub async fn event(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            while let Some(end) = end_of_event(&self.buffered) {
                let event = self.buffered.split_to(end);
                let text = std::str::from_utf8(&event)?;
                let data: Vec<&str> = text
                    .lines()
                    .filter_map(|line| line.strip_prefix("data:"))
                    .map(|data| data.trim_start())
                    .collect();
                let data = data.join("\n");
                // Comments keep a stream alive, and empty events only carry an id to resume from.
                if !data.is_empty() {
                    return Ok(Some(data));
                }
            }
            if !self.read_more().await? {
                return Ok(None);
            }
        }
    }

    async fn read_more(&mut self) -> anyhow::Result<bool> {
        let Some(frame) = self.body.frame().await else { return Ok(false) };
        if let Some(data) = frame?.data_ref() {
            if self.buffered.len() + data.len() > BODY_LIMIT_BYTES {
                bail!("more than {BODY_LIMIT_BYTES} bytes came");
            }
            self.buffered.extend_from_slice(data);
        }
        Ok(true)
    }
}

/// Where the first event ends, its blank line included.
fn end_of_event(bytes: &[u8]) -> Option<usize> {
    let find =
        |mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len());
    match (find(b"\n\n"), find(b"\r\n\r\n")) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::end_of_event;

    #[test]
    fn an_event_ends_at_its_blank_line_in_either_style() {
        assert_eq!(end_of_event(b"data: 1\n\ndata: 2"), Some(9));
        assert_eq!(end_of_event(b"data: 1\r\n\r\nrest\n\n"), Some(11));
        assert_eq!(end_of_event(b"data: half"), None);
    }
}
