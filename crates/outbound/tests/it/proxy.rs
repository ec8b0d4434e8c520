//! The way through a proxy: who is judged, what the proxy is asked for, and what stays between it and us.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::Secret;
use outbound::{Bypass, EgressRule, OutboundError, Proxy, Route, dial_tcp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::authority::Authority;
use crate::dns::Says;
use crate::site::{Site, get, listener, ok, text};
use crate::tls::{Asks, OPEN, acceptor};

const CLOSED: EgressRule = EgressRule { private_allowed: false };
/// `user:s3cr3t`.
const BASIC: &str = "Basic dXNlcjpzM2NyM3Q=";

/// A proxy that answers `CONNECT` with `said` and, where that is a yes, leads to `port` of this machine whatever
/// it was asked for.
struct FakeProxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeProxy {
    async fn start(said: &'static str, leads_to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = socket.read_u8().await else { return };
                        head.push(byte);
                    }
                    log.lock().unwrap().push(String::from_utf8(head).unwrap());
                    socket.write_all(said.as_bytes()).await.unwrap();
                    if !said.starts_with("HTTP/1.1 2") {
                        return;
                    }
                    let mut target = TcpStream::connect(("127.0.0.1", leads_to)).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut socket, &mut target).await;
                });
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The way to it, with credentials.
    fn way(&self, rule: EgressRule) -> Proxy {
        let proxy = Proxy::parse(&format!("http://127.0.0.1:{}", self.port), rule).unwrap();
        proxy.with_basic_auth("user", &Secret::new("s3cr3t")).unwrap()
    }

    /// A route whose targets have to be public, and whose names lead to these addresses.
    fn route(&self, says: &Arc<Says>) -> Route {
        let resolver = Arc::clone(says) as Arc<dyn outbound::Resolver>;
        Route::builder(CLOSED).proxy(self.way(OPEN)).resolver(resolver).build().unwrap()
    }
}

const YES: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

#[tokio::test]
async fn the_proxy_is_asked_for_the_judged_address_and_its_credentials_go_no_further() {
    let site = Site::start(|_| ok("through")).await;
    let proxy = FakeProxy::start(YES, site.port).await;
    let says = Arc::new(Says::new(&["1.1.1.1"]));
    let response = get("http://server.example:81/path", &proxy.route(&says)).await.unwrap();
    assert_eq!(text(response).await, "through");
    let asked =
        format!("CONNECT 1.1.1.1:81 HTTP/1.1\r\nhost: 1.1.1.1:81\r\nproxy-authorization: {BASIC}\r\n\r\n");
    assert_eq!(proxy.asked(), [asked]);
    assert_eq!(says.asked(), 1);
    let [request] = &site.log()[..] else { panic!("one request") };
    assert_eq!(request, "GET /path HTTP/1.1\r\nhost: server.example:81\r\n\r\n", "not a word of the proxy");
}

#[tokio::test]
async fn tls_goes_through_to_the_server_itself_and_is_for_its_name() {
    let ours = Authority::new("ours");
    let tls = acceptor(&ours.issue(&["server.example"]), &ours, Asks::Never);
    let site = Site::start_with(Some(tls), |_| ok("through")).await;
    let proxy = FakeProxy::start(YES, site.port).await;
    let route = Route::builder(CLOSED)
        .proxy(proxy.way(OPEN))
        .resolver(Arc::new(Says::new(&["2606:4700::1111"])))
        .root_certificates(&ours.pem)
        .build()
        .unwrap();
    assert_eq!(text(get("https://server.example/", &route).await.unwrap()).await, "through");
    assert!(
        proxy.asked()[0].starts_with("CONNECT [2606:4700::1111]:443 HTTP/1.1\r\n"),
        "{:?}",
        proxy.asked()
    );
    assert!(!site.log()[0].contains("proxy-authorization"));
    // The dot at the end of a whole name is no part of what a certificate is for.
    assert_eq!(text(get("https://server.example./", &route).await.unwrap()).await, "through");
    let error = get("https://other.example/", &route).await.unwrap_err();
    assert!(matches!(error, OutboundError::Tls { .. }), "{error}");
}

#[tokio::test]
async fn targets_are_judged_before_the_proxy_hears_of_them() {
    let proxy = FakeProxy::start(YES, 1).await;
    let says = Arc::new(Says::new(&["10.0.0.1", "169.254.169.254"]));
    for url in [
        "http://server.example/",
        "http://10.0.0.1/",
        "http://2852039166/",
        "http://localhost/",
        "http://[::1]/",
    ] {
        let error = get(url, &proxy.route(&says)).await.unwrap_err();
        assert!(matches!(error, OutboundError::Refused { .. }), "{url}: {error}");
    }
    // With private ones allowed: this machine, seen from the proxy, would be the proxy's.
    let open = Route::builder(OPEN).proxy(proxy.way(OPEN)).build().unwrap();
    for url in [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
    ] {
        let error = get(url, &open).await.unwrap_err();
        assert!(
            matches!(error, OutboundError::Refused { class, .. } if class.contains("proxy")),
            "{url}: {error}"
        );
    }
    assert!(proxy.asked().is_empty());
}

#[tokio::test]
async fn the_proxy_itself_passes_the_guard() {
    let site = listener("127.0.0.1:0").await;
    for host in ["127.0.0.1", "localhost", "0x7f.1", "proxy.example", "0.0.0.0"] {
        let proxy = Proxy::parse(&format!("http://{host}:{}/", site.port), CLOSED).unwrap();
        let route =
            Route::builder(OPEN).proxy(proxy).resolver(Arc::new(Says::new(&["127.0.0.1"]))).build().unwrap();
        let error = get("http://1.1.1.1/", &route).await.unwrap_err();
        assert!(matches!(error, OutboundError::Refused { .. }), "{host}: {error}");
    }
    assert_eq!(site.seen(), 0);
}

