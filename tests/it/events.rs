//! What happens is shown live, over server-sent events and WebSocket: nothing is lost on the way, nothing
//! secret is ever in it, and it ends with the key that opened it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use testkit::http::{self, Reply};
use testkit::hub::{Hub, binary};
use testkit::websocket::WebSocketClient;

/// A secret that must not come up anywhere.
const CANARY: &str = "canary-7f3e9a";
/// Far above what an event takes, far below a heartbeat.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a stream may outlive its key: it takes a few milliseconds.
const A_SECOND: Duration = Duration::from_secs(1);
/// Long enough for an event that should not come.
const QUIET: Duration = Duration::from_millis(500);

async fn ask(hub: &Hub, method: Method, path: &str, body: Value) -> (u16, Value) {
    let reply = hub.http(method, path, &body).await.unwrap();
    (reply.status.as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

/// A hub with an entry for the fixture, and a connection of it that is not connected yet.
async fn hub_with_connection() -> Hub {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    let entry = json!({ "name": "Any", "type": "mcp", "category": "other", "config_schema": { "type": "object",
        "properties": { "protocol": { "type": "string" }, "command": { "type": "string" },
            "args": { "type": "array", "items": { "type": "string" } } } } });
    assert_eq!(ask(&hub, Method::PUT, "/api/v1/integrations/any", entry).await.0, 201);
    let program = binary("mcp-fixture").unwrap();
    let body = json!({ "integration": "any", "name": "notes", "consent": format!("{} --stdio", program.display()),
        "connection_config": { "protocol": "stdio", "command": program, "args": ["--stdio"] } });
    let (status, made) = ask(&hub, Method::POST, "/api/v1/connections", body).await;
    assert_eq!(status, 201, "{made}");
    hub
}

/// Opens the stream, with a cursor where there is one.
async fn follow(hub: &Hub, key: &str, query: &str, after: Option<&str>) -> Reply {
    let authorization = format!("Bearer {key}");
    let mut headers = vec![("authorization", authorization.as_str())];
    headers.extend(after.map(|id| ("last-event-id", id)));
    let path = format!("/api/v1/events{query}");
    let reply = http::send(Method::GET, &hub.endpoint(&path), &headers, "").await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "text/event-stream"));
    reply
}

async fn next(stream: &mut Reply) -> Value {
    let event = tokio::time::timeout(PATIENCE, stream.event()).await.expect("an event in time");
    serde_json::from_str(&event.unwrap().expect("the stream goes on")).unwrap()
}

/// Everything up to and with the first event that is like this.
async fn until(stream: &mut Reply, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        seen.push(next(stream).await);
        if seen.last().is_some_and(&wanted) {
            return seen;
        }
    }
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn is(event: &Value, kind: &str) -> bool {
    event["type"] == kind
}

