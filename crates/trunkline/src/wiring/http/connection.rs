//! One client's connection over HTTP, from its first byte to its last.
//!
//! The HTTP library keeps its buffers for as long as it has the connection, used or not: more than twenty kilobytes.
//! So it has an HTTP/1 connection only while there is something to do. One that has been silent for a while is
//! parked: what is left of it then is its socket and the time until which it may stay silent.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ::http::{Method, Request, Response, Version};
use axum::body::Body;
use http_body::Body as _;
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::events::{self, Loan, Outgoing};
use super::head::{HEAD_TIMEOUT, HeadTimer};
use super::wire::{Places, Wire, lock};
use super::{Phase, reached};
use mcp_door::DoorBody;
use tokio::sync::{Notify, watch};

/// How HTTP/2 begins (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// An answer on its way. In a box, and each in one only: a connection keeps room for the future of a request for as
/// long as it lives, and futures around futures are moved about at every request.
pub(super) type Answering = Pin<Box<dyn Future<Output = Response<Either<DoorBody, Body>>> + Send>>;

/// What answers requests.
pub(super) trait Answers: Send + Sync + 'static {
    /// The answer to one request from that address.
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: IpAddr) -> Answering;
}

/// What one connection is served with.
pub(super) struct Serving<A> {
    pub(super) answers: Arc<A>,
    /// Where it comes from.
    pub(super) peer: IpAddr,
    /// Longest head of a request.
    pub(super) header_bytes: usize,
    /// Where the hub is in its life.
    pub(super) phase: watch::Receiver<Phase>,
    /// Told when the library has let go of a connection.
    pub(super) let_go: Arc<Notify>,
}

/// What a turn of the library leaves behind.
enum Left<S> {
    /// Nothing: the connection is over, or has become something else.
    Nothing,
    /// A silent connection, and until when it may be so.
    Idle(Wire<S>, Instant),
    /// A stream that goes on.
    Streaming(Wire<S>, Loan),
}

/// How a turn of the library went.
enum Turn {
    Ended(hyper::Result<()>),
    Idle(Instant),
    Streaming(Loan),
}

/// Serves one connection until it is over.
pub(super) async fn serve<S, A>(stream: S, places: Places, serving: &Serving<A>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answers,
{
    let mut wire = Wire::new(stream, places);
    let mut until = Instant::now() + HEAD_TIMEOUT;
    if !wait(&mut wire, until, &serving.phase, is_told_apart).await {
        return;
    }
    // In boxes, because a connection that waits should not hold room for one that is served.
    if wire.ahead() == PREFACE {
        return Box::pin(serve_http2(wire, serving)).await;
    }
    loop {
        match Box::pin(serve_http1(wire, until, serving)).await {
            Left::Nothing => return,
            Left::Idle(idle, left) => (wire, until) = (idle, left),
            Left::Streaming(streaming, loan) => {
                wire = streaming;
                if !Box::pin(stream_on(&mut wire, loan, &serving.phase)).await {
                    return;
                }
                until = Instant::now() + HEAD_TIMEOUT;
            }
        }
        if wire.ahead().is_empty() && !wait(&mut wire, until, &serving.phase, |_| true).await {
            return;
        }
    }
}

/// Whether these first bytes tell which version of HTTP is spoken.
fn is_told_apart(first: &[u8]) -> bool {
    first.len() >= PREFACE.len() || !PREFACE.starts_with(first)
}

/// Waits for the first bytes of a request, holding nothing but the socket. False when there will be none: the client
/// has gone, has been silent for too long, or the hub stops.
async fn wait<S>(
    wire: &mut Wire<S>,
    until: Instant,
    phase: &watch::Receiver<Phase>,
    is_enough: fn(&[u8]) -> bool,
) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut draining = phase.clone();
    let is_there = tokio::select! {
        is_there = hear(wire, is_enough) => is_there,
        () = tokio::time::sleep_until(until) => false,
        () = reached(&mut draining, Phase::Draining) => false,
    };
    if !is_there {
        let _ = tokio::time::timeout(GOODBYE, wire.shutdown()).await;
    }
    is_there
}

async fn hear<S: AsyncRead + Unpin>(wire: &mut Wire<S>, is_enough: fn(&[u8]) -> bool) -> bool {
    loop {
        match wire.hear().await {
            Ok(true) if is_enough(wire.ahead()) => return true,
            Ok(true) => {}
            // The end of a client that has begun to say something: the library knows what to answer.
            Ok(false) => return !wire.ahead().is_empty(),
            Err(_) => return false,
        }
    }
}

