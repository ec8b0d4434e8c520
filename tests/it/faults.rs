//! Servers that go wrong, over standard streams and over HTTP: what the caller is told, what the hub does about it,
//! and that a neighbour answers as if nothing had happened.

use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::hub::Hub;
use testkit::trouble::{self, NEIGHBOUR, Peer, WELL, beside, entry, made};

/// Cut off early, so that a scene need not wait for the 16 MiB that are allowed by default.
const LIMIT_BYTES: u64 = 1024 * 1024;
/// What the hub may hold more at its worst moment, while a gigabyte is thrown at it; it needs a few times the limit.
const ALLOWED_GROWTH_KIB: u64 = 64 * 1024;

async fn hub_with(integrations: Value) -> Hub {
    let mut integrations = integrations;
    integrations[NEIGHBOUR] = entry(&[]).unwrap();
    // JSON is YAML too, and quotes whatever a path may hold.
    let config = json!({ "limits": { "line_bytes": LIMIT_BYTES, "result_bytes": LIMIT_BYTES },
        "integrations": integrations });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    hub.wait_for_tools(&format!("/mcp/c/{NEIGHBOUR}")).await.unwrap();
    hub
}

/// A hub before the server over standard streams (`pipe`) and over HTTP (`net`), both allowed `seconds` for a call.
async fn hub_before_both(seconds: f64) -> (Peer, Hub) {
    let peer = Peer::start_at("127.0.0.1:0").await.unwrap();
    let (mut pipe, mut net) = (entry(&[]).unwrap(), peer.entry());
    pipe["timeout"] = json!(seconds);
    net["timeout"] = json!(seconds);
    let hub = hub_with(json!({ "pipe": pipe, "net": net })).await;
    hub.wait_for_tools("/mcp/c/pipe").await.unwrap();
    hub.wait_for_tools("/mcp/c/net").await.unwrap();
    (peer, hub)
}

async fn call(hub: &Hub, key: &str, tool: &str, arguments: Value) -> Value {
    hub.mcp_modern(&format!("/mcp/c/{key}"))
        .call(tool, arguments)
        .await
        .unwrap_or_else(|error| panic!("{key} {tool}: {error:#}\n{}", hub.log()))
}

/// Calls a tool and, beside the neighbour, reads what its failing tells the caller.
async fn failing(hub: &Hub, key: &str, tool: &str) -> Value {
    beside(hub, call(hub, key, tool, json!({}))).await.unwrap()
}

async fn does_well(hub: &Hub, key: &str) {
    let said = call(hub, key, "well", json!({})).await;
    assert_eq!(said["content"][0]["text"], WELL, "{key}: {said}\n{}", hub.log());
}

/// That a call came back as a failure with this code, and says all of these words.
fn told(result: &Value, code: &str, words: &[&str]) {
    assert_eq!(result["isError"], json!(true), "{result}");
    assert_eq!(result["_meta"]["io.trunkline/fault"]["code"], code, "{result}");
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    for word in words {
        assert!(text.contains(word), "it does not say `{word}`: {text}");
    }
    assert!(text.ends_with(&format!("[{code}]")), "{text}");
}

/// Arguments with which a tool makes `called` in `folder` and then waits for what never comes.
fn stuck(folder: &TempDir) -> (std::path::PathBuf, Value) {
    let mark = folder.path().join("called");
    let arguments = json!({ "mark": mark, "until": folder.path().join("never") });
    (mark, arguments)
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_a_call() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, hub) = hub_before_both(60.0).await;
    let before = trouble::process_of(&hub, "pipe").await.unwrap();
    for (key, process, words) in
        [("pipe", before, "killed by signal 9 (SIGKILL)"), ("net", peer.id(), "closed")]
    {
        let (mark, arguments) = stuck(&folder);
        let scene = async {
            let kill = async {
                made(&mark).await.unwrap();
                trouble::kill(process).unwrap();
            };
            tokio::join!(call(&hub, key, "well", arguments), kill).0
        };
        let failed = beside(&hub, scene).await.unwrap();
        std::fs::remove_file(&mark).unwrap();

        told(&failed, "TL-1404", &[words, "look whether it happened before sending again"]);
        assert_eq!(failed["_meta"]["io.trunkline/fault"]["retry"], "outcome_unknown", "{failed}");
    }

    does_well(&hub, "pipe").await;
    let state = trouble::state(&hub, "pipe").await.unwrap();
    assert_eq!(state["restarts"], json!(1), "{state}");
    assert_ne!(state["pid"], json!(before), "{state}");

    let gone = failing(&hub, "net", "well").await;
    told(&gone, "TL-1402", &["cannot connect to `127.0.0.1", "check that the server runs"]);
    let _again = Peer::start_at(peer.address()).await.unwrap();
    does_well(&hub, "net").await;
}

