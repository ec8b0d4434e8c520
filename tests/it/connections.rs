//! Connections made through the API and the command line: from an entry of the catalogue to a call, over a
//! restart and a kill.

use hyper::Method;
use serde_json::{Value, json};
use testkit::hub::{Hub, binary};

const EMPTY: &str = "integrations: {}\n";

/// Adds an entry for any MCP server to the catalogue, as a user would.
async fn add_entry(hub: &Hub) {
    let schema = json!({
        "type": "object",
        "properties": {
            "protocol": { "enum": ["stdio", "http"] },
            "command": { "type": "string" },
            "args": { "type": "array", "items": { "type": "string" } },
            "url": { "type": "string" },
        },
        "additionalProperties": false,
    });
    let body = json!({ "name": "Any server", "type": "mcp", "category": "other", "config_schema": schema });
    let (status, made) = ask(hub, Method::PUT, "/api/v1/integrations/any-server", &body).await;
    assert_eq!(status, 201, "{made}");
}

fn fixture() -> Value {
    json!({ "protocol": "stdio", "command": binary("mcp-fixture").unwrap(), "args": ["--stdio"] })
}

async fn ask(hub: &Hub, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let reply = hub.http(method, path, body).await.unwrap();
    (reply.status.as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

/// Makes the fixture's connection, with the consent that the refusal asks for.
async fn make(hub: &Hub, name: &str) {
    let mut body = json!({ "integration": "any-server", "name": name, "connection_config": fixture() });
    let (status, refused) = ask(hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 422, "{refused}");
    let line = refused["detail"].as_str().unwrap().split_once("of the hub: ").unwrap().1.to_owned();
    assert!(line.ends_with("mcp-fixture --stdio"), "{line}");
    body["consent"] = line.into();
    let (status, made) = ask(hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!((status, &made["status"]), (201, &json!("configuring")), "{made}");
}

#[tokio::test]
async fn a_connection_made_through_the_api_is_used_once_connected_and_outlives_the_hub() {
    let mut hub = Hub::start(EMPTY).await.unwrap();
    add_entry(&hub).await;
    make(&hub, "notes").await;
    let (status, _) = ask(&hub, Method::POST, "/call/notes/echo", &json!({ "message": "x" })).await;
    assert_eq!(status, 404, "nothing is used before its test has passed");

    let (status, connected) =
        ask(&hub, Method::POST, "/api/v1/connections/notes/connect", &Value::Null).await;
    assert_eq!((status, &connected["is_ok"]), (200, &json!(true)), "{connected}");
    assert_eq!(connected["connection"]["status"], "connected");
    // What the answer says holds for the very next call.
    let tools = hub.wait_for_tools("/mcp/c/notes").await.unwrap();
    assert!(!tools.is_empty());

    hub.restart().await.unwrap();
    let again = hub.wait_for_tools("/mcp/c/notes").await.unwrap();
    assert_eq!(again, tools);

    let (status, off) = ask(&hub, Method::POST, "/api/v1/connections/notes/disconnect", &Value::Null).await;
    assert_eq!((status, &off["status"]), (200, &json!("disconnected")), "{off}");
    let (status, _) = ask(&hub, Method::POST, "/call/notes/echo", &json!({ "message": "x" })).await;
    assert_eq!(status, 404);
    let (status, _) = ask(&hub, Method::DELETE, "/api/v1/connections/notes", &Value::Null).await;
    assert_eq!(status, 204);
    let (_, gone) = ask(&hub, Method::GET, "/api/v1/connections/notes", &Value::Null).await;
    assert_eq!(gone, Value::Null);
}

#[tokio::test]
async fn a_test_that_fails_says_which_layer_and_connects_nothing() {
    let hub = Hub::start(EMPTY).await.unwrap();
    add_entry(&hub).await;
    let closed = json!({ "protocol": "http", "url": "http://127.0.0.1:1/mcp" });
    let mut body = json!({ "integration": "any-server", "name": "closed", "connection_config": closed });
    let (status, made) = ask(&hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 201, "{made}");
    let connect = "/api/v1/connections/closed/connect";
    let (_, guarded) = ask(&hub, Method::POST, connect, &Value::Null).await;
    assert_eq!(guarded["problem"]["code"], "TL-1407", "loopback has to be allowed: {guarded}");

    let patch = json!({ "egress_private": true });
    assert_eq!(ask(&hub, Method::PATCH, "/api/v1/connections/closed", &patch).await.0, 200);
    let (_, refused) = ask(&hub, Method::POST, connect, &Value::Null).await;
    assert_eq!(refused["problem"]["code"], "TL-1402", "{refused}");
    assert_eq!(refused["connection"]["status"], "error");
    assert!(refused["connection"]["last_error"].as_str().unwrap().contains("TL-1402"), "{refused}");

    body["name"] = "program".into();
    body["connection_config"] = json!({ "protocol": "stdio", "command": "/no/such/program" });
    body["consent"] = "/no/such/program".into();
    assert_eq!(ask(&hub, Method::POST, "/api/v1/connections", &body).await.0, 201);
    let (_, absent) = ask(&hub, Method::POST, "/api/v1/connections/program/connect", &Value::Null).await;
    assert_eq!(absent["is_ok"], false, "{absent}");
    assert!(absent["problem"]["detail"].as_str().unwrap().contains("/no/such/program"), "{absent}");
}

#[tokio::test]
async fn a_hub_that_is_killed_while_it_tests_finds_the_connection_failed() {
    let mut hub = Hub::start(EMPTY).await.unwrap();
    add_entry(&hub).await;
    // A program that never says anything: its test runs until it is given up.
    let body = json!({
        "integration": "any-server",
        "name": "silent",
        "connection_config": { "protocol": "stdio", "command": "sleep", "args": ["60"] },
        "consent": "sleep 60",
    });
    assert_eq!(ask(&hub, Method::POST, "/api/v1/connections", &body).await.0, 201);
    let endpoint = hub.endpoint("");
    let connect = hub.http(Method::POST, "/api/v1/connections/silent/connect", &Value::Null);
    tokio::select! {
        reply = connect => panic!("a silent program does not connect: {:?} {endpoint}", reply.map(|r| r.status)),
        () = async {
            loop {
                let (_, one) = ask(&hub, Method::GET, "/api/v1/connections/silent", &Value::Null).await;
                if one["status"] == "testing" {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        } => {}
    }
    hub.program().signal(testkit::program::Signal::KILL).unwrap();
    hub.restart().await.unwrap();
    let (_, one) = ask(&hub, Method::GET, "/api/v1/connections/silent", &Value::Null).await;
    assert_eq!(one["status"], "error", "{one}");
    assert!(one["last_error"].as_str().unwrap().contains("ended while it was being tested"), "{one}");
}

/// Every byte under a folder.
fn bytes_under(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(bytes_under(&entry.path()));
        } else if kind.is_file() {
            found.push((entry.path(), std::fs::read(entry.path()).unwrap()));
        }
    }
    found
}

#[tokio::test]
async fn a_stored_key_reaches_its_upstream_and_stands_nowhere_else() {
    const CANARY: &str = "canary-3b9d0c51-never-in-the-clear";
    let hub = Hub::start(EMPTY).await.unwrap();
    // The upstream is another hub, which takes its own key only: the key is proved by use.
    let upstream = Hub::start(&format!(
        "integrations:\n  echo: {{ type: mcp, protocol: stdio, command: {}, args: [--stdio] }}\n",
        binary("mcp-fixture").unwrap().display()
    ))
    .await
    .unwrap();
    upstream.wait_for_tools("/mcp").await.unwrap();
    add_entry(&hub).await;
    let body = json!({
        "integration": "any-server",
        "name": "guarded",
        "connection_config": { "protocol": "http", "url": upstream.endpoint("/mcp") },
        "auth_method": "api_key",
        "egress_private": true,
    });
    let (status, made) = ask(&hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 201, "{made}");
    let connect = "/api/v1/connections/guarded/connect";
    let (_, without) = ask(&hub, Method::POST, connect, &Value::Null).await;
    assert_eq!(without["is_ok"], false, "{without}");

    let key = "/api/v1/connections/guarded/credentials/auth.credentials.key";
    assert_eq!(ask(&hub, Method::PUT, key, &json!({ "value": CANARY })).await.0, 200);
    let (_, wrong) = ask(&hub, Method::POST, connect, &Value::Null).await;
    assert_eq!(wrong["problem"]["code"], "TL-1405", "{wrong}");
    assert_eq!(
        ask(&hub, Method::PUT, key, &json!({ "value": upstream.key, "overlap_ms": 60_000 })).await.0,
        200
    );
    let (_, right) = ask(&hub, Method::POST, connect, &Value::Null).await;
    assert_eq!(right["is_ok"], true, "{right}");
    assert!(!hub.wait_for_tools("/mcp/c/guarded").await.unwrap().is_empty());

    let mut told = String::new();
    for path in ["", "/credentials", "/logs", "/health"] {
        told += &ask(&hub, Method::GET, &format!("/api/v1/connections/guarded{path}"), &Value::Null)
            .await
            .1
            .to_string();
    }
    told += &format!("{wrong}{right}{}", hub.log());
    for secret in [CANARY, upstream.key.as_str()] {
        assert!(!told.contains(secret), "an answer or the log tells a credential");
        for (path, bytes) in bytes_under(hub.folder()) {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{} holds a credential in the clear", path.display());
        }
    }
    let (status, rotated) = ask(&hub, Method::POST, "/api/v1/data-keys/rotate", &Value::Null).await;
    assert_eq!((status, &rotated["remaining"]), (200, &json!(0)), "{rotated}");
    let (_, still) = ask(&hub, Method::POST, "/api/v1/connections/guarded/test", &Value::Null).await;
    assert_eq!(still["is_ok"], true, "{still}");
}

#[tokio::test]
async fn a_backup_beside_a_running_hub_is_checked_and_restored_with_its_credentials() {
    let mut hub = Hub::start(EMPTY).await.unwrap();
    add_entry(&hub).await;
    make(&hub, "notes").await;
    let secret = "/api/v1/connections/notes/credentials/env.TOKEN";
    assert_eq!(ask(&hub, Method::PUT, secret, &json!({ "value": "canary-backup-5e" })).await.0, 200);
    let (_, connected) = ask(&hub, Method::POST, "/api/v1/connections/notes/connect", &Value::Null).await;
    assert_eq!(connected["is_ok"], true, "{connected}");

    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup").display().to_string();
    let run = |hub: &Hub, arguments: &[&str]| {
        let data = hub.folder().join("data");
        let output = hub.command(arguments).unwrap().arg("--data").arg(data).output().unwrap();
        (
            output.status.code().unwrap(),
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        )
    };
    let (code, said) = run(&hub, &["backup", &backup]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("keep the master key"), "{said}");
    assert_eq!(run(&hub, &["restore", "--check", &backup]).0, 0);
    for (path, bytes) in bytes_under(folder.path()) {
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{} tells a credential", path.display());
    }
    assert_eq!(run(&hub, &["restore", &backup]).0, 1, "a running hub's data is not written over");

    // What came after the backup is gone after it is restored; what was before is whole.
    assert_eq!(ask(&hub, Method::DELETE, "/api/v1/connections/notes", &Value::Null).await.0, 204);
    hub.program().stop().unwrap();
    let data = hub.folder().join("data");
    assert_eq!(run(&hub, &["restore", &backup]).0, 1, "data that is there is not written over either");
    for entry in std::fs::read_dir(&data).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("trunkline.db") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let (code, said) = run(&hub, &["restore", &backup]);
    assert_eq!(code, 0, "{said}");
    hub.restart().await.unwrap();
    assert!(!hub.wait_for_tools("/mcp/c/notes").await.unwrap().is_empty());
    let (_, credentials) =
        ask(&hub, Method::GET, "/api/v1/connections/notes/credentials", &Value::Null).await;
    assert_eq!(credentials["credentials"][0]["last_four"], "p-5e", "{credentials}");

    // A spoilt one is told, and nothing is taken from it.
    let copy = std::path::Path::new(&backup).join("hub.db");
    let mut bytes = std::fs::read(&copy).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    assert_eq!(run(&hub, &["restore", "--check", &backup]).0, 1);
}

#[tokio::test]
async fn a_toolset_made_through_the_api_is_an_endpoint_at_once() {
    let hub = Hub::start(EMPTY).await.unwrap();
    add_entry(&hub).await;
    make(&hub, "notes").await;
    ask(&hub, Method::POST, "/api/v1/connections/notes/connect", &Value::Null).await;
    let all = hub.wait_for_tools("/mcp/c/notes").await.unwrap();
    let chosen = format!("notes__{}", all[0]);
    let body = json!({ "name": "One", "tools": [{ "tool": chosen, "as": "the_one" }] });
    let (status, made) = ask(&hub, Method::PUT, "/api/v1/toolsets/one", &body).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(hub.wait_for_tools("/mcp/s/one").await.unwrap(), ["the_one"]);
}

#[tokio::test]
async fn the_command_line_makes_connects_shows_and_removes_one() {
    let hub = Hub::start(EMPTY).await.unwrap();
    add_entry(&hub).await;
    let run = |arguments: &[&str]| {
        let output = hub.command(arguments).unwrap().output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let program = binary("mcp-fixture").unwrap().display().to_string();
    let config = json!({ "protocol": "stdio", "command": program, "args": ["--stdio"] }).to_string();
    let (code, _, error) = run(&["connection", "new", "any-server", "notes", "--args", &config]);
    assert_eq!(code, 1, "{error}");
    let line = format!("{program} --stdio");
    assert!(error.contains(&line), "the command line is there to be read: {error}");
    let new =
        ["connection", "new", "any-server", "notes", "--args", &config, "--consent", &line, "--connect"];
    let (code, out, error) = run(&new);
    assert_eq!(code, 0, "{out}{error}");
    assert!(out.starts_with("notes: works"), "{out}");
    // Options for all commands go before or behind the verb.
    let key = hub.key.clone();
    let config = json!({ "protocol": "http", "url": "https://a.example/mcp" }).to_string();
    let (code, out, error) =
        run(&["--key", &key, "connection", "new", "any-server", "Other one", "--args", &config]);
    assert!(code == 0 && out.contains("made other-one"), "{out}{error}");
    // What is piped in is stored whole: a private key has many lines.
    let mut rotate = hub.command(&["connection", "rotate", "other-one", "headers.X-Key"]).unwrap();
    let mut rotating = rotate.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut rotating.stdin.take().unwrap(), b"line one\nline two\n").unwrap();
    assert!(rotating.wait().unwrap().success());
    let (_, out, _) = run(&["--json", "connection", "credentials", "other-one"]);
    assert!(out.contains("\"last_four\":\" two\""), "{out}");
    let (code, out, _) = run(&["--json", "connection", "show", "notes"]);
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &shown["status"]), (0, &json!("connected")));
    let (code, out, _) = run(&["connection", "logs", "notes"]);
    assert!(code == 0 && out.contains("was connected"), "{out}");
    let (code, out, _) = run(&["connection", "health", "notes"]);
    assert!(code == 0 && out.contains("100.0 % good"), "{out}");
    assert_eq!(run(&["connection", "remove", "notes"]).0, 2, "a script has to say --yes");
    assert_eq!(run(&["connection", "remove", "notes", "--yes"]).0, 0);
    assert_eq!(run(&["connection", "show", "notes"]).0, 1);
}
