//! Connections that only wait. The hub holds next to nothing for them, and their clients must not notice.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use testkit::hub::Hub;
use testkit::raw::Raw;
use testkit::trouble::{WELL, entry};

/// Longer than it takes the hub to put a silent connection aside.
const SILENCE: Duration = Duration::from_secs(3);

async fn hub() -> Hub {
    let hub =
        Hub::start(&json!({ "integrations": { "one": entry(&[]).unwrap() } }).to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/one").await.unwrap();
    hub
}

fn modern(id: u32, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {} });
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A modern request as it goes over the wire.
fn posted(key: &str, id: u32, method: &str, params: Value) -> String {
    let body = modern(id, method, params).to_string();
    let name = if method == "tools/call" { "mcp-name: one__well\r\n" } else { "" };
    format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{name}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn called(key: &str, id: u32) -> String {
    posted(key, id, "tools/call", json!({ "name": "one__well", "arguments": {} }))
}

/// Reads one answer of known length.
async fn answer(raw: &mut Raw) -> String {
    let head = String::from_utf8(raw.hear(b"\r\n\r\n").await.unwrap()).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(!head.contains("connection: close"), "{head}");
    String::from_utf8(raw.hear(b"}}").await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_silent_client_finds_its_connection_as_it_left_it() {
    let hub = hub().await;
    let mut raw = Raw::connect(&hub.endpoint("/mcp")).await.unwrap();
    for turn in 1..=3 {
        raw.say(called(&hub.key, turn)).await.unwrap();
        assert!(answer(&mut raw).await.contains(WELL));
        tokio::time::sleep(SILENCE).await;
    }
    // Several at once, the last one in two parts with a silence in between.
    let last = called(&hub.key, 6);
    let (begun, rest) = last.split_at(40);
    raw.say([called(&hub.key, 4).as_str(), called(&hub.key, 5).as_str(), begun].concat()).await.unwrap();
    for _ in 4..=5 {
        assert!(answer(&mut raw).await.contains(WELL));
    }
    tokio::time::sleep(SILENCE).await;
    raw.say(rest).await.unwrap();
    let sixth = answer(&mut raw).await;
    assert!(sixth.contains(WELL) && sixth.contains("\"id\":6"), "{sixth}");
}

#[tokio::test]
async fn an_event_stream_goes_on_after_a_silence_and_its_connection_after_it() {
    let hub = hub().await;
    let wish = json!({ "name": "scene", "access": { "allow": ["*"] } });
    let made = hub.http(Method::POST, "/api/v1/keys", &wish).await.unwrap().json().await.unwrap();
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let mut raw = Raw::connect(&hub.endpoint("/mcp")).await.unwrap();
    let wish = json!({ "notifications": { "toolsListChanged": true } });
    raw.say(posted(key, 1, "subscriptions/listen", wish)).await.unwrap();
    let head = String::from_utf8(raw.hear(b"\r\n\r\n").await.unwrap()).unwrap().to_lowercase();
    assert!(head.contains("text/event-stream") && head.contains("transfer-encoding: chunked"), "{head}");
    raw.hear(b"acknowledged").await.unwrap();
    tokio::time::sleep(SILENCE).await;

    // Something happens, twice, with a silence in between.
    for count in 1..=2 {
        let more: serde_json::Map<String, Value> = (0..=count)
            .map(|at| (if at == 0 { "one".to_owned() } else { format!("more{at}") }, entry(&[]).unwrap()))
            .collect();
        let config = json!({ "integrations": more }).to_string();
        std::fs::write(hub.folder().join("new"), config).unwrap();
        std::fs::rename(hub.folder().join("new"), hub.folder().join("trunkline.yaml")).unwrap();
        raw.hear(b"notifications/tools/list_changed").await.unwrap();
        tokio::time::sleep(SILENCE).await;
    }

    // What is asked meanwhile waits until the stream has ended.
    raw.say(called(&hub.key, 2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let revoked = hub.http(Method::DELETE, &format!("/api/v1/keys/{id}"), &Value::Null).await.unwrap();
    assert_eq!(revoked.status.as_u16(), 204);
    let last = String::from_utf8(raw.hear(b"\r\n0\r\n\r\n").await.unwrap()).unwrap();
    assert!(last.contains("\"resultType\":\"complete\"") && !last.contains(WELL), "{last}");
    let next = answer(&mut raw).await;
    assert!(next.contains(WELL) && next.contains("\"id\":2"), "{next}");
}

#[tokio::test]
async fn the_old_pair_of_stream_and_posts_survives_a_silence() {
    let hub = hub().await;
    let mut raw = Raw::connect(&hub.endpoint("/mcp")).await.unwrap();
    raw.say(format!("GET /mcp/sse HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n", hub.key))
        .await
        .unwrap();
    raw.hear(b"data: ").await.unwrap();
    let path = String::from_utf8(raw.hear(b"\n").await.unwrap()).unwrap().trim().to_owned();
    for turn in 1..=2 {
        tokio::time::sleep(SILENCE).await;
        let call = modern(turn, "tools/call", json!({ "name": "one__well", "arguments": {} }));
        let taken = hub.http(Method::POST, &path, &call).await.unwrap();
        assert_eq!(taken.status.as_u16(), 202);
        let event = String::from_utf8(raw.hear(b"\n\n\r\n").await.unwrap()).unwrap();
        assert!(event.contains(WELL) && event.contains(&format!("\"id\":{turn}")), "{event}");
    }
}

#[tokio::test]
async fn a_hub_that_is_asked_to_stop_does_not_wait_for_silent_clients() {
    let mut hub = hub().await;
    let mut raw = Raw::connect(&hub.endpoint("/mcp")).await.unwrap();
    raw.say(called(&hub.key, 1)).await.unwrap();
    answer(&mut raw).await;
    let mut fresh = Raw::connect(&hub.endpoint("/mcp")).await.unwrap();
    tokio::time::sleep(SILENCE).await;
    let status = hub.program().stop().unwrap();
    assert!(status.success(), "{status}\n{}", hub.log());
    assert_eq!(raw.rest().await.unwrap(), b"", "it ends without a word");
    assert_eq!(fresh.rest().await.unwrap(), b"");
}
