//! Tasks between the eras: each kind of client on each kind of server, clients that know of no tasks, and ids that are
//! nobody else's. The old server is the reference server with its own tasks, the new one the fixture.

use hyper::Method;
use serde_json::{Value, json};
use testkit::client::{Generation, McpClient, RpcError};
use testkit::fixture::{Era, Peer};
use testkit::hub::Hub;
use testkit::tools::Tools;

const RELATED: &str = "io.modelcontextprotocol/related-task";
const RESEARCH: &str = "simulate-research-query";

/// A hub before the old server, and the key of somebody else.
async fn before_old() -> Hub {
    let tools = Tools::find().unwrap();
    let script = tools.npm("@modelcontextprotocol/server-everything/dist/index.js");
    let everything = json!({ "type": "mcp", "command": tools.node, "args": [script, "stdio"] });
    let hub = Hub::start(&json!({ "integrations": { "old": everything } }).to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/old").await.unwrap();
    hub
}

async fn before_new() -> (Peer, Hub) {
    let fixture = Peer::start(Era::Modern).await.unwrap();
    let entry = json!({ "type": "mcp", "protocol": "http", "url": fixture.url });
    let hub = Hub::start(&json!({ "integrations": { "new": entry } }).to_string()).await.unwrap();
    hub.wait_for_tools("/mcp/c/new").await.unwrap();
    (fixture, hub)
}

fn accepting(client: McpClient, content: Value) -> McpClient {
    client.answering("elicitation/create", json!({ "action": "accept", "content": content }))
}

fn code(error: &anyhow::Error) -> i64 {
    error.downcast_ref::<RpcError>().unwrap_or_else(|| panic!("no JSON-RPC error: {error:#}")).code
}

/// Asks for a task until it has one of these statuses.
async fn until(client: &mut McpClient, task: &str, wanted: &[&str]) -> Value {
    for _ in 0..600 {
        let now = client.request("tasks/get", json!({ "taskId": task })).await.unwrap();
        if wanted.contains(&now["status"].as_str().unwrap()) {
            return now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the task never became {wanted:?}")
}

#[tokio::test]
async fn a_new_client_follows_a_task_of_an_old_server() {
    let hub = before_old().await;
    let new = McpClient::new(&hub.endpoint("/mcp"), Some(&hub.key), Generation::Modern).following_tasks();
    let mut client = accepting(new, json!({}));
    let discovered = client.connect().await.unwrap();
    assert!(
        discovered["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"].is_object(),
        "{discovered}"
    );
    assert!(discovered["capabilities"].get("tasks").is_none());
    let tools = client.tools().await.unwrap();
    assert!(tools.iter().all(|tool| tool.get("execution").is_none()), "that hint is of the other era");

    let name = format!("old__{RESEARCH}");
    let params = json!({ "name": name, "arguments": { "topic": "python", "ambiguous": true } });
    let made = client.request("tools/call", params.clone()).await.unwrap();
    assert_eq!(made["resultType"], "task", "{made}");
    assert!(made.get("ttlMs").is_some() && made.get("ttl").is_none() && made.get("task").is_none(), "{made}");
    let task = made["taskId"].as_str().unwrap().to_owned();

    let asked = until(&mut client, &task, &["input_required"]).await;
    assert_eq!(asked["taskId"], task.as_str());
    let questions = asked["inputRequests"].as_object().unwrap();
    let (key, question) = questions.iter().next().unwrap();
    assert_eq!(question["method"], "elicitation/create");
    assert!(!question.to_string().contains(RELATED), "{question}");
    let mut answers = json!({});
    answers[key] = json!({ "action": "accept", "content": { "interpretation": "programming" } });
    let update = json!({ "taskId": task, "inputResponses": answers });
    assert_eq!(client.request("tasks/update", update).await.unwrap()["resultType"], "complete");

    let over = until(&mut client, &task, &["completed", "failed"]).await;
    assert_eq!(over["status"], "completed", "{over}");
    let text = over["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("Research Report") && text.contains("programming"), "{text}");

    // Another caller has no such task, and one that declares no tasks is told what it lacks.
    let body = json!({ "name": "scene", "access": { "allow": ["*"] } });
    let other = hub.http(Method::POST, "/api/v1/keys", &body).await.unwrap().json().await.unwrap();
    let other = other["key"].as_str().unwrap();
    let mut stranger =
        McpClient::new(&hub.endpoint("/mcp"), Some(other), Generation::Modern).following_tasks();
    for method in ["tasks/get", "tasks/cancel"] {
        let refused = stranger.request(method, json!({ "taskId": task })).await.unwrap_err();
        assert_eq!(code(&refused), -32602, "{refused:#}");
    }
    let refused = hub.mcp_modern("/mcp").request("tasks/get", json!({ "taskId": task })).await.unwrap_err();
    assert_eq!(code(&refused), -32021, "{refused:#}");

    let made = client.request("tools/call", params).await.unwrap();
    let task = made["taskId"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        client.request("tasks/cancel", json!({ "taskId": task })).await.unwrap();
    }
    until(&mut client, &task, &["cancelled"]).await;
}

#[tokio::test]
async fn an_old_client_follows_tasks_of_a_new_server() {
    let (_fixture, hub) = before_new().await;
    let mut client = accepting(hub.mcp_legacy("/mcp/c/new"), json!({ "confirm": true }));
    let welcome = client.connect().await.unwrap();
    assert!(welcome["capabilities"]["tasks"]["requests"]["tools"]["call"].is_object(), "{welcome}");
    assert!(welcome["capabilities"]["tasks"].get("list").is_none());
    let tools = client.tools().await.unwrap();
    assert!(tools.iter().all(|tool| tool["execution"]["taskSupport"] == "optional"), "{tools:?}");

    let params =
        json!({ "name": "confirm_delete", "arguments": { "filename": "a.txt" }, "task": { "ttl": 60000 } });
    let made = client.request("tools/call", params).await.unwrap();
    assert!(made.get("resultType").is_none() && made["task"].get("ttl").is_some(), "{made}");
    let task = made["task"]["taskId"].as_str().unwrap().to_owned();
    let result = client.request("tasks/result", json!({ "taskId": task })).await.unwrap();
    assert_eq!(result["content"][0]["text"], "a.txt was deleted", "{result}");
    assert_eq!(result["_meta"][RELATED]["taskId"], task.as_str(), "{result}");
    let question = client.heard.iter().find(|m| m["method"] == "elicitation/create").expect("it was asked");
    assert_eq!(question["params"]["_meta"][RELATED]["taskId"], task.as_str());
    let now = client.request("tasks/get", json!({ "taskId": task })).await.unwrap();
    assert_eq!(now["status"], "completed", "{now}");
    assert!(now.get("result").is_none() && now.get("ttlMs").is_none(), "{now}");

    let failing = json!({ "name": "failing_job", "arguments": {}, "task": {} });
    let made = client.request("tools/call", failing).await.unwrap();
    let failed = until(&mut client, made["task"]["taskId"].as_str().unwrap(), &["failed", "completed"]).await;
    assert_eq!(failed["status"], "failed", "2025-11-25 calls a tool's own failure a failed task");

    let slow = json!({ "name": "slow_compute", "arguments": { "seconds": 60 }, "task": {} });
    let made = client.request("tools/call", slow).await.unwrap();
    let task = made["task"]["taskId"].as_str().unwrap().to_owned();
    let cancelled = client.request("tasks/cancel", json!({ "taskId": task })).await.unwrap();
    assert_eq!(cancelled["taskId"], task.as_str(), "{cancelled}");
    until(&mut client, &task, &["cancelled"]).await;

    // A tool that has no need of a task answers at once; the hub keeps it as the task that was asked for.
    let quick = json!({ "name": "test_simple_text", "arguments": {}, "task": {} });
    let made = client.request("tools/call", quick).await.unwrap();
    assert_eq!(made["task"]["status"], "completed", "{made}");
    let kept = json!({ "taskId": made["task"]["taskId"] });
    let result = client.request("tasks/result", kept).await.unwrap();
    assert_eq!(result["content"][0]["text"], "Plain words, for a test.", "{result}");

    let listed = client.request("tasks/list", json!({})).await.unwrap_err();
    assert_eq!(code(&listed), -32601, "{listed:#}");
}

#[tokio::test]
async fn whoever_knows_of_no_tasks_gets_the_result() {
    let hub = before_old().await;
    let arguments = json!({ "topic": "python" });
    let mut old = hub.mcp_legacy("/mcp/c/old");
    old.connect().await.unwrap();
    for mut client in [old, hub.mcp_modern("/mcp/c/old")] {
        let result = client.call(RESEARCH, arguments.clone()).await.unwrap();
        assert!(result.to_string().contains("Research Report"), "{result}");
        assert!(!result.to_string().contains(RELATED), "{result}");
    }
    let called = hub.http(Method::POST, &format!("/call/old/{RESEARCH}"), &arguments).await.unwrap();
    assert!(called.text().await.unwrap().contains("Research Report"));

    let (_fixture, hub) = before_new().await;
    let mut old = accepting(hub.mcp_legacy("/mcp/c/new"), json!({ "confirm": false }));
    old.connect().await.unwrap();
    let kept = old.call_for_text("confirm_delete", json!({ "filename": "b.txt" })).await.unwrap();
    assert_eq!(kept, "b.txt was kept");
}
