//! The configuration file changes under a running hub: what changed takes effect, what did not is not touched, and
//! no call is dropped over it.

use hyper::Method;
use serde_json::{Value, json};
use testkit::hub::Hub;
use testkit::trouble::{self, WELL, entry, made};

fn write(hub: &Hub, config: &str) {
    // Replaced in one step, as editors do.
    let beside = hub.folder().join("new");
    std::fs::write(&beside, config).unwrap();
    std::fs::rename(beside, hub.folder().join("trunkline.yaml")).unwrap();
}

fn config(integrations: &Value) -> String {
    json!({ "integrations": integrations }).to_string()
}

async fn says_well(hub: &Hub, path: &str, tool: &str) -> anyhow::Result<()> {
    let said = hub.mcp_modern(path).call_for_text(tool, json!({})).await?;
    anyhow::ensure!(said == WELL, "{said}");
    Ok(())
}

#[tokio::test]
async fn an_edit_adds_changes_and_removes_while_calls_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let before =
        json!({ "kept": entry(&[]).unwrap(), "changed": entry(&[]).unwrap(), "gone": entry(&[]).unwrap() });
    let hub = Hub::start(&config(&before)).await.unwrap();
    for key in ["kept", "changed", "gone"] {
        hub.wait_for_tools(&format!("/mcp/c/{key}")).await.unwrap();
    }
    let kept = trouble::process_of(&hub, "kept").await.unwrap();
    let go = folder.path().join("go");
    let slow = async |key: &str| {
        let mark = folder.path().join(key);
        let arguments = json!({ "mark": mark, "until": go });
        hub.mcp_modern("/mcp").call_for_text(&format!("{key}__well"), arguments).await
    };

    let edit = async {
        for key in ["kept", "changed", "gone"] {
            made(&folder.path().join(key)).await.unwrap();
        }
        let after = json!({ "kept": entry(&[]).unwrap(), "changed": entry(&["--more", "1"]).unwrap(),
            "new": entry(&[]).unwrap() });
        write(&hub, &config(&after));
        hub.until("the edit takes effect", async || {
            let names = hub.mcp_modern("/mcp").tool_names().await?;
            let has = |name: &str| names.iter().any(|one| one == name);
            anyhow::ensure!(has("new__well") && has("changed__more_000"), "{names:?}");
            anyhow::ensure!(!names.iter().any(|name| name.starts_with("gone__")), "{names:?}");
            Ok(())
        })
        .await
        .unwrap();
        for key in ["kept", "changed", "new"] {
            says_well(&hub, "/mcp", &format!("{key}__well")).await.unwrap();
        }
        let refused = hub.mcp_modern("/mcp").call("gone__well", json!({})).await;
        let refused = format!("{:#}", refused.expect_err("it has been removed"));
        assert!(refused.contains("TL-1101") && refused.contains("gone__well"), "{refused}");
        std::fs::write(&go, "").unwrap();
    };
    let (of_kept, of_changed, of_gone, ()) = tokio::join!(slow("kept"), slow("changed"), slow("gone"), edit);

    for (key, said) in [("kept", of_kept), ("changed", of_changed), ("gone", of_gone)] {
        assert_eq!(said.unwrap(), WELL, "the call on `{key}` was under way before the edit");
    }
    let state = trouble::state(&hub, "kept").await.unwrap();
    assert_eq!((&state["pid"], &state["restarts"]), (&json!(kept), &json!(0)), "{state}");
}

#[tokio::test]
async fn a_broken_file_changes_nothing() {
    let hub = Hub::start(&config(&json!({ "one": entry(&[]).unwrap() }))).await.unwrap();
    hub.wait_for_tools("/mcp/c/one").await.unwrap();
    let process = trouble::process_of(&hub, "one").await.unwrap();

    for broken in ["integrations: [", "listen: nowhere\nintegrations: {}\n"] {
        let heard = hub.log().matches("the configuration is not changed").count();
        write(&hub, broken);
        hub.until("the edit is refused", async || {
            let now = hub.log().matches("the configuration is not changed").count();
            anyhow::ensure!(now > heard, "it was refused {now} times");
            Ok(())
        })
        .await
        .unwrap();
        says_well(&hub, "/mcp", "one__well").await.unwrap();
    }
    assert_eq!(trouble::process_of(&hub, "one").await.unwrap(), process, "the same process goes on");

    write(&hub, &config(&json!({ "one": entry(&[]).unwrap(), "two": entry(&[]).unwrap() })));
    hub.wait_for_tools("/mcp/c/two").await.unwrap();
    says_well(&hub, "/mcp", "two__well").await.unwrap();
    assert_eq!(trouble::process_of(&hub, "one").await.unwrap(), process, "and after the file is mended");
}

#[tokio::test]
async fn one_bad_entry_is_its_own_and_no_other_entrys_error() {
    let unset = "TRUNKLINE_SCENE_THAT_NOBODY_SETS";
    let mut needy = entry(&[]).unwrap();
    needy["env"] = json!({ "API_TOKEN": format!("${{{unset}}}") });
    let first = json!({ "good": entry(&[]).unwrap(), "needy": needy });
    let hub = Hub::start(&config(&first)).await.unwrap();
    hub.wait_for_tools("/mcp/c/good").await.unwrap();

    let state = trouble::state(&hub, "needy").await.unwrap();
    assert_eq!(state["status"], "error", "{state}");
    let called = hub.http(Method::POST, "/call/needy/well", &json!({})).await.unwrap();
    assert!(called.status.is_server_error(), "{}", called.status);
    let called = called.json().await.unwrap()["detail"].to_string();
    for said in [&state["reason"].to_string(), &called] {
        assert!(said.contains(unset) && said.contains("API_TOKEN"), "it does not name the variable: {said}");
    }

    // A slip in one entry, a wrong word in another, and a third that is new: only the third takes effect.
    let second = json!({ "good": { "type": "mcp", "command": 7, "args": "no list" }, "needy": needy,
        "strange": { "type": "telepathy" }, "new": entry(&[]).unwrap() });
    write(&hub, &config(&second));
    hub.wait_for_tools("/mcp/c/new").await.unwrap();
    says_well(&hub, "/mcp", "new__well").await.unwrap();
    says_well(&hub, "/mcp", "good__well").await.unwrap();
    let good = trouble::state(&hub, "good").await.unwrap();
    assert!(good["reason"].to_string().contains("settings before it are in force"), "{good}");
    let strange = trouble::state(&hub, "strange").await.unwrap();
    assert_eq!(strange["status"], "error", "{strange}");
    assert!(strange["reason"].to_string().contains("telepathy"), "{strange}");

    needy["env"] = json!({ "API_TOKEN": "${HOME}" });
    write(&hub, &config(&json!({ "good": entry(&[]).unwrap(), "needy": needy })));
    hub.wait_for_tools("/mcp/c/needy").await.unwrap();
    says_well(&hub, "/mcp", "needy__well").await.unwrap();
}
