//! The way out of the real hub: HTTP/2 and authorities of one's own in front of an MCP server, client certificates in
//! front of an API, a proxy; and a file that changes all that while calls are under way. The other side is nginx.

use hyper::Method;
use serde_json::{Value, json};
use testkit::fixture::{Era, Peer};
use testkit::hub::Hub;
use testkit::lines::JsonLines;
use testkit::nginx::Nginx;
use testkit::trouble::{self, WELL, made};

#[path = "../../crates/outbound/tests/it/authority.rs"]
mod authority;

use authority::{Authority, Issued};

fn write(hub: &Hub, config: &Value) {
    let beside = hub.folder().join("new");
    std::fs::write(&beside, config.to_string()).unwrap();
    std::fs::rename(beside, hub.folder().join("trunkline.yaml")).unwrap();
}

/// nginx with a certificate for `localhost`, that speaks HTTP/2 and turns away whoever does not.
async fn http2_only(ours: &Authority, block: &str) -> Nginx {
    let Issued { chain, key } = ours.issue(&["localhost"]);
    let block = format!(
        "ssl_certificate server.pem; ssl_certificate_key server.key; ssl_client_certificate clients.pem;\n\
         if ($server_protocol != 'HTTP/2.0') {{ return 421; }}\n{block}"
    );
    let files = [("server.pem", &*chain), ("server.key", key.expose()), ("clients.pem", &*ours.pem)];
    Nginx::start_http2(&block, &files).await.unwrap()
}

fn leads_to(place: &str, url: &str) -> String {
    let (origin, host) = (url.trim_end_matches("/mcp"), url.split('/').nth(2).unwrap());
    format!(
        "location /{place}/ {{ proxy_pass {origin}/; proxy_http_version 1.1; proxy_buffering off; \
         proxy_read_timeout 300; proxy_set_header Connection ''; proxy_set_header Host {host}; }}\n"
    )
}

#[tokio::test]
async fn an_mcp_server_over_http_2_with_an_authority_of_ones_own() {
    let ours = Authority::new("ours");
    let fixture = Peer::start(Era::Both).await.unwrap();
    let slow = trouble::Peer::start_at("127.0.0.1:0").await.unwrap();
    let blocks = leads_to("fixture", &fixture.url) + &leads_to("slow", &slow.url);
    let nginx = http2_only(&ours, &blocks).await;
    let at = |place: &str| {
        json!({ "type": "mcp", "url": format!("https://localhost:{}/{place}/mcp", nginx.port),
            "egress": { "private": true } })
    };
    let entries = json!({ "fixture": at("fixture"), "slow": at("slow") });
    let hub = Hub::start(&json!({ "integrations": entries }).to_string()).await.unwrap();
    hub.until("it is told why", async || {
        let state = trouble::state(&hub, "fixture").await?;
        let reason = state["reason"].as_str().unwrap_or_default();
        anyhow::ensure!(reason.contains("UnknownIssuer"), "{state}");
        Ok(())
    })
    .await
    .unwrap();

    // The file names the authority, and that takes effect without a start.
    std::fs::write(hub.folder().join("ca.pem"), &ours.pem).unwrap();
    let with = |egress: Value| json!({ "egress": egress, "integrations": entries });
    write(&hub, &with(json!({ "ca": "ca.pem", "system_ca": false })));
    hub.wait_for_tools("/mcp/c/fixture").await.unwrap();
    hub.wait_for_tools("/mcp/c/slow").await.unwrap();

    // Events come through: progress before the answer.
    let mut lines = JsonLines::program(hub.command(&["mcp", "--connection", "fixture"]).unwrap()).unwrap();
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "protocolVersion": "2025-11-25",
        "capabilities": {}, "clientInfo": { "name": "scene", "version": "1" } } });
    lines.ask(&hello).await.unwrap();
    lines.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await.unwrap();
    lines
        .send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
            "name": "test_tool_with_progress", "arguments": {}, "_meta": { "progressToken": "p" } } }))
        .await
        .unwrap();
    let mut progress = 0;
    loop {
        let line = lines.receive().await.unwrap().unwrap();
        if line["id"] == 2 {
            assert!(line["error"].is_null(), "{line}");
            break;
        }
        progress += usize::from(line["method"] == "notifications/progress");
    }
    assert!(progress >= 2, "{progress} notes of progress came");

    // A change of the way out ends no call, and counts for the next one.
    let folder = tempfile::tempdir().unwrap();
    let (mark, go) = (folder.path().join("mark"), folder.path().join("go"));
    let arguments = json!({ "mark": mark, "until": go });
    let mut client = hub.mcp_modern("/mcp/c/slow");
    let edit = async {
        made(&mark).await.unwrap();
        write(&hub, &with(json!({ "ca": "ca.pem", "http2": "never" })));
        hub.until("HTTP/1.1 is turned away", async || {
            let state = trouble::state(&hub, "fixture").await?;
            anyhow::ensure!(state["reason"].as_str().unwrap_or_default().contains("421"), "{state}");
            Ok(())
        })
        .await
        .unwrap();
        std::fs::write(&go, "").unwrap();
    };
    let (said, ()) = tokio::join!(client.call_for_text("well", arguments), edit);
    assert_eq!(said.unwrap(), WELL);
}

