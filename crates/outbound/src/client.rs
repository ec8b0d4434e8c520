//! The HTTP client: one request out, one response head back, the body as it comes.

use tokio::time::{Instant, timeout_at};

use crate::dial::dial_origin;
use crate::http1::{Broken, Conn};
use crate::response::{Body, Response};
use crate::{Head, OutboundError, Target, pool, tls};

/// One request. Everything is borrowed: nothing is copied before it is written.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// `GET`, `POST`, `DELETE`, ...
    pub method: &'a str,
    /// Header lines beside those that frame the message.
    pub head: &'a Head,
    /// The body in parts, sent one after the other.
    pub body: &'a [&'a [u8]],
    /// Sending it twice does no harm: it may be repeated when a reused connection ends without an answer.
    pub is_replayable: bool,
    /// When the head of the answer has to be here.
    pub deadline: Instant,
}

/// Sends requests over keep-alive connections of the calling thread. Has no state of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Client {}

impl Client {
    /// A client.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }

    /// Sends a request and waits for the head of the answer. Redirects are answers like any other; who wants them
    /// followed uses [`Client::send_following`].
    ///
    /// A request goes out at most once, with two exceptions: when not one byte of it was taken, and when
    /// it is replayable and a reused connection ended without a byte of answer. Dropping the future, or
    /// later the body, closes the connection.
    ///
    /// # Errors
    /// [`OutboundError`]; [`OutboundError::is_unsent`] says whether the server can have acted.
    pub async fn send(&self, target: &Target, request: Outgoing<'_>) -> Result<Response, OutboundError> {
        let host = || target.origin.host.clone();
        let timeout = |was_sent| OutboundError::Timeout { host: host(), was_sent };
        let mut pooled = pool::take(target.origin.id);
        loop {
            let is_reused = pooled.is_some();
            let mut conn = match pooled.take() {
                Some(conn) => conn,
                None => {
                    let dialled = timeout_at(request.deadline, dial_origin(&target.origin)).await;
                    Box::new(Conn::new(dialled.map_err(|_| timeout(false))??))
                }
            };
            match timeout_at(request.deadline, conn.exchange(target, &request)).await {
                Err(_) => return Err(timeout(true)),
                Ok(Ok(parsed)) => {
                    if parsed.status == 400
                        && let Ok(Some(said)) =
                            timeout_at(request.deadline, conn.certificate_trouble(&parsed)).await
                    {
                        let (why, advice) = tls::wanted(said, target.origin.shows_certificate());
                        return Err(OutboundError::Tls { host: host(), why, advice });
                    }
                    // To where a redirect led nobody comes back under the same name.
                    let keep = parsed.keep && !target.origin.is_stranger;
                    let body = Body::new(conn, parsed.framing, keep, target);
                    return Ok(Response { status: parsed.status, headers: parsed.headers, body });
                }
                // On a connection that has served before, the server was content with the certificates once: how
                // far it got with this request is not known.
                Ok(Err(Broken::Tls(error))) if is_reused => {
                    return Err(OutboundError::Closed {
                        host: host(),
                        why: error.to_string(),
                        was_sent: true,
                    });
                }
                Ok(Err(Broken::Tls(error))) => {
                    let has_certificate = target.origin.shows_certificate();
                    let (why, advice) = tls::late_refusal(&error, has_certificate)
                        .unwrap_or_else(|| (error.to_string(), "check the certificates of both sides"));
                    return Err(OutboundError::Tls { host: host(), why, advice });
                }
                Ok(Err(Broken::NotHttp(why))) => return Err(OutboundError::NotHttp { host: host(), why }),
                Ok(Err(Broken::Ended { why, written, heard })) => {
                    if is_reused && (written == 0 || (request.is_replayable && !heard)) {
                        // The server closed it while it rested. `pooled` is empty now: the next one is fresh.
                        continue;
                    }
                    return Err(OutboundError::Closed { host: host(), why, was_sent: written > 0 });
                }
            }
        }
    }
}
