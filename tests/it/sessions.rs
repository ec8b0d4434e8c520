//! What a client holds on to: sessions, cursors, streams. They belong to the key that got them, outlive a restart of
//! the hub, and an answer that was lost on the way is there for whoever comes back for it.

use std::future::poll_fn;
use std::pin::Pin;

use hyper::body::{Body as _, Incoming};
use hyper::{Method, Request};
use serde_json::{Value, json};
use testkit::client::{Generation, McpClient};
use testkit::http::{self, Reply};
use testkit::hub::Hub;
use testkit::trouble::{WELL, entry, made};

const VERSION: &str = "2025-11-25";
const TOOLS: usize = 258;

async fn hub_with(integrations: &Value) -> Hub {
    let hub = Hub::start(&json!({ "integrations": integrations }).to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/one").await.unwrap();
    hub
}

async fn second_key(hub: &Hub) -> String {
    let body = json!({ "name": "scene", "access": { "allow": ["*"] } });
    let made = hub.http(Method::POST, "/api/v1/keys", &body).await.unwrap().json().await.unwrap();
    made["key"].as_str().unwrap().to_owned()
}

/// A request on a session; an empty `body` where there is none.
async fn on_session(
    hub: &Hub,
    method: Method,
    key: &str,
    session: &str,
    more: &[(&str, &str)],
    body: &str,
) -> Reply {
    let authorization = format!("Bearer {key}");
    let mut headers = vec![
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", VERSION),
        ("mcp-session-id", session),
    ];
    headers.extend_from_slice(more);
    http::send(method, &hub.endpoint("/mcp"), &headers, body.to_owned()).await.unwrap()
}

async fn call_on(hub: &Hub, key: &str, session: &str) -> Reply {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "one__well", "arguments": {} } });
    on_session(hub, Method::POST, key, session, &[], &call.to_string()).await
}

async fn new_session(hub: &Hub) -> String {
    let mut client = hub.mcp_legacy("/mcp");
    client.connect().await.unwrap();
    client.session().unwrap().to_owned()
}

async fn refused_as_unknown(reply: Reply) {
    assert_eq!(reply.status.as_u16(), 404);
    let said = reply.text().await.unwrap();
    assert!(said.contains("TL-1205") && !said.contains(WELL), "{said}");
}

#[tokio::test]
async fn a_session_is_its_keys_own_and_ends_when_it_is_ended() {
    let hub = hub_with(&json!({ "one": entry(&[]).unwrap() })).await;
    let session = new_session(&hub).await;
    let thief = second_key(&hub).await;

    refused_as_unknown(call_on(&hub, &thief, &session).await).await;
    refused_as_unknown(on_session(&hub, Method::GET, &thief, &session, &[], "").await).await;
    refused_as_unknown(on_session(&hub, Method::DELETE, &thief, &session, &[], "").await).await;
    refused_as_unknown(call_on(&hub, &hub.key, "made-up").await).await;
    assert!(call_on(&hub, &hub.key, &session).await.text().await.unwrap().contains(WELL));

    let ended = on_session(&hub, Method::DELETE, &hub.key, &session, &[], "").await;
    assert!(ended.status.is_success(), "{}", ended.status);
    refused_as_unknown(call_on(&hub, &hub.key, &session).await).await;
    refused_as_unknown(on_session(&hub, Method::DELETE, &hub.key, &session, &[], "").await).await;
}

#[tokio::test]
async fn a_session_outlives_the_hub() {
    let mut hub = hub_with(&json!({ "one": entry(&[]).unwrap() })).await;
    let session = new_session(&hub).await;
    let thief = second_key(&hub).await;

    hub.restart().await.unwrap();
    hub.wait_for_tools("/mcp/c/one").await.unwrap();

    let reply = call_on(&hub, &hub.key, &session).await;
    assert_eq!(reply.status.as_u16(), 200);
    assert!(reply.text().await.unwrap().contains(WELL));
    refused_as_unknown(call_on(&hub, &thief, &session).await).await;
}

