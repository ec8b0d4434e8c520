//! HTTP/2 (RFC 9113): one connection that many requests of a thread share.
//!
//! The frames are the `h2` crate's. What is ours: how much a server may make us keep (windows, heads, streams), how
//! it is noticed that a connection is dead, and which failures mean that a request was not acted on.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http1::{HEAD_MAX, INTERIM_MAX, PAGE_MAX, certificate_title};
use crate::response::{HEADERS_MAX, Headers};
use crate::{Outgoing, Stream, Target, tls};

/// What a server may send ahead of whoever reads, on one stream and on the whole connection. The second bounds what a
/// connection can make us keep.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// What is buffered of one request's body.
const SEND_MAX: usize = 64 << 10;
/// Requests on one connection at once, whatever the server would take.
const STREAMS_MAX: usize = 100;
/// A connection with open streams that is silent for so long is asked whether it lives, and has as long to answer.
const PING_AFTER: Duration = Duration::from_secs(20);
/// Headers of HTTP/1.1 that mean nothing here and may not be sent (RFC 9113 §8.2.2).
const HOP: &[&str] = &["keep-alive", "proxy-connection", "upgrade", "te", "http2-settings"];

/// A connection, for as many as it has room for.
#[derive(Clone)]
pub(crate) struct Shared {
    sender: SendRequest<Bytes>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    open: AtomicUsize,
    is_over: AtomicBool,
    /// Something came since this was last looked at.
    has_heard: AtomicBool,
    /// What the server minds about our certificate, told where an answer was due.
    refusal: Mutex<Option<(String, &'static str)>>,
}

/// One of the places on a connection.
struct Place(Arc<State>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why an exchange came to nothing.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The server has not acted on the request, and says so, or never saw it.
    Unsent(String),
    /// The server wants HTTP/1.1 for this; it has not acted on it.
    WantsOld,
    /// The server minds our certificate.
    Certificate(String, &'static str),
    /// The connection or the stream ended. `heard`: the answer had begun.
    Ended { why: String, heard: bool },
    /// What came is not HTTP/2 as it should be, or more than is taken.
    NotHttp(&'static str),
}

/// An answer's body as it comes.
pub(crate) struct Incoming {
    stream: RecvStream,
    /// Read before anybody asked.
    ahead: Bytes,
    _place: Place,
}

// === impl Shared ===

impl Shared {
    /// Begins to speak HTTP/2 on a fresh connection. The runtime that it is called on carries the connection.
    pub(crate) async fn start(io: Stream, shows_certificate: bool) -> Result<Self, Broken> {
        let state = Arc::new(State::default());
        let watched = Watched { io, state: Arc::clone(&state), shows_certificate };
        let (sender, mut connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_MAX)
            .handshake(watched)
            .await
            .map_err(|error| Broken::Unsent(error.to_string()))?;
        let ending = Arc::clone(&state);
        let pings = connection.ping_pong();
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "an HTTP/2 connection ended");
                    }
                }
                () = silence(pings, &ending) => tracing::debug!("an HTTP/2 connection does not answer pings"),
            }
            ending.is_over.store(true, Ordering::Relaxed);
        });
        Ok(Self { sender, state })
    }

    /// Whether requests may still be put on it.
    pub(crate) fn is_open(&self) -> bool {
        !self.state.is_over.load(Ordering::Relaxed)
    }

    /// How many requests are on it.
    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Ordering::Relaxed)
    }

    /// Whether it takes another one.
    pub(crate) fn has_room(&self) -> bool {
        self.open() < STREAMS_MAX.min(self.sender.current_max_send_streams())
    }

    /// Takes no more requests; those that are on it are finished.
    pub(crate) fn retire(&self) {
        self.state.is_over.store(true, Ordering::Relaxed);
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn exchange(
        &self,
        target: &Target,
        request: &Outgoing<'_>,
    ) -> Result<(u16, Headers, Incoming), Broken> {
        self.state.open.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.state));
        let head = compose(target, request)?;
        let is_bare = request.body.iter().all(|part| part.is_empty());
        let sender = self.sender.clone().ready().await;
        let mut sender = sender.map_err(|error| self.unsent(&error))?;
        let (answer, body) = sender.send_request(head, is_bare).map_err(|error| self.unsent(&error))?;
        let answer = self.answer_to(answer, body, request).await.map_err(|error| self.broken(error))?;
        let (parts, stream) = answer.into_parts();
        let headers = headers(&parts.headers)?;
        let mut incoming = Incoming { stream, ahead: Bytes::new(), _place: place };
        let status = parts.status.as_u16();
        if status == 400 && target.origin.is_tls && headers.is_type("text/html") {
            incoming.look_ahead(&headers).await;
            if let Some(said) = certificate_title(&incoming.ahead) {
                let (why, advice) = tls::wanted(said, target.origin.shows_certificate());
                return Err(Broken::Certificate(why, advice));
            }
        }
        Ok((status, headers, incoming))
    }

    /// The body goes out while the answer is waited for: a server may answer before it has read everything.
    async fn answer_to(
        &self,
        mut answer: ResponseFuture,
        mut body: SendStream<Bytes>,
        request: &Outgoing<'_>,
    ) -> Result<http::Response<RecvStream>, Failed> {
        let mut interim = 0;
        let mut heard = poll_fn(move |cx| {
            while let Poll::Ready(Some(Ok(_))) = answer.poll_informational(cx) {
                interim += 1;
                if interim > INTERIM_MAX {
                    return Poll::Ready(Err(Failed::Crooked("too many interim answers")));
                }
            }
            Pin::new(&mut answer).poll(cx).map_err(Failed::Http)
        });
        {
            let sending = send_body(&mut body, request.body);
            tokio::pin!(sending);
            tokio::select! {
                biased;
                found = &mut heard => return found,
                // Why it could not all be sent, the answer says.
                _ = &mut sending => {}
            }
        }
        heard.await
    }

    fn unsent(&self, error: &h2::Error) -> Broken {
        self.retire();
        match self.refusal() {
            Some((why, advice)) => Broken::Certificate(why, advice),
            None => Broken::Unsent(error.to_string()),
        }
    }

    fn refusal(&self) -> Option<(String, &'static str)> {
        self.state.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a failed exchange means for the request.
    fn broken(&self, failed: Failed) -> Broken {
        let error = match failed {
            Failed::Crooked(why) => return Broken::NotHttp(why),
            Failed::Http(error) => error,
        };
        if let Some((why, advice)) = self.refusal() {
            return Broken::Certificate(why, advice);
        }
        let reason = error.reason();
        if error.is_remote() && reason == Some(Reason::HTTP_1_1_REQUIRED) {
            return Broken::WantsOld;
        }
        // RFC 9113 §8.7: a refused stream was not processed; nor was one beyond the last that a GOAWAY names, and only
        // those are ended by it.
        if error.is_remote() && (error.is_go_away() || reason == Some(Reason::REFUSED_STREAM)) {
            if error.is_go_away() {
                self.retire();
            }
            return Broken::Unsent(format!("the server refused it ({error})"));
        }
        ended(&error, false)
    }
}

