//! Making, connecting, changing and removing connections; their log and health; what is refused.

use std::sync::atomic::Ordering;

use http::Method;
use model::id::IntegrationId;
use model::{Category, Code, Fault, IntegrationKind};
use serde_json::{Value, json};
use store::{Connections, IntegrationCommand, IntegrationRow, Integrations, Json, Origin};
use uuid::Uuid;

use crate::scene::{Answer, Hub, NOW, hub};

pub(crate) fn integration(n: u128, slug: &str, kind: IntegrationKind, category: Category) -> IntegrationRow {
    let schema = json!({
        "type": "object",
        "properties": {
            "url": { "type": "string", "maxLength": 200 },
            "command": { "type": "string" },
            "args": { "type": "array", "items": { "type": "string" } },
        },
        "additionalProperties": false,
    });
    IntegrationRow {
        id: IntegrationId::from_uuid(Uuid::from_u128(n)),
        workspace: None,
        slug: slug.to_owned(),
        name: format!("{slug} 100%"),
        kind,
        category,
        description: "An upstream of this test.".to_owned(),
        icon_type: "default".to_owned(),
        docs_url: String::new(),
        is_active: true,
        config_schema: Json::from_value("schema", &schema).unwrap(),
        version: "1.0.0".to_owned(),
        manifest_digest: [0; 32],
        manifest: None,
        origin: Origin::Builtin,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

/// A hub whose catalogue has an MCP server and a vendor.
async fn hub_with_catalogue() -> Hub {
    let hub = hub().await;
    let server = integration(1, "server", IntegrationKind::Mcp, Category::Storage);
    let vendor = integration(2, "vendor", IntegrationKind::Vendor, Category::Payment);
    for row in [server, vendor] {
        hub.store.change_integration(IntegrationCommand::Seed(Box::new(row))).await.unwrap();
    }
    hub
}

const NOTES: &str = r#"{"integration":"server","name":"My Notes","connection_config":{"url":"https://notes.example.com/mcp"}}"#;

async fn send(hub: &Hub, method: Method, path: &str, body: &Value) -> Answer {
    hub.ask(method, path).key(&hub.root).json(&body.to_string()).send().await
}

async fn events(hub: &Hub, key: &str) -> Vec<String> {
    let logs = hub.get(&format!("/api/v1/connections/{key}/logs")).await;
    assert_eq!(logs.status, 200, "{}", logs.text);
    let list = logs.json["logs"].as_array().unwrap().clone();
    list.iter().map(|log| log["event_type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_connection_is_used_only_once_a_test_has_passed() {
    let hub = hub_with_catalogue().await;
    let made = hub.post("/api/v1/connections", NOTES).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!((&made.json["key"], &made.json["status"]), (&json!("my-notes"), &json!("configuring")));
    assert_eq!(made.json["is_connected"], false);
    assert_eq!(made.headers["location"], "/api/v1/connections/my-notes");
    assert_eq!(made.json["integration"]["slug"], "server");

    *hub.directory.trouble.lock().unwrap() = Some(Fault::new(Code::UNREACHABLE, "refused"));
    let tested = hub.post("/api/v1/connections/my-notes/connect", "").await;
    assert_eq!((tested.status.as_u16(), &tested.json["is_ok"]), (200, &json!(false)));
    assert_eq!(tested.json["problem"]["code"], "TL-1402");
    assert_eq!(tested.json["connection"]["status"], "error");
    assert_eq!(tested.json["connection"]["is_connected"], false);

    *hub.directory.trouble.lock().unwrap() = None;
    let settled = hub.directory.settled.load(Ordering::SeqCst);
    let connected = hub.post("/api/v1/connections/my-notes/connect", "").await;
    assert_eq!(connected.json["connection"]["status"], "connected");
    assert_eq!(connected.json["connection"]["tool_count"], 7);
    assert_eq!(connected.json["connection"]["last_error"], Value::Null);
    assert_eq!(connected.json["connection"]["connected_at"], json!(NOW));
    assert!(hub.directory.settled.load(Ordering::SeqCst) > settled, "what runs was brought in step");
    assert_eq!(events(&hub, "my-notes").await[..2], ["connected", "tested"]);

    let health = hub.get("/api/v1/connections/my-notes/health").await;
    assert_eq!(health.json["summary"]["count"], 2);
    assert_eq!(health.json["summary"]["success_rate"], 0.5);
}

#[tokio::test]
async fn trying_out_what_is_not_in_use_leaves_its_status_alone() {
    let hub = hub_with_catalogue().await;
    hub.post("/api/v1/connections", NOTES).await;
    let tested = hub.post("/api/v1/connections/my-notes/test", "").await;
    assert_eq!(
        (&tested.json["is_ok"], &tested.json["connection"]["status"]),
        (&json!(true), &json!("configuring"))
    );
    hub.post("/api/v1/connections/my-notes/connect", "").await;
    let off = hub.post("/api/v1/connections/my-notes/disconnect", "").await;
    assert_eq!((&off.json["status"], &off.json["is_connected"]), (&json!("disconnected"), &json!(false)));
    hub.post("/api/v1/connections/my-notes/disconnect", "").await.is_problem(409, "TL-1207");
    let tested = hub.post("/api/v1/connections/my-notes/test", "").await;
    assert_eq!(tested.json["connection"]["status"], "disconnected");
    assert_eq!(events(&hub, "my-notes").await[..2], ["tested", "disconnected"]);
}

#[tokio::test]
async fn a_status_moves_along_its_edges_and_never_by_word_to_connected() {
    let hub = hub_with_catalogue().await;
    hub.post("/api/v1/connections", NOTES).await;
    let path = "/api/v1/connections/my-notes/status";
    send(&hub, Method::PUT, path, &json!({ "status": "connected" })).await.is_problem(422, "TL-1202");
    send(&hub, Method::PUT, path, &json!({ "status": "testing" })).await.is_problem(422, "TL-1202");
    send(&hub, Method::PUT, path, &json!({ "status": "disconnected" })).await.is_problem(409, "TL-1207");
    send(&hub, Method::PUT, path, &json!({ "status": "broken" })).await.is_problem(400, "TL-1201");
    hub.post("/api/v1/connections/my-notes/connect", "").await;
    let moved = send(&hub, Method::PUT, path, &json!({ "status": "error", "error": "it hangs" })).await;
    assert_eq!((&moved.json["status"], &moved.json["last_error"]), (&json!("error"), &json!("it hangs")));
}

#[tokio::test]
async fn a_change_needs_the_revision_that_was_read_and_is_told_without_values() {
    let hub = hub_with_catalogue().await;
    let made = hub.post("/api/v1/connections", NOTES).await;
    assert_eq!(made.headers["etag"], "\"1\"");
    let patch = r#"{"connection_config":{"url":"https://other.example.com/mcp"}}"#;
    let path = "/api/v1/connections/my-notes";
    let ask = || hub.ask(Method::PATCH, path).key(&hub.root).json(patch);
    let changed = ask().header("if-match", "\"1\"").send().await;
    assert_eq!((changed.status.as_u16(), changed.headers["etag"].to_str().unwrap()), (200, "\"2\""));
    assert_eq!(changed.json["connection_config"]["url"], "https://other.example.com/mcp");
    ask().header("if-match", "\"1\"").send().await.is_problem(412, "TL-1207");
    ask().header("if-match", "one").send().await.is_problem(400, "TL-1201");
    assert_eq!(hub.get(path).await.json["revision"], 2, "what was refused changed nothing");

    let removed = send(&hub, Method::PATCH, path, &json!({ "connection_config": { "url": null } })).await;
    assert_eq!(removed.json["connection_config"], json!({}));
    let logs = hub.get("/api/v1/connections/my-notes/logs").await;
    assert_eq!(logs.json["logs"][0]["metadata"], json!({ "changed": ["connection_config.url"] }));
    assert!(!logs.text.contains("example.com"), "{}", logs.text);
}

#[tokio::test]
async fn what_is_removed_is_gone_with_its_log() {
    let hub = hub_with_catalogue().await;
    let made = hub.post("/api/v1/connections", NOTES).await;
    let id = made.json["id"].as_str().unwrap().to_owned();
    let by_id = hub.get(&format!("/api/v1/connections/{id}")).await;
    assert_eq!(by_id.json["key"], "my-notes");
    let path = format!("/api/v1/connections/{id}");
    let gone = hub.ask(Method::DELETE, &path).key(&hub.root).send().await;
    assert_eq!(gone.status, 204);
    assert_eq!(hub.get("/api/v1/connections/my-notes").await.json, Value::Null);
    hub.get("/api/v1/connections/my-notes/logs").await.is_problem(404, "TL-1101");
    hub.ask(Method::DELETE, &path).key(&hub.root).send().await.is_problem(404, "TL-1101");
}

#[tokio::test]
async fn a_program_needs_consent_to_its_exact_command_line() {
    let hub = hub_with_catalogue().await;
    let new = |consent: Option<&str>| {
        let mut body =
            json!({ "integration": "server", "name": "p", "connection_config": { "command": "run me" } });
        if let Some(consent) = consent {
            body["consent"] = consent.into();
        }
        body
    };
    let path = "/api/v1/connections";
    let refused = send(&hub, Method::POST, path, &new(None)).await;
    refused.is_problem(422, "TL-1202");
    assert!(refused.json["detail"].as_str().unwrap().ends_with(": run me"), "{}", refused.text);
    send(&hub, Method::POST, path, &new(Some("run me "))).await.is_problem(422, "TL-1202");
    assert_eq!(hub.get("/api/v1/stats").await.json["total"], 0);
    assert_eq!(send(&hub, Method::POST, path, &new(Some("run me"))).await.status, 201);

    // The same line needs no second word, another one does.
    let rename = send(&hub, Method::PATCH, "/api/v1/connections/p", &json!({ "name": "q" })).await;
    assert_eq!(rename.status, 200, "{}", rename.text);
    let other = json!({ "connection_config": { "command": "run you" } });
    send(&hub, Method::PATCH, "/api/v1/connections/p", &other).await.is_problem(422, "TL-1202");
}

#[tokio::test]
async fn a_hub_that_takes_commands_from_its_file_only_says_so() {
    let mut settings = crate::scene::settings();
    settings.may_define_commands = false;
    let hub = crate::scene::hub_with(settings).await;
    let row = integration(1, "server", IntegrationKind::Mcp, Category::Other);
    hub.store.change_integration(IntegrationCommand::Seed(Box::new(row))).await.unwrap();
    let body = json!({ "integration": "server", "name": "p", "connection_config": { "command": "x" }, "consent": "x" });
    send(&hub, Method::POST, "/api/v1/connections", &body).await.is_problem(403, "TL-1002");
}

#[tokio::test]
async fn bad_input_names_the_field_and_stores_nothing() {
    let hub = hub_with_catalogue().await;
    let long = "x".repeat(300);
    for (body, status, word) in [
        (json!({ "name": "a" }), 400, "integration"),
        (json!({ "integration": "server" }), 400, "name"),
        (json!({ "integration": "nothing", "name": "a" }), 422, "integration"),
        (json!({ "integration": "vendor", "name": "a" }), 400, "vendor"),
        (json!({ "integration": "server", "name": "a", "key": "No Key" }), 422, "key"),
        (json!({ "integration": "server", "name": "a", "key": "files" }), 409, "files"),
        (json!({ "integration": "server", "name": " " }), 422, "name"),
        (json!({ "integration": "server", "name": long }), 422, "name"),
        (json!({ "integration": "server", "name": "a", "connection_config": { "url": 1 } }), 422, "url"),
        (json!({ "integration": "server", "name": "a", "connection_config": { "uri": "x" } }), 422, "uri"),
        (json!({ "integration": "server", "name": "a", "connection_config": [] }), 422, "connection_config"),
        (
            json!({ "integration": "server", "name": "a", "connection_config": { "url": "${HOME}" } }),
            422,
            "url",
        ),
        (json!({ "integration": "server", "name": "a", "surname": "b" }), 400, "surname"),
    ] {
        let answer = send(&hub, Method::POST, "/api/v1/connections", &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(answer.json["detail"].as_str().unwrap().contains(word), "{body}: {}", answer.text);
    }
    assert_eq!(hub.get("/api/v1/stats").await.json["total"], 0);
}

#[tokio::test]
async fn names_and_keys_are_nobodys_twice() {
    let hub = hub_with_catalogue().await;
    assert_eq!(hub.post("/api/v1/connections", NOTES).await.status, 201);
    hub.post("/api/v1/connections", &NOTES.replace("My Notes", "MY notes")).await.is_problem(409, "TL-1207");
    let second = hub.post("/api/v1/connections", &NOTES.replace("My Notes", "My  Notes")).await;
    assert_eq!(second.status, 201, "{}", second.text);
    assert_ne!(second.json["key"], "my-notes");
}

#[tokio::test]
async fn the_files_connections_are_listed_marked_and_changed_in_the_file_only() {
    let hub = hub_with_catalogue().await;
    hub.post("/api/v1/connections", NOTES).await;
    let all = hub.get("/api/v1/connections").await;
    let keys: Vec<_> =
        all.json["connections"].as_array().unwrap().iter().map(|one| one["key"].clone()).collect();
    assert_eq!(keys, ["broken", "files", "my-notes"]);
    assert_eq!(all.json["connections"][1]["is_file_managed"], true);
    for (method, path, body) in [
        (Method::PATCH, "/api/v1/connections/files", "{}"),
        (Method::DELETE, "/api/v1/connections/files", ""),
        (Method::POST, "/api/v1/connections/files/connect", ""),
        (Method::POST, "/api/v1/connections/files/disconnect", ""),
    ] {
        let answer = hub.ask(method, path).key(&hub.root).json(body).send().await;
        answer.is_problem(409, "TL-1207");
        assert!(
            answer.json["detail"].as_str().unwrap().contains("trunkline.yaml, line 3"),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn the_catalogue_is_listed_by_type_category_and_slug() {
    let hub = hub_with_catalogue().await;
    let slugs = |answer: &Answer| -> Vec<String> {
        let all = answer.json["integrations"].as_array().unwrap().clone();
        all.iter().map(|one| one["slug"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(slugs(&hub.get("/api/v1/integrations").await), ["server", "vendor"]);
    assert_eq!(slugs(&hub.get("/api/v1/integrations/by-type/vendor").await), ["vendor"]);
    assert_eq!(slugs(&hub.get("/api/v1/integrations/by-category/storage").await), ["server"]);
    hub.get("/api/v1/integrations/by-type/nothing").await.is_problem(400, "TL-1201");
    let one = hub.get("/api/v1/integrations/server").await;
    assert_eq!((&one.json["slug"], &one.json["unavailable"]), (&json!("server"), &Value::Null));
    let vendor = hub.get("/api/v1/integrations/vendor").await;
    assert_eq!(vendor.json["unavailable"], "not in this version");
    let none = hub.get("/api/v1/integrations/nothing").await;
    assert_eq!((none.status.as_u16(), &none.json), (200, &Value::Null));

    let first = hub.get("/api/v1/integrations?limit=1").await;
    let cursor = first.json["next_cursor"].as_str().unwrap().replace('%', "%25").replace(' ', "%20");
    let second = hub.get(&format!("/api/v1/integrations?limit=1&cursor={cursor}")).await;
    assert_eq!((slugs(&first), slugs(&second)), (vec!["server".to_owned()], vec!["vendor".to_owned()]));
    assert_eq!(second.json["next_cursor"], Value::Null);
}

#[tokio::test]
async fn an_entry_of_ones_own_appears_at_once_and_can_be_connected() {
    let hub = hub_with_catalogue().await;
    let path = "/api/v1/integrations/notes";
    let schema = json!({ "type": "object", "properties": { "url": { "type": "string" } } });
    let body = json!({ "name": "Notes", "type": "mcp", "category": "productivity", "config_schema": schema });
    let made = send(&hub, Method::PUT, path, &body).await;
    assert_eq!((made.status.as_u16(), &made.json["origin"]), (201, &json!("api")), "{}", made.text);
    assert_eq!(hub.post("/api/v1/connections", &NOTES.replace("server", "notes")).await.status, 201);
    let mut second = body.clone();
    second["version"] = "2.0.0".into();
    assert_eq!(send(&hub, Method::PUT, path, &second).await.status, 200);
    let pinned = hub.get("/api/v1/connections/my-notes").await.json;
    assert_eq!(pinned["integration"]["version"], "1.0.0");
    assert_eq!(pinned["integration"]["newest_version"], "2.0.0");
    let upgrade = json!({ "version": "2.0.0" });
    let upgraded = send(&hub, Method::PATCH, "/api/v1/connections/my-notes", &upgrade).await;
    assert_eq!(upgraded.json["integration"]["previous_version"], "1.0.0", "{}", upgraded.text);
    let nowhere = json!({ "version": "3.0.0" });
    send(&hub, Method::PATCH, "/api/v1/connections/my-notes", &nowhere).await.is_problem(422, "TL-1202");

    hub.ask(Method::DELETE, path).key(&hub.root).send().await.is_problem(409, "TL-1207");
    send(&hub, Method::PUT, "/api/v1/integrations/server", &body).await.is_problem(409, "TL-1207");
    let mut bad = body.clone();
    bad["config_schema"] = json!({ "type": "nothing" });
    send(&hub, Method::PUT, "/api/v1/integrations/bad", &bad).await.is_problem(422, "TL-1202");
    send(&hub, Method::PUT, "/api/v1/integrations/Bad%20Slug", &body).await.is_problem(422, "TL-1202");
}

#[tokio::test]
async fn a_search_takes_every_character_for_itself() {
    let hub = hub_with_catalogue().await;
    hub.post("/api/v1/connections", NOTES).await;
    let found = |query: &'static str| {
        let hub = &hub;
        async move {
            let answer = hub.get(&format!("/api/v1/search?{query}")).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let count = |list: &str| answer.json[list].as_array().unwrap().len();
            (count("integrations"), count("connections"))
        }
    };
    assert_eq!(found("query=SERVER").await, (1, 1));
    assert_eq!(found("query=100%25").await, (2, 1), "the percent sign of their names");
    assert_eq!(found("query=1%25%25").await, (0, 0));
    assert_eq!(found("query='%20or%201=1").await, (0, 0));
    assert_eq!(found("status=configuring").await, (1, 1));
    assert_eq!(found("status=connected").await, (0, 0));
    assert_eq!(found("type=vendor").await, (1, 0));
}

#[tokio::test]
async fn events_and_metrics_are_written_by_whoever_manages_and_read_back_newest_first() {
    let hub = hub_with_catalogue().await;
    hub.post("/api/v1/connections", NOTES).await;
    let path = "/api/v1/connections/my-notes";
    let logged = json!({ "event_type": "error", "message": "it hangs", "metadata": { "n": 1 } });
    assert_eq!(send(&hub, Method::POST, &format!("{path}/logs"), &logged).await.status, 204);
    let odd = json!({ "event_type": "party", "message": "x" });
    send(&hub, Method::POST, &format!("{path}/logs"), &odd).await.is_problem(422, "TL-1202");
    assert_eq!(events(&hub, "my-notes").await[0], "error");
    for (ms, success) in [(10, true), (30, false)] {
        let metric = json!({ "response_time_ms": ms, "success": success });
        assert_eq!(send(&hub, Method::POST, &format!("{path}/health"), &metric).await.status, 204);
    }
    let early = json!({ "response_time_ms": 1, "success": true, "checked_at": NOW.0 + 1 });
    send(&hub, Method::POST, &format!("{path}/health"), &early).await.is_problem(422, "TL-1202");
    let health = hub.get(&format!("{path}/health")).await;
    assert_eq!(health.json["metrics"][0]["response_time_ms"], 30);
    assert_eq!(health.json["summary"]["mean_ms"], 20.0);
    let filtered = hub.get(&format!("{path}/logs?event_type=error&search=HANGS")).await;
    assert_eq!(filtered.json["logs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_credential_is_written_and_recognised_and_never_read_back() {
    let hub = hub_with_catalogue().await;
    hub.post("/api/v1/connections", NOTES).await;
    let path = "/api/v1/connections/my-notes/credentials/auth.credentials.key";
    let value = json!({ "value": "canary-7d1f-secret" });
    let stored = send(&hub, Method::PUT, path, &value).await;
    assert_eq!((stored.status.as_u16(), &stored.json["last_four"]), (200, &json!("cret")), "{}", stored.text);
    let rotated = send(&hub, Method::PUT, path, &json!({ "value": "canary-second", "overlap_ms": 5 })).await;
    assert_ne!(rotated.json["fingerprint"], stored.json["fingerprint"]);
    assert_eq!(rotated.json["last_rotated_at"], json!(NOW));
    assert_eq!(events(&hub, "my-notes").await[..2], ["credential_rotated", "config_updated"]);
    let listed = hub.get("/api/v1/connections/my-notes/credentials").await;
    assert_eq!(listed.json["credentials"].as_array().unwrap().len(), 1);
    let shown = hub.get("/api/v1/connections/my-notes").await;
    let logs = hub.get("/api/v1/connections/my-notes/logs").await;
    for text in [&stored.text, &rotated.text, &listed.text, &shown.text, &logs.text] {
        assert!(!text.contains("canary"), "{text}");
    }
    let row =
        hub.store.find_connection_by_key(hub.owner.workspace.into(), &"my-notes".parse().unwrap()).await;
    let opened = hub.credentials.open(&row.unwrap().unwrap()).await.unwrap();
    assert_eq!(opened["auth.credentials.key"].expose(), "canary-second");

    let rotation = hub.post("/api/v1/data-keys/rotate", "").await;
    assert_eq!(
        (&rotation.json["resealed"], &rotation.json["remaining"]),
        (&json!(1), &json!(0)),
        "{}",
        rotation.text
    );
    for (bad, status) in [
        (json!({ "value": "" }), 422),
        (json!({ "value": 7 }), 400),
        (json!({ "value": "x", "expires_at": 5 }), 422),
        (json!({ "value": "x", "overlap_ms": 4_000_000_000_u32 }), 422),
    ] {
        assert_eq!(send(&hub, Method::PUT, path, &bad).await.status, status, "{bad}");
    }
    let odd = "/api/v1/connections/my-notes/credentials/elsewhere";
    send(&hub, Method::PUT, odd, &value).await.is_problem(422, "TL-1202");
    assert_eq!(hub.ask(Method::DELETE, path).key(&hub.root).send().await.status, 204);
    hub.ask(Method::DELETE, path).key(&hub.root).send().await.is_problem(404, "TL-1101");
}

#[tokio::test]
async fn toolsets_are_made_replaced_and_removed() {
    let hub = hub_with_catalogue().await;
    let path = "/api/v1/toolsets/writing";
    let body = json!({ "name": "Writing", "tools": [{ "tool": "files__text", "as": "read" }] });
    let made = send(&hub, Method::PUT, path, &body).await;
    assert_eq!((made.status.as_u16(), &made.json["revision"]), (201, &json!(1)), "{}", made.text);
    let replaced = send(&hub, Method::PUT, path, &json!({ "name": "W", "tools": [] })).await;
    assert_eq!((replaced.status.as_u16(), &replaced.json["revision"]), (200, &json!(2)));
    for (bad, word) in [
        (json!({ "name": "", "tools": [] }), "name"),
        (json!({ "name": "a", "tools": [{ "tool": "files" }] }), "tools.0.tool"),
        (json!({ "name": "a", "tools": [{ "tool": "a__b" }, { "tool": "c__d", "as": "a__b" }] }), "twice"),
    ] {
        let answer = send(&hub, Method::PUT, path, &bad).await;
        answer.is_problem(422, "TL-1202");
        assert!(answer.json["detail"].as_str().unwrap().contains(word), "{}", answer.text);
    }
    send(&hub, Method::PUT, "/api/v1/toolsets/written", &body).await.is_problem(409, "TL-1207");
    assert_eq!(hub.get("/api/v1/toolsets").await.json["toolsets"].as_array().unwrap().len(), 1);
    assert_eq!(hub.ask(Method::DELETE, path).key(&hub.root).send().await.status, 204);
    hub.get(path).await.is_problem(404, "TL-1101");
}
