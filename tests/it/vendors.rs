//! Entries of the catalogue against emulators of their vendors (npm emulate): stand-ins with state of their own
//! that nobody here wrote. What they do not emulate is shown by the entries' fixtures only.

use std::net::TcpListener;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use testkit::http::send;
use testkit::hub::Hub;
use testkit::program::{Program, command};
use testkit::tools::Tools;

/// In the order of their ports.
const SERVICES: [&str; 2] = ["github", "stripe"];

struct Scene {
    hub: Hub,
    _emulator: Program,
    base: u16,
}

/// So many free ports in a row. Somebody else may take one before the emulator does: then it is tried again.
fn ports() -> u16 {
    let row = u16::try_from(SERVICES.len()).unwrap();
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if first < u16::MAX - row
            && (first..first + row).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        {
            return first;
        }
    }
}

async fn scene() -> Scene {
    let tools = Tools::find().unwrap();
    for _ in 0..5 {
        let base = ports();
        let mut emulator = command(&tools.node);
        emulator.arg(tools.npm("emulate/dist/index.js")).args([
            "start",
            "-p",
            &base.to_string(),
            "-s",
            &SERVICES.join(","),
        ]);
        let mut emulator = Program::start(emulator).unwrap();
        loop {
            match emulator.line(Duration::from_secs(60)).await {
                Ok(line) if line.contains("Ready") => {
                    let hub = Hub::start("integrations: {}\n").await.unwrap();
                    return Scene { hub, _emulator: emulator, base };
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
    panic!("the emulator does not start");
}

impl Scene {
    fn url(&self, service: &str, path: &str) -> String {
        let at = SERVICES.iter().position(|known| *known == service).unwrap();
        format!("http://127.0.0.1:{}{path}", self.base + u16::try_from(at).unwrap())
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let reply = self.hub.http(method, path, body).await.unwrap();
        (reply.status.as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
    }

    /// Makes a connection with an entry of the catalogue at an emulator, and connects it.
    async fn connect(
        &self,
        slug: &str,
        method: &str,
        endpoint: String,
        config: Value,
        secrets: &[(&str, &str)],
    ) {
        let mut config = config;
        config["endpoint"] = endpoint.into();
        let body = json!({
            "integration": slug, "name": slug, "key": slug, "auth_method": method, "egress_private": true,
            "connection_config": config,
        });
        let (status, made) = self.ask(Method::POST, "/api/v1/connections", &body).await;
        assert_eq!(status, 201, "{slug}: {made}");
        for (name, value) in secrets {
            let path = format!("/api/v1/connections/{slug}/credentials/auth.credentials.{name}");
            let (status, said) = self.ask(Method::PUT, &path, &json!({ "value": value })).await;
            assert!(status < 300, "{slug}: {said}");
        }
        let path = format!("/api/v1/connections/{slug}/connect");
        let (_, connected) = self.ask(Method::POST, &path, &Value::Null).await;
        assert_eq!(connected["is_ok"], true, "{slug}: {connected}");
    }

    async fn call(&self, slug: &str, tool: &str, arguments: Value) -> Value {
        let (status, said) = self.ask(Method::POST, &format!("/call/{slug}/{tool}"), &arguments).await;
        assert_eq!((status, &said["is_error"]), (200, &json!(false)), "{slug}/{tool}: {said}");
        said["result"].clone()
    }
}

#[tokio::test]
async fn github_repositories_and_issues() {
    let scene = scene().await;
    let endpoint = scene.url("github", "");
    scene.connect("github", "api_key", endpoint, json!({}), &[("token", "test-token")]).await;
    let me = scene.call("github", "get_me", json!({})).await;
    assert_eq!(me["login"], "admin");
    // The repository is made beside the hub: no entry makes repositories.
    let headers = [("authorization", "Bearer test-token"), ("content-type", "application/json")];
    let made = send(Method::POST, &scene.url("github", "/user/repos"), &headers, r#"{"name":"notes"}"#).await;
    let made = made.unwrap().json().await.unwrap();
    let place = json!({ "owner": made["owner"]["login"], "repo": "notes" });
    let with = |more: Value| {
        let mut all = place.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    for n in 1..=3 {
        scene.call("github", "create_issue", with(json!({ "title": format!("issue {n}") }))).await;
    }
    let listed = scene.call("github", "list_issues", with(json!({ "max_items": 2 }))).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let rest = with(json!({ "max_items": 2, "cursor": listed["next_cursor"] }));
    let rest = scene.call("github", "list_issues", rest).await;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    // What is not there is the tool's answer, in GitHub's words.
    let nothing = with(json!({ "number": 99 }));
    let (status, said) = scene.ask(Method::POST, "/call/github/get_issue", &nothing).await;
    assert_eq!((status, &said["is_error"]), (200, &json!(true)), "{said}");
    assert!(said["result"].to_string().contains("404"), "{said}");
}

#[tokio::test]
async fn stripe_customers_are_made_and_listed_page_by_page() {
    let scene = scene().await;
    scene.connect("stripe", "api_key", scene.url("stripe", ""), json!({}), &[("token", "sk_test_x")]).await;
    let made = scene.call("stripe", "create_customer", json!({ "email": "ada@example.com" })).await;
    let got = scene.call("stripe", "get_customer", json!({ "customer": made["id"] })).await;
    assert_eq!(got["email"], "ada@example.com");
    for n in 0..3 {
        scene.call("stripe", "create_customer", json!({ "email": format!("{n}@example.com") })).await;
    }
    let first = scene.call("stripe", "list_customers", json!({ "max_items": 2 })).await;
    let cursor = first["next_cursor"].clone();
    let second = scene.call("stripe", "list_customers", json!({ "max_items": 2, "cursor": cursor })).await;
    assert_eq!((first["items"].as_array().unwrap().len(), second["items"].as_array().unwrap().len()), (2, 2));
    assert_ne!(first["items"], second["items"]);
    // A cursor is good for the same question only.
    let other = json!({ "max_items": 2, "cursor": cursor, "email": "0@example.com" });
    let (status, said) = scene.ask(Method::POST, "/call/stripe/list_customers", &other).await;
    assert_eq!((status, &said["code"]), (404, &json!("TL-1205")), "{said}");
}

#[tokio::test]
async fn the_file_connects_apis_too_and_says_what_is_wanting() {
    let mut scene = scene().await;
    let file = format!(
        "integrations:\n  code:\n    type: api\n    integration: github\n    endpoint: {github}\n    auth: {{ type: bearer, credentials: {{ token: t }} }}\n  any:\n    type: api\n    endpoint: {github}\n    config: {{ test_path: user }}\n    auth: {{ type: api_key, credentials: {{ key: t }} }}\n  half:\n    type: api\n    endpoint: {github}\n    auth: {{ type: oauth2, credentials: {{ client_id: a, client_secret: b }} }}\n  none:\n    type: api\n    integration: githbu\n",
        github = scene.url("github", "")
    );
    scene.hub = Hub::start(&file).await.unwrap();
    scene.hub.wait_for_tools("/mcp/c/code").await.unwrap();
    let me = scene.call("code", "get_me", json!({})).await;
    assert_eq!(me["login"], "admin");
    let same = scene.call("any", "request", json!({ "method": "GET", "path": "user" })).await;
    assert_eq!(same["login"], "admin");
    // What the file says is tried out by itself.
    let is_up = |all: &Value| {
        all["connections"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["key"] == "code" && one["status"] == "connected")
    };
    let mut all = Value::Null;
    for _ in 0..100 {
        all = scene.ask(Method::GET, "/api/v1/connections", &Value::Null).await.1;
        if is_up(&all) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let of = |key: &str| {
        all["connections"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap().clone()
    };
    assert_eq!((&of("code")["status"], &of("half")["status"]), (&json!("connected"), &json!("configuring")));
    assert!(
        of("half")["reason"].as_str().unwrap().contains("needs the setting `token_url`"),
        "{}",
        of("half")
    );
    assert!(of("none")["reason"].as_str().unwrap().contains("did you mean `github`"), "{}", of("none"));
}
