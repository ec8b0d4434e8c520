//! Requests with an `Idempotency-Key`, and a hub that is killed: done once, before and after.

use hyper::Method;
use serde_json::{Value, json};
use testkit::http::{self, Reply};
use testkit::hub::Hub;
use testkit::program::Signal;
use testkit::trouble::{WELL, entry, made};

async fn send(hub: &Hub, path: &str, key: &str, body: &Value) -> anyhow::Result<Reply> {
    let authorization = format!("Bearer {}", hub.key);
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    http::send(Method::POST, &hub.endpoint(path), &headers, body.to_string()).await
}

async fn kill_and_start(hub: &mut Hub) {
    hub.program().signal(Signal::KILL).unwrap();
    hub.restart().await.unwrap();
    hub.wait_for_tools("/mcp/c/well").await.unwrap();
}

#[tokio::test]
async fn what_was_answered_before_the_hub_was_killed_is_answered_the_same_after() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "integrations": { "well": entry(&[]).unwrap() } });
    let mut hub = Hub::start(&config.to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/well").await.unwrap();
    // The server notes that it was called by making this file.
    let mark = folder.path().join("called");
    let arguments = json!({ "mark": mark });
    let first = send(&hub, "/call/well/well", "k", &arguments).await.unwrap().text().await.unwrap();
    assert!(first.contains(WELL), "{first}");
    std::fs::remove_file(&mark).unwrap();
    let new = json!({ "name": "robot", "access": { "allow": ["*"] } });
    let made_key = send(&hub, "/api/v1/keys", "k", &new).await.unwrap().json().await.unwrap();

    kill_and_start(&mut hub).await;

    let second = send(&hub, "/call/well/well", "k", &arguments).await.unwrap();
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(second.text().await.unwrap(), first);
    assert!(!mark.exists(), "it was called again");
    let again = send(&hub, "/api/v1/keys", "k", &new).await.unwrap();
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.json().await.unwrap(), made_key);
    let keys = hub.http(Method::GET, "/api/v1/keys", &Value::Null).await.unwrap().json().await.unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2, "the first key, and one robot: {keys}");
}

#[tokio::test]
async fn what_was_under_way_when_the_hub_was_killed_is_not_done_again_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "integrations": { "well": entry(&[]).unwrap() } });
    let mut hub = Hub::start(&config.to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/well").await.unwrap();
    let mark = folder.path().join("called");
    let arguments = json!({ "mark": mark, "until": folder.path().join("never") });
    tokio::select! {
        answered = send(&hub, "/call/well/well", "k", &arguments) => panic!("{:?}", answered.map(|a| a.status)),
        called = made(&mark) => called.unwrap(),
    }
    std::fs::remove_file(&mark).unwrap();

    kill_and_start(&mut hub).await;

    let refused = send(&hub, "/call/well/well", "k", &arguments).await.unwrap();
    assert_eq!(refused.status.as_u16(), 409);
    let refused = refused.json().await.unwrap();
    assert_eq!((&refused["code"], &refused["retry"]), (&json!("TL-1206"), &json!("outcome_unknown")));
    assert!(!mark.exists(), "it was called again");
}
