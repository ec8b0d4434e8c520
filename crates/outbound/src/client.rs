//! The HTTP client: one request out, one response head back, the body as it comes.

use std::sync::atomic::Ordering;

use tokio::time::{Instant, timeout_at};

use crate::dial::dial_origin;
use crate::http1::{Broken, Conn};
use crate::http2::{self, Shared};
use crate::pool::Turn;
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
    /// A request goes out at most once, with these exceptions: when not one byte of it was taken; when it is
    /// replayable and a reused connection ended without a byte of answer; and when the server said that it has not
    /// acted on it (HTTP/2: a refused stream, one beyond the last that a GOAWAY names). Dropping the future, or later
    /// the body, closes the connection, or resets the stream of a shared one.
    ///
    /// # Errors
    /// [`OutboundError`]; [`OutboundError::is_unsent`] says whether the server can have acted.
    pub async fn send(&self, target: &Target, request: Outgoing<'_>) -> Result<Response, OutboundError> {
        send(target, request, true).await
    }

    /// The same by HTTP/1.1, for what needs the connection for itself.
    pub(crate) async fn send_alone(
        &self,
        target: &Target,
        request: Outgoing<'_>,
    ) -> Result<Response, OutboundError> {
        send(target, request, false).await
    }
}

/// What a request is sent on.
enum Way {
    Own { conn: Box<Conn>, is_reused: bool },
    Shared { shared: Shared, is_reused: bool },
}

async fn send(target: &Target, request: Outgoing<'_>, may_share: bool) -> Result<Response, OutboundError> {
    let host = || target.origin.host.clone();
    let began = Instant::now();
    let times = target.origin.route.times();
    let deadline = times.total.map_or(request.deadline, |total| request.deadline.min(began + total));
    let mut is_again = false;
    loop {
        let way = way_to(target, deadline, may_share && target.origin.may_share(), is_again).await?;
        let head_by = times.first_byte.map_or(deadline, |time| deadline.min(Instant::now() + time));
        let request = Outgoing { deadline: head_by, ..request };
        let may_again = !is_again;
        is_again = true;
        match way {
            Way::Own { conn, is_reused } => {
                // A fresh connection that fails is not tried again.
                if let Some(response) = send_one(target, &request, conn, is_reused).await? {
                    return Ok(response);
                }
            }
            Way::Shared { shared, is_reused } => {
                let exchanged = timeout_at(head_by, shared.exchange(target, &request)).await;
                match exchanged.map_err(|_| OutboundError::Timeout { host: host(), was_sent: true })? {
                    Ok((status, headers, incoming)) => {
                        let body = Body::of_stream(incoming, target);
                        return Ok(Response { status, headers, body }.paced(target, began));
                    }
                    Err(http2::Broken::WantsOld) => target.origin.is_old.store(true, Ordering::Relaxed),
                    Err(http2::Broken::Unsent(_)) if may_again => {}
                    Err(http2::Broken::Ended { heard: false, .. })
                        if may_again && is_reused && request.is_replayable => {}
                    Err(broken) => return Err(told(broken, &target.origin.host)),
                }
            }
        }
    }
}

fn told(broken: http2::Broken, host: &str) -> OutboundError {
    let host = host.to_owned();
    match broken {
        http2::Broken::Unsent(why) => OutboundError::Closed { host, why, was_sent: false },
        http2::Broken::WantsOld => {
            OutboundError::Closed { host, why: "it wants HTTP/1.1".to_owned(), was_sent: false }
        }
        http2::Broken::Certificate(why, advice) => OutboundError::Tls { host, why, advice },
        http2::Broken::Ended { why, .. } => OutboundError::Closed { host, why, was_sent: true },
        http2::Broken::NotHttp(why) => OutboundError::NotHttp { host, why },
    }
}