enum Failed {
    Http(h2::Error),
    Crooked(&'static str),
}

fn ended(error: &h2::Error, heard: bool) -> Broken {
    if error.is_library() {
        return Broken::NotHttp("it breaks the rules of HTTP/2, or its head is too long");
    }
    Broken::Ended { why: error.to_string(), heard }
}

/// Sends the parts as the server makes room for them.
async fn send_body(stream: &mut SendStream<Bytes>, parts: &[&[u8]]) -> Result<(), h2::Error> {
    let mut left: usize = parts.iter().map(|part| part.len()).sum();
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len().min(SEND_MAX));
            let room = poll_fn(|cx| match stream.capacity() {
                0 => stream.poll_capacity(cx),
                room => Poll::Ready(Some(Ok(room))),
            });
            let Some(room) = room.await else { return Ok(()) };
            let (now, later) = rest.split_at(room?.min(rest.len()));
            left -= now.len();
            if !now.is_empty() {
                stream.send_data(Bytes::copy_from_slice(now), left == 0)?;
            }
            rest = later;
        }
    }
    Ok(())
}

/// The head of the request, from lines that were checked when they were put in.
fn compose(target: &Target, request: &Outgoing<'_>) -> Result<http::Request<()>, Broken> {
    let broken = |_| Broken::NotHttp("the request's URL or headers are not what HTTP/2 takes");
    let scheme = if target.origin.is_tls { "https" } else { "http" };
    let uri = http::Uri::builder()
        .scheme(scheme)
        .authority(target.origin.authority.as_str())
        .path_and_query(&*target.path)
        .build()
        .map_err(broken)?;
    let mut out = http::Request::builder().method(request.method).uri(uri).version(http::Version::HTTP_2);
    for line in request.head.bytes().split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if !HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop.as_bytes())) {
            out = out.header(name, value);
        }
    }
    let length: usize = request.body.iter().map(|part| part.len()).sum();
    if length > 0 || request.method == "POST" {
        out = out.header(http::header::CONTENT_LENGTH, length);
    }
    out.body(()).map_err(broken)
}

