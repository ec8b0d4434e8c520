//! The hub's own life: the first start, keys, a second start on the same data, a clean end.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use testkit::client::{Generation, McpClient, RpcError};
use testkit::http;
use testkit::hub::{Hub, binary};
use testkit::program::{Program, command};

#[tokio::test]
async fn the_first_start_shows_a_key_once_and_the_second_does_not() {
    let mut hub = Hub::start("integrations: {}\n").await.unwrap();
    assert!(hub.key.starts_with("trk_"));
    assert_eq!(hub.ready["ready"], json!(true));
    assert!(hub.ready["mcp"].as_str().is_some_and(|url| url.ends_with("/mcp")), "{}", hub.ready);
    assert!(hub.ready["api"].as_str().is_some_and(|url| url.ends_with("/api/v1")), "{}", hub.ready);

    hub.restart().await.unwrap();

    assert_eq!(hub.ready["first_key"], Value::Null, "a key is shown once");
    let tools = hub.mcp_modern("/mcp").tool_names().await.unwrap();
    assert!(tools.is_empty(), "nothing is connected: {tools:?}");
}

#[tokio::test]
async fn a_caller_without_a_good_key_is_refused_before_anything_is_read() {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    for key in [None, Some("trk_nobody"), Some("")] {
        for generation in [Generation::Legacy, Generation::Modern] {
            let refused = McpClient::new(&hub.endpoint("/mcp"), key, generation).connect().await;
            assert!(refused.is_err(), "{key:?} got in as {generation:?}");
        }
    }
    let reply = http::send(Method::POST, &hub.endpoint("/mcp"), &[], "not even JSON").await.unwrap();
    assert_eq!(reply.status.as_u16(), 401);
    assert!(reply.header("www-authenticate").starts_with("Bearer"), "{:?}", reply.headers);
}

#[tokio::test]
async fn a_foreign_origin_is_refused_even_with_a_good_key() {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    let authorization = format!("Bearer {}", hub.key);
    let foreign = [("authorization", authorization.as_str()), ("origin", "http://evil.example")];
    let reply = http::send(Method::POST, &hub.endpoint("/mcp"), &foreign, "{}").await.unwrap();
    assert_eq!(reply.status.as_u16(), 403);

    let foreign = [("authorization", authorization.as_str()), ("host", "evil.example")];
    let reply = http::send(Method::POST, &hub.endpoint("/mcp"), &foreign, "{}").await.unwrap();
    assert_eq!(reply.status.as_u16(), 403);
}

#[tokio::test]
async fn an_unknown_connection_is_told_apart_from_an_empty_one() {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    let refused = hub.mcp_modern("/mcp/c/nobody").tools().await.expect_err("there is no such connection");
    if let Some(error) = refused.downcast_ref::<RpcError>() {
        assert!((400..500).contains(&error.status), "{error}");
    }
}

#[tokio::test]
async fn a_bad_entry_does_not_keep_the_hub_from_starting() {
    let config = "integrations:\n  broken: { type: mcp, protocol: stdio, command: /nowhere/at/all }\n";
    let hub = Hub::start(config).await.unwrap();
    let reply = hub.http(Method::GET, "/health", &Value::Null).await.unwrap();
    assert!(reply.status.is_success(), "{}", reply.status);
    assert!(hub.mcp_modern("/mcp").tool_names().await.unwrap().is_empty());
}

#[tokio::test]
async fn it_ends_cleanly_when_asked() {
    let mut hub = Hub::start("integrations: {}\n").await.unwrap();
    let status = hub.program().stop().unwrap();
    assert!(status.success(), "{status}\n{}", hub.log());
}