/// A connection to send on: one that is there, or a fresh one. `is_again`: no rested one, which failed just now.
async fn way_to(
    target: &Target,
    deadline: Instant,
    may_share: bool,
    is_again: bool,
) -> Result<Way, OutboundError> {
    let origin = &target.origin;
    let late = |_| OutboundError::Timeout { host: origin.host.clone(), was_sent: false };
    let mut turn = None;
    let mut has_waited = false;
    loop {
        if may_share && let Some(shared) = pool::shared(origin.id) {
            return Ok(Way::Shared { shared, is_reused: true });
        }
        if !is_again && let Some(conn) = pool::take(origin.id) {
            return Ok(Way::Own { conn, is_reused: true });
        }
        if !may_share || has_waited || turn.is_some() || origin.is_old.load(Ordering::Relaxed) {
            break;
        }
        match pool::turn(origin.id) {
            // Looked once more: it may have been somebody else's until just now.
            Turn::Mine(mine) => turn = Some(mine),
            Turn::Wait(gate) => {
                drop(timeout_at(deadline, gate.lock()).await.map_err(late)?);
                has_waited = true;
            }
        }
    }
    let (stream, is_two) = timeout_at(deadline, dial_origin(origin, may_share)).await.map_err(late)??;
    if !is_two {
        if may_share {
            origin.is_old.store(true, Ordering::Relaxed);
        }
        return Ok(Way::Own { conn: Box::new(Conn::new(stream)), is_reused: false });
    }
    let starting = timeout_at(deadline, Shared::start(stream, origin.shows_certificate()));
    let shared = starting.await.map_err(late)?.map_err(|broken| told(broken, &origin.host))?;
    pool::share(origin.id, &shared);
    drop(turn);
    Ok(Way::Shared { shared, is_reused: false })
}

/// Sends on a connection of its own. `None`: it was one that had rested, and the server closed it meanwhile.
async fn send_one(
    target: &Target,
    request: &Outgoing<'_>,
    mut conn: Box<Conn>,
    is_reused: bool,
) -> Result<Option<Response>, OutboundError> {
    let host = || target.origin.host.clone();
    let began = Instant::now();
    match timeout_at(request.deadline, conn.exchange(target, request)).await {
        Err(_) => Err(OutboundError::Timeout { host: host(), was_sent: true }),
        Ok(Ok(parsed)) => {
            if parsed.status == 400
                && let Ok(Some(said)) = timeout_at(request.deadline, conn.certificate_trouble(&parsed)).await
            {
                let (why, advice) = tls::wanted(said, target.origin.shows_certificate());
                return Err(OutboundError::Tls { host: host(), why, advice });
            }
            // To where a redirect led nobody comes back under the same name.
            let keep = parsed.keep && !target.origin.is_stranger;
            let body = Body::new(conn, parsed.framing, keep, target);
            let response = Response { status: parsed.status, headers: parsed.headers, body };
            Ok(Some(response.paced(target, began)))
        }
        // On a connection that has served before, the server was content with the certificates once: how far it got
        // with this request is not known.
        Ok(Err(Broken::Tls(error))) if is_reused => {
            Err(OutboundError::Closed { host: host(), why: error.to_string(), was_sent: true })
        }
        Ok(Err(Broken::Tls(error))) => {
            let has_certificate = target.origin.shows_certificate();
            let (why, advice) = tls::late_refusal(&error, has_certificate)
                .unwrap_or_else(|| (error.to_string(), "check the certificates of both sides"));
            Err(OutboundError::Tls { host: host(), why, advice })
        }
        Ok(Err(Broken::NotHttp(why))) => Err(OutboundError::NotHttp { host: host(), why }),
        Ok(Err(Broken::Ended { why, written, heard })) => {
            if is_reused && (written == 0 || (request.is_replayable && !heard)) {
                // The server closed it while it rested: the next one is fresh.
                return Ok(None);
            }
            Err(OutboundError::Closed { host: host(), why, was_sent: written > 0 })
        }
    }
}
