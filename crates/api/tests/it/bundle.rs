//! Exports and imports: nothing is lost, nothing is done twice, and secrets go sealed or not at all.

use api::Settings;
use http::Method;
use model::Access;
use serde_json::{Value, json};
use store::{Connections, IntegrationCommand, Integrations, Scope};

use crate::connections::integration;
use crate::scene::{Answer, Hub, hub_with, settings};

const SECRET: &str = "canary-very-secret-value";
const PASSPHRASE: &str = "correct horse battery staple";

async fn empty() -> Hub {
    let hub = hub_with(Settings { body_bytes_max: 1 << 20, ..settings() }).await;
    let server = integration(1, "server", model::IntegrationKind::Mcp, model::Category::Storage);
    hub.store.change_integration(IntegrationCommand::Seed(Box::new(server))).await.unwrap();
    hub
}

async fn send(hub: &Hub, method: Method, path: &str, body: &Value) -> Answer {
    hub.ask(method, path).key(&hub.root).json(&body.to_string()).send().await
}

/// A hub with an entry of its own in two versions, connections with both kinds of entries, and a toolset.
async fn furnished() -> Hub {
    let hub = empty().await;
    let schema =
        |max: u32| json!({ "type": "object", "properties": { "n": { "type": "integer", "maximum": max } } });
    let entry = |version: &str, max| json!({ "name": "Own", "type": "mcp", "category": "other", "config_schema": schema(max), "version": version });
    for (version, max) in [("1.0.0", 5), ("2.0.0", 9)] {
        let made = send(&hub, Method::PUT, "/api/v1/integrations/own", &entry(version, max)).await;
        assert!(made.status.is_success(), "{}", made.text);
        if version == "1.0.0" {
            let one = json!({ "integration": "own", "name": "Pinned", "connection_config": { "n": 4 } });
            assert_eq!(send(&hub, Method::POST, "/api/v1/connections", &one).await.status, 201);
        }
    }
    for (name, url) in [("Notes é", "https://notes.example.com/mcp"), ("mail", "https://mail.example.com/")]
    {
        let one = json!({ "integration": "server", "name": name, "connection_config": { "url": url }, "auth_method": "api_key" });
        let made = send(&hub, Method::POST, "/api/v1/connections", &one).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let value = json!({ "value": SECRET });
    let path = "/api/v1/connections/mail/credentials/auth.credentials.key";
    assert_eq!(send(&hub, Method::PUT, path, &value).await.status, 200);
    let set = json!({ "name": "Set", "description": "d", "tools": [{ "tool": "mail__send", "as": "post" }] });
    assert_eq!(send(&hub, Method::PUT, "/api/v1/toolsets/set", &set).await.status, 201);
    hub
}

async fn import(hub: &Hub, body: Value) -> Answer {
    send(hub, Method::POST, "/api/v1/import", &body).await
}

fn counts(answer: &Answer) -> [u64; 4] {
    assert_eq!(answer.status, 200, "{}", answer.text);
    ["made", "changed", "skipped", "failed"].map(|name| answer.json[name].as_u64().unwrap())
}

#[tokio::test]
async fn what_is_exported_and_imported_is_exported_the_same_again() {
    let hub = furnished().await;
    let document = hub.get("/api/v1/export").await;
    assert_eq!(document.status, 200, "{}", document.text);
    assert!(!document.text.contains(SECRET) && document.json.get("sealed").is_none(), "{}", document.text);
    assert_eq!(document.json["integrations"][0]["earlier"][0]["version"], "1.0.0");

    let other = empty().await;
    let dry = import(&other, json!({ "document": document.json, "is_dry_run": true })).await;
    assert_eq!(counts(&dry), [5, 0, 0, 0], "{}", dry.text);
    assert_eq!(other.get("/api/v1/export").await.json["connections"], json!([]), "nothing was done");

    let done = import(&other, json!({ "document": document.json })).await;
    assert_eq!(counts(&done), [5, 0, 0, 0], "{}", done.text);
    assert_eq!(other.get("/api/v1/export").await.json, document.json);
    let mail = other.get("/api/v1/connections/mail").await;
    assert_eq!(mail.json["status"], "configuring", "nothing is used before its test has passed");

    let again = import(&other, json!({ "document": document.json })).await;
    assert_eq!(counts(&again), [0, 0, 5, 0], "{}", again.text);
    let mail_again = other.get("/api/v1/connections/mail").await;
    assert_eq!(mail_again.json["revision"], mail.json["revision"]);
}

#[tokio::test]
async fn an_import_that_was_cut_off_is_finished_by_the_next() {
    let hub = furnished().await;
    let document = hub.get("/api/v1/export").await.json;
    let other = empty().await;
    let mut half = document.clone();
    half["connections"].as_array_mut().unwrap().truncate(1);
    half["toolsets"] = json!([]);
    assert_eq!(counts(&import(&other, json!({ "document": half })).await), [2, 0, 0, 0]);
    assert_eq!(counts(&import(&other, json!({ "document": document })).await), [3, 0, 2, 0]);
    let mut changed = document.clone();
    changed["connections"][0]["name"] = "Another".into();
    changed["toolsets"][0]["description"] = "other".into();
    assert_eq!(counts(&import(&other, json!({ "document": changed })).await), [0, 2, 3, 0]);
    assert_eq!(other.get("/api/v1/export").await.json, changed);
}

#[tokio::test]
async fn secrets_go_sealed_and_open_with_their_passphrase_only() {
    let hub = furnished().await;
    let sealed = send(&hub, Method::POST, "/api/v1/export", &json!({ "passphrase": PASSPHRASE })).await;
    assert_eq!(sealed.status, 200, "{}", sealed.text);
    assert!(!sealed.text.contains(SECRET));
    assert_eq!(sealed.json["sealed"]["rounds"], 600_000);
    let other = empty().await;

    let wrong =
        import(&other, json!({ "document": sealed.json, "passphrase": "correct horse battery stable" }))
            .await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    assert!(wrong.json["detail"].as_str().unwrap().contains("another passphrase"), "{}", wrong.text);
    // Where the secrets would go is part of what is sealed.
    let mut moved = sealed.json.clone();
    moved["connections"][0]["connection_config"] = json!({ "url": "https://thief.example.com/" });
    let altered = import(&other, json!({ "document": moved, "passphrase": PASSPHRASE })).await;
    assert_eq!(altered.status, 422);
    assert!(altered.json["detail"].as_str().unwrap().contains("altered"), "{}", altered.text);
    assert_eq!(other.get("/api/v1/export").await.json["connections"], json!([]), "nothing was done");

    let bare = import(&other, json!({ "document": sealed.json })).await;
    assert_eq!(counts(&bare), [5, 0, 0, 0], "without a passphrase they are left out");
    let with = import(&other, json!({ "document": sealed.json, "passphrase": PASSPHRASE })).await;
    assert_eq!(counts(&with), [0, 1, 4, 0], "the one that lacked its secret");
    let again = import(&other, json!({ "document": sealed.json, "passphrase": PASSPHRASE })).await;
    assert_eq!(counts(&again), [0, 0, 5, 0]);
    let scope = Scope::from(other.owner.workspace);
    let row = other.store.find_connection_by_key(scope, &"mail".parse().unwrap()).await.unwrap().unwrap();
    let opened = other.credentials.open(&row).await.unwrap();
    assert_eq!(opened.get("auth.credentials.key").unwrap().expose(), SECRET);

    let short = send(&hub, Method::POST, "/api/v1/export", &json!({ "passphrase": "short" })).await;
    assert_eq!(short.status, 422);
    let narrow = hub.key(Access { deny: vec!["mail__*".to_owned()], ..Access::everything() }).await;
    let ask = hub.ask(Method::POST, "/api/v1/export").key(&narrow);
    let refused = ask.json(&json!({ "passphrase": PASSPHRASE }).to_string()).send().await;
    assert_eq!(refused.status, 403, "{}", refused.text);
}

#[tokio::test]
async fn what_cannot_be_is_told_and_holds_up_nothing_else() {
    let hub = empty().await;
    let one = |key: &str, config: Value, integration: &str| {
        json!({
            "key": key, "name": key, "integration": integration, "version": "1.0.0", "previous_version": null,
            "connection_config": config, "auth_method": "none", "egress_private": false,
            "is_shared": true, "is_per_user": false,
        })
    };
    let url = json!({ "url": "https://a.example.com/" });
    let connections = json!([
        one("files", url.clone(), "server"),
        one("good", url.clone(), "server"),
        one("nowhere", url.clone(), "absent"),
        one("program", json!({ "command": "run me" }), "server"),
        one("reference", json!({ "url": "${HOME}" }), "server"),
        one("Bad Key", url, "server"),
    ]);
    let document =
        json!({ "trunkline_export": 1, "integrations": [], "connections": connections, "toolsets": [] });
    let answer = import(&hub, json!({ "document": document })).await;
    assert_eq!(counts(&answer), [1, 0, 0, 5], "{}", answer.text);
    let detail = |n: usize| answer.json["items"][n]["detail"].as_str().unwrap().to_owned();
    assert!(detail(0).contains("configuration file") && detail(2).contains("absent"), "{}", answer.text);
    assert!(detail(3).contains("run me") && detail(4).contains("reference"), "{}", answer.text);
    let consent = import(&hub, json!({ "document": document, "consents": ["run me"] })).await;
    assert_eq!(counts(&consent), [1, 0, 1, 4], "{}", consent.text);

    let newer = json!({ "trunkline_export": 2, "integrations": [], "connections": [], "toolsets": [] });
    assert_eq!(import(&hub, json!({ "document": newer })).await.status, 422);
}
