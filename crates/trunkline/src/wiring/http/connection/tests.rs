//! Scenes of one connection, with a held clock: what its client sees must not tell whether it was parked meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::http::{Request, Response};
use axum::body::Body;
use http_body_util::{BodyExt, Either};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::super::Phase;
use super::super::head::{HEAD_TIMEOUT, PARK_AFTER};
use super::{Answering, Answers, Serving, serve};

/// Says which path was asked for, and what was sent.
#[derive(Default)]
struct Echo {
    asked: AtomicUsize,
}

impl Answers for Echo {
    fn answer(self: Arc<Self>, request: Request<Incoming>, _peer: std::net::IpAddr) -> Answering {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            if path == "/slow" {
                sleep(PARK_AFTER * 5).await;
            }
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let text = format!("[{path} {}]", String::from_utf8_lossy(&body));
            Response::new(Either::Right(Body::from(text)))
        })
    }
}

struct Scene {
    client: DuplexStream,
    echo: Arc<Echo>,
    phase: watch::Sender<Phase>,
    hub: JoinHandle<()>,
}

impl Scene {
    fn new() -> Self {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let echo = Arc::new(Echo::default());
        let (phase, receiver) = watch::channel(Phase::Running);
        let answers = Arc::clone(&echo);
        let hub = tokio::spawn(async move {
            let peer = std::net::Ipv4Addr::LOCALHOST.into();
            let let_go = Arc::default();
            serve(
                server,
                [None, None],
                &Serving { answers, peer, header_bytes: 16 * 1024, phase: receiver, let_go },
            )
            .await;
        });
        Self { client, echo, phase, hub }
    }

