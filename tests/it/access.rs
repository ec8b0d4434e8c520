//! Keys that may use a part of what there is: the rest is neither listed nor callable, through no door, and cannot be
//! told apart from what does not exist. Keys that are revoked, and callers without one.

use hyper::Method;
use serde_json::{Value, json};
use testkit::client::{Generation, McpClient, RpcError};
use testkit::http;
use testkit::hub::Hub;
use testkit::lines::JsonLines;
use testkit::trouble::{WELL, entry};

async fn hub() -> Hub {
    let config = json!({ "mcp": { "tcp": "127.0.0.1:0" },
        "integrations": { "one": entry(&[]).unwrap(), "two": entry(&[]).unwrap() },
        "toolsets": { "both": { "tools": ["one__well", "two__well", "one__twice"] } } });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/one").await.unwrap();
    hub.wait_for_tools("/mcp/c/two").await.unwrap();
    hub
}

/// Makes a key; gives its text and its id.
async fn key_for(hub: &Hub, allow: &[&str]) -> (String, String) {
    let body = json!({ "name": "scene", "access": { "allow": allow } });
    let made = hub.http(Method::POST, "/api/v1/keys", &body).await.unwrap();
    assert_eq!(made.status.as_u16(), 201);
    let made = made.json().await.unwrap();
    (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
}

async fn with_key(hub: &Hub, key: &str, method: Method, path: &str, body: &str) -> http::Reply {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    http::send(method, &hub.endpoint(path), &headers, body.to_owned()).await.unwrap()
}

async fn client(hub: &Hub, key: &str, path: &str, generation: Generation) -> McpClient {
    let mut client = McpClient::new(&hub.endpoint(path), Some(key), generation);
    if generation == Generation::Legacy {
        client.connect().await.unwrap();
    }
    client
}

/// What a refused call says, with the name that was asked for taken out.
async fn refusal(client: &mut McpClient, name: &str) -> String {
    let refused = client.call(name, json!({})).await.expect_err("it must be refused");
    let refused = refused.downcast_ref::<RpcError>().expect("a JSON-RPC error");
    assert!(refused.message.contains("TL-1101"), "{refused}");
    refused.to_string().replace(name, "NAME")
}

#[tokio::test]
async fn what_a_key_may_not_use_does_not_exist_for_it() {
    let hub = hub().await;
    let (key, _) = key_for(&hub, &["one__well"]).await;
    for generation in [Generation::Modern, Generation::Legacy] {
        for (path, own, others, absent) in [
            ("/mcp", "one__well", ["one__twice", "two__well"], "two__none"),
            ("/mcp/c/one", "well", ["twice", "die"], "none"),
            ("/mcp/s/both", "one__well", ["one__twice", "two__well"], "two__none"),
        ] {
            let mut client = client(&hub, &key, path, generation).await;
            assert_eq!(client.tool_names().await.unwrap(), [own], "{path}");
            assert_eq!(client.call_for_text(own, json!({})).await.unwrap(), WELL);
            let words = refusal(&mut client, absent).await;
            for other in others {
                assert_eq!(
                    refusal(&mut client, other).await,
                    words,
                    "{other} at {path} shows that it is there"
                );
            }
        }
    }

    // A connection of which nothing may be used, and one that is not there, are one and the same.
    let mut said = Vec::new();
    for connection in ["two", "nobody"] {
        let path = format!("/mcp/c/{connection}");
        let mut client = client(&hub, &key, &path, Generation::Modern).await;
        let list =
            client.tool_names().await.map_err(|error| format!("{error:#}").replace(connection, "NAME"));
        let call = refusal(&mut client, "well").await.replace(connection, "NAME");
        said.push((list, call));
    }
    assert_eq!(said[0], said[1]);
}

#[tokio::test]
async fn plain_http_and_lines_show_no_more_than_mcp_does() {
    let hub = hub().await;
    let (key, _) = key_for(&hub, &["one__well"]).await;
    let reply = with_key(&hub, &key, Method::POST, "/call/one/well", "{}").await;
    assert!(reply.json().await.unwrap()["result"].to_string().contains(WELL));

    let mut said = Vec::new();
    for (connection, tool) in [("one", "twice"), ("two", "well"), ("one", "none"), ("nobody", "well")] {
        let reply = with_key(&hub, &key, Method::POST, &format!("/call/{connection}/{tool}"), "{}").await;
        assert_eq!(reply.status.as_u16(), 404);
        let mut problem = reply.json().await.unwrap();
        assert_eq!(problem["code"], "TL-1101", "{problem}");
        problem["call_id"] = Value::Null;
        let place = format!("{connection}`");
        said.push(problem.to_string().replace(&format!("`{tool}`"), "TOOL").replace(&place, "CONNECTION`"));
    }
    assert_eq!(said[0], said[2], "a tool that is not allowed and one that is not there");
    assert_eq!(said[1], said[3], "a connection that is not allowed and one that is not there");

    for path in ["/api/v1/tools", "/openapi.json"] {
        let shown = with_key(&hub, &key, Method::GET, path, "").await.text().await.unwrap();
        assert!(shown.contains("well"), "{path}: {shown}");
        for hidden in ["two", "twice", "gigabyte"] {
            assert!(
                !shown.contains(&format!("{hidden}\"")) && !shown.contains(&format!("/{hidden}/")),
                "{path}"
            );
        }
    }
    for path in ["/api/v1/keys", "/api/v1/connections", "/api/v1/connections/one", "/api/v1/calls"] {
        let reply = with_key(&hub, &key, Method::GET, path, "").await;
        assert_eq!(reply.status.as_u16(), 403, "{path}");
        assert_eq!(reply.json().await.unwrap()["code"], "TL-1002", "{path}");
    }
    let made = json!({ "name": "more", "access": { "allow": ["*"] } }).to_string();
    let reply = with_key(&hub, &key, Method::POST, "/api/v1/keys", &made).await;
    assert_eq!(reply.status.as_u16(), 403, "nobody gives himself more than he has");

    let mut said = Vec::new();
    for connection in ["two", "nobody"] {
        let mut lines = lines_at(&hub, &key, &format!("/mcp/c/{connection}")).await;
        for method in ["tools/list", "server/discover"] {
            let answer = lines.ask(&modern(3, method, json!({}))).await.unwrap();
            assert!(answer["error"]["message"].to_string().contains("TL-1101"), "{answer}");
            said.push(answer.to_string().replace(connection, "NAME"));
        }
    }
    assert_eq!(said[..2], said[2..], "a connection that is not allowed and one that is not there");

    let mut lines = lines_at(&hub, &key, "/mcp").await;
    let listed = lines.ask(&modern(1, "tools/list", json!({}))).await.unwrap();
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.iter().map(|tool| &tool["name"]).collect::<Vec<_>>(), ["one__well"]);
    let mut refused = Vec::new();
    for name in ["two__well", "two__none"] {
        let answer =
            lines.ask(&modern(2, "tools/call", json!({ "name": name, "arguments": {} }))).await.unwrap();
        assert!(answer["error"]["message"].to_string().contains("TL-1101"), "{answer}");
        refused.push(answer.to_string().replace(name, "NAME"));
    }
    assert_eq!(refused[0], refused[1]);
}

