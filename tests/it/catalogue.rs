//! The catalogue of the real binary: what it ships, what folders add while it runs, and a connection made of
//! an entry whose program comes from a manifest.

use hyper::Method;
use serde_json::{Value, json};
use testkit::hub::Hub;
use testkit::tools::Tools;

const EMPTY: &str = "integrations: {}\n";
const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\"><path d=\"M0 0h1\"/></svg>";
const CATALOGUE: &str = "/api/v1/integrations?limit=500";

async fn ask(hub: &Hub, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let reply = hub.http(method, path, body).await.unwrap();
    (reply.status.as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

/// Slug and origin of everything that can be connected.
async fn entries(hub: &Hub) -> Vec<(String, String)> {
    let (status, page) = ask(hub, Method::GET, CATALOGUE, &Value::Null).await;
    assert_eq!(status, 200, "{page}");
    let word = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let all = page["integrations"].as_array().unwrap();
    all.iter().map(|one| (word(one, "slug"), word(one, "origin"))).collect()
}

fn put(hub: &Hub, slug: &str, manifest: &str) {
    let folder = hub.folder().join("integrations").join(slug);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("icon.svg"), ICON).unwrap();
    std::fs::write(folder.join("integration.yaml"), manifest).unwrap();
}

/// A memory server from the test tools, with the file that it writes as its one setting.
fn memory(slug: &str, tools: &Tools) -> String {
    let node = tools.node.display();
    let script = tools.npm("@modelcontextprotocol/server-memory/dist/index.js");
    format!(
        r#"slug: {slug}
name: Notes
type: mcp
category: productivity
description: Keeps notes.
version: 1.0.0
sources: ["https://www.npmjs.com/package/@modelcontextprotocol/server-memory"]
config_schema:
  type: object
  required: [file]
  additionalProperties: false
  properties:
    file: {{ type: string, pattern: "^/" }}
preset:
  protocol: stdio
  command: {node}
  args: ["{script}"]
  env: {{ MEMORY_FILE_PATH: "{{config.file}}" }}
test: {{ kind: inventory, min_tools: 5 }}
"#,
        script = script.display()
    )
}

async fn until_listed(hub: &Hub, slug: &str, is_listed: bool) {
    hub.until(&format!("`{slug}` listed: {is_listed}"), async || {
        let there = entries(hub).await.iter().any(|(one, _)| one == slug);
        anyhow::ensure!(there == is_listed, "not yet");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_the_binary_ships_is_listed_at_the_first_start() {
    let hub = Hub::start(EMPTY).await.unwrap();
    let all = entries(&hub).await;
    for slug in ["brave-search", "database", "filesystem", "git", "http", "mcp-server", "memory", "puppeteer"]
    {
        assert!(all.contains(&(slug.to_owned(), "builtin".to_owned())), "{slug}: {all:?}");
    }
    // A packaged entry says what it will start before anything is stored.
    let body = json!({
        "integration": "filesystem",
        "name": "Files",
        "connection_config": { "folders": ["/srv/a b", "/srv/c"] },
    });
    let (status, refused) = ask(&hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 422, "{refused}");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("npx -y @modelcontextprotocol/server-filesystem@"), "{detail}");
    assert!(detail.ends_with("'/srv/a b' /srv/c"), "{detail}");
    // What its schema does not have cannot be slipped in.
    let mut sly = body.clone();
    sly["connection_config"]["command"] = "sh".into();
    assert_eq!(ask(&hub, Method::POST, "/api/v1/connections", &sly).await.0, 422);
    let option = json!({ "integration": "git", "name": "g", "connection_config": { "repository": "--x" } });
    assert_eq!(ask(&hub, Method::POST, "/api/v1/connections", &option).await.0, 422);
}

#[tokio::test]
async fn a_folder_dropped_in_appears_and_a_broken_one_beside_it_is_told_and_stops_nothing() {
    let tools = Tools::find().unwrap();
    let hub = Hub::start(EMPTY).await.unwrap();
    assert!(!hub.folder().join("integrations").exists());
    put(&hub, "bad", &memory("bad", &tools).replace("category: productivity", "category: productivty"));
    put(&hub, "notes", &memory("notes", &tools));
    until_listed(&hub, "notes", true).await;
    let all = entries(&hub).await;
    assert!(all.contains(&("notes".to_owned(), "folder".to_owned())), "{all:?}");
    assert!(!all.iter().any(|(slug, _)| slug == "bad"), "{all:?}");
    hub.until("the mistake is told", async || {
        let log = hub.log();
        anyhow::ensure!(log.contains("bad/integration.yaml:4: category"), "not told");
        anyhow::ensure!(log.contains("did you mean `productivity`?"), "nothing suggested");
        Ok(())
    })
    .await
    .unwrap();

    let verify = hub.command(&["catalog", "verify", "--config", "trunkline.yaml", "--json"]);
    let verdict = verify.unwrap().current_dir(hub.folder()).output().unwrap();
    assert_eq!(verdict.status.code(), Some(1), "{verdict:?}");
    let said: Value = serde_json::from_slice(&verdict.stdout).unwrap();
    assert_eq!(said["ok"], false, "{said}");
    assert!(said["problems"][0].as_str().unwrap().contains("integration.yaml:4"), "{said}");

    // The other one goes: it is withdrawn, and nothing else.
    std::fs::remove_dir_all(hub.folder().join("integrations/notes")).unwrap();
    until_listed(&hub, "notes", false).await;
    assert!(entries(&hub).await.iter().any(|(slug, _)| slug == "memory"));
}

#[tokio::test]
async fn a_connection_of_an_entry_is_made_called_and_outlives_a_newer_version_and_the_hub() {
    let tools = Tools::find().unwrap();
    let mut hub = Hub::start(EMPTY).await.unwrap();
    put(&hub, "notes", &memory("notes", &tools));
    until_listed(&hub, "notes", true).await;
    let file = hub.folder().join("kept.jsonl");
    let config = json!({ "file": file });
    let mut body = json!({ "integration": "notes", "name": "notes", "connection_config": config });
    let (_, refused) = ask(&hub, Method::POST, "/api/v1/connections", &body).await;
    let line = refused["detail"].as_str().unwrap().split_once("of the hub: ").unwrap().1.to_owned();
    assert!(line.starts_with("MEMORY_FILE_PATH="), "{line}");
    body["consent"] = line.into();
    let (status, made) = ask(&hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 201, "{made}");
    let (_, connected) = ask(&hub, Method::POST, "/api/v1/connections/notes/connect", &Value::Null).await;
    assert_eq!(connected["is_ok"], true, "{connected}");
    let entity =
        json!({ "entities": [{ "name": "Ada", "entityType": "person", "observations": ["writes"] }] });
    let (status, written) = ask(&hub, Method::POST, "/call/notes/create_entities", &entity).await;
    assert_eq!(status, 200, "{written}");
    assert!(std::fs::read_to_string(&file).unwrap().contains("Ada"));

    // A newer version that could not start: what pins the older one does not notice.
    let newer = memory("notes", &tools)
        .replace("version: 1.0.0", "version: 2.0.0")
        .replace("command: ", "command: /no/such");
    put(&hub, "notes", &newer);
    hub.until("the newer version", async || {
        let (_, one) = ask(&hub, Method::GET, "/api/v1/integrations/notes", &Value::Null).await;
        anyhow::ensure!(one["version"] == "2.0.0", "{one}");
        Ok(())
    })
    .await
    .unwrap();
    hub.restart().await.unwrap();
    hub.wait_for_tools("/mcp/c/notes").await.unwrap();
    let (status, read) = ask(&hub, Method::POST, "/call/notes/read_graph", &json!({})).await;
    assert_eq!(status, 200, "{read}");
    assert!(read.to_string().contains("Ada"), "{read}");
}

#[tokio::test]
async fn a_connection_without_a_secret_that_its_entry_requires_says_which() {
    let hub = Hub::start(EMPTY).await.unwrap();
    let mut body = json!({ "integration": "brave-search", "name": "search", "connection_config": {} });
    let (_, refused) = ask(&hub, Method::POST, "/api/v1/connections", &body).await;
    body["consent"] = refused["detail"].as_str().unwrap().split_once("of the hub: ").unwrap().1.into();
    assert_eq!(ask(&hub, Method::POST, "/api/v1/connections", &body).await.0, 201);
    let (_, told) = ask(&hub, Method::POST, "/api/v1/connections/search/connect", &Value::Null).await;
    assert_eq!(told["is_ok"], false, "{told}");
    assert!(told.to_string().contains("env.BRAVE_API_KEY"), "{told}");
}

#[tokio::test]
async fn an_openapi_document_is_imported_into_a_running_hub_connected_and_called() {
    let hub = Hub::start(EMPTY).await.unwrap();
    // A document that nobody wrote for this: the hub's own.
    let document =
        hub.http(Method::GET, "/api/v1/openapi.json", &Value::Null).await.unwrap().text().await.unwrap();
    std::fs::write(hub.folder().join("hub.json"), &document).unwrap();
    let import = |arguments: &[&str]| {
        let all =
            [&["catalog", "import", "hub.json", "--config", "trunkline.yaml", "--json"], arguments].concat();
        let done = hub.command(&all).unwrap().current_dir(hub.folder()).output().unwrap();
        (done.status.code(), serde_json::from_slice::<Value>(&done.stdout).unwrap_or_default())
    };
    let picked = [
        "--as",
        "itself",
        "--operations",
        "getAllIntegrationTypes,getIntegrationTypeBySlug,putToolset,nothing",
    ];
    let (code, said) = import(&picked);
    assert_eq!((code, &said["slug"]), (Some(0), &json!("itself")), "{said}");
    assert!(said["report"].to_string().contains("no operation `nothing`"), "{said}");
    assert_eq!(import(&picked).0, Some(1), "an entry is not written over");
    until_listed(&hub, "itself", true).await;
    // All of it is an entry too.
    let (code, said) = import(&["--as", "whole"]);
    assert_eq!(code, Some(0), "{said}");
    until_listed(&hub, "whole", true).await;

    let body = json!({
        "integration": "itself", "name": "Itself", "auth_method": "api_key", "egress_private": true,
        "connection_config": { "endpoint": hub.url },
    });
    let (status, made) = ask(&hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 201, "{made}");
    let secret = "/api/v1/connections/itself/credentials/auth.credentials.token";
    let (status, stored) = ask(&hub, Method::PUT, secret, &json!({ "value": hub.key })).await;
    assert!(status < 300, "{stored}");
    let (_, connected) = ask(&hub, Method::POST, "/api/v1/connections/itself/connect", &Value::Null).await;
    assert_eq!(connected["is_ok"], true, "{connected}");
    let arguments = json!({ "slug": "itself" });
    let (status, found) =
        ask(&hub, Method::POST, "/call/itself/get_integration_type_by_slug", &arguments).await;
    assert_eq!(status, 200, "{found}");
    assert!(found.to_string().contains("folder"), "{found}");
}

/// A manifest of one tool, which reads an entry of the hub's own catalogue.
fn own(version: &str, tool: &str) -> String {
    format!(
        r#"slug: own
name: Own
type: custom
category: other
description: The catalogue of a hub.
version: {version}
sources: ["https://spec.openapis.org/oas/v3.1.1.html"]
config_schema:
  type: object
  required: [url]
  additionalProperties: false
  properties:
    url: {{ type: string, title: URL, format: uri, pattern: "^http" }}
api: {{ base_url: "{{config.url}}" }}
auth:
  - type: bearer
test: {{ kind: call, tool: {tool}, arguments: {{ slug: rest }} }}
tools:
  - name: {tool}
    title: Read an entry
    description: Reads an entry of the catalogue.
    method: GET
    path: /api/v1/integrations/{{input.slug}}
    effect: read
    parameters:
      slug: {{ type: string, description: Which one., in: path, required: true }}
"#
    )
}

#[tokio::test]
async fn a_manifest_given_to_a_running_hub_is_connected_called_pinned_upgraded_and_carried_elsewhere() {
    let mut hub = Hub::start(EMPTY).await.unwrap();
    let file = hub.folder().join("own.yaml");
    let put = |hub: &Hub, manifest: &str| {
        std::fs::write(&file, manifest).unwrap();
        let mut command = hub.command(&["catalog", "put", "--json"]).unwrap();
        let done = command.arg(&file).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap() + &String::from_utf8_lossy(&done.stderr))
    };
    let (code, said) = put(&hub, &own("1.0.0", "read_entry").replace("method: GET", "method: GRAB"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("manifest:22: tools.method") && said.contains("TL-1202"), "{said}");
    assert!(!entries(&hub).await.iter().any(|(slug, _)| slug == "own"), "half an entry");

    let (code, said) = put(&hub, &own("1.0.0", "read_entry"));
    assert_eq!(code, Some(0), "{said}");
    let listed = entries(&hub).await;
    assert!(listed.contains(&("own".to_owned(), "api".to_owned())), "{listed:?}");
    let (_, told) = ask(&hub, Method::GET, "/api/v1/integrations/own/manifest", &Value::Null).await;
    assert_eq!(told["manifest"], own("1.0.0", "read_entry"), "{told}");

    // Connected at once, with the credential that the manifest tells of.
    let body = json!({ "integration": "own", "name": "Own", "auth_method": "api_key", "egress_private": true,
        "connection_config": { "url": hub.url } });
    let (status, made) = ask(&hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 201, "{made}");
    let secret = "/api/v1/connections/own/credentials/auth.credentials.token";
    assert!(ask(&hub, Method::PUT, secret, &json!({ "value": hub.key })).await.0 < 300);
    let (_, connected) = ask(&hub, Method::POST, "/api/v1/connections/own/connect", &Value::Null).await;
    assert_eq!(connected["is_ok"], true, "{connected}");
    let read = json!({ "slug": "own" });
    let (status, found) = ask(&hub, Method::POST, "/call/own/read_entry", &read).await;
    assert!(status == 200 && found.to_string().contains("The catalogue of a hub."), "{found}");

    // What pins the older version goes on with it, until it is moved.
    assert_eq!(put(&hub, &own("2.0.0", "look_up")).0, Some(0));
    assert_eq!(ask(&hub, Method::POST, "/call/own/read_entry", &read).await.0, 200);
    assert_eq!(ask(&hub, Method::POST, "/call/own/look_up", &read).await.0, 404);
    let newer = json!({ "version": "2.0.0" });
    let (status, moved) = ask(&hub, Method::PATCH, "/api/v1/connections/own", &newer).await;
    assert_eq!(status, 200, "{moved}");
    let (_, connected) = ask(&hub, Method::POST, "/api/v1/connections/own/connect", &Value::Null).await;
    assert_eq!(connected["is_ok"], true, "{connected}");
    assert_eq!(ask(&hub, Method::POST, "/call/own/look_up", &read).await.0, 200);
    assert_eq!(ask(&hub, Method::POST, "/call/own/read_entry", &read).await.0, 404);

    // It is in the store: it outlives the hub, and goes where everything else that was made here goes.
    let (_, document) = ask(&hub, Method::GET, "/api/v1/export", &Value::Null).await;
    let other = Hub::start(EMPTY).await.unwrap();
    let import = json!({ "document": document });
    let (status, imported) = ask(&other, Method::POST, "/api/v1/import", &import).await;
    assert_eq!(status, 200, "{imported}");
    for version in ["1.0.0", "2.0.0"] {
        let body = json!({ "version": version });
        assert_eq!(ask(&other, Method::PATCH, "/api/v1/connections/own", &body).await.0, 200, "{version}");
    }
    let (_, told) = ask(&other, Method::GET, "/api/v1/integrations/own", &Value::Null).await;
    assert_eq!((&told["version"], &told["tool_count"]), (&json!("2.0.0"), &json!(1)), "{told}");
    let url = hub.url.clone();
    hub.restart().await.unwrap();
    assert_ne!(hub.url, url);
    let moved = json!({ "connection_config": { "url": hub.url } });
    assert_eq!(ask(&hub, Method::PATCH, "/api/v1/connections/own", &moved).await.0, 200);
    let (_, connected) = ask(&hub, Method::POST, "/api/v1/connections/own/connect", &Value::Null).await;
    assert_eq!(connected["is_ok"], true, "{connected}");
    assert_eq!(ask(&hub, Method::POST, "/call/own/look_up", &read).await.0, 200);
}

#[tokio::test]
async fn rows_as_other_hubs_have_them_become_entries_that_are_connected() {
    let tools = Tools::find().unwrap();
    let hub = Hub::start(EMPTY).await.unwrap();
    let script = tools.npm("@modelcontextprotocol/server-memory/dist/index.js");
    let row = json!({ "name": "MCP Custom Server", "type": "mcp", "category": "productivity",
        "description": "Keeps notes.",
        "config_schema": { "protocol": "stdio", "command": tools.node, "args": [script], "oddity": 1 } });
    let (status, made) = ask(&hub, Method::PUT, "/api/v1/integrations/mcp-custom", &row).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["notes"], json!(["oddity: is not known here, and left out"]), "{made}");
    let mut body = json!({ "integration": "mcp-custom", "name": "notes", "connection_config": {} });
    let (_, refused) = ask(&hub, Method::POST, "/api/v1/connections", &body).await;
    let line = refused["detail"].as_str().unwrap().split_once("of the hub: ").unwrap().1.to_owned();
    body["consent"] = line.into();
    assert_eq!(ask(&hub, Method::POST, "/api/v1/connections", &body).await.0, 201);
    let (_, connected) = ask(&hub, Method::POST, "/api/v1/connections/notes/connect", &Value::Null).await;
    assert_eq!(connected["is_ok"], true, "{connected}");
    let (status, read) = ask(&hub, Method::POST, "/call/notes/read_graph", &json!({})).await;
    assert_eq!(status, 200, "{read}");

    let url = hub.url.replace("127.0.0.1", "{host}");
    let row = json!({ "name": "Custom Vendor", "type": "vendor", "category": "productivity",
        "description": "Connect to Custom Vendor API", "icon_type": "default",
        "config_schema": { "api_url": format!("{url}/api/v1"), "scopes": ["read", "write"] } });
    let (status, made) = ask(&hub, Method::PUT, "/api/v1/integrations/custom-vendor", &row).await;
    assert_eq!((status, &made["tool_count"], &made["notes"]), (201, &json!(2), &json!([])), "{made}");
    let body = json!({ "integration": "custom-vendor", "name": "Vendor", "auth_method": "api_key",
        "egress_private": true, "connection_config": { "host": "127.0.0.1", "test_path": "tools" } });
    let (status, made) = ask(&hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 201, "{made}");
    let secret = "/api/v1/connections/vendor/credentials/auth.credentials.key";
    assert!(ask(&hub, Method::PUT, secret, &json!({ "value": hub.key })).await.0 < 300);
    let (_, connected) = ask(&hub, Method::POST, "/api/v1/connections/vendor/connect", &Value::Null).await;
    assert_eq!(connected["is_ok"], true, "{connected}");
    let wanted = json!({ "method": "GET", "path": "integrations/custom-vendor" });
    let (status, found) = ask(&hub, Method::POST, "/call/vendor/request", &wanted).await;
    assert!(status == 200 && found.to_string().contains("Connect to Custom Vendor API"), "{found}");

    let row = json!({ "name": "Leaky", "type": "vendor", "category": "other",
        "config_schema": { "api_url": "https://a.example", "webhook_secret": "hunter2" } });
    let (status, refused) = ask(&hub, Method::PUT, "/api/v1/integrations/leaky", &row).await;
    assert_eq!(status, 422, "{refused}");
    assert!(refused["detail"].as_str().unwrap().starts_with("config_schema: webhook_secret"), "{refused}");
}