#[tokio::test]
async fn a_server_that_ends_instead_of_an_answer() {
    let (_peer, hub) = hub_before_both(60.0).await;
    told(&failing(&hub, "pipe", "die").await, "TL-1404", &["exited with code 7", "out of cheese"]);
    told(&failing(&hub, "net", "die").await, "TL-1404", &["closed"]);
    does_well(&hub, "pipe").await;
}

#[tokio::test]
async fn a_frozen_server_runs_into_the_time_limit_and_goes_on_when_it_thaws() {
    let (peer, hub) = hub_before_both(1.0).await;
    for (key, process) in [("pipe", trouble::process_of(&hub, "pipe").await.unwrap()), ("net", peer.id())] {
        trouble::freeze(process).unwrap();
        let failed = failing(&hub, key, "well").await;
        trouble::thaw(process).unwrap();

        told(&failed, "TL-1401", &["in time"]);
        hub.until("it answers again", async || {
            let said = hub.mcp_modern(&format!("/mcp/c/{key}")).call_for_text("well", json!({})).await?;
            anyhow::ensure!(said == WELL, "{said}");
            Ok(())
        })
        .await
        .unwrap();
    }
    let state = trouble::state(&hub, "pipe").await.unwrap();
    assert_eq!(state["restarts"], json!(0), "being slow is no reason to be killed: {state}");
}

/// Calls a tool whose server closes the connection instead of its first answer. Gives the answer and how often it
/// was called.
async fn once_hung_up(hub: &Hub, tool: &str) -> (Value, usize) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let answer = call(hub, "net", tool, json!({ "hang_up_once": log })).await;
    (answer, std::fs::read_to_string(&log).unwrap().lines().count())
}

#[tokio::test]
async fn a_server_that_fails_once_is_called_again_where_that_is_said_to_be_harmless() {
    let peer = Peer::start_at("127.0.0.1:0").await.unwrap();
    let mut net = peer.entry();
    net["retry_count"] = json!(3);
    net["tools"] = json!({ "repeatable": ["we*"] });
    let hub = hub_with(json!({ "net": net })).await;
    hub.wait_for_tools("/mcp/c/net").await.unwrap();

    let (answer, called) = once_hung_up(&hub, "well").await;
    assert_eq!((&answer["content"][0]["text"], called), (&json!(WELL), 2), "{answer}");
    let (answer, called) = once_hung_up(&hub, "twice").await;
    told(&answer, "TL-1404", &["look whether it happened before sending again"]);
    assert_eq!(called, 1, "nobody said that `twice` may be done twice");

    let calls = hub.http(Method::GET, "/api/v1/calls?connection=net", &Value::Null).await.unwrap();
    let calls = calls.json().await.unwrap();
    let stages = |tool: &str| -> Vec<String> {
        let all = calls["calls"].as_array().unwrap();
        let record = all.iter().find(|call| call["target"] == tool).unwrap_or_else(|| panic!("{calls}"));
        let stages = record["stages"].as_array().unwrap().iter();
        stages
            .map(|note| note["stage"].as_str().unwrap().to_owned())
            .skip_while(|s| s != "connector")
            .collect()
    };
    assert_eq!(stages("well"), ["connector", "retry", "connector"]);
    assert_eq!(stages("twice"), ["connector"]);
}