#[tokio::test]
async fn what_the_starter_left_open_does_not_reach_a_connected_program() {
    let folder = tempfile::tempdir().unwrap();
    let (file, told) = (folder.path().join("trunkline.yaml"), folder.path().join("told"));
    // Not an MCP server, and it need not be one: it is started, says what it was given, and reads on.
    let script = format!("echo /proc/$$/fd/* > {0}.new; mv {0}.new {0}; exec cat", told.display());
    let entry = json!({ "type": "mcp", "protocol": "stdio", "command": "/bin/sh", "args": ["-c", script] });
    std::fs::write(&file, json!({ "integrations": { "nosy": entry } }).to_string()).unwrap();

    // The shell opens descriptor 9 and becomes the hub, as a careless service manager would.
    let mut starter = command("/bin/sh");
    starter.args(["-c", "exec 9</dev/null; exec \"$0\" \"$@\""]).arg(binary("trunkline").unwrap());
    starter.args(["serve", "--json", "--listen", "127.0.0.1:0", "--config"]).arg(&file);
    starter.arg("--data").arg(folder.path().join("data"));
    let mut hub = Program::start(starter).unwrap();
    hub.line(Duration::from_secs(60)).await.unwrap();
    let hub_has = |fd: u32| std::path::Path::new(&format!("/proc/{}/fd/{fd}", hub.id())).exists();
    assert!(hub_has(9), "the scene left nothing open");

    let waiting = async {
        while !told.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), waiting).await.is_ok(), "{}", hub.log());
    let given = std::fs::read_to_string(&told).unwrap();
    let numbers: Vec<_> = given.split_whitespace().filter_map(|path| path.rsplit('/').next()).collect();
    assert!(numbers.starts_with(&["0", "1", "2"]), "{given}");
    assert!(!numbers.contains(&"9"), "{given}");
}

#[tokio::test]
async fn the_page_of_an_error_is_the_same_on_the_command_line_and_over_http() {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    let explain = |code: &str| hub.command(&["explain", code]).unwrap().output().unwrap();
    let refused =
        hub.http(Method::POST, "/call/nobody/nothing", &json!({})).await.unwrap().json().await.unwrap();
    assert_eq!(refused["code"], "TL-1101", "{refused}");
    let page =
        http::send(Method::GET, &hub.endpoint(refused["type"].as_str().unwrap()), &[], "").await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.starts_with("# TL-1101: "), "{page}");
    let told = explain("1101");
    assert_eq!(String::from_utf8(told.stdout).unwrap().trim_end(), page.trim_end());

    let unknown = explain("TL-1102");
    assert_eq!((unknown.status.code(), unknown.stdout.len()), (Some(2), 0));
    let unknown = http::send(Method::GET, &hub.endpoint("/errors/TL-1102"), &[], "").await.unwrap();
    assert_eq!(unknown.status.as_u16(), 404);
}

#[tokio::test]
async fn the_doctor_finds_the_store_well_whether_the_hub_runs_or_not_and_changes_nothing() {
    let config = "integrations:\n  near: { type: mcp, url: \"http://127.0.0.1:9/mcp\" }\n";
    let mut hub = Hub::start(config).await.unwrap();
    let data = hub.folder().join("data");
    let files = || -> std::collections::BTreeSet<_> {
        std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    for is_running in [true, false] {
        if !is_running {
            assert!(hub.program().stop().unwrap().success());
        }
        let before = files();
        let mut doctor = hub.command(&["doctor", "--json", "--data"]).unwrap();
        doctor.arg(&data).arg("--config").arg(hub.folder().join("trunkline.yaml"));
        let told: Value = serde_json::from_slice(&doctor.output().unwrap().stdout).unwrap();
        let finding = |about: &str| -> Vec<&Value> {
            told["findings"].as_array().unwrap().iter().filter(|one| one["about"] == about).collect()
        };
        let [store] = finding("store")[..] else { panic!("{told}") };
        assert_eq!(store["verdict"], "ok", "{told}");
        let schema = store["what"].as_str().unwrap().rsplit_once(", schema ").unwrap().1;
        assert!(schema.parse::<u32>().is_ok(), "{store}");
        for about in ["open files", "clock", "disk", "master key", "data folder"] {
            assert_eq!(finding(about).len(), 1, "{about}: {told}");
        }
        assert!(
            finding("egress")[0]["what"].as_str().unwrap().contains("private and loopback addresses: near")
        );
        assert_eq!(files(), before, "running: {is_running}");
    }
}
