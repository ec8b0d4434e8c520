//! What callers are told when a server cannot be reached, and what the hub remembers meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use connector::Connector;
use mcp_upstream::{Facts, McpUpstream, Parts, Transport};
use model::{Code, ConnectionStatus, Era, Key, Retry};
use serde_json::json;

use crate::support::*;

#[derive(Default)]
struct Notebook(Mutex<HashMap<String, Bytes>>);

#[async_trait]
impl Facts for Notebook {
    async fn load(&self, key: &Key) -> Option<Bytes> {
        self.0.lock().unwrap().get(key.as_str()).cloned()
    }

    async fn save(&self, key: &Key, facts: Bytes) {
        self.0.lock().unwrap().insert(key.to_string(), facts);
    }
}

async fn legacy_fake() -> FakeHttp {
    FakeHttp::start(|seen| {
        Box::pin(async move {
            match seen.method() {
                "initialize" => {
                    seen.result(json!({"protocolVersion":"2025-03-26","capabilities":{"tools":{}}}))
                }
                "tools/list" => seen.result(json!({"tools":[tool("any")]})),
                "tools/call" => seen.result(json!({})),
                "server/discover" => seen.error(400, -32000, json!(null)),
                _ if seen.verb == "GET" => Reply::status(405),
                _ => Reply::status(202),
            }
        })
    })
    .await
}

#[tokio::test]
async fn nobody_there_is_safe_to_retry_and_says_what_to_check() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    for transport in
        [Transport::Http { url: format!("http://{addr}/mcp") }, Transport::Tcp { addr: addr.to_string() }]
    {
        let upstream = McpUpstream::start(settings(transport), parts());
        eventually("it is down", || upstream.state().status == ConnectionStatus::Error).await;
        let fault = upstream.call(&plain(), call("any")).await.unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::UNREACHABLE, Retry::Safe), "{fault}");
        assert!(!fault.hint.is_empty());
    }
}

#[tokio::test]
async fn a_private_address_is_refused_unless_the_connection_may() {
    let fake = legacy_fake().await;
    let mut settings = settings(Transport::Http { url: fake.url.clone() });
    settings.route = settings.route.under(outbound::EgressRule { private_allowed: false });
    let upstream = McpUpstream::start(settings, parts());
    eventually("it is refused", || upstream.state().status == ConnectionStatus::Error).await;
    let fault = upstream.call(&plain(), call("any")).await.unwrap_err();
    assert_eq!(fault.code, Code::EGRESS_REFUSED, "{fault}");
    assert!(fake.seen.lock().unwrap().is_empty(), "not one byte arrived");
}

#[tokio::test]
async fn the_era_and_the_tools_are_remembered_over_a_restart() {
    let fake = legacy_fake().await;
    let notebook: Arc<Notebook> = Arc::default();
    let with_facts = || Parts { facts: Some(Arc::clone(&notebook) as Arc<dyn Facts>), ..parts() };
    let start =
        |url: &str| McpUpstream::start(settings(Transport::Http { url: url.to_owned() }), with_facts());
    let first = start(&fake.url);
    eventually("it is saved", || !notebook.0.lock().unwrap().is_empty()).await;
    first.close().await;
    assert_eq!(fake.seen("server/discover").len(), 1);

    let second = start(&fake.url);
    eventually("it is up", || second.state().status == ConnectionStatus::Connected).await;
    assert_eq!(fake.seen("server/discover").len(), 1, "the era is known: no question");

    // The server is gone; what it offered is still there, marked.
    let third = start("http://127.0.0.1:1/mcp");
    eventually("the memory is read", || !third.inventory().tools.is_empty()).await;
    let inventory = third.inventory();
    assert_eq!((inventory.is_stale, inventory.era), (true, Some(Era::Legacy)));
}

#[tokio::test]
async fn an_http_server_that_comes_back_is_used_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    // The first server answers the greeting and one list, then disappears with its listener.
    let gone = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for body in [
            json!({"jsonrpc":"2.0","id":1,"result":discovery()}),
            json!({"jsonrpc":"2.0","id":2,"result":{"tools":[tool("any")]}}),
        ] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 8192];
            let _ = socket.read(&mut buffer).await.unwrap();
            let body = body.to_string();
            let text = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(text.as_bytes()).await.unwrap();
        }
    });
    let upstream = up(settings(Transport::Http { url: format!("http://{addr}/mcp") })).await;
    gone.await.unwrap();
    let fault = upstream.call(&plain(), call("any")).await.unwrap_err();
    assert_eq!((fault.code, fault.retry), (Code::UNREACHABLE, Retry::Safe), "{fault}");
    let listener = tokio::net::TcpListener::bind(addr).await.unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 8192];
            let count = socket.read(&mut buffer).await.unwrap();
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            let message: serde_json::Value =
                serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
            let result = match message["method"].as_str().unwrap() {
                "server/discover" => discovery(),
                "tools/list" => json!({"tools":[tool("any")]}),
                _ => json!({"content":["back"]}),
            };
            let body = answer(&message, result);
            let text = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(text.as_bytes()).await.unwrap();
        }
    });
    assert_eq!(done(upstream.call(&plain(), call("any")).await)["content"][0], "back");
}