/// Serves requests until the connection ends, or the library has nothing to do any more.
async fn serve_http1<S, A>(wire: Wire<S>, until: Instant, serving: &Serving<A>) -> Left<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answers,
{
    let signs = Arc::clone(&wire.signs);
    *lock(&signs.head_deadline) = Some(until);
    let (answers, peer, lender) = (Arc::clone(&serving.answers), serving.peer, Arc::clone(&signs));
    let service = service_fn(move |request: Request<Incoming>| {
        let (is_lendable, is_last) = (is_lendable(&request), events::says_close(request.headers()));
        let (lender, answering) = (Arc::clone(&lender), Arc::clone(&answers).answer(request, peer));
        async move {
            let (head, body) = answering.await.into_parts();
            let body = match body {
                Either::Left(body) if is_lendable && body.is_events() => {
                    Either::Left(Outgoing::lend(body, is_last, lender))
                }
                Either::Left(body) => Either::Left(Outgoing::Own(body)),
                Either::Right(body) => Either::Right(body),
            };
            Ok::<_, Infallible>(Response::from_parts(head, body))
        }
    });
    let mut connection = http1::Builder::new()
        .timer(HeadTimer(Arc::clone(&signs)))
        .header_read_timeout(HEAD_TIMEOUT)
        // The smallest buffer that the library accepts is 8 KiB; the configuration's smallest limit too.
        .max_buf_size(serving.header_bytes.max(8192))
        .serve_connection(TokioIo::new(wire), service)
        .with_upgrades();
    let (mut draining, mut over) = (serving.phase.clone(), serving.phase.clone());
    let turn = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(Turn::Ended(ended));
        }
        if let Some(until) = signs.take_idle() {
            return Poll::Ready(Turn::Idle(until));
        }
        signs.take_stream().map_or(Poll::Pending, |loan| Poll::Ready(Turn::Streaming(loan)))
    });
    let turn = tokio::select! {
        turn = turn => turn,
        () = reached(&mut draining, Phase::Draining) => {
            // What was asked is answered, and nothing new is taken. Event streams never end by themselves.
            Pin::new(&mut connection).graceful_shutdown();
            tokio::select! {
                ended = &mut connection => Turn::Ended(ended),
                () = reached(&mut over, Phase::Over) => Turn::Ended(Ok(())),
            }
        }
    };
    let left = match turn {
        Turn::Ended(ended) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended badly");
            }
            None
        }
        // Nothing is lost with the library's state: nothing is being asked, and all that was said has been sent.
        Turn::Idle(until) => unused(connection).map(|wire| Left::Idle(wire, until)),
        Turn::Streaming(loan) => unused(connection).map(|wire| Left::Streaming(wire, loan)),
    };
    *lock(&signs.timer) = None;
    serving.let_go.notify_one();
    left.unwrap_or(Left::Nothing)
}

/// Takes a connection back from the library, with what it has read and not used.
fn unused<S, H>(connection: http1::UpgradeableConnection<TokioIo<Wire<S>>, H>) -> Option<Wire<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: hyper::service::HttpService<Incoming, ResBody = Either<Outgoing, Body>, Error = Infallible>,
{
    let parts = connection.into_parts()?;
    let mut wire = parts.io.into_inner();
    wire.put_back(parts.read_buf);
    Some(wire)
}

/// Goes on with a stream until it ends. True when its connection goes on after it.
async fn stream_on<S>(wire: &mut Wire<S>, loan: Loan, phase: &watch::Receiver<Phase>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut over = phase.clone();
    let goes_on = tokio::select! {
        ended = events::go_on(wire, loan) => ended.unwrap_or(false),
        () = reached(&mut over, Phase::Over) => false,
    };
    if !goes_on {
        let _ = tokio::time::timeout(GOODBYE, wire.shutdown()).await;
    }
    goes_on
}

/// A stream can be taken back from the library only where its request has been read to the end, or the rest would be
/// taken for the next one: it had no body, or it was posted, and then the door has read the body whole. HTTP/1.0 knows
/// no chunks.
fn is_lendable(request: &Request<Incoming>) -> bool {
    let is_whole = request.body().is_end_stream() || request.method() == Method::POST;
    is_whole && request.version() == Version::HTTP_11
}

/// Serves HTTP/2 until the connection ends.
async fn serve_http2<S, A>(wire: Wire<S>, serving: &Serving<A>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answers,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(HEAD_TIMEOUT))
        .max_header_list_size(u32::try_from(serving.header_bytes).unwrap_or(u32::MAX));
    let (answers, peer) = (Arc::clone(&serving.answers), serving.peer);
    let service = service_fn(move |request| {
        let answering = Arc::clone(&answers).answer(request, peer);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let connection = builder.serve_connection(TokioIo::new(wire), service);
    let mut connection = std::pin::pin!(connection);
    let (mut draining, mut over) = (serving.phase.clone(), serving.phase.clone());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = reached(&mut draining, Phase::Draining) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = reached(&mut over, Phase::Over) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

#[cfg(test)]
mod tests;
