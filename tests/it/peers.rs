//! Reference servers of other people behind the hub, over every transport that they speak: listed, called, and what
//! they refuse is refused.

use std::net::TcpListener;
use std::path::Path;

use serde_json::json;
use testkit::hub::Hub;
use testkit::program::{Program, command};
use testkit::tools::Tools;

const EVERYTHING: &str = "@modelcontextprotocol/server-everything/dist/index.js";

/// The entry of a server over stdio.
fn stdio(key: &str, program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let environment: serde_json::Map<_, _> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    // JSON is YAML too, and quotes whatever a path may hold.
    let entry = json!({ "type": "mcp", "protocol": "stdio", "command": program, "args": arguments, "env": environment });
    format!("integrations:\n  {key}: {entry}\n")
}

async fn hub_with(config: &str, key: &str) -> (Hub, Vec<String>) {
    let hub = Hub::start(config).await.unwrap();
    let names = hub.wait_for_tools(&format!("/mcp/c/{key}")).await.unwrap();
    (hub, names)
}

async fn echo_through(hub: &Hub, key: &str) {
    for path in [format!("/mcp/c/{key}"), "/mcp".to_owned()] {
        let tool = if path == "/mcp" { format!("{key}__echo") } else { "echo".to_owned() };
        let said =
            hub.mcp_modern(&path).call_for_text(&tool, json!({ "message": "hello, hub" })).await.unwrap();
        assert_eq!(said, "Echo: hello, hub");
        let mut old = hub.mcp_legacy(&path);
        old.connect().await.unwrap();
        let said = old.call_for_text(&tool, json!({ "message": "hello again" })).await.unwrap();
        assert_eq!(said, "Echo: hello again");
    }
}

#[tokio::test]
async fn everything_over_stdio() {
    let tools = Tools::find().unwrap();
    let script = tools.npm(EVERYTHING);
    let config = stdio("everything", &tools.node, &[script.to_str().unwrap(), "stdio"], &[]);
    let (hub, names) = hub_with(&config, "everything").await;

    assert!(names.contains(&"echo".to_owned()), "{names:?}");
    echo_through(&hub, "everything").await;
    let wrong = hub.mcp_modern("/mcp/c/everything").call("echo", json!({ "message": 7 })).await;
    let refused = wrong.as_ref().map_or(true, |result| result["isError"] == json!(true));
    assert!(refused, "a number is no message: {wrong:?}");
}

/// The server over the network; it says on which port only to people, so the test chooses one.
fn everything_on_a_port(tools: &Tools, transport: &str) -> (Program, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = command(&tools.node);
    server.arg(tools.npm(EVERYTHING)).arg(transport).env("PORT", port.to_string());
    (Program::start(server).unwrap(), port)
}

#[tokio::test]
async fn everything_over_streamable_http() {
    let tools = Tools::find().unwrap();
    let (_server, port) = everything_on_a_port(&tools, "streamableHttp");
    let config = format!(
        "integrations:\n  everything: {{ type: mcp, protocol: http, url: \"http://127.0.0.1:{port}/mcp\" }}\n"
    );
    let (hub, names) = hub_with(&config, "everything").await;
    assert!(names.contains(&"echo".to_owned()), "{names:?}");
    echo_through(&hub, "everything").await;
}

#[tokio::test]
async fn everything_over_the_transport_of_2024() {
    let tools = Tools::find().unwrap();
    let (_server, port) = everything_on_a_port(&tools, "sse");
    let config = format!(
        "integrations:\n  everything: {{ type: mcp, protocol: sse, url: \"http://127.0.0.1:{port}/sse\" }}\n"
    );
    let (hub, names) = hub_with(&config, "everything").await;
    assert!(names.contains(&"echo".to_owned()), "{names:?}");
    echo_through(&hub, "everything").await;
}

