//! The instruments themselves: the fixture in every era and our small client, without a hub between them.
//! A scene that fails through the hub and passes here has found something in the hub.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::json;
use testkit::client::{Generation, McpClient, RpcError};
use testkit::conformance::shim::Shim;
use testkit::fixture::{Era, Peer};

fn client(url: &str, generation: Generation) -> McpClient {
    McpClient::new(url, None, generation)
        .answering(
            "elicitation/create",
            json!({ "action": "accept", "content": { "name": "Ada", "color": "green" } }),
        )
        .answering(
            "sampling/createMessage",
            json!({ "role": "assistant", "model": "none", "content": { "type": "text", "text": "Paris" } }),
        )
        .answering("roots/list", json!({ "roots": [{ "uri": "file:///work" }] }))
}

#[tokio::test]
async fn a_server_of_both_eras_holds_the_same_conversation_in_each() {
    let fixture = Peer::start(Era::Both).await.unwrap();
    for generation in [Generation::Legacy, Generation::Modern] {
        let mut client = client(&fixture.url, generation);
        client.connect().await.unwrap();
        assert_eq!(
            client.call_for_text("test_simple_text", json!({})).await.unwrap(),
            "Plain words, for a test."
        );
        let asked = client.call_for_text("test_input_required_result_elicitation", json!({})).await.unwrap();
        assert_eq!(asked, "Hello, Ada!");
        let sampled = client.call_for_text("test_sampling", json!({ "prompt": "?" })).await.unwrap();
        assert_eq!(sampled, "The model said: Paris");
        let twice = client.call_for_text("test_input_required_result_multi_round", json!({})).await.unwrap();
        assert!(twice.starts_with("Heard step"), "{twice}");
        let all =
            client.call_for_text("test_input_required_result_multiple_inputs", json!({})).await.unwrap();
        assert!(all.contains("client_roots"), "{all}");
        assert_eq!(client.session().is_some(), generation == Generation::Legacy);
        let unknown = client.call("no_such_tool", json!({})).await.unwrap_err();
        assert_eq!(unknown.downcast_ref::<RpcError>().unwrap().code, -32602);
    }
}

#[tokio::test]
async fn a_server_of_one_era_refuses_the_other() {
    let old = Peer::start(Era::Legacy).await.unwrap();
    let refused = client(&old.url, Generation::Modern).connect().await.unwrap_err();
    let refused = refused.downcast_ref::<RpcError>().unwrap();
    assert_eq!((refused.status, refused.code), (400, -32000));
    client(&old.url, Generation::Legacy).connect().await.unwrap();

    let new = Peer::start(Era::Modern).await.unwrap();
    let refused = client(&new.url, Generation::Legacy).connect().await.unwrap_err();
    let refused = refused.downcast_ref::<RpcError>().unwrap();
    assert_eq!((refused.status, refused.code), (400, -32022));
    client(&new.url, Generation::Modern).connect().await.unwrap();
}

#[tokio::test]
async fn the_shim_changes_neither_host_nor_origin() {
    let fixture = Peer::start(Era::Both).await.unwrap();
    let authority = fixture.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
    let shim = Shim::start(&authority, "trk_test").await.unwrap();
    let through = format!("{}/mcp", shim.url);
    client(&through, Generation::Modern).connect().await.unwrap();

    for foreign in [("host", "evil.example"), ("origin", "http://evil.example")] {
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            foreign,
        ];
        let reply = testkit::http::send(hyper::Method::POST, &through, &headers, "{}").await.unwrap();
        assert_eq!(reply.status.as_u16(), 403, "{foreign:?} must reach the server as it is");
    }
}

#[tokio::test]
async fn a_program_that_ends_early_is_reported_with_what_it_said() {
    let mut program = testkit::program::command("sh");
    program.args(["-c", "echo 'nothing is ready' >&2; exit 3"]);
    let mut program = testkit::program::Program::start(program).unwrap();
    let silent = program.line(std::time::Duration::from_secs(20)).await.unwrap_err();
    assert!(silent.to_string().contains("ended"), "{silent:#}");
    assert!(!program.stop().unwrap().success());
    // Its last words are read by a thread of their own, which may come a little later.
    for _ in 0..200 {
        if program.log().contains("nothing is ready") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("its last words are missing: {:?}", program.log());
}