async fn ask(hub: &Hub, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let reply = hub.http(method, path, body).await.unwrap();
    (reply.status.as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

/// A stored connection with the API at nginx; what connecting it says.
async fn connect(hub: &Hub, key: &str, url: &str, shown: Option<&Issued>) -> Value {
    let method = if shown.is_some() { "certificate" } else { "none" };
    let body = json!({ "integration": "rest", "name": key, "key": key, "auth_method": method,
        "egress_private": true, "connection_config": { "base_url": url } });
    let (status, made) = ask(hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 201, "{made}");
    for (name, value) in
        shown.into_iter().flat_map(|one| [("certificate", &*one.chain), ("private_key", one.key.expose())])
    {
        let path = format!("/api/v1/connections/{key}/credentials/auth.credentials.{name}");
        let (status, said) = ask(hub, Method::PUT, &path, &json!({ "value": value })).await;
        assert!(status < 300, "{said}");
    }
    ask(hub, Method::POST, &format!("/api/v1/connections/{key}/connect"), &Value::Null).await.1
}

#[tokio::test]
async fn an_api_that_asks_for_a_client_certificate() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let block = "ssl_verify_client on; default_type application/json;\n\
                 location / { return 200 '{\"verified\":\"$ssl_client_verify\"}'; }";
    let nginx = http2_only(&ours, block).await;
    let url = format!("https://localhost:{}", nginx.port);
    let folder = tempfile::tempdir().unwrap();
    let of_file = ours.issue(&["file.example"]);
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (cert, key) = (file("own.pem", &of_file.chain), file("own.key", of_file.key.expose()));
    let entry = json!({ "type": "api", "style": "rest", "endpoint": url,
        "egress": { "private": true, "cert": cert, "key": key } });
    let config =
        json!({ "egress": { "ca": file("ca.pem", &ours.pem) }, "integrations": { "of_file": entry } });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/of-file").await.unwrap();

    let good = connect(&hub, "good", &url, Some(&ours.issue(&["client.example"]))).await;
    assert_eq!(good["is_ok"], true, "{good}");
    for key in ["good", "of-file"] {
        let (status, said) = ask(&hub, Method::POST, &format!("/call/{key}/check"), &json!({})).await;
        assert_eq!((status, &said["result"]["verified"]), (200, &json!("SUCCESS")), "{key}: {said}");
    }

    let none = connect(&hub, "none", &url, None).await.to_string();
    assert!(none.contains("wants a client certificate, and this connection has none"), "{none}");
    let foreign = connect(&hub, "foreign", &url, Some(&theirs.issue(&["client.example"]))).await.to_string();
    assert!(foreign.contains("refused this connection's client certificate"), "{foreign}");
    // What is no certificate is told when it is put to use, and not repeated.
    let damaged = Issued { chain: "hello".to_owned(), key: model::Secret::new("s3cret-hello") };
    let damaged = connect(&hub, "damaged", &url, Some(&damaged)).await.to_string();
    assert!(damaged.contains("client certificate") && !damaged.contains("s3cret"), "{damaged}");
}
