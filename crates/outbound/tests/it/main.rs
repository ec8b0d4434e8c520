//! The HTTP client against servers written out byte by byte: reuse, at most once, framing, deadlines. And, each in a
//! file of its own, what guards the way out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that fails here fails, and fake servers open their own sockets"
)]

mod authority;
mod dns;
mod http2;
mod http2_rules;
mod proxy;
mod rebinding;
mod redirects;
mod site;
mod table;
mod tls;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbound::{Client, EgressRule, Head, OutboundError, Outgoing, Response, Route, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// What a fake server does with one connection after the other.
#[derive(Clone, Copy)]
enum Act {
    /// Reads a request, answers with this.
    Answer(&'static str),
    /// Reads a request and hangs up without a word.
    Drop,
    /// Hangs up without reading.
    Close,
    /// Reads a request and says nothing.
    Hang,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A route to this machine.
fn open() -> Route {
    Route::new(EgressRule { private_allowed: true }, Duration::from_secs(5))
}

struct Fake {
    target: Target,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// `script[n]` is what the n-th connection does, in order; the last entry serves all later ones.
async fn fake(script: &'static [&'static [Act]]) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/path?q=1", listener.local_addr().unwrap());
    let connections: Arc<AtomicUsize> = Arc::default();
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let (count, log) = (Arc::clone(&connections), Arc::clone(&requests));
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let number = count.fetch_add(1, Ordering::SeqCst);
            let acts = script[number.min(script.len() - 1)];
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for act in acts {
                    if matches!(act, Act::Close) {
                        return;
                    }
                    let Some(request) = read_request(&mut socket).await else { return };
                    log.lock().unwrap().push(request);
                    match act {
                        Act::Answer(text) => socket.write_all(text.as_bytes()).await.unwrap(),
                        Act::Drop | Act::Close => return,
                        Act::Hang => std::future::pending().await,
                    }
                }
            });
        }
    });
    Fake { target: Target::parse(&url, &open()).unwrap(), connections, requests }
}

async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut byte = [0];
        if socket.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
        if let Some(head) = text.windows(4).position(|w| w == b"\r\n\r\n") {
            let all = String::from_utf8(text.clone()).unwrap();
            let length = all
                .lines()
                .find_map(|l| l.strip_prefix("content-length: "))
                .map_or(0, |n| n.parse().unwrap());
            if text.len() == head + 4 + length {
                return Some(all);
            }
        }
    }
}

async fn send(fake: &Fake, is_replayable: bool) -> Result<Response, OutboundError> {
    send_within(fake, is_replayable, Duration::from_secs(10)).await
}

async fn send_within(
    fake: &Fake,
    is_replayable: bool,
    patience: Duration,
) -> Result<Response, OutboundError> {
    let mut head = Head::new();
    head.push("X-A", "b").unwrap();
    let deadline = Instant::now() + patience;
    let body: [&[u8]; 2] = [b"he", b"llo"];
    let request = Outgoing { method: "POST", head: &head, body: &body, is_replayable, deadline };
    Client::new().send(&fake.target, request).await
}

