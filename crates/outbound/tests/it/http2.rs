//! Servers that speak HTTP/2 frame by frame, and what sharing one connection means when all goes well.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbound::{Client, EgressRule, Head, Http2, OutboundError, Outgoing, Response, Route, Target, Times};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// `:status: 200` in HPACK's static table.
pub(crate) const STATUS_200: &[u8] = &[0x88];

/// One connection of a fake server.
pub(crate) struct Peer {
    io: TcpStream,
}

impl Peer {
    /// Reads the client's opening and answers with `settings`.
    pub(crate) async fn greet(mut io: TcpStream, settings: &[u8]) -> Self {
        let mut opening = [0; 24];
        io.read_exact(&mut opening).await.unwrap();
        assert_eq!(&opening, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut peer = Self { io };
        peer.send(SETTINGS, 0, 0, settings).await;
        peer
    }

    /// Sends a frame; false when the client is gone.
    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.io.write_all(&frame).await.is_ok()
    }

    /// The next frame: kind, flags, stream, payload; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.io.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.io.read_exact(&mut payload).await.ok()?;
        Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// Reads until a frame of this kind; its stream.
    pub(crate) async fn until(&mut self, wanted: u8) -> Option<u32> {
        loop {
            let (kind, _, stream, _) = self.frame().await?;
            if kind == wanted {
                return Some(stream);
            }
        }
    }

    /// A whole small answer.
    pub(crate) async fn answer(&mut self, stream: u32) {
        self.send(HEADERS, END_HEADERS, stream, STATUS_200).await;
        self.send(DATA, END_STREAM, stream, b"ok").await;
    }
}

/// A server whose n-th connection (from 0) does what `script` says, and how many there were.
pub(crate) async fn server<F: Future<Output = ()> + Send>(
    script: impl Fn(usize, TcpStream) -> F + Clone + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/path?q=1", listener.local_addr().unwrap());
    let count: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let script = script.clone();
            tokio::spawn(async move { script(number, socket).await });
        }
    });
    (url, count)
}

/// A route that speaks HTTP/2 without asking, as only prior knowledge allows on a plain connection.
pub(crate) fn two(times: Times) -> Route {
    let builder = Route::builder(EgressRule { private_allowed: true }).http2(Http2::Always);
    builder.times(times).build().unwrap()
}

pub(crate) async fn send(
    target: &Target,
    method: &str,
    body: &[u8],
    patience: Duration,
) -> Result<Response, OutboundError> {
    let mut head = Head::new();
    head.push("X-Mixed-Case", "kept").unwrap();
    let deadline = Instant::now() + patience;
    let is_replayable = method == "GET";
    let request = Outgoing { method, head: &head, body: &[body], is_replayable, deadline };
    Client::new().send(target, request).await
}

pub(crate) const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_crowd_of_requests_shares_one_connection() {
    let (url, connections) = server(|_, socket| async move {
        let mut connection = h2::server::handshake(socket).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                assert_eq!(request.uri().path_and_query().unwrap(), "/path?q=1");
                assert_eq!(request.headers()["x-mixed-case"], "kept");
                let mut body = request.into_body();
                let mut sent = 0;
                while let Some(Ok(piece)) = body.data().await {
                    sent += piece.len();
                    body.flow_control().release_capacity(piece.len()).unwrap();
                }
                let answer = http::Response::builder().header("x-answer", "yes").body(()).unwrap();
                let mut out = respond.send_response(answer, false).unwrap();
                out.send_data(sent.to_string().into(), true).unwrap();
            });
        }
    })
    .await;
    let target = Target::parse(&url, &two(Times::default())).unwrap();
    let calls = (0..60_usize).map(|number| {
        let target = target.clone();
        tokio::spawn(async move {
            // Larger than any window that the server begins with.
            let body = vec![b'x'; number * 10_000];
            let response = send(&target, "POST", &body, LONG).await.unwrap();
            assert_eq!(response.status, 200);
            assert_eq!(response.headers.get("X-Answer"), Some("yes"));
            let said = response.body.collect(100).await.unwrap();
            assert_eq!(&said[..], (number * 10_000).to_string().as_bytes());
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn events_come_as_they_are_sent_and_letting_go_resets_the_stream_alone() {
    let (url, connections) = server(|_, socket| async move {
        let mut peer = Peer::greet(socket, &[]).await;
        let stream = peer.until(HEADERS).await.unwrap();
        // `content-type: text/event-stream`, a literal without indexing (name 31 of the static table).
        let mut head = STATUS_200.to_vec();
        head.extend([0x0f, 0x10, 17]);
        head.extend(b"text/event-stream");
        peer.send(HEADERS, END_HEADERS, stream, &head).await;
        peer.send(DATA, 0, stream, b"data: 1\n\n").await;
        // They go out together, in whichever order.
        let (mut reset, mut next) = (None, None);
        while reset.is_none() || next.is_none() {
            match peer.frame().await.unwrap() {
                (RST_STREAM, _, stream, _) => reset = Some(stream),
                (HEADERS, _, stream, _) => next = Some(stream),
                _ => {}
            }
        }
        assert_eq!(reset, Some(stream));
        peer.answer(next.unwrap()).await;
        peer.until(SETTINGS).await;
    })
    .await;
    // Limits that would end any other body: events are exempt.
    let short = Some(Duration::from_millis(1));
    let target = Target::parse(&url, &two(Times { idle: short, ..Times::default() })).unwrap();
    let mut events = send(&target, "GET", b"", LONG).await.unwrap();
    assert!(events.headers.is_type("text/event-stream"));
    assert_eq!(&events.body.chunk().await.unwrap().unwrap()[..], b"data: 1\n\n");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(tokio::time::timeout(Duration::from_millis(50), events.body.chunk()).await.is_err());
    drop(events);
    assert_eq!(send(&target, "GET", b"", LONG).await.unwrap().status, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 1, "the connection serves on");
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_taken_in() {
    let sent: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&sent);
    let (url, _) = server(move |_, socket| {
        let count = Arc::clone(&count);
        async move {
            let mut connection = h2::server::handshake(socket).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut out = respond.send_response(http::Response::new(()), false).unwrap();
                    loop {
                        out.reserve_capacity(16 << 10);
                        let room = std::future::poll_fn(|cx| out.poll_capacity(cx)).await;
                        let Some(Ok(room)) = room else { return };
                        count.fetch_add(room, Ordering::SeqCst);
                        out.send_data(vec![0; room].into(), false).unwrap();
                    }
                });
            }
        }
    })
    .await;
    let target = Target::parse(&url, &two(Times::default())).unwrap();
    let mut response = send(&target, "GET", b"", LONG).await.unwrap();
    response.body.chunk().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let taken = sent.load(Ordering::SeqCst);
    assert!((1..=320 << 10).contains(&taken), "{taken} bytes were sent to somebody who does not read");
    let error = response.body.collect(1 << 20).await.unwrap_err();
    assert!(matches!(error, OutboundError::TooLarge { limit: 1_048_576, .. }), "{error:?}");
}