    async fn say(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// All that comes until the text has come; no answer may announce an end on the way.
    async fn hear(&mut self, text: &str) -> String {
        let mut heard = String::new();
        while !heard.contains(text) {
            let mut some = [0; 1024];
            let count =
                timeout(Duration::from_secs(60), self.client.read(&mut some)).await.expect(text).unwrap();
            assert!(count > 0, "ended after {heard:?}, before {text:?}");
            heard.push_str(std::str::from_utf8(&some[..count]).unwrap());
        }
        assert!(!heard.contains("connection: close"), "{heard}");
        heard
    }

    /// How long it takes until the connection ends without another word.
    async fn end(&mut self) -> Duration {
        let begin = Instant::now();
        let mut rest = Vec::new();
        timeout(HEAD_TIMEOUT * 3, self.client.read_to_end(&mut rest)).await.expect("it ends").unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
        begin.elapsed()
    }

    /// Whether the HTTP library has the connection: its service holds what answers, beside the hub and this scene.
    fn is_with_library(&self) -> bool {
        Arc::strong_count(&self.echo) > 2
    }

    fn asked(&self) -> usize {
        self.echo.asked.load(Ordering::Relaxed)
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: hub\r\n\r\n")
}

fn is_about(time: Duration, wanted: Duration) -> bool {
    time.abs_diff(wanted) < Duration::from_millis(100)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_used_again_and_again_after_long_silences() {
    let mut scene = Scene::new();
    for turn in 1..=5 {
        scene.say(&get("/again")).await;
        scene.hear("[/again ]").await;
        assert_eq!(scene.asked(), turn);
        assert!(scene.is_with_library(), "until it has been silent for a while");
        sleep(PARK_AFTER + Duration::from_millis(100)).await;
        assert!(!scene.is_with_library(), "and not after that");
        sleep(HEAD_TIMEOUT - PARK_AFTER - Duration::from_secs(1)).await;
    }
    scene.say("POST /sent HTTP/1.1\r\nhost: hub\r\ncontent-length: 5\r\n\r\nwords").await;
    scene.hear("[/sent words]").await;
}

#[tokio::test(start_paused = true)]
async fn requests_sent_at_once_are_all_answered_in_order_before_and_after_a_silence() {
    let mut scene = Scene::new();
    for _ in 0..2 {
        scene.say(&[get("/one"), get("/two"), get("/three")].concat()).await;
        let heard = scene.hear("[/three ]").await;
        let places: Vec<_> =
            ["[/one ]", "[/two ]", "[/three ]"].iter().map(|said| heard.find(said)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{heard}");
        sleep(PARK_AFTER * 2).await;
    }
    assert_eq!(scene.asked(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_in_parts_around_the_moment_of_parking() {
    let mut scene = Scene::new();
    scene.say(&get("/first")).await;
    scene.hear("[/first ]").await;
    // Begun just before it would be parked, ended long after.
    sleep(PARK_AFTER - Duration::from_millis(50)).await;
    scene.say("GET /sec").await;
    sleep(PARK_AFTER * 4).await;
    scene.say("ond HTTP/1.1\r\nhost: hub\r\n\r\n").await;
    scene.hear("[/second ]").await;
    // Begun when it is parked, byte by byte.
    sleep(PARK_AFTER * 2).await;
    for byte in get("/third").chars() {
        scene.say(&byte.to_string()).await;
        sleep(Duration::from_millis(100)).await;
    }
    scene.hear("[/third ]").await;
    // Begun in one piece with the request before it.
    let (begun, rest) = ("GET /fif", "th HTTP/1.1\r\nhost: hub\r\n\r\n");
    scene.say(&[&get("/fourth"), begun].concat()).await;
    scene.hear("[/fourth ]").await;
    sleep(PARK_AFTER * 4).await;
    scene.say(rest).await;
    scene.hear("[/fifth ]").await;
    assert_eq!(scene.asked(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_and_one_with_half_a_head_are_let_go_at_the_same_time() {
    // Nothing at all, and half a head.
    for begun in ["", "GET /half HTTP/1.1\r\nho", "PRI * HTTP/2.0\r\n"] {
        let mut scene = Scene::new();
        scene.say(begun).await;
        let time = scene.end().await;
        assert!(is_about(time, HEAD_TIMEOUT), "{begun:?}: {time:?}");
        assert_eq!(scene.asked(), 0);
        scene.hub.await.unwrap();
    }
    // The same after an answer, begun before and after it was parked, or with the request before.
    for (together, pause, begun) in [
        ("", Duration::ZERO, ""),
        ("", Duration::ZERO, "GET /half"),
        ("", PARK_AFTER * 2, "GET /half"),
        ("GET /half", Duration::ZERO, ""),
    ] {
        let mut scene = Scene::new();
        scene.say(&[&get("/whole"), together].concat()).await;
        scene.hear("[/whole ]").await;
        sleep(pause).await;
        scene.say(begun).await;
        let time = scene.end().await + pause;
        assert!(is_about(time, HEAD_TIMEOUT), "{together:?} {begun:?}: {time:?}");
        assert_eq!(scene.asked(), 1, "half a request is none");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_call_is_not_taken_for_silence() {
    let mut scene = Scene::new();
    scene.say(&get("/first")).await;
    scene.hear("[/first ]").await;
    scene.say(&get("/slow")).await;
    scene.hear("[/slow ]").await;
    // Nor is an answer that its client does not fetch.
    scene.say(&get("/last")).await;
    sleep(PARK_AFTER * 3).await;
    scene.hear("[/last ]").await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_stops_closes_parked_connections_and_answers_what_was_asked() {
    let mut parked = Scene::new();
    parked.say(&get("/done")).await;
    parked.hear("[/done ]").await;
    sleep(PARK_AFTER * 2).await;
    parked.phase.send_replace(Phase::Draining);
    assert!(is_about(parked.end().await, Duration::ZERO), "a parked one ends at once");
    parked.hub.await.unwrap();

    let fresh = Scene::new();
    sleep(PARK_AFTER).await;
    fresh.phase.send_replace(Phase::Draining);
    fresh.hub.await.unwrap();

    let mut asking = Scene::new();
    asking.say(&get("/slow")).await;
    sleep(Duration::from_secs(1)).await;
    asking.phase.send_replace(Phase::Draining);
    let mut rest = String::new();
    asking.client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("[/slow ]") && rest.contains("connection: close"), "{rest}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_while_parked_leaves_nothing_behind() {
    let mut scene = Scene::new();
    scene.say(&get("/done")).await;
    scene.hear("[/done ]").await;
    sleep(PARK_AFTER * 2).await;
    drop(scene.client);
    timeout(Duration::from_secs(1), scene.hub).await.expect("its task ends").unwrap();
    assert_eq!(Arc::strong_count(&scene.echo), 1, "nobody holds what served it");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_closes_its_connection_still_does() {
    let mut scene = Scene::new();
    scene.say(&get("/first")).await;
    scene.hear("[/first ]").await;
    sleep(PARK_AFTER * 2).await;
    scene.say("GET /last HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n").await;
    let mut rest = String::new();
    scene.client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("[/last ]") && rest.contains("connection: close"), "{rest}");
    scene.hub.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http2_is_told_by_its_first_bytes_and_may_be_silent() {
    let scene = Scene::new();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(scene.client);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let client = tokio::spawn(connection);
    for path in ["/one", "/two"] {
        let request = Request::builder().uri(format!("http://hub{path}")).body(Body::empty()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.version(), ::http::Version::HTTP_2);
        let said = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(said, format!("[{path} ]"));
        sleep(HEAD_TIMEOUT * 3).await;
    }
    scene.phase.send_replace(Phase::Draining);
    timeout(Duration::from_secs(5), scene.hub).await.expect("it is told to go").unwrap();
    client.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn bytes_that_only_begin_like_http2_are_read_as_what_they_are() {
    let mut scene = Scene::new();
    for part in ["P", "OST /posted HTTP/1.1\r\nhost: hub\r\ncontent-length: 2\r\n\r\nok"] {
        scene.say(part).await;
        sleep(Duration::from_secs(1)).await;
    }
    scene.hear("[/posted ok]").await;
    let mut scene = Scene::new();
    scene.say("PRI * HTTP/2.0\r\n\r\nno such thing").await;
    let mut rest = String::new();
    scene.client.read_to_string(&mut rest).await.unwrap();
    assert!(!rest.contains(" 200 "), "{rest}");
    assert_eq!(scene.asked(), 0);
}
