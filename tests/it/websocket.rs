//! WebSocket clients that are honest, that are strange, and that are hostile (RFC 6455).

use std::time::Duration;

use serde_json::{Value, json};
use testkit::hub::Hub;
use testkit::raw::Raw;
use testkit::trouble::{WELL, entry};
use testkit::websocket::WebSocketClient;

const LIMIT: usize = 4096;
const FINAL: u8 = 0x80;
const MASK: [u8; 4] = [7, 0, 0xff, 42];

async fn hub() -> Hub {
    let config = json!({ "limits": { "line_bytes": LIMIT }, "integrations": { "one": entry(&[]).unwrap() } });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/one").await.unwrap();
    hub
}

fn call(id: u32) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "one__well", "arguments": {},
        "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {} } } })
}

/// A connection on which frames are spoken from now on.
async fn upgraded(hub: &Hub) -> Raw {
    let mut raw = Raw::connect(&hub.endpoint("/mcp")).await.unwrap();
    let request = format!(
        "GET /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: mcp\r\n\r\n",
        hub.key
    );
    raw.say(request).await.unwrap();
    let head = String::from_utf8(raw.hear(b"\r\n\r\n").await.unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    raw
}

/// A frame as a client has to send it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

#[tokio::test]
async fn a_client_is_answered_after_a_silence_and_large_messages_pass() {
    let hub =
        Hub::start(&json!({ "integrations": { "one": entry(&[]).unwrap() } }).to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/one").await.unwrap();
    let mut client = WebSocketClient::connect(&hub.endpoint("/mcp"), &hub.key).await.unwrap();
    assert!(client.ask(&call(1)).await.unwrap().to_string().contains(WELL));
    let mut large = call(2);
    large["params"]["_meta"]["com.example/padding"] = json!("x".repeat(300_000));
    assert!(client.ask(&large).await.unwrap().to_string().contains(WELL));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(client.ask(&call(3)).await.unwrap().to_string().contains(WELL));
}

#[tokio::test]
async fn fragments_pings_and_goodbyes_are_understood() {
    let hub = hub().await;
    let mut raw = upgraded(&hub).await;
    let message = call(1).to_string();
    let (first, rest) = message.as_bytes().split_at(30);
    // A ping between two fragments is answered at once, and does not disturb them.
    raw.say([frame(1, first), frame(FINAL | 9, b"there?")].concat()).await.unwrap();
    assert_eq!(raw.hear(b"there?").await.unwrap(), b"\x8a\x06there?");
    raw.say(frame(FINAL, rest)).await.unwrap();
    let answer = raw.hear(b"}}").await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains(WELL));
    raw.say(frame(FINAL | 8, &3001_u16.to_be_bytes())).await.unwrap();
    let end = raw.rest().await.unwrap();
    assert_eq!(end, [&b"\x88\x02"[..], &3001_u16.to_be_bytes()].concat(), "the code comes back, and the end");
}

#[tokio::test]
async fn who_breaks_the_rules_is_told_which_and_let_go() {
    let hub = hub().await;
    let length = |bytes: u64| [&[FINAL | 1, 0x80 | 127][..], &bytes.to_be_bytes(), &MASK].concat();
    let cut = [frame(1, &[b'x'; LIMIT - 100]), frame(FINAL, &[b'x'; 200])].concat();
    for (what, bytes, code) in [
        ("not masked", b"\x81\x02{}".to_vec(), 1002_u16),
        ("reserved bits", frame(FINAL | 0x40 | 1, b"{}"), 1002),
        ("an unknown kind", frame(FINAL | 3, b"{}"), 1002),
        ("a long ping", frame(FINAL | 9, &[b'x'; 126]), 1002),
        ("a ping in parts", frame(9, b"x"), 1002),
        ("a continuation of nothing", frame(FINAL, b"{}"), 1002),
        ("a message within a message", [frame(1, b"{"), frame(FINAL | 1, b"{}")].concat(), 1002),
        ("half a close code", frame(FINAL | 8, b"\x03"), 1002),
        ("a close code that is none", frame(FINAL | 8, &1005_u16.to_be_bytes()), 1002),
        ("not UTF-8", frame(FINAL | 1, b"\"\xff\""), 1007),
        ("binary", frame(FINAL | 2, b"{}"), 1003),
        ("too long by its opening", length(LIMIT as u64 + 1), 1009),
        ("too long for any memory", length(u64::MAX >> 1), 1009),
        ("too long in parts", cut, 1009),
    ] {
        let mut raw = upgraded(&hub).await;
        raw.say(&bytes).await.unwrap();
        let end = raw.rest().await.unwrap();
        assert!(end.len() >= 4 && end[0] == 0x88, "{what}: {end:?}");
        assert_eq!(u16::from_be_bytes([end[2], end[3]]), code, "{what}");
    }
    // Others are not disturbed.
    let mut client = WebSocketClient::connect(&hub.endpoint("/mcp"), &hub.key).await.unwrap();
    assert!(client.ask(&call(1)).await.unwrap().to_string().contains(WELL));
}

#[tokio::test]
async fn a_websocket_counts_as_a_connection_for_as_long_as_it_is_open() {
    let mut hub = Hub::start("limits: { connections: 3 }\nintegrations: {}\n").await.unwrap();
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(upgraded(&hub).await);
    }
    let mut refused = Raw::connect(&hub.endpoint("/health")).await.unwrap();
    let head = String::from_utf8(refused.hear(b"\r\n\r\n").await.unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    drop(open.pop());
    hub.until("a place that is free again", async || {
        let reply = hub.http(hyper::Method::GET, "/health", &Value::Null).await?;
        anyhow::ensure!(reply.status.is_success(), "{}", reply.status);
        Ok(())
    })
    .await
    .unwrap();
    // They do not keep the hub from ending either.
    assert!(hub.program().stop().unwrap().success());
    for mut raw in open {
        let _ = raw.rest().await;
    }
}