async fn lines_at(hub: &Hub, key: &str, endpoint: &str) -> JsonLines {
    let mut lines = JsonLines::tcp(hub.ready["tcp"].as_str().unwrap()).await.unwrap();
    lines.send(&json!({ "trunkline": "auth", "key": key, "endpoint": endpoint })).await.unwrap();
    assert_eq!(lines.receive().await.unwrap(), Some(json!({ "trunkline": "ready" })));
    lines
}

fn modern(id: u32, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {} });
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

#[tokio::test]
async fn a_revoked_key_is_refused_from_the_next_call_on() {
    let hub = hub().await;
    let (key, id) = key_for(&hub, &["*"]).await;
    let (other, _) = key_for(&hub, &["*"]).await;
    let mut new = client(&hub, &key, "/mcp", Generation::Modern).await;
    let mut old = client(&hub, &key, "/mcp", Generation::Legacy).await;
    let mut lines = lines_at(&hub, &key, "/mcp").await;
    let call = modern(7, "tools/call", json!({ "name": "one__well", "arguments": {} }));
    for client in [&mut new, &mut old] {
        assert_eq!(client.call_for_text("one__well", json!({})).await.unwrap(), WELL);
    }
    assert!(lines.ask(&call).await.unwrap().to_string().contains(WELL));

    let revoked = hub.http(Method::DELETE, &format!("/api/v1/keys/{id}"), &Value::Null).await.unwrap();
    assert_eq!(revoked.status.as_u16(), 204);

    for client in [&mut new, &mut old] {
        let refused =
            format!("{:#}", client.call("one__well", json!({})).await.expect_err("the key is revoked"));
        assert!(refused.contains("TL-1001"), "{refused}");
    }
    let reply = with_key(&hub, &key, Method::POST, "/call/one/well", "{}").await;
    assert_eq!(reply.status.as_u16(), 401);
    let on_the_line = lines.ask(&call).await.map(|answer| answer.to_string()).unwrap_or_default();
    assert!(!on_the_line.contains(WELL), "an open connection lives on the revoked key: {on_the_line}");
    let mut other = client(&hub, &other, "/mcp", Generation::Modern).await;
    assert_eq!(other.call_for_text("one__well", json!({})).await.unwrap(), WELL);
}