async fn make_key(hub: &Hub, name: &str) -> (String, String) {
    let body = json!({ "name": name, "access": { "allow": ["*"], "manage": true } });
    let (status, made) = ask(hub, Method::POST, "/api/v1/keys", body).await;
    assert_eq!(status, 201, "{made}");
    (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_connections_way_to_connected_and_its_first_call_are_seen_live() {
    let hub = hub_with_connection().await;
    let mut stream = follow(&hub, &hub.key, "", None).await;
    let (_, connected) = ask(&hub, Method::POST, "/api/v1/connections/notes/connect", Value::Null).await;
    assert_eq!(connected["is_ok"], true, "{connected}");
    let mut seen = until(&mut stream, |event| is(event, "connection.checked")).await;
    // An event may come after the answer to what it tells of.
    seen.retain(|event| !is(event, "connection.made"));
    assert_eq!(
        types(&seen),
        ["connection.status_changed", "connection.status_changed", "connection.checked"]
    );
    assert_eq!(
        (&seen[0]["data"]["status"], &seen[1]["data"]["status"]),
        (&json!("testing"), &json!("connected"))
    );
    for event in &seen {
        assert_eq!(event["data"]["connection"], "notes", "{event}");
        assert_eq!(event["data"]["connection_id"], connected["connection"]["id"]);
    }

    hub.wait_for_tools("/mcp/c/notes").await.unwrap();
    let (status, said) =
        ask(&hub, Method::POST, "/call/notes/test_simple_text", json!({ "x": CANARY })).await;
    assert_eq!(status, 200, "{said}");
    let call = next(&mut stream).await;
    assert_eq!((&call["type"], &call["data"]["connection"]), (&json!("call.finished"), &json!("notes")));
    assert_eq!((&call["data"]["tool"], &call["data"]["outcome"]), (&json!("test_simple_text"), &json!("ok")));
    assert!(call["data"]["duration_us"].as_u64().unwrap() > 0 && !call.to_string().contains(CANARY));

    let disconnect = "/api/v1/connections/notes/disconnect";
    assert_eq!(ask(&hub, Method::POST, disconnect, Value::Null).await.0, 200);
    assert_eq!(ask(&hub, Method::DELETE, "/api/v1/connections/notes", Value::Null).await.0, 204);
    let seen = until(&mut stream, |event| is(event, "connection.removed")).await;
    assert_eq!(seen.last().unwrap()["data"]["connection"], "notes", "known by its key to the end");
}

#[tokio::test]
async fn a_stream_that_broke_goes_on_where_it_was_and_an_unknown_cursor_is_told_of_its_gap() {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    let mut stream = follow(&hub, &hub.key, "?types=key.*", None).await;
    make_key(&hub, "first").await;
    let first = next(&mut stream).await;
    drop(stream);
    for n in 0..200 {
        make_key(&hub, &format!("missed {n}")).await;
    }
    let mut again = follow(&hub, &hub.key, "?types=key.*", first["id"].as_str()).await;
    let mut last = first["id"].clone();
    for n in 0..200 {
        let event = next(&mut again).await;
        assert_eq!(event["data"]["name"], format!("missed {n}"));
        assert!(event["id"].as_str() > last.as_str(), "ids grow");
        last = event["id"].clone();
    }
    let silent = tokio::time::timeout(QUIET, again.event()).await;
    assert!(silent.is_err(), "nothing comes twice: {silent:?}");

    // From another life of the hub: it cannot know what is missing, and says so first.
    let unknown = "evt_00000000000000000000000001";
    let path = format!("?types=key.*&after={unknown}");
    let mut lost = follow(&hub, &hub.key, &path, None).await;
    let gap = next(&mut lost).await;
    assert_eq!((&gap["type"], &gap["data"]["reason"]), (&json!("gap"), &json!("too_old")));
    // What is still there follows, from the hub's start on.
    assert_eq!(next(&mut lost).await["data"]["name"], "first key");
    assert_eq!(next(&mut lost).await["data"]["name"], "first");
}

#[tokio::test]
async fn a_filter_shows_what_it_names_and_one_that_names_nothing_is_refused() {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    let mut stream = follow(&hub, &hub.key, "?types=toolset.made,key.*", None).await;
    let entry =
        json!({ "name": "Any", "type": "mcp", "category": "other", "config_schema": { "type": "object" } });
    assert_eq!(ask(&hub, Method::PUT, "/api/v1/integrations/any", entry).await.0, 201);
    let (_, id) = make_key(&hub, "short").await;
    assert_eq!(ask(&hub, Method::DELETE, &format!("/api/v1/keys/{id}"), Value::Null).await.0, 204);
    let seen = [next(&mut stream).await, next(&mut stream).await];
    assert_eq!(types(&seen), ["key.made", "key.revoked"], "and not the integration");
    assert_eq!(seen[1]["data"]["key_id"], id);

    for path in ["/api/v1/events", "/api/v1/events/ws"] {
        let (status, problem) = ask(&hub, Method::GET, &format!("{path}?types=nothing.*"), Value::Null).await;
        assert_eq!(status, 400, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("nothing.*"), "{problem}");
        assert!(problem["hint"].as_str().unwrap().contains("connection.status_changed"), "{problem}");
        assert_eq!(ask(&hub, Method::GET, &format!("{path}?after=yesterday"), Value::Null).await.0, 400);
    }
    // Without the upgrade it is no WebSocket.
    assert_eq!(ask(&hub, Method::GET, "/api/v1/events/ws", Value::Null).await.0, 400);
}

#[tokio::test]
async fn a_revoked_key_ends_its_streams_within_a_second_and_no_others() {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    let (key, id) = make_key(&hub, "short").await;
    let mut fallen = follow(&hub, &key, "", None).await;
    let mut socket = WebSocketClient::connect(&hub.endpoint("/api/v1/events/ws"), &key).await.unwrap();
    let mut standing = follow(&hub, &hub.key, "?types=key.*", None).await;
    assert_eq!(ask(&hub, Method::DELETE, &format!("/api/v1/keys/{id}"), Value::Null).await.0, 204);
    let end = async {
        while let Ok(Some(_)) = fallen.event().await {}
        while let Ok(Some(_)) = socket.receive().await {}
    };
    assert!(tokio::time::timeout(A_SECOND, end).await.is_ok(), "a stream is still open");
    assert!(is(&next(&mut standing).await, "key.revoked"));
    make_key(&hub, "next").await;
    assert!(is(&next(&mut standing).await, "key.made"), "the other goes on");
}

#[tokio::test]
async fn no_secret_is_ever_in_an_event() {
    let hub = hub_with_connection().await;
    let mut stream = follow(&hub, &hub.key, "", None).await;
    let path = "/api/v1/connections/notes/credentials/env.TOKEN";
    for value in [CANARY.to_owned(), format!("{CANARY}-2")] {
        let (status, put) = ask(&hub, Method::PUT, path, json!({ "value": value })).await;
        assert!(status == 200 || status == 201, "{status} {put}");
    }
    let patch = json!({ "connection_config": { "args": ["--stdio"] }, "name": "renamed" });
    let (status, changed) = ask(&hub, Method::PATCH, "/api/v1/connections/notes", patch).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(ask(&hub, Method::DELETE, path, Value::Null).await.0, 204);
    let (key, id) = make_key(&hub, "another").await;
    assert_eq!(ask(&hub, Method::POST, &format!("/api/v1/keys/{id}/rotate"), json!({})).await.0, 201);
    let seen = until(&mut stream, |event| is(event, "key.retired")).await;
    let expected =
        ["credential.stored", "credential.rotated", "connection.changed", "credential.removed", "key.made"];
    assert_eq!(types(&seen)[..5], expected);
    assert_eq!(seen[0]["data"]["field"], "env.TOKEN");
    let all = serde_json::to_string(&seen).unwrap();
    let long_parts = [CANARY, &key, &key[4..20], "--stdio", "sealed", "digest", "fingerprint"];
    for secret in long_parts {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}

#[tokio::test]
async fn websocket_shows_the_same_and_both_end_when_the_hub_stops() {
    let mut hub = Hub::start("integrations: {}\n").await.unwrap();
    let mut stream = follow(&hub, &hub.key, "", None).await;
    let url = hub.endpoint("/api/v1/events/ws");
    let mut socket = WebSocketClient::connect(&url, &hub.key).await.unwrap();
    // What a client says is passed over.
    socket.send(&json!({ "hello": "there" })).await.unwrap();
    make_key(&hub, "one").await;
    make_key(&hub, "two").await;
    let mut first = Value::Null;
    for _ in 0..2 {
        let event = next(&mut stream).await;
        let same = tokio::time::timeout(PATIENCE, socket.receive()).await.unwrap().unwrap().unwrap();
        assert_eq!(event, same);
        if first.is_null() {
            first = event;
        }
    }
    let resumed = format!("{url}?after={}", first["id"].as_str().unwrap());
    let mut resumed = WebSocketClient::connect(&resumed, &hub.key).await.unwrap();
    assert_eq!(resumed.receive().await.unwrap().unwrap()["data"]["name"], "two");

    hub.restart().await.unwrap();
    let end = async {
        while let Ok(Some(_)) = stream.event().await {}
        while let Ok(Some(_)) = socket.receive().await {}
    };
    assert!(tokio::time::timeout(PATIENCE, end).await.is_ok(), "a stream outlives the hub");
}

#[tokio::test]
async fn the_command_line_prints_events_one_line_each() {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    let wrong = hub.command(&["events", "--types", "nothing.*"]).unwrap().output().unwrap();
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("nothing.*"));

    let mut command = hub.command(&["events", "--types", "key.*", "--json"]).unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reading = tokio::task::spawn_blocking(move || lines.map_while(Result::ok).next());
    // Until it listens, what happens is not for it.
    while !reading.is_finished() {
        make_key(&hub, "seen").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let line: Value = serde_json::from_str(&reading.await.unwrap().unwrap()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((&line["type"], &line["data"]["name"]), (&json!("key.made"), &json!("seen")));
}