async fn text(response: Result<Response, OutboundError>) -> Result<String, OutboundError> {
    let bytes = response?.body.collect(1000).await?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn requests_share_a_connection_and_are_written_as_they_should_be() {
    let fake = fake(&[&[Act::Answer(OK), Act::Answer(OK), Act::Answer(OK)]]).await;
    for _ in 0..3 {
        assert_eq!(text(send(&fake, false).await).await.unwrap(), "ok");
    }
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1);
    let request = fake.requests.lock().unwrap()[0].clone();
    let host = fake.target.authority();
    assert_eq!(
        request,
        format!("POST /path?q=1 HTTP/1.1\r\nhost: {host}\r\nX-A: b\r\ncontent-length: 5\r\n\r\nhello")
    );
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_noticed_before_anything_is_sent() {
    let fake = fake(&[&[Act::Answer(OK)], &[Act::Answer(OK)]]).await;
    text(send(&fake, false).await).await.unwrap();
    // The server has hung up after its one answer; give the news time to arrive.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(text(send(&fake, false).await).await.unwrap(), "ok");
    assert_eq!(fake.requests.lock().unwrap().len(), 2, "each request went out once");
}

#[tokio::test]
async fn a_request_that_may_have_been_acted_on_is_not_sent_again_unless_that_is_harmless() {
    let script: &[&[Act]] = &[&[Act::Answer(OK), Act::Drop], &[Act::Answer(OK)]];
    let once = fake(script).await;
    text(send(&once, false).await).await.unwrap();
    let error = send(&once, false).await.unwrap_err();
    assert!(matches!(error, OutboundError::Closed { was_sent: true, .. }) && !error.is_unsent(), "{error}");
    assert_eq!(once.requests.lock().unwrap().len(), 2);

    let again = fake(script).await;
    text(send(&again, true).await).await.unwrap();
    assert_eq!(text(send(&again, true).await).await.unwrap(), "ok");
    assert_eq!(again.requests.lock().unwrap().len(), 3);

    let fresh = fake(&[&[Act::Drop]]).await;
    assert!(send(&fresh, true).await.is_err(), "a fresh connection is not tried twice");
    assert_eq!(fresh.connections.load(Ordering::SeqCst), 1);
    let closed = fake(&[&[Act::Close]]).await;
    assert!(send(&closed, false).await.is_err());
}

#[tokio::test]
async fn bodies_end_where_they_say() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde"),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
            "x",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
    ] {
        let acts: &'static [Act] = Box::leak(Box::new([Act::Answer(answer)]));
        let script: &'static [&'static [Act]] = Box::leak(Box::new([acts]));
        let fake = fake(script).await;
        assert_eq!(text(send(&fake, false).await).await.unwrap(), expected);
    }
    let cut = fake(&[&[Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort")]]).await;
    assert!(matches!(text(send(&cut, false).await).await, Err(OutboundError::Closed { was_sent: true, .. })));
    let large = fake(&[&[Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n")]]).await;
    assert!(matches!(
        text(send(&large, false).await).await,
        Err(OutboundError::TooLarge { limit: 1000, .. })
    ));
    let smuggled =
        fake(&[&[Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")]])
            .await;
    text(send(&smuggled, false).await).await.unwrap();
    let _ = send(&smuggled, false).await;
    assert_eq!(smuggled.connections.load(Ordering::SeqCst), 2, "bytes nobody asked for end the connection");
}

#[tokio::test]
async fn redirects_are_answers_and_are_not_followed() {
    let fake = fake(&[&[Act::Answer(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    )]])
    .await;
    let response = send(&fake, true).await.unwrap();
    assert_eq!((response.status, response.headers.get("Location")), (302, Some("http://127.0.0.1:1/")));
    assert_eq!(fake.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_deadline_holds_and_says_that_the_request_was_sent() {
    let fake = fake(&[&[Act::Hang]]).await;
    let error = send_within(&fake, true, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, OutboundError::Timeout { was_sent: true, .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_is_read_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        // Held open and never read: the request does not fit into the kernel's buffers.
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let target = Target::parse(&url, &open()).unwrap();
    let large = vec![b'x'; 64 << 20];
    let request = Outgoing {
        method: "POST",
        head: &Head::new(),
        body: &[&large],
        is_replayable: false,
        deadline: Instant::now() + Duration::from_secs(10),
    };
    let response = Client::new().send(&target, request).await.unwrap();
    assert_eq!(response.status, 413);
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_refused_before_a_socket_opens() {
    let fake = fake(&[&[Act::Answer(OK)]]).await;
    let port = fake.target.authority().rsplit_once(':').unwrap().1.to_owned();
    let url = format!("http://localhost:{port}/");
    let target = Target::parse(&url, &Route::new(EgressRule::default(), Duration::from_secs(5))).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let request = Outgoing { method: "GET", head: &Head::new(), body: &[], is_replayable: true, deadline };
    let error = Client::new().send(&target, request).await.unwrap_err();
    assert!(matches!(error, OutboundError::Refused { class: "loopback", .. }), "{error}");
    assert_eq!(fake.connections.load(Ordering::SeqCst), 0);
}
