//! The OpenAPI document against the routes and the tools.

use std::collections::BTreeSet;

use api::routes::table;
use http::Method;
use serde_json::{Value, json};

use crate::scene::{Hub, hub, only};

async fn document(hub: &Hub, key: &str) -> Value {
    hub.ask(Method::GET, "/openapi.json").key(key).send().await.json
}

/// Method and path of everything documented.
fn documented(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    all.collect()
}

#[tokio::test]
async fn what_is_documented_is_what_is_served() {
    let hub = hub().await;
    let nothing = hub.key(only(&[])).await;
    let served: BTreeSet<(String, String)> =
        table().iter().map(|route| (route.method.to_string(), route.path.clone())).collect();
    assert_eq!(served.len(), table().len(), "no route stands in the table twice");
    assert_eq!(documented(&document(&hub, &nothing).await), served);
}

#[tokio::test]
async fn every_tool_the_key_may_use_is_a_path_with_its_own_schemas() {
    let hub = hub().await;
    let all = document(&hub, &hub.root).await;
    let tools: Vec<_> =
        documented(&all).into_iter().filter(|(_, path)| path.starts_with("/call/files/")).collect();
    assert_eq!(tools.len(), 9);
    let echo = &all["paths"]["/call/files/echo"]["post"];
    let number = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    assert_eq!(echo["requestBody"]["content"]["application/json"]["schema"], number);
    let answer = &echo["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(answer["allOf"][1]["properties"]["result"]["anyOf"][0], number);
    assert_eq!((&echo["operationId"], &echo["summary"]), (&json!("files__echo"), &json!("Says it back.")));
    assert!(all["paths"].get("/call/files/odd%2Fname").is_some());
    assert!(all["paths"].get("/call/files/hidden").is_none());

    let narrow = hub.key(only(&["files__text"])).await;
    let mine = document(&hub, &narrow).await;
    assert!(mine["paths"].get("/call/files/text").is_some());
    assert!(!mine.to_string().contains("files__echo"), "nothing of the others");
}

#[tokio::test]
async fn references_lead_somewhere_and_operations_have_names_of_their_own() {
    let hub = hub().await;
    let document = document(&hub, &hub.root).await;
    let mut ids = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
            assert!(operation["responses"].is_object() && operation["tags"].is_array());
        }
    }
    let mut waiting = vec![&document];
    while let Some(value) = waiting.pop() {
        if let Some(target) =
            value.get("$ref").and_then(Value::as_str).filter(|target| target.starts_with('#'))
        {
            assert!(document.pointer(&target[1..]).is_some(), "{target}");
        }
        match value {
            Value::Object(members) => waiting.extend(members.values()),
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], "https://hub.example.com");
}

/// Validates an answer against the schema that the document has for it.
fn fits(document: &Value, method: &str, path: &str, status: &str, answer: &Value) {
    let responses = &document["paths"][path][method]["responses"];
    let content = &responses[status]["content"]["application/json"]["schema"];
    assert!(content.is_object(), "{method} {path} {status} has a schema: {responses}");
    let mut schema = content.clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(answer).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{method} {path}: {errors:?}\n{answer:#}");
}

/// What the schema of an answer requires and has: nothing in an answer is left undescribed.
fn described(document: &Value, schema: &str) -> BTreeSet<String> {
    let schema = &document["components"]["schemas"][schema];
    let required =
        schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let required: BTreeSet<String> = required.collect();
    let properties: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(required, properties, "answers say null, they do not leave out");
    required
}

#[tokio::test]
async fn answers_are_what_their_schemas_promise() {
    let hub = hub().await;
    let document = document(&hub, &hub.root).await;
    hub.post("/call/files/text", "{}").await;
    for (path, template) in [
        ("/health", "/health"),
        ("/ready", "/ready"),
        ("/api/v1/status", "/api/v1/status"),
        ("/api/v1/connections", "/api/v1/connections"),
        ("/api/v1/connections/files", "/api/v1/connections/{connection}"),
        ("/api/v1/tools", "/api/v1/tools"),
        ("/api/v1/keys", "/api/v1/keys"),
        ("/api/v1/calls", "/api/v1/calls"),
        ("/openapi.json", "/openapi.json"),
    ] {
        fits(&document, "get", template, "200", &hub.get(path).await.json);
    }
    let made = hub.post("/api/v1/keys", r#"{"name":"n","access":{"allow":["*"]}}"#).await;
    fits(&document, "post", "/api/v1/keys", "201", &made.json);
    let called = hub.post("/call/files/text", "{}").await;
    fits(&document, "post", "/call/{connection}/{tool}", "200", &called.json);
    let tested = hub.post("/api/v1/connections/files/test", "").await;
    fits(&document, "post", "/api/v1/connections/{connection}/test", "200", &tested.json);
}

#[tokio::test]
async fn answers_have_the_members_that_their_schemas_name() {
    let hub = hub().await;
    let document = document(&hub, &hub.root).await;
    hub.post("/call/files/text", "{}").await;
    let of = |schema: &str| described(&document, schema);
    let has = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(has(&hub.get("/api/v1/status").await.json), of("Status"));
    assert_eq!(has(&hub.get("/ready").await.json), of("Readiness"));
    assert_eq!(has(&hub.get("/api/v1/connections").await.json["connections"][0]), of("UserIntegration"));
    assert_eq!(has(&hub.get("/api/v1/connections/files").await.json["tools"][0]), of("ToolState"));
    assert_eq!(has(&hub.get("/api/v1/tools").await.json["tools"][0]), of("Tool"));
    assert_eq!(has(&hub.get("/api/v1/keys").await.json["keys"][0]), of("ApiKey"));
    assert_eq!(has(&hub.get("/api/v1/calls").await.json["calls"][0]), of("CallRecord"));
    assert_eq!(has(&hub.get("/nowhere").await.json), of("Problem"));
    assert_eq!(has(&hub.post("/call/files/text", "{}").await.json), of("CallAnswer"));
}

#[tokio::test]
async fn only_open_routes_are_documented_as_open() {
    let hub = hub().await;
    let document = document(&hub, &hub.root).await;
    for route in table() {
        let operation = &document["paths"][&route.path][route.method.as_str().to_lowercase()];
        let is_open = operation["security"] == json!([]);
        assert_eq!(is_open, route.needs == api::routes::Needs::Nothing, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn the_documentation_page_takes_nothing_from_elsewhere_and_cannot_be_framed() {
    let hub = hub().await;
    let page = hub.ask(Method::GET, "/api/v1/docs").send().await;
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    for absent in ["http://", "https://", "<style", "onclick=", "<script>"] {
        assert!(!page.text.contains(absent), "{absent}");
    }
    let script = hub.ask(Method::GET, "/api/v1/docs/page.js").send().await;
    assert!(script.headers["content-type"].to_str().unwrap().starts_with("text/javascript"));
    for absent in ["innerHTML", "insertAdjacentHTML", "document.write", "localStorage", "eval("] {
        assert!(!script.text.contains(absent), "{absent}");
    }
    assert_eq!(hub.ask(Method::GET, "/api/v1/docs/page.css").send().await.status, 200);
}
