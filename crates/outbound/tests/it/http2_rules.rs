//! HTTP/2 servers that misbehave or change their mind, one test each: what the caller is told, and whether the request
//! was sent a second time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbound::{OutboundError, Response, Target, Times};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, LONG, Peer, RST_STREAM, SETTINGS,
    STATUS_200, send, server, two,
};

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const HTTP_1_1_REQUIRED: u32 = 13;

/// One request to a server whose connections all do the same; and how many connections and requests it saw.
async fn ask<F: Future<Output = ()> + Send>(
    method: &str,
    patience: Duration,
    script: impl Fn(usize, Peer) -> F + Clone + Send + Sync + 'static,
) -> (Result<Response, OutboundError>, usize) {
    let (target, connections) = serve(Times::default(), script).await;
    let outcome = send(&target, method, b"body", patience).await;
    (outcome, connections.load(Ordering::SeqCst))
}

async fn serve<F: Future<Output = ()> + Send>(
    times: Times,
    script: impl Fn(usize, Peer) -> F + Clone + Send + Sync + 'static,
) -> (Target, Arc<AtomicUsize>) {
    let (url, connections) = server(move |number, socket: TcpStream| {
        let script = script.clone();
        async move { script(number, Peer::greet(socket, &[]).await).await }
    })
    .await;
    (Target::parse(&url, &two(times)).unwrap(), connections)
}

fn goaway(last: u32, code: u32) -> Vec<u8> {
    [last.to_be_bytes(), code.to_be_bytes()].concat()
}

#[tokio::test]
async fn what_a_goaway_does_not_name_was_not_done_and_is_sent_again() {
    let (outcome, connections) = ask("POST", LONG, |number, mut peer| async move {
        let stream = peer.until(HEADERS).await.unwrap();
        if number == 0 {
            peer.send(GOAWAY, 0, 0, &goaway(0, NO_ERROR)).await;
        } else {
            peer.answer(stream).await;
        }
        peer.until(GOAWAY).await;
    })
    .await;
    assert_eq!((outcome.unwrap().status, connections), (200, 2));
}

