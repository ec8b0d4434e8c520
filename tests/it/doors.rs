//! The doors beside Streamable HTTP: a program's standard streams, TCP, a Unix socket, and plain HTTP calls.
//! Behind each stands the same fixture, so each has to give the same answers.

use hyper::Method;
use serde_json::{Value, json};
use testkit::fixture::{Era, Peer};
use testkit::hub::Hub;
use testkit::lines::JsonLines;

const WORDS: &str = "Plain words, for a test.";

async fn hub_with(settings: &str) -> (Peer, Hub) {
    let fixture = Peer::start(Era::Both).await.unwrap();
    let config = format!(
        "{settings}integrations:\n  fixture: {{ type: mcp, protocol: http, url: \"{}\" }}\n",
        fixture.url
    );
    let hub = Hub::start(&config).await.unwrap();
    hub.wait_for_tools("/mcp/c/fixture").await.unwrap();
    (fixture, hub)
}

/// The handshake, a list and a call, in the old way and then, on the same line, in the new one.
async fn converse(lines: &mut JsonLines, prefix: &str) {
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "protocolVersion": "2025-11-25",
        "capabilities": {}, "clientInfo": { "name": "scene", "version": "1" } } });
    let welcome = lines.ask(&hello).await.unwrap();
    assert_eq!(welcome["result"]["protocolVersion"], "2025-11-25", "{welcome}");
    lines.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await.unwrap();

    let listed = lines.ask(&json!({ "jsonrpc": "2.0", "id": "two", "method": "tools/list" })).await.unwrap();
    let name = format!("{prefix}test_simple_text");
    let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
    assert!(tools.iter().any(|tool| tool["name"] == name.as_str()), "{listed}");

    let mut call = json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": { "name": name, "arguments": {} } });
    let said = lines.ask(&call).await.unwrap();
    assert_eq!(said["result"]["content"][0]["text"], WORDS, "{said}");
    assert!(said["result"].get("resultType").is_none(), "an older revision does not know the field: {said}");

    call["id"] = json!(4);
    call["params"]["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {} });
    let said = lines.ask(&call).await.unwrap();
    assert_eq!(said["result"]["content"][0]["text"], WORDS, "{said}");
    assert_eq!(said["result"]["resultType"], "complete", "{said}");
}

#[tokio::test]
async fn a_program_that_starts_the_hub_as_its_server() {
    let (_fixture, hub) = hub_with("").await;
    let mut lines = JsonLines::program(hub.command(&["mcp"]).unwrap()).unwrap();
    converse(&mut lines, "fixture__").await;
    assert!(lines.finish().await.unwrap().success(), "it ends when its input does");

    let mut lines = JsonLines::program(hub.command(&["mcp", "--connection", "fixture"]).unwrap()).unwrap();
    converse(&mut lines, "").await;
}

#[tokio::test]
async fn a_tcp_connection_that_shows_its_key_first() {
    let (_fixture, hub) = hub_with("mcp: { tcp: \"127.0.0.1:0\" }\n").await;
    let address =
        hub.ready["tcp"].as_str().unwrap_or_else(|| panic!("no TCP address: {}", hub.ready)).to_owned();

    let mut lines = JsonLines::tcp(&address).await.unwrap();
    lines.send(&json!({ "trunkline": "auth", "key": hub.key, "endpoint": "/mcp/c/fixture" })).await.unwrap();
    assert_eq!(lines.receive().await.unwrap(), Some(json!({ "trunkline": "ready" })));
    converse(&mut lines, "").await;

    for first in [
        json!({ "trunkline": "auth", "key": "trk_wrong" }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
    ] {
        let mut lines = JsonLines::tcp(&address).await.unwrap();
        lines.send(&first).await.unwrap();
        let mut heard = Vec::new();
        while let Ok(Some(message)) = lines.receive().await {
            heard.push(message);
        }
        assert!(!heard.iter().any(|message| message["trunkline"] == "ready"), "{first} opened the door");
        assert!(!format!("{heard:?}").contains("test_simple_text"), "{heard:?}");
    }
}

#[tokio::test]
async fn a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.sock");
    let (_fixture, hub) = hub_with(&format!("mcp: {{ unix: {} }}\n", json!(path))).await;

    let mut lines = JsonLines::unix(&path).await.unwrap();
    lines.send(&json!({ "trunkline": "auth", "key": hub.key })).await.unwrap();
    assert_eq!(lines.receive().await.unwrap(), Some(json!({ "trunkline": "ready" })));
    converse(&mut lines, "fixture__").await;
}

#[tokio::test]
async fn a_plain_http_call() {
    let (_fixture, hub) = hub_with("").await;
    let reply = hub.http(Method::POST, "/call/fixture/test_simple_text", &json!({})).await.unwrap();
    assert_eq!(reply.status.as_u16(), 200);
    let answer = reply.json().await.unwrap();
    assert!(answer["call_id"].as_str().is_some_and(|id| id.starts_with("call_")), "{answer}");
    assert_eq!(answer["is_error"], json!(false), "{answer}");
    assert!(answer["result"].to_string().contains(WORDS), "{answer}");

    let failed = hub.http(Method::POST, "/call/fixture/test_error_handling", &json!({})).await.unwrap();
    assert_eq!(failed.json().await.unwrap()["is_error"], json!(true));

    for path in ["/call/fixture/no_such_tool", "/call/nobody/test_simple_text"] {
        let reply = hub.http(Method::POST, path, &json!({})).await.unwrap();
        assert_eq!(reply.status.as_u16(), 404, "{path}");
        assert_eq!(reply.header("content-type"), "application/problem+json", "{path}");
        let problem = reply.json().await.unwrap();
        assert!(problem["code"].as_str().is_some_and(|code| code.starts_with("TL-")), "{problem}");
        assert!(problem["hint"] != Value::Null, "a refusal says what to do: {problem}");
    }

    let url = hub.endpoint("/call/fixture/test_simple_text");
    let stranger = testkit::http::send(Method::POST, &url, &[], "{}").await.unwrap();
    assert_eq!(stranger.status.as_u16(), 401);
}
