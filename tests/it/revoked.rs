//! What is open when its key is revoked ends by itself, on every transport; what stands on other keys stays.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use testkit::client::{Generation, McpClient};
use testkit::http::{self, Reply};
use testkit::hub::Hub;
use testkit::lines::JsonLines;
use testkit::trouble::{WELL, entry};
use testkit::websocket::WebSocketClient;

/// Far below what a silent stream would live.
const PATIENCE: Duration = Duration::from_secs(20);

async fn key_for(hub: &Hub) -> (String, String) {
    let body = json!({ "name": "scene", "access": { "allow": ["*"] } });
    let made = hub.http(Method::POST, "/api/v1/keys", &body).await.unwrap().json().await.unwrap();
    (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
}

fn modern(id: u32, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {} });
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn call() -> Value {
    modern(7, "tools/call", json!({ "name": "one__well", "arguments": {} }))
}

/// One of each kind.
struct Open {
    get: Reply,
    listen: Reply,
    sse: Reply,
    tcp: JsonLines,
    unix: JsonLines,
    socket: WebSocketClient,
}

async fn open(hub: &Hub, unix: &std::path::Path, key: &str) -> Open {
    let authorization = format!("Bearer {key}");
    let common = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    let mut client = McpClient::new(&hub.endpoint("/mcp"), Some(key), Generation::Legacy);
    client.connect().await.unwrap();
    let on_session = [("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", client.session().unwrap())];
    let headers = [&common[..], &on_session].concat();
    let get = http::send(Method::GET, &hub.endpoint("/mcp"), &headers, "").await.unwrap();

    let wish = modern(9, "subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let as_modern = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "subscriptions/listen")];
    let headers = [&common[..], &as_modern].concat();
    let mut listen =
        http::send(Method::POST, &hub.endpoint("/mcp"), &headers, wish.to_string()).await.unwrap();
    assert!(listen.event().await.unwrap().unwrap().contains("acknowledged"));

    let mut sse = http::send(Method::GET, &hub.endpoint("/mcp/sse"), &common, "").await.unwrap();
    assert!(sse.event().await.unwrap().unwrap().contains("sessionId="));
    for reply in [&get, &listen, &sse] {
        assert_eq!(reply.status.as_u16(), 200);
    }

    let tcp = JsonLines::tcp(hub.ready["tcp"].as_str().unwrap()).await.unwrap();
    let unix = JsonLines::unix(unix).await.unwrap();
    let mut both = [tcp, unix];
    for lines in &mut both {
        lines.send(&json!({ "trunkline": "auth", "key": key, "endpoint": "/mcp" })).await.unwrap();
        assert_eq!(lines.receive().await.unwrap(), Some(json!({ "trunkline": "ready" })));
        assert!(lines.ask(&call()).await.unwrap().to_string().contains(WELL));
    }
    let [tcp, unix] = both;
    let mut socket = WebSocketClient::connect(&hub.endpoint("/mcp"), key).await.unwrap();
    assert!(socket.ask(&call()).await.unwrap().to_string().contains(WELL));
    Open { get, listen, sse, tcp, unix, socket }
}

async fn ends(name: &str, last: impl Future<Output = ()>) {
    assert!(tokio::time::timeout(PATIENCE, last).await.is_ok(), "{name} is still open");
}

#[tokio::test]
async fn what_is_open_ends_with_its_key_on_every_transport() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("hub.sock");
    let config = json!({ "mcp": { "tcp": "127.0.0.1:0", "unix": socket },
        "integrations": { "one": entry(&[]).unwrap() } });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/one").await.unwrap();
    let (key, id) = key_for(&hub).await;
    let (other, _) = key_for(&hub).await;
    let mut fallen = open(&hub, &socket, &key).await;
    let mut standing = open(&hub, &socket, &other).await;

    let revoked = hub.http(Method::DELETE, &format!("/api/v1/keys/{id}"), &Value::Null).await.unwrap();
    assert_eq!(revoked.status.as_u16(), 204);

    // Nobody asks anything: they end by themselves.
    for (name, stream) in [("GET", &mut fallen.get), ("listen", &mut fallen.listen), ("SSE", &mut fallen.sse)]
    {
        ends(name, async { while let Ok(Some(_)) = stream.event().await {} }).await;
    }
    for (name, lines) in [("TCP", &mut fallen.tcp), ("Unix", &mut fallen.unix)] {
        ends(name, async { while let Ok(Some(_)) = lines.receive().await {} }).await;
    }
    ends("WebSocket", async { while let Ok(Some(_)) = fallen.socket.receive().await {} }).await;

    for lines in [&mut standing.tcp, &mut standing.unix] {
        assert!(lines.ask(&call()).await.unwrap().to_string().contains(WELL));
    }
    assert!(standing.socket.ask(&call()).await.unwrap().to_string().contains(WELL));
    for stream in [&mut standing.get, &mut standing.listen, &mut standing.sse] {
        let next = tokio::time::timeout(Duration::from_millis(300), stream.event()).await;
        assert!(next.is_err(), "another key's stream has ended or spoken: {next:?}");
    }
}
