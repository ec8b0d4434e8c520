//! The official SDKs as clients of the hub, each in every way it can connect, with the fixture behind the hub.
//! What they see has to be what they see at the fixture itself.

use serde_json::{Value, json};
use testkit::fixture::{Era, Peer};
use testkit::hub::Hub;
use testkit::tools::{Tools, json_of};

const KEYLESS: &str = "unused";

/// One conversation with the client script at `url`: the plain tool answers, the asking tool asks.
async fn talk(script: &str, mode: &str, url: &str, key: &str) -> anyhow::Result<Value> {
    let mut client = Tools::find()?.script(&format!("clients/{script}"))?;
    client.args([url, key, mode, "test_simple_text", "test_elicitation"]);
    json_of(client).await
}

/// Starts a hub in front of a fixture and holds the conversation through it and without it.
async fn same_through_the_hub(script: &str, mode: &str, door: &str, version: &str) {
    let fixture = Peer::start(Era::Both).await.unwrap();
    let alone = talk(script, if mode == "sse" { "http" } else { mode }, &fixture.url, KEYLESS).await.unwrap();
    let hub = Hub::start(&fixture_config(&fixture)).await.unwrap();
    hub.wait_for_tools("/mcp/c/fixture").await.unwrap();

    let seen = match talk(script, mode, &hub.endpoint(door), &hub.key).await {
        Ok(seen) => seen,
        Err(error) => panic!("{script} {mode} failed through the hub: {error:#}\n{}", hub.log()),
    };

    assert_eq!(seen["version"], json!(version));
    assert_eq!(
        seen["tools"], alone["tools"],
        "the tools must be listed under their own names and in their order"
    );
    assert_eq!(seen["plain"], alone["plain"]);
    assert_eq!(seen["asking"], alone["asking"]);
    assert_eq!(seen["asked"], json!(["Who are you?"]), "the user is asked once, in the server's words");
}

fn fixture_config(fixture: &Peer) -> String {
    format!("integrations:\n  fixture: {{ type: mcp, protocol: http, url: \"{}\" }}\n", fixture.url)
}

#[tokio::test]
async fn the_python_sdk_with_a_session() {
    same_through_the_hub("python_client.py", "legacy", "/mcp/c/fixture", "2025-11-25").await;
}

#[tokio::test]
async fn the_python_sdk_finding_out_by_itself() {
    same_through_the_hub("python_client.py", "auto", "/mcp/c/fixture", "2026-07-28").await;
}

#[tokio::test]
async fn the_python_sdk_insisting_on_the_newest_revision() {
    same_through_the_hub("python_client.py", "2026-07-28", "/mcp/c/fixture", "2026-07-28").await;
}

#[tokio::test]
async fn the_typescript_sdk_of_version_1() {
    same_through_the_hub("typescript_v1_client.mjs", "http", "/mcp/c/fixture", "2025-11-25").await;
}

#[tokio::test]
async fn the_typescript_sdk_of_version_1_over_the_transport_of_2024() {
    same_through_the_hub("typescript_v1_client.mjs", "sse", "/mcp/c/fixture/sse", "2025-11-25").await;
}

#[tokio::test]
async fn the_typescript_sdk_of_version_2_with_a_session() {
    same_through_the_hub("typescript_v2_client.mjs", "legacy", "/mcp/c/fixture", "2025-11-25").await;
}

#[tokio::test]
async fn the_typescript_sdk_of_version_2_finding_out_by_itself() {
    same_through_the_hub("typescript_v2_client.mjs", "auto", "/mcp/c/fixture", "2026-07-28").await;
}

#[tokio::test]
async fn the_typescript_sdk_of_version_2_insisting_on_the_newest_revision() {
    same_through_the_hub("typescript_v2_client.mjs", "2026-07-28", "/mcp/c/fixture", "2026-07-28").await;
}

#[tokio::test]
async fn an_sdk_without_a_key_gets_nothing() {
    let fixture = Peer::start(Era::Both).await.unwrap();
    let hub = Hub::start(&fixture_config(&fixture)).await.unwrap();
    hub.wait_for_tools("/mcp/c/fixture").await.unwrap();

    let refused = talk("python_client.py", "auto", &hub.endpoint("/mcp/c/fixture"), "trk_wrong").await;

    let message = format!("{:#}", refused.expect_err("a wrong key must not work"));
    assert!(!message.contains("test_simple_text"), "no tool may be named to a stranger: {message}");
}