/// The header lines as one block, in the form that those of HTTP/1.1 have.
fn headers(map: &http::HeaderMap) -> Result<Headers, Broken> {
    if map.len() > HEADERS_MAX {
        return Err(Broken::NotHttp("too many headers"));
    }
    let mut block = BytesMut::new();
    let mut lines = Vec::with_capacity(map.len());
    for (name, value) in map {
        let mut put = |part: &[u8]| {
            let at = u32::try_from(block.len()).unwrap_or(0);
            block.extend_from_slice(part);
            [at, u32::try_from(part.len()).unwrap_or(0)]
        };
        let ([name, name_length], [value, length]) = (put(name.as_str().as_bytes()), put(value.as_bytes()));
        lines.push([name, name_length, value, length]);
    }
    Ok(Headers::of_block(block.freeze(), lines))
}

/// Ends when a connection with open streams has not answered a ping.
async fn silence(pings: Option<PingPong>, state: &State) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(PING_AFTER).await;
        let has_heard = state.has_heard.swap(false, Ordering::Relaxed);
        if has_heard || state.open.load(Ordering::Relaxed) == 0 {
            continue;
        }
        match tokio::time::timeout(PING_AFTER, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection itself tells what became of it.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}

// === impl Incoming ===

impl Incoming {
    /// The next piece; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        if !self.ahead.is_empty() {
            return Ok(Some(std::mem::take(&mut self.ahead)));
        }
        loop {
            match self.stream.data().await {
                None => return Ok(None),
                Some(Ok(piece)) => {
                    // Only what has been taken is asked for anew: who reads slowly is sent slowly.
                    let _ = self.stream.flow_control().release_capacity(piece.len());
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                }
                // The whole answer was sent; the server only does not want the rest of the request (RFC 9113 §8.1).
                Some(Err(error)) if error.is_remote() && error.reason() == Some(Reason::NO_ERROR) => {
                    return Ok(None);
                }
                Some(Err(error)) => return Err(ended(&error, true)),
            }
        }
    }

    /// Reads a short page, and keeps it for whoever reads the body.
    async fn look_ahead(&mut self, headers: &Headers) {
        let length = headers.get("content-length").and_then(|text| text.parse::<usize>().ok());
        if length.is_none_or(|length| length > PAGE_MAX) {
            return;
        }
        let mut page = BytesMut::new();
        while let Ok(Some(piece)) = self.chunk().await {
            page.extend_from_slice(&piece);
        }
        self.ahead = page.freeze();
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Incoming(..)")
    }
}

/// The stream below, noting that something came, and what TLS says about our certificate: the layer above keeps only
/// the words of an error.
struct Watched {
    io: Stream,
    state: Arc<State>,
    shows_certificate: bool,
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_read(cx, buf);
        match &polled {
            Poll::Ready(Ok(())) => this.state.has_heard.store(true, Ordering::Relaxed),
            Poll::Ready(Err(error)) => {
                let found = tls::late_refusal(error, this.shows_certificate);
                *this.state.refusal.lock().unwrap_or_else(PoisonError::into_inner) = found;
            }
            Poll::Pending => {}
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