#[tokio::test]
async fn nothing_is_served_without_a_key() {
    let hub = hub().await;
    let upgrade = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "mcp"),
    ];
    let wrong = [("authorization", "Bearer trk_wrong")];
    for path in
        ["/mcp", "/mcp/c/one", "/mcp/s/both", "/mcp/sse", "/mcp/c/one/sse", "/mcp/c/nobody", "/mcp/no/where"]
    {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            for headers in [&[][..], &wrong, &upgrade] {
                let reply = http::send(method.clone(), &hub.endpoint(path), headers, "{}").await.unwrap();
                assert_eq!(reply.status.as_u16(), 401, "{method} {path} {headers:?}");
                assert!(reply.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
                assert!(!reply.text().await.unwrap().contains("well"), "{method} {path}");
            }
        }
    }
    for (method, path) in [
        (Method::POST, "/call/one/well"),
        (Method::GET, "/openapi.json"),
        (Method::GET, "/api/v1/tools"),
        (Method::GET, "/api/v1/connections"),
        (Method::GET, "/api/v1/keys"),
        (Method::POST, "/api/v1/keys"),
        (Method::GET, "/metrics"),
    ] {
        for headers in [&[][..], &wrong] {
            let reply = http::send(method.clone(), &hub.endpoint(path), headers, "{}").await.unwrap();
            assert_eq!(reply.status.as_u16(), 401, "{method} {path}");
            assert_eq!(reply.json().await.unwrap()["code"], "TL-1001", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_refused_request_is_logged_with_the_address_that_a_trusted_proxy_names() {
    let forged = [("x-forwarded-for", "203.0.113.7, 198.51.100.23")];
    for (trusted, wanted, unwanted) in
        [("127.0.0.0/8", "198.51.100.23", "203.0.113.7"), ("10.0.0.0/8", "127.0.0.1", "198.51.100.23")]
    {
        let config = format!("trusted_proxies: [{trusted}]\nintegrations: {{}}\n");
        let hub = Hub::start(&config).await.unwrap();
        for path in ["/mcp", "/api/v1/status"] {
            let reply = http::send(Method::POST, &hub.endpoint(path), &forged, "{}").await.unwrap();
            assert!(reply.status.is_client_error(), "{path}: {}", reply.status);
        }
        hub.until("the refusal is in the log", async || {
            anyhow::ensure!(hub.log().contains("a request was refused"));
            Ok(())
        })
        .await
        .unwrap();
        let log = hub.log();
        let line = log.lines().find(|line| line.contains("a request was refused")).unwrap();
        assert!(line.contains(wanted) && line.contains("401"), "{line}");
        assert!(!log.contains(unwanted), "{log}");
    }
}
