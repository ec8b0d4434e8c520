//! Redirects, for who asks to have them followed: how far, where to, and what goes along.

use std::sync::Arc;

use outbound::redirect::HOPS_MAX;
use outbound::{Client, EgressRule, Followed, Head, OutboundError, Outgoing, Route, Target};

use crate::authority::Authority;
use crate::dns::Says;
use crate::site::{Site, listener, ok, outgoing, path, text, to};
use crate::tls::{Asks, OPEN, acceptor};

fn credentials() -> Head {
    let mut head = Head::new();
    for (name, value) in [
        ("authorization", "Bearer s3cr3t"),
        ("x-api-key", "s3cr3t"),
        ("cookie", "a=s3cr3t"),
        ("accept", "a/b"),
    ] {
        head.push(name, value).unwrap();
    }
    head
}

async fn follow(url: &str, route: &Route) -> Result<Followed, OutboundError> {
    let target = Target::parse(url, route).unwrap();
    let head = credentials();
    Client::new().send_following(&target, outgoing("GET", &head)).await
}

fn open() -> Route {
    Route::builder(OPEN).build().unwrap()
}

/// `/3` leads to `/2`, and so on to `/0`, which answers.
async fn stairs() -> Site {
    Site::start(|request| match path(request).trim_start_matches('/').parse::<u32>() {
        Ok(0) => ok("down"),
        Ok(step) => to([301, 302, 303, 307, 308][step as usize % 5], &format!("/{}", step - 1)),
        Err(_) => ok(path(request)),
    })
    .await
}

#[tokio::test]
async fn five_are_followed_and_a_sixth_is_not() {
    let site = stairs().await;
    let url = |step: usize| format!("http://127.0.0.1:{}/{step}", site.port);
    let done = follow(&url(HOPS_MAX), &open()).await.unwrap();
    assert_eq!((done.hops, done.response.status), (5, 200));
    assert_eq!(text(done.response).await, "down");
    assert_eq!(site.log().len(), 6);
    assert!(site.log().iter().all(|r| r.contains("Bearer s3cr3t")), "one origin may know what it was told");

    let error = follow(&url(HOPS_MAX + 1), &open()).await.unwrap_err();
    assert!(matches!(error, OutboundError::Redirect { .. }) && !error.is_unsent(), "{error}");
    assert_eq!(site.log().len(), 12, "the sixth place was not asked");
}

#[tokio::test]
async fn another_origin_gets_no_credentials_and_they_do_not_come_back() {
    let last = Site::start(|request| ok(path(request))).await;
    let back = format!("http://127.0.0.1:{}/last", last.port);
    let other = Site::start(move |_| to(302, &back)).await;
    let away = format!("//127.0.0.1:{}/other", other.port);
    let first = Site::start(move |_| to(307, &away)).await;
    let route = open();
    let done = follow(&format!("http://127.0.0.1:{}/first", first.port), &route).await.unwrap();
    assert_eq!((done.hops, done.target.authority()), (2, &*format!("127.0.0.1:{}", last.port)));
    assert_eq!(text(done.response).await, "/last");
    assert!(first.log()[0].contains("s3cr3t"));
    for site in [&other, &last] {
        let [request] = &site.log()[..] else { panic!("one request each") };
        assert!(!request.contains("s3cr3t"), "{request}");
        assert!(request.contains("accept: a/b"), "what is harmless goes along: {request}");
    }

    // And home again: whoever sent us there chose what is asked.
    let ports: Arc<std::sync::OnceLock<u16>> = Arc::default();
    let known = Arc::clone(&ports);
    let mirror =
        Site::start(move |_| to(302, &format!("http://127.0.0.1:{}/chosen", known.get().unwrap()))).await;
    let away = format!("http://127.0.0.1:{}/", mirror.port);
    let home =
        Site::start(move |request| if path(request) == "/chosen" { ok("") } else { to(302, &away) }).await;
    ports.set(home.port).unwrap();
    let done = follow(&format!("http://127.0.0.1:{}/", home.port), &route).await.unwrap();
    assert_eq!(done.hops, 2);
    assert!(home.log()[0].contains("s3cr3t") && !home.log()[1].contains("s3cr3t"), "{:?}", home.log());
}

#[tokio::test]
async fn only_questions_are_followed() {
    let elsewhere = listener("127.0.0.1:0").await;
    let place = format!("http://127.0.0.1:{}/", elsewhere.port);
    let site = Site::start(move |_| to(307, &place)).await;
    let target = Target::parse(&format!("http://127.0.0.1:{}/", site.port), &open()).unwrap();
    let head = credentials();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get"] {
        let request = outgoing(method, &head);
        let done = Client::new().send_following(&target, request).await.unwrap();
        assert_eq!((done.hops, done.response.status), (0, 307), "{method}");
    }
    let body: [&[u8]; 1] = [b"x"];
    let request = Outgoing { body: &body, ..outgoing("GET", &head) };
    assert_eq!(Client::new().send_following(&target, request).await.unwrap().hops, 0);
    assert_eq!(elsewhere.seen(), 0);
}