#[tokio::test]
async fn nonsense_between_messages_is_passed_over_and_nothing_but_nonsense_is_not() {
    let (_peer, hub) = hub_before_both(60.0).await;
    let littered = call(&hub, "pipe", "littered", json!({})).await;
    assert_eq!(littered["content"][0]["text"], WELL, "{littered}");
    let state = trouble::state(&hub, "pipe").await.unwrap();
    assert_eq!((&state["restarts"], &state["status"]), (&json!(0), &json!("connected")), "{state}");

    told(&failing(&hub, "pipe", "babble").await, "TL-1404", &["lines in a row were no messages"]);
    told(&failing(&hub, "net", "babble").await, "TL-1403", &["not valid JSON"]);
    does_well(&hub, "pipe").await;
    does_well(&hub, "net").await;
}

#[tokio::test]
async fn a_server_that_has_never_said_anything_but_nonsense() {
    let hub = hub_with(json!({ "pipe": entry(&["babble"]).unwrap() })).await;
    let failed = failing(&hub, "pipe", "well").await;
    told(&failed, "TL-1402", &["lines in a row were no messages"]);
}

#[tokio::test]
async fn a_line_of_a_gigabyte_is_cut_off_and_does_not_fill_the_memory() {
    let (_peer, mut hub) = hub_before_both(60.0).await;
    let process = hub.program().id();
    let before = trouble::most_memory_kib(process).unwrap();
    for key in ["pipe", "net"] {
        for tool in ["gigabyte", "endless"] {
            let failed = failing(&hub, key, tool).await;
            told(&failed, "TL-1406", &[&LIMIT_BYTES.to_string(), "limits."]);
            hub.until("it answers again", async || {
                let said = hub.mcp_modern(&format!("/mcp/c/{key}")).call_for_text("well", json!({})).await?;
                anyhow::ensure!(said == WELL, "{said}");
                Ok(())
            })
            .await
            .unwrap();
        }
    }
    let after = trouble::most_memory_kib(process).unwrap();
    assert!(after < before + ALLOWED_GROWTH_KIB, "it held {before} KiB, then {after} KiB");
}

#[tokio::test]
async fn an_answer_to_somebody_else_is_nobodys() {
    let (_peer, hub) = hub_before_both(1.0).await;
    for key in ["pipe", "net"] {
        let failed = failing(&hub, key, "stranger").await;
        let (code, words) =
            if key == "pipe" { ("TL-1401", "in time") } else { ("TL-1403", "something that was not asked") };
        told(&failed, code, &[words]);
        does_well(&hub, key).await;
    }
}

#[tokio::test]
async fn an_answer_with_a_key_twice_is_refused_at_once() {
    let (_peer, hub) = hub_before_both(60.0).await;
    for key in ["pipe", "net"] {
        told(&failing(&hub, key, "twice").await, "TL-1403", &["result", "twice"]);
        does_well(&hub, key).await;
    }
}

#[tokio::test]
async fn a_server_that_takes_its_time_to_start_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (asked, go) = (path("asked"), path("go"));
    let hub = hub_with(json!({ "slow": entry(&["--mark", &asked, "--after", &go]).unwrap() })).await;
    let scene = async {
        made(Path::new(&asked)).await.unwrap();
        let list = async { hub.mcp_modern("/mcp/c/slow").tool_names().await };
        let start = async {
            beside(&hub, async {}).await.unwrap();
            std::fs::write(&go, "").unwrap();
        };
        tokio::join!(list, start).0.unwrap()
    };
    let names = beside(&hub, scene).await.unwrap();
    assert!(names.contains(&"well".to_owned()), "a list that was asked for early holds it: {names:?}");
    does_well(&hub, "slow").await;
}

#[tokio::test]
async fn a_server_that_ends_at_the_first_modern_question_is_asked_the_old_way() {
    let hub = hub_with(json!({ "touchy": entry(&["touchy"]).unwrap() })).await;
    beside(&hub, hub.wait_for_tools("/mcp/c/touchy")).await.unwrap().unwrap();
    does_well(&hub, "touchy").await;
    let state = trouble::state(&hub, "touchy").await.unwrap();
    assert_eq!(state["era"], "legacy", "{state}");
    assert_eq!(state["restarts"], json!(0), "finding out is no failure: {state}");
}