#[tokio::test]
async fn a_goaway_in_mid_answer_lets_it_finish_and_the_next_request_goes_elsewhere() {
    let (target, connections) = serve(Times::default(), |_, mut peer| async move {
        let stream = peer.until(HEADERS).await.unwrap();
        peer.send(HEADERS, END_HEADERS, stream, STATUS_200).await;
        peer.send(GOAWAY, 0, 0, &goaway(stream, NO_ERROR)).await;
        peer.send(DATA, END_STREAM, stream, b"whole").await;
        peer.until(GOAWAY).await;
    })
    .await;
    for _ in 0..2 {
        let response = send(&target, "POST", b"", LONG).await.unwrap();
        assert_eq!(&response.body.collect(100).await.unwrap()[..], b"whole");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_answer_that_a_hang_up_cuts_is_an_error_and_is_not_sent_again() {
    let (outcome, connections) = ask("POST", LONG, |_, mut peer| async move {
        let stream = peer.until(HEADERS).await.unwrap();
        peer.send(HEADERS, END_HEADERS, stream, STATUS_200).await;
        peer.send(DATA, 0, stream, b"ha").await;
        peer.send(GOAWAY, 0, 0, &goaway(stream, INTERNAL_ERROR)).await;
    })
    .await;
    let error = outcome.unwrap().body.collect(100).await.unwrap_err();
    assert!(matches!(error, OutboundError::Closed { was_sent: true, .. }), "{error:?}");
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn a_request_that_a_hang_up_leaves_unanswered_is_sent_again_only_where_that_is_harmless() {
    for (method, wanted) in [("GET", 2), ("POST", 1)] {
        // The first answer makes the connection one that has served before.
        let (target, connections) = serve(Times::default(), |number, mut peer| async move {
            let stream = peer.until(HEADERS).await.unwrap();
            peer.answer(stream).await;
            if number == 0 {
                peer.until(HEADERS).await;
            } else {
                peer.until(GOAWAY).await;
            }
        })
        .await;
        drop(send(&target, method, b"", LONG).await.unwrap().body.collect(10).await.unwrap());
        let outcome = send(&target, method, b"", LONG).await;
        if method == "GET" {
            assert_eq!(outcome.unwrap().status, 200);
        } else {
            let error = outcome.unwrap_err();
            assert!(matches!(error, OutboundError::Closed { was_sent: true, .. }), "{error:?}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), wanted, "{method}");
    }
}

#[tokio::test]
async fn a_reset_stream_is_an_error_that_may_have_been_acted_on() {
    let (outcome, connections) = ask("POST", LONG, |_, mut peer| async move {
        let stream = peer.until(HEADERS).await.unwrap();
        peer.send(RST_STREAM, 0, stream, &INTERNAL_ERROR.to_be_bytes()).await;
        peer.until(GOAWAY).await;
    })
    .await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, OutboundError::Closed { was_sent: true, .. }), "{error:?}");
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn a_refused_stream_is_sent_once_more_and_then_told_as_not_sent() {
    let seen: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&seen);
    let (outcome, _) = ask("POST", LONG, move |_, mut peer| {
        let count = Arc::clone(&count);
        async move {
            while let Some(stream) = peer.until(HEADERS).await {
                count.fetch_add(1, Ordering::SeqCst);
                peer.send(RST_STREAM, 0, stream, &REFUSED_STREAM.to_be_bytes()).await;
            }
        }
    })
    .await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, OutboundError::Closed { was_sent: false, .. }), "{error:?}");
    assert!(error.is_unsent());
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn who_wants_http_1_1_gets_it() {
    let (url, connections) = server(|number, mut socket: TcpStream| async move {
        if number == 0 {
            let mut peer = Peer::greet(socket, &[]).await;
            let stream = peer.until(HEADERS).await.unwrap();
            peer.send(RST_STREAM, 0, stream, &HTTP_1_1_REQUIRED.to_be_bytes()).await;
            peer.until(GOAWAY).await;
            return;
        }
        for _ in 0..2 {
            let mut request = Vec::new();
            while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                assert!(socket.read_buf(&mut request).await.unwrap() > 0);
            }
            assert!(request.starts_with(b"GET /path?q=1 HTTP/1.1\r\n"));
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    })
    .await;
    let target = Target::parse(&url, &two(Times::default())).unwrap();
    for _ in 0..2 {
        let response = send(&target, "GET", b"", LONG).await.unwrap();
        assert_eq!(&response.body.collect(10).await.unwrap()[..], b"ok");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2, "it is not asked a second time");
}

#[tokio::test]
async fn a_flood_of_continuations_is_cut_off() {
    let (outcome, connections) = ask("POST", LONG, |_, mut peer| async move {
        let stream = peer.until(HEADERS).await.unwrap();
        peer.send(HEADERS, 0, stream, STATUS_200).await;
        // A header of a kilobyte in each, for ever.
        let mut line = vec![0, 1, b'a', 0x7f, 0x81, 0x07];
        line.extend([b'x'; 256]);
        while peer.send(CONTINUATION, 0, stream, &line).await {}
    })
    .await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, OutboundError::NotHttp { .. }), "{error:?}");
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn a_head_that_never_ends_takes_until_the_deadline() {
    let (outcome, _) = ask("POST", Duration::from_millis(300), |_, mut peer| async move {
        let stream = peer.until(HEADERS).await.unwrap();
        peer.send(HEADERS, 0, stream, STATUS_200).await;
        std::future::pending::<()>().await;
    })
    .await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, OutboundError::Timeout { was_sent: true, .. }), "{error:?}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_and_the_connection_serves_on() {
    let (target, connections) = serve(Times::default(), |_, mut peer| async move {
        let stream = peer.until(HEADERS).await.unwrap();
        let mut line = vec![0, 1, b'a', 0x7f, 0x81, 0x7d];
        line.extend([b'x'; 127 + 1 + (0x7d << 7)]);
        // Five of 16 KiB.
        peer.send(HEADERS, 0, stream, STATUS_200).await;
        for number in 0..5 {
            peer.send(CONTINUATION, if number == 4 { END_HEADERS } else { 0 }, stream, &line).await;
        }
        let next = peer.until(HEADERS).await.unwrap();
        peer.answer(next).await;
        peer.until(GOAWAY).await;
    })
    .await;
    let error = send(&target, "POST", b"", LONG).await.unwrap_err();
    assert!(matches!(error, OutboundError::NotHttp { .. }), "{error:?}");
    assert!(error.to_string().contains("its head is too long"), "{error}");
    assert_eq!(send(&target, "POST", b"", LONG).await.unwrap().status, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_never_makes_room_for_the_body_takes_until_the_deadline() {
    let (url, _) = server(|_, socket| async move {
        // SETTINGS_INITIAL_WINDOW_SIZE = 0
        let mut peer = Peer::greet(socket, &[0, 4, 0, 0, 0, 0]).await;
        peer.until(HEADERS).await.unwrap();
        assert_eq!(peer.until(DATA).await, None, "no byte of the body may be sent");
    })
    .await;
    let target = Target::parse(&url, &two(Times::default())).unwrap();
    // So that the server's settings are known.
    tokio::time::timeout(Duration::from_millis(100), send(&target, "GET", b"", LONG)).await.unwrap_err();
    let error = send(&target, "POST", b"body", Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, OutboundError::Timeout { was_sent: true, .. }), "{error:?}");
}

#[tokio::test]
async fn a_first_byte_a_pause_and_a_whole_answer_have_their_own_limits() {
    let script = |_: usize, mut peer: Peer| async move {
        while let Some(stream) = peer.until(HEADERS).await {
            peer.send(HEADERS, END_HEADERS, stream, STATUS_200).await;
            tokio::spawn(async {});
            for _ in 0..200 {
                peer.send(DATA, 0, stream, b"x").await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    let limit = Some(Duration::from_millis(400));
    let (target, _) = serve(Times { total: limit, idle: Some(LONG), ..Times::default() }, script).await;
    let error = send(&target, "GET", b"", LONG).await.unwrap().body.collect(1000).await.unwrap_err();
    assert!(error.to_string().contains("did not finish its answer within 400 ms"), "{error}");

    let silent = |_: usize, mut peer: Peer| async move {
        let stream = peer.until(HEADERS).await.unwrap();
        peer.send(HEADERS, END_HEADERS, stream, STATUS_200).await;
        peer.until(SETTINGS).await;
        std::future::pending::<()>().await;
    };
    let (target, _) = serve(Times { idle: limit, total: Some(LONG), ..Times::default() }, silent).await;
    let error = send(&target, "GET", b"", LONG).await.unwrap().body.collect(1000).await.unwrap_err();
    assert!(error.to_string().contains("sent nothing more of its answer for 400 ms"), "{error}");

    let mute = |_: usize, mut peer: Peer| async move { while peer.frame().await.is_some() {} };
    let (target, _) = serve(Times { first_byte: limit, ..Times::default() }, mute).await;
    let error = send(&target, "GET", b"", LONG).await.unwrap_err();
    assert!(matches!(error, OutboundError::Timeout { was_sent: true, .. }), "{error:?}");
}