#[tokio::test]
async fn each_hop_passes_the_guard() {
    let trap = listener("0.0.0.0:0").await;
    let says = Arc::new(Says::new(&["169.254.169.254"]));
    for place in [
        format!("http://0.0.0.0:{}/latest", trap.port),
        format!("http://0:{}/latest", trap.port),
        format!("//[::ffff:0:0]:{}/latest", trap.port),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://2852039166/latest/meta-data/".to_owned(),
        "http://[::ffff:a9fe:a9fe]/".to_owned(),
        "http://metadata.example/".to_owned(),
    ] {
        let told = place.clone();
        // The second hop, as an attacker would do who knows that the first is looked at.
        let site = Site::start(move |r| if path(r) == "/" { to(302, "/on") } else { to(302, &told) }).await;
        let resolver = Arc::clone(&says) as Arc<dyn outbound::Resolver>;
        let route = Route::builder(OPEN).resolver(resolver).build().unwrap();
        let error = follow(&format!("http://127.0.0.1:{}/", site.port), &route).await.unwrap_err();
        assert!(matches!(error, OutboundError::Refused { .. }), "{place}: {error}");
        assert_eq!(site.log().len(), 2, "{place}");
    }
    assert_eq!((trap.seen(), says.asked()), (0, 1));
    // Where nothing private is allowed the first step is already one too far.
    let site = stairs().await;
    let closed = Route::builder(EgressRule::default()).build().unwrap();
    assert!(follow(&format!("http://127.0.0.1:{}/1", site.port), &closed).await.is_err());
    assert!(site.log().is_empty());
}

#[tokio::test]
async fn places_that_are_none_are_refused_and_their_secrets_not_repeated() {
    let trap = listener("127.0.0.1:0").await;
    let port = trap.port;
    for place in [
        String::new(),
        "#here".to_owned(),
        "javascript:alert(1)".to_owned(),
        format!("ftp://127.0.0.1:{port}/"),
        format!("ws://127.0.0.1:{port}/"),
        format!("http:127.0.0.1:{port}/"),
        format!("http://u:s3cr3t@127.0.0.1:{port}/"),
        format!("//s3cr3t@127.0.0.1:{port}/"),
        format!("http://127.0.0.1%2f:{port}/"),
        format!("http://127.0.0.1:{port}:80/"),
        format!("http://１２７.0.0.1:{port}/"),
        "/with space".to_owned(),
        "/caf\u{e9}".to_owned(),
    ] {
        let told = place.clone();
        let site = Site::start(move |_| to(302, &told)).await;
        let error = follow(&format!("http://127.0.0.1:{}/", site.port), &open()).await.unwrap_err();
        assert!(
            matches!(error, OutboundError::Redirect { .. } | OutboundError::BadUrl { .. }),
            "{place:?}: {error}"
        );
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
        assert_eq!(site.log().len(), 1, "{place:?}");
    }
    let two = Site::start(move |_| {
        let second = format!("location: http://127.0.0.1:{port}/\r\ncontent-length");
        to(302, "/a").replacen("content-length", &second, 1)
    })
    .await;
    let error = follow(&format!("http://127.0.0.1:{}/", two.port), &open()).await.unwrap_err();
    assert!(matches!(error, OutboundError::Redirect { .. }), "{error}");
    assert_eq!(two.log().len(), 1, "neither of the two is taken");
    assert_eq!(trap.seen(), 0);
}

#[tokio::test]
async fn references_are_read_from_where_they_stand() {
    let site = Site::start(|request| match path(request) {
        "/a/b?x=1" => to(302, "c?to=http://127.0.0.1:1/"),
        "/a/c?to=http://127.0.0.1:1/" => to(302, "?y=2#part"),
        "/a/c?y=2" => to(302, "/d?e#f"),
        other => ok(other),
    })
    .await;
    let done = follow(&format!("http://127.0.0.1:{}/a/b?x=1", site.port), &open()).await.unwrap();
    assert_eq!((done.hops, &*text(done.response).await), (3, "/d?e"));
}

#[tokio::test]
async fn what_was_encrypted_does_not_go_on_in_the_clear() {
    let trap = listener("127.0.0.1:0").await;
    let ours = Authority::new("ours");
    let place = format!("http://127.0.0.1:{}/", trap.port);
    let tls = acceptor(&ours.issue(&["127.0.0.1"]), &ours, Asks::Never);
    let site = Site::start_with(Some(tls), move |_| to(302, &place)).await;
    let route = Route::builder(OPEN).root_certificates(&ours.pem).build().unwrap();
    let error = follow(&format!("https://127.0.0.1:{}/", site.port), &route).await.unwrap_err();
    assert!(matches!(error, OutboundError::Redirect { why, .. } if why.contains("https to http")), "{error}");
    assert_eq!((site.log().len(), trap.seen()), (1, 0));
}

#[tokio::test]
async fn a_client_certificate_is_not_shown_to_whom_a_redirect_leads() {
    let ours = Authority::new("ours");
    let server = ours.issue(&["127.0.0.1"]);
    let tls = || Some(acceptor(&server, &ours, Asks::Politely));
    let other = Site::start_with(tls(), |_| ok("other")).await;
    let away = format!("https://127.0.0.1:{}/", other.port);
    let first =
        Site::start_with(tls(), move |r| if path(r) == "/" { to(302, "/on") } else { to(302, &away) }).await;
    let client = ours.issue(&["client.example"]);
    let route = Route::builder(OPEN)
        .root_certificates(&ours.pem)
        .client_certificate(&client.chain, client.key)
        .build()
        .unwrap();
    let done = follow(&format!("https://127.0.0.1:{}/", first.port), &route).await.unwrap();
    assert_eq!((done.hops, &*text(done.response).await), (2, "other"));
    assert!(first.certified.lock().unwrap().iter().all(|shown| *shown));
    assert_eq!(*other.certified.lock().unwrap(), [false]);
}

#[tokio::test]
async fn the_connection_to_where_a_redirect_led_is_not_kept() {
    let other = Site::start(|_| ok("other")).await;
    let away = format!("http://127.0.0.1:{}/", other.port);
    let first = Site::start(move |_| to(302, &away)).await;
    for _ in 0..3 {
        let done = follow(&format!("http://127.0.0.1:{}/", first.port), &open()).await.unwrap();
        assert_eq!(text(done.response).await, "other");
    }
    other.wait_for_silence().await;
    assert_eq!(other.log().len(), 3);
}
