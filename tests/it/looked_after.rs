//! Connections that the hub looks after by itself: nobody calls, and what dies is known all the same.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use testkit::hub::{Hub, binary};
use testkit::program::{Program, command};

const CONFIG: &str = "health_interval: 5\n";

/// Starts the fixture on an address, and says where it is.
async fn fixture(listen: &str) -> (Program, String) {
    let mut line = command(binary("mcp-fixture").unwrap());
    line.args(["--listen", listen]);
    let mut program = Program::start(line).unwrap();
    let first: Value = serde_json::from_str(&program.line(Duration::from_secs(20)).await.unwrap()).unwrap();
    let url = first["url"].as_str().unwrap().to_owned();
    (program, url)
}

async fn get(hub: &Hub, path: &str) -> Value {
    let reply = hub.http(Method::GET, path, &Value::Null).await.unwrap();
    serde_json::from_str(&reply.text().await.unwrap()).unwrap()
}

async fn until_status(hub: &Hub, wanted: &str) {
    hub.until(&format!("status {wanted}"), async || {
        let one = get(hub, "/api/v1/connections/remote").await;
        anyhow::ensure!(one["status"] == wanted, "{one}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_upstream_that_dies_and_comes_back_is_seen_without_anybody_calling() {
    let hub = Hub::start(CONFIG).await.unwrap();
    let (mut upstream, url) = fixture("127.0.0.1:0").await;
    let schema = json!({ "type": "object", "properties": { "protocol": {}, "url": {} } });
    let body = json!({ "name": "Any", "type": "mcp", "category": "other", "config_schema": schema });
    hub.http(Method::PUT, "/api/v1/integrations/any", &body).await.unwrap();
    let body = json!({
        "integration": "any",
        "name": "remote",
        "connection_config": { "protocol": "http", "url": url },
        "egress_private": true,
    });
    let made = hub.http(Method::POST, "/api/v1/connections", &body).await.unwrap();
    assert_eq!(made.status.as_u16(), 201);
    let connect = "/api/v1/connections/remote/connect";
    hub.http(Method::POST, connect, &Value::Null).await.unwrap();
    until_status(&hub, "connected").await;

    upstream.stop().unwrap();
    until_status(&hub, "error").await;
    let address = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap();
    let (_again, same) = fixture(address).await;
    assert_eq!(same, url);
    until_status(&hub, "connected").await;

    let logs = get(&hub, "/api/v1/connections/remote/logs").await.to_string();
    assert!(logs.contains("is well again"), "{logs}");
    let calls = get(&hub, "/api/v1/calls").await.to_string();
    assert!(!calls.contains("remote"), "nobody called: {calls}");
    let metrics = hub.http(Method::GET, "/metrics", &Value::Null).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("trunkline_health_checks_total{outcome=\"error\"}"), "{metrics}");
}