#[tokio::test]
async fn a_proxy_that_does_not_lead_on_is_named_and_nothing_is_sent() {
    let site = listener("127.0.0.1:0").await;
    let long: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(9000)).into());
    for (said, wanted) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\ns3cr3t", "403"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\n\r\n", "302"),
        ("SSH-2.0-x\r\n\r\n", "valid HTTP"),
        ("HTTP/1.1 ", "without an answer"),
        (long, "too long"),
    ] {
        let proxy = FakeProxy::start(said, site.port).await;
        let error = get("http://server.example/", &proxy.route(&Arc::new(Says::new(&["1.1.1.1"]))))
            .await
            .unwrap_err();
        assert!(matches!(error, OutboundError::Proxy { .. }) && error.is_unsent(), "{said}: {error}");
        let shown = format!("{error} {error:?} {:?}", model::Fault::from(error.clone()));
        assert!(shown.contains(wanted), "{shown}");
        assert!(!shown.contains("s3cr3t") && !shown.contains("dXNlcj"), "{shown}");
    }
    assert!(site.seen() <= 1, "only the proxy itself, which had said yes, may have called");
}

#[tokio::test]
async fn what_follows_the_proxys_answer_belongs_to_the_server() {
    let site = listener("127.0.0.1:0").await;
    let proxy = FakeProxy::start("HTTP/1.1 200 OK\r\nx: y\r\n\r\nhello\r\n\r\nworld", site.port).await;
    let mut stream =
        dial_tcp("server.example:99", &proxy.route(&Arc::new(Says::new(&["1.1.1.1"])))).await.unwrap();
    let mut heard = [0; 14];
    tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"hello\r\n\r\nworld");
}

#[tokio::test]
async fn a_proxy_over_tls_is_trusted_as_targets_are_and_the_servers_tls_runs_within() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let tls = acceptor(&ours.issue(&["server.example"]), &ours, Asks::Never);
    let site = Site::start_with(Some(tls), |_| ok("hello")).await;
    let plain = Site::start_with(None, |_| ok("plainly")).await;
    for (leads_to, url, said) in
        [(site.port, "https://server.example/", "hello"), (plain.port, "http://server.example/", "plainly")]
    {
        let inner = FakeProxy::start("HTTP/1.1 200 OK\r\n\r\n", leads_to).await;
        let tls = acceptor(&ours.issue(&["127.0.0.1"]), &ours, Asks::Never);
        let outer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = outer.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (socket, _) = outer.accept().await.unwrap();
                let Ok(mut near) = tls.accept(socket).await else { continue };
                let mut far = TcpStream::connect(("127.0.0.1", inner.port)).await.unwrap();
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
            }
        });
        let route = |trusted: &Authority| {
            let proxy = Proxy::parse(&format!("https://127.0.0.1:{port}"), OPEN).unwrap();
            let resolver: Arc<dyn outbound::Resolver> = Arc::new(Says::new(&["1.1.1.1"]));
            let builder = Route::builder(CLOSED).root_certificates(&trusted.pem).proxy(proxy);
            builder.resolver(resolver).build().unwrap()
        };
        assert_eq!(text(get(url, &route(&ours)).await.unwrap()).await, said);
        let error = get(url, &route(&theirs)).await.unwrap_err();
        assert!(error.to_string().contains("TLS with it failed"), "{error}");
    }
}

#[tokio::test]
async fn what_is_listed_as_without_proxy_is_reached_directly_and_still_judged() {
    let site = Site::start_with(None, |_| ok("hello")).await;
    let proxy = FakeProxy::start("HTTP/1.1 403 Forbidden\r\n\r\n", site.port).await;
    let mut direct = Bypass::default();
    assert!(direct.add("127.0.0.0/8"));
    let url = format!("http://127.0.0.1:{}/", site.port);
    let route = |rule| Route::builder(rule).proxy(proxy.way(OPEN)).bypass(direct.clone()).build().unwrap();
    assert_eq!(text(get(&url, &route(OPEN)).await.unwrap()).await, "hello");
    let error = get(&url, &route(CLOSED)).await.unwrap_err();
    assert!(matches!(error, OutboundError::Refused { .. }), "{error:?}");
    assert!(proxy.asked().is_empty());
}

#[test]
fn only_http_proxies_are_read_and_nothing_secret_shows() {
    for url in [
        "ftp://p:1",
        "socks5://p:1",
        "p:1",
        "http://u:s3cr3t@p:1",
        "http://p:1/path",
        "http://p:1?x",
        "http://p:0",
        "http://",
        "http://256.1.1.1:1",
        "http://p%2e:1",
        "",
    ] {
        let error = Proxy::parse(url, OPEN).unwrap_err();
        assert!(matches!(error, OutboundError::BadRoute { what: "proxy", .. }), "{url}: {error}");
        assert!(!error.to_string().contains("s3cr3t"));
    }
    let proxy = || Proxy::parse("http://p:1", OPEN).unwrap();
    for (user, password) in [("u:v", "x"), ("u\r\nx: y", "x"), ("u", "x\r\n")] {
        assert!(proxy().with_basic_auth(user, &Secret::new(password)).is_err());
    }
    let proxy = proxy().with_basic_auth("user", &Secret::new("s3cr3t")).unwrap();
    let route = Route::builder(OPEN).proxy(proxy).build().unwrap();
    let shown = format!("{route:?}");
    assert!(
        shown.contains("Proxy(p:1)") && !shown.contains("s3cr3t") && !shown.contains("dXNlcj"),
        "{shown}"
    );
}
