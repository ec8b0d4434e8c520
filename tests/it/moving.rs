//! Whole hubs moved with the command line: one to another as a document, one store to another, and under
//! another master key.

use std::path::Path;
use std::process::{Command, Output};

use hyper::Method;
use serde_json::{Value, json};
use testkit::hub::Hub;
use testkit::program::Signal;

const EMPTY: &str = "integrations: {}\n";
const SECRET: &str = "canary-4711-very-secret";

async fn ask(hub: &Hub, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let reply = hub.http(method, path, body).await.unwrap();
    (reply.status.as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

/// A hub with an entry of its own, a connection with a credential, and a toolset.
async fn furnished() -> Hub {
    let hub = Hub::start(EMPTY).await.unwrap();
    let schema = json!({ "type": "object", "properties": { "protocol": {}, "url": {} } });
    let entry = json!({ "name": "Any", "type": "mcp", "category": "other", "config_schema": schema });
    assert_eq!(ask(&hub, Method::PUT, "/api/v1/integrations/any", &entry).await.0, 201);
    let config = json!({ "protocol": "http", "url": "https://notes.example.com/mcp" });
    let one = json!({
        "integration": "any", "name": "notes", "auth_method": "api_key", "connection_config": config,
    });
    assert_eq!(ask(&hub, Method::POST, "/api/v1/connections", &one).await.0, 201);
    let path = "/api/v1/connections/notes/credentials/auth.credentials.key";
    assert_eq!(ask(&hub, Method::PUT, path, &json!({ "value": SECRET })).await.0, 200);
    let set = json!({ "name": "Set", "tools": [{ "tool": "notes__read" }] });
    assert_eq!(ask(&hub, Method::PUT, "/api/v1/toolsets/set", &set).await.0, 201);
    hub
}

fn run(mut command: Command) -> Output {
    command.output().unwrap()
}

/// A command on the hub's own folder, for while it is stopped.
fn offline(hub: &Hub, arguments: &[&str]) -> Output {
    let mut command = hub.command(arguments).unwrap();
    command.env("TRUNKLINE_DATA", hub.folder().join("data"));
    run(command)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn write(folder: &Path, name: &str, content: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn a_hub_is_carried_to_another_as_a_document() {
    let (hub, other) = (furnished().await, Hub::start(EMPTY).await.unwrap());
    let phrase = write(hub.folder(), "phrase", b"correct horse battery staple\n");
    let bare = run(hub.command(&["export", "--connections"]).unwrap());
    assert!(bare.status.success() && !text(&bare).contains(SECRET), "{}", text(&bare));
    let sealed = ["export", "--connections", "--secrets", "--passphrase-file", &phrase];
    let sealed = run(hub.command(&sealed).unwrap());
    assert!(sealed.status.success() && !text(&sealed).contains(SECRET), "{}", text(&sealed));
    let file = write(hub.folder(), "hub.json", &sealed.stdout);

    let dry = run(other.command(&["import", &file, "--dry-run", "--passphrase-file", &phrase]).unwrap());
    assert!(text(&dry).contains("3 made, 0 changed, 0 skipped, 0 failed"), "{}", text(&dry));
    let done = run(other.command(&["import", &file, "--passphrase-file", &phrase]).unwrap());
    assert!(done.status.success() && text(&done).contains("3 made"), "{}", text(&done));
    let again = run(other.command(&["import", &file, "--passphrase-file", &phrase]).unwrap());
    assert!(text(&again).contains("0 made, 0 changed, 3 skipped"), "{}", text(&again));
    let there = run(other.command(&["export", "--connections"]).unwrap());
    assert_eq!(there.stdout, bare.stdout, "nothing was lost on the way");
    let (_, credentials) =
        ask(&other, Method::GET, "/api/v1/connections/notes/credentials", &Value::Null).await;
    assert_eq!(credentials["credentials"][0]["last_four"], "cret");

    let wrong = write(hub.folder(), "wrong", b"correct horse battery stable\n");
    let refused = run(other.command(&["import", &file, "--passphrase-file", &wrong]).unwrap());
    assert!(!refused.status.success() && text(&refused).contains("another passphrase"), "{}", text(&refused));
}

#[tokio::test]
async fn under_another_master_key_and_in_another_store_everything_is_there() {
    let mut hub = furnished().await;
    let new_key = hub.folder().join("new.key").display().to_string();
    let rotate = ["key", "rotate-master", "--new-key-file", &new_key];
    let running = offline(&hub, &rotate);
    assert!(!running.status.success() && text(&running).contains("in use"), "{}", text(&running));

    hub.program().signal(Signal::KILL).unwrap();
    let mut rotated = offline(&hub, &rotate);
    for _ in 0..50 {
        if rotated.status.success() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        rotated = offline(&hub, &rotate);
    }
    assert!(text(&rotated).contains("1 of 1 data keys wrapped anew"), "{}", text(&rotated));
    let again = offline(&hub, &rotate);
    assert!(text(&again).contains("0 of 1 data keys wrapped anew"), "{}", text(&again));

    let elsewhere = hub.folder().join("elsewhere/trunkline.db");
    let to = format!("sqlite:{}", elsewhere.display());
    let moved = offline(&hub, &["migrate", "--to", &to]);
    assert!(moved.status.success(), "{}", text(&moved));
    let full = offline(&hub, &["migrate", "--to", &to]);
    assert!(!full.status.success() && text(&full).contains("not empty"), "{}", text(&full));

    // The API key that was made under the first master key still opens everything.
    hub.restart().await.unwrap();
    let (status, one) = ask(&hub, Method::GET, "/api/v1/connections/notes", &Value::Null).await;
    assert_eq!((status, &one["key"]), (200, &json!("notes")), "{one}");
    let phrase = write(hub.folder(), "phrase", b"correct horse battery staple\n");
    let sealed = ["export", "--connections", "--secrets", "--passphrase-file", &phrase];
    let sealed = run(hub.command(&sealed).unwrap());
    assert!(sealed.status.success(), "its credential opens: {}", text(&sealed));
}