/// A server from `tests/servers`, which says where it listens.
async fn own_server(script: &str) -> (Program, String) {
    let mut server = Program::start(Tools::find().unwrap().script(script).unwrap()).unwrap();
    let ready: serde_json::Value =
        serde_json::from_str(&server.line(std::time::Duration::from_secs(60)).await.unwrap()).unwrap();
    (server, ready["url"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_typescript_server_of_the_newest_revision_only() {
    let (_server, url) = own_server("servers/typescript_v2_server.mjs").await;
    let config = format!("integrations:\n  newest: {{ type: mcp, protocol: http, url: \"{url}\" }}\n");
    let (hub, names) = hub_with(&config, "newest").await;
    assert_eq!(names, ["echo"]);
    echo_through(&hub, "newest").await;
}

#[tokio::test]
async fn a_python_server_of_both_generations() {
    let (_server, url) = own_server("servers/python_server.py").await;
    for era in ["auto", "legacy", "modern"] {
        let config =
            format!("integrations:\n  both: {{ type: mcp, protocol: http, url: \"{url}\", era: {era} }}\n");
        let (hub, names) = hub_with(&config, "both").await;
        assert_eq!(names, ["echo"]);
        echo_through(&hub, "both").await;
    }
}

#[tokio::test]
async fn files_within_their_folder_and_no_further() {
    let tools = Tools::find().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().canonicalize().unwrap();
    std::fs::write(inside.join("note.txt"), "written before").unwrap();
    let script = tools.npm("@modelcontextprotocol/server-filesystem/dist/index.js");
    let config = stdio("files", &tools.node, &[script.to_str().unwrap(), inside.to_str().unwrap()], &[]);
    let (hub, names) = hub_with(&config, "files").await;
    assert!(names.contains(&"read_text_file".to_owned()), "{names:?}");

    let mut client = hub.mcp_modern("/mcp");
    let note = client
        .call_for_text("files__read_text_file", json!({ "path": inside.join("note.txt") }))
        .await
        .unwrap();
    assert_eq!(note, "written before");
    let written = json!({ "path": inside.join("new.txt"), "content": "written through the hub" });
    client.call_for_text("files__write_file", written).await.unwrap();
    assert_eq!(std::fs::read_to_string(inside.join("new.txt")).unwrap(), "written through the hub");

    let outside = client.call("files__read_text_file", json!({ "path": "/etc/passwd" })).await.unwrap();
    assert_eq!(outside["isError"], json!(true));
    assert!(!outside.to_string().contains("root:"), "nothing of the file may come through");
}

#[tokio::test]
async fn a_memory_that_outlives_the_hub() {
    let tools = Tools::find().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let memory = folder.path().join("memory.jsonl");
    let script = tools.npm("@modelcontextprotocol/server-memory/dist/index.js");
    let environment = [("MEMORY_FILE_PATH", memory.to_str().unwrap())];
    let config = stdio("memory", &tools.node, &[script.to_str().unwrap()], &environment);
    let (mut hub, names) = hub_with(&config, "memory").await;
    assert!(names.contains(&"create_entities".to_owned()), "{names:?}");

    let entity = json!({ "entities": [{ "name": "Ada", "entityType": "person", "observations": ["wrote the first program"] }] });
    hub.mcp_modern("/mcp/c/memory").call("create_entities", entity).await.unwrap();
    hub.restart().await.unwrap();
    hub.wait_for_tools("/mcp/c/memory").await.unwrap();

    let graph = hub.mcp_modern("/mcp/c/memory").call_for_text("read_graph", json!({})).await.unwrap();
    assert!(graph.contains("wrote the first program"), "{graph}");
}

#[tokio::test]
async fn the_time_from_a_server_in_python() {
    let tools = Tools::find().unwrap();
    let config = stdio("time", &tools.python, &["-m", "mcp_server_time", "--local-timezone", "UTC"], &[]);
    let (hub, names) = hub_with(&config, "time").await;
    assert!(names.contains(&"convert_time".to_owned()), "{names:?}");

    let question =
        json!({ "source_timezone": "Asia/Tokyo", "time": "12:00", "target_timezone": "Asia/Kolkata" });
    let said = hub.mcp_modern("/mcp").call_for_text("time__convert_time", question).await.unwrap();
    assert!(said.contains("08:30"), "{said}");
}

#[tokio::test]
async fn a_repository_from_a_server_in_python() {
    let tools = Tools::find().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let mut git = command("git");
        git.current_dir(folder.path())
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(arguments);
        assert!(git.output().unwrap().status.success(), "git {arguments:?}");
    };
    git(&["init", "-q"]);
    git(&["commit", "-q", "--allow-empty", "-m", "the first of its kind"]);
    let path = folder.path().canonicalize().unwrap();
    let path = path.to_str().unwrap();
    let config = stdio("git", &tools.python, &["-m", "mcp_server_git", "--repository", path], &[]);
    let (hub, names) = hub_with(&config, "git").await;
    assert!(names.contains(&"git_log".to_owned()), "{names:?}");

    let log =
        hub.mcp_modern("/mcp").call_for_text("git__git_log", json!({ "repo_path": path })).await.unwrap();
    assert!(log.contains("the first of its kind"), "{log}");
}

/// How many processes have `mark` among their arguments.
fn processes_with(mark: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|argument| argument == mark.as_bytes())).count()
}

#[tokio::test]
async fn callers_who_can_answer_different_things_share_one_process_unless_told_otherwise() {
    let tools = Tools::find().unwrap();
    for (sessions, expected) in [("auto", 1), ("by_ability", 2)] {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().to_str().unwrap();
        let script = tools.npm("@modelcontextprotocol/server-memory/dist/index.js");
        let entry = json!({ "type": "mcp", "command": tools.node, "args": [script, mark], "sessions": sessions,
            "env": { "MEMORY_FILE_PATH": folder.path().join("memory.jsonl") } });
        let config = json!({ "integrations": { "memory": entry } }).to_string();
        let (hub, _) = hub_with(&config, "memory").await;

        let entity =
            json!({ "entities": [{ "name": "Ada", "entityType": "person", "observations": ["counts"] }] });
        hub.mcp_modern("/mcp/c/memory").call("create_entities", entity).await.unwrap();
        let mut able = hub.mcp_legacy("/mcp/c/memory").answering("roots/list", json!({ "roots": [] }));
        for kind in ["elicitation/create", "sampling/createMessage"] {
            able = able.answering(kind, json!({}));
        }
        able.connect().await.unwrap();
        let mut plain = hub.mcp_legacy("/mcp/c/memory");
        plain.connect().await.unwrap();
        let graphs = [
            plain.call_for_text("read_graph", json!({})).await.unwrap(),
            if sessions == "auto" {
                able.call_for_text("read_graph", json!({})).await.unwrap()
            } else {
                "counts".into()
            },
        ];
        assert!(graphs.iter().all(|graph| graph.contains("counts")), "{graphs:?}");
        assert_eq!(processes_with(mark), expected, "sessions: {sessions}");
    }
}