#[tokio::test]
async fn a_command_that_is_not_there_is_named_with_what_to_do() {
    let hub = hub_with(json!({ "absent": { "type": "mcp", "command": "no-such-program-anywhere" } })).await;
    let words = ["`no-such-program-anywhere` was not found", "install it or give the full path"];
    told(&failing(&hub, "absent", "well").await, "TL-1501", &words);
    let connecting = hub.mcp_modern("/mcp/c/absent").connect().await.expect_err("nothing is there");
    let connecting = format!("{connecting:#}");
    let state = trouble::state(&hub, "absent").await.unwrap();
    let reply = hub.http(Method::POST, "/call/absent/well", &json!({})).await.unwrap();
    assert_eq!(reply.status.as_u16(), 503);
    assert_eq!(state["code"], "TL-1501", "{state}");
    let problem = reply.json().await.unwrap();
    for said in [&connecting, &state["reason"].to_string(), &problem["detail"].to_string()] {
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[tokio::test]
async fn lists_do_not_wait_for_what_has_failed_before() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    // It ends at its first start, and never says anything from its second on.
    let script = format!(
        "[ -e '{0}' ] || {{ touch '{0}'; exit 3; }}; exec \"$0\" mute --mark '{1}'",
        first.display(),
        second.display()
    );
    let program = entry(&[]).unwrap()["command"].clone();
    let silent =
        json!({ "type": "mcp", "command": "/bin/sh", "args": ["-c", script, program], "era": "modern" });
    let hub = hub_with(json!({ "silent": silent,
        "absent": { "type": "mcp", "command": "no-such-program-anywhere" },
        "nobody": { "type": "mcp", "protocol": "http", "url": "http://127.0.0.1:1/mcp" } }))
    .await;
    made(&second).await.unwrap();

    for _ in 0..3 {
        let mut old = hub.mcp_legacy("/mcp");
        old.connect().await.unwrap();
        for mut client in [old, hub.mcp_modern("/mcp")] {
            let names = client.tool_names().await.unwrap();
            assert!(names.contains(&format!("{NEIGHBOUR}__well")), "{names:?}");
            assert!(names.iter().all(|name| name.starts_with(NEIGHBOUR)), "{names:?}");
        }
    }
    for (key, words) in [("silent", "exited with code 3"), ("nobody", "cannot connect to `127.0.0.1`")] {
        told(&failing(&hub, key, "well").await, "TL-1402", &[words]);
    }

    // It never answers: as long as it is still being tried, nobody can have waited for it.
    let state = trouble::state(&hub, "silent").await.unwrap();
    assert_eq!(state["status"], "testing", "{state}");
}

#[tokio::test]
async fn a_killed_hub_leaves_no_process_behind() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("grandchild");
    let script = format!("sleep 600 & echo $! > '{}'; exec \"$0\"", note.display());
    let program = entry(&[]).unwrap()["command"].clone();
    let nested = json!({ "type": "mcp", "command": "/bin/sh", "args": ["-c", script, program] });
    let mut hub = hub_with(json!({ "nested": nested })).await;
    hub.wait_for_tools("/mcp/c/nested").await.unwrap();
    let grandchild: u32 = std::fs::read_to_string(&note).unwrap().trim().parse().unwrap();
    let mut processes = vec![grandchild];
    for key in ["nested", NEIGHBOUR] {
        processes.push(trouble::process_of(&hub, key).await.unwrap());
    }
    assert!(processes.iter().all(|process| trouble::runs(*process)), "{processes:?}");

    trouble::kill(hub.program().id()).unwrap();

    hub.until("every process has gone", async || {
        let left: Vec<_> = processes.iter().filter(|process| trouble::runs(**process)).collect();
        anyhow::ensure!(left.is_empty(), "{left:?} still run");
        Ok(())
    })
    .await
    .unwrap();
}