#[tokio::test]
async fn every_tool_is_on_one_page_and_a_cursor_is_its_callers_own() {
    let more = (TOOLS - 8).to_string();
    let hub = hub_with(&json!({ "one": entry(&["--more", &more]).unwrap() })).await;
    for generation in [Generation::Modern, Generation::Legacy] {
        let mut client = McpClient::new(&hub.endpoint("/mcp"), Some(&hub.key), generation);
        client.connect().await.unwrap();
        let mut names = client.tool_names().await.unwrap();
        assert_eq!(names.len(), TOOLS);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), TOOLS, "each tool once");

        let first = client.request("tools/list", json!({})).await.unwrap();
        let page = first["tools"].as_array().unwrap();
        assert!(page.len() < TOOLS, "they are too many for one page");
        let cursor = json!({ "cursor": first["nextCursor"] });
        let second = client.request("tools/list", cursor.clone()).await.unwrap();
        assert!(second["tools"].as_array().unwrap().iter().all(|tool| !page.contains(tool)));

        let other = second_key(&hub).await;
        let mut other = McpClient::new(&hub.endpoint("/mcp"), Some(&other), generation);
        other.connect().await.unwrap();
        for bad in [cursor, json!({ "cursor": "made-up" })] {
            let refused =
                format!("{:#}", other.request("tools/list", bad).await.expect_err("a foreign cursor"));
            assert!(refused.contains("-32602") && refused.contains("cursor"), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_new_connection_is_announced_on_every_open_stream() {
    let hub = hub_with(&json!({ "one": entry(&[]).unwrap() })).await;
    let session = new_session(&hub).await;
    let mut get = on_session(&hub, Method::GET, &hub.key, &session, &[], "").await;
    assert_eq!(get.status.as_u16(), 200);
    let wish = json!({ "jsonrpc": "2.0", "id": 9, "method": "subscriptions/listen", "params": {
        "notifications": { "toolsListChanged": true },
        "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {} } } });
    let authorization = format!("Bearer {}", hub.key);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "subscriptions/listen"),
    ];
    let mut listen =
        http::send(Method::POST, &hub.endpoint("/mcp"), &headers, wish.to_string()).await.unwrap();
    let first = listen.event().await.unwrap().unwrap();
    assert!(first.contains("notifications/subscriptions/acknowledged"), "{first}");

    let config = json!({ "integrations": { "one": entry(&[]).unwrap(), "two": entry(&[]).unwrap() } });
    std::fs::write(hub.folder().join("trunkline.yaml"), config.to_string()).unwrap();

    let patience = std::time::Duration::from_secs(60);
    for (name, stream) in [("GET", &mut get), ("listen", &mut listen)] {
        let heard = tokio::time::timeout(patience, async {
            loop {
                let event = stream.event().await.unwrap().expect("the stream stays open");
                if event.contains("notifications/tools/list_changed") {
                    return;
                }
            }
        });
        assert!(heard.await.is_ok(), "{name} heard nothing\n{}", hub.log());
    }
    let names = hub.wait_for_tools("/mcp").await.unwrap();
    assert!(names.contains(&"two__well".to_owned()), "what was announced is there: {names:?}");
}

/// What of a body has come, until it holds `mark` or ends.
async fn read_until(body: &mut Incoming, mark: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(mark)
        && let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
    {
        if let Some(bytes) = frame.unwrap().data_ref() {
            heard.push_str(std::str::from_utf8(bytes).unwrap());
        }
    }
    heard
}

#[tokio::test]
async fn an_answer_that_was_lost_on_the_way_is_there_for_whoever_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mark, go) = (folder.path().join("called"), folder.path().join("go"));
    let hub = hub_with(&json!({ "one": entry(&[]).unwrap() })).await;
    let session = new_session(&hub).await;
    let call = json!({ "jsonrpc": "2.0", "id": "slow", "method": "tools/call",
        "params": { "name": "one__well", "arguments": { "mark": mark, "until": go } } });
    let post = Request::builder()
        .method(Method::POST)
        .uri("/mcp")
        .header("host", hub.url.trim_start_matches("http://"))
        .header("authorization", format!("Bearer {}", hub.key))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", VERSION)
        .header("mcp-session-id", &session)
        .body(call.to_string())
        .unwrap();
    let mut answer = http::exchange(hub.url.trim_start_matches("http://"), post).await.unwrap().into_body();
    let primed = read_until(&mut answer, "\n\n").await;
    let id = primed
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .expect("an id to come back with")
        .to_owned();
    made(&mark).await.unwrap();
    drop(answer);
    std::fs::write(&go, "").unwrap();

    let thief = second_key(&hub).await;
    refused_as_unknown(on_session(&hub, Method::GET, &thief, &session, &[("last-event-id", &id)], "").await)
        .await;
    let mut heard = None;
    hub.until("the stream is there to come back to", async || {
        let mut again =
            on_session(&hub, Method::GET, &hub.key, &session, &[("last-event-id", &id)], "").await;
        anyhow::ensure!(again.status.is_success(), "{}", again.status);
        let event = tokio::time::timeout(std::time::Duration::from_secs(5), again.event()).await??;
        heard = event;
        anyhow::ensure!(heard.is_some(), "the stream ended without the answer");
        Ok(())
    })
    .await
    .unwrap();
    let heard: Value = serde_json::from_str(&heard.unwrap()).unwrap();
    assert_eq!(
        (&heard["id"], &heard["result"]["content"][0]["text"]),
        (&json!("slow"), &json!(WELL)),
        "{heard}"
    );
}
