//! Where requests may come from.

use http::Method;

use crate::scene::{hub, hub_with, settings};

#[tokio::test]
async fn a_foreign_host_is_refused_before_anything_else_is_looked_at() {
    let hub = hub().await;
    for host in
        ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "192.168.1.5:4780", "127.0.0.1/x"]
    {
        for path in ["/health", "/call/files/text", "/nowhere"] {
            let answer = hub.ask(Method::GET, path).key(&hub.root).header("host", host).send().await;
            answer.is_problem(403, "TL-1003");
        }
    }
    let without = hub.ask(Method::GET, "/health").without("host").send().await;
    without.is_problem(403, "TL-1003");
    assert_eq!(hub.upstream.calls(), 0);
}

#[tokio::test]
async fn own_hosts_are_loopback_the_listen_address_the_public_url_and_the_list() {
    let hub = hub().await;
    for host in [
        "localhost",
        "127.0.0.1:4780",
        "[::1]:9",
        "hub.example.com",
        "hub.example.com:443",
        "HUB.internal:80",
    ] {
        let answer = hub.ask(Method::GET, "/health").header("host", host).send().await;
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_hub_that_listens_everywhere_takes_any_address_but_no_foreign_name() {
    let mut settings = settings();
    settings.listen = "0.0.0.0:4780".to_owned();
    let hub = hub_with(settings).await;
    let by_address = hub.ask(Method::GET, "/health").header("host", "192.168.1.5:4780").send().await;
    assert_eq!(by_address.status, 200);
    let by_name = hub.ask(Method::GET, "/health").header("host", "evil.example").send().await;
    by_name.is_problem(403, "TL-1003");
}

#[tokio::test]
async fn a_page_from_elsewhere_is_refused_even_with_a_key() {
    let hub = hub().await;
    let call = |origin: &str| {
        hub.ask(Method::POST, "/call/files/text").key(&hub.root).header("origin", origin).json("{}").send()
    };
    for origin in
        ["https://evil.example", "null", "http://hub.example.com", "https://hub.example.com.evil.example"]
    {
        call(origin).await.is_problem(403, "TL-1003");
    }
    assert_eq!(hub.upstream.calls(), 0);
    for origin in ["http://localhost:3000", "https://hub.example.com", "https://console.example.com:443"] {
        assert_eq!(call(origin).await.status, 200, "{origin}");
    }
}

#[tokio::test]
async fn answers_are_nobody_elses_to_keep() {
    let hub = hub().await;
    for path in ["/health", "/api/v1/tools", "/nowhere"] {
        let answer = hub.get(path).await;
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
    }
}
