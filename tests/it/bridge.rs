//! Both generations of clients in front of both generations of servers, asked about in all four pairs: a tool that
//! answers, a tool that asks, a tool that asks twice, and what each side must never see of the other.

use serde_json::{Value, json};
use testkit::client::{Generation, McpClient, RpcError};
use testkit::fixture::{Era, Peer};
use testkit::hub::Hub;

const PATH: &str = "/mcp/c/fixture";

async fn hub_before(era: Era) -> (Peer, Hub) {
    let fixture = Peer::start(era).await.unwrap();
    let config =
        format!("integrations:\n  fixture: {{ type: mcp, protocol: http, url: \"{}\" }}\n", fixture.url);
    let hub = Hub::start(&config).await.unwrap();
    hub.wait_for_tools(PATH).await.unwrap();
    (fixture, hub)
}

async fn connected(hub: &Hub, generation: Generation) -> McpClient {
    let name = json!({ "action": "accept", "content": { "name": "Ada", "color": "green", "username": "ada", "email": "a@b.example" } });
    let said =
        json!({ "role": "assistant", "model": "none", "content": { "type": "text", "text": "Paris" } });
    let mut client = McpClient::new(&hub.endpoint(PATH), Some(&hub.key), generation)
        .answering("elicitation/create", name)
        .answering("sampling/createMessage", said)
        .answering("roots/list", json!({ "roots": [{ "uri": "file:///work" }] }));
    if let Err(error) = client.connect().await {
        panic!("connecting failed: {error:#}\n{}", hub.log());
    }
    client
}

/// The scene that every pair plays.
async fn play(generation: Generation, era: Era) {
    let (_fixture, hub) = hub_before(era).await;
    let mut client = connected(&hub, generation).await;
    let text = async |client: &mut McpClient, tool: &str, arguments: Value| {
        client
            .call_for_text(tool, arguments)
            .await
            .unwrap_or_else(|error| panic!("{tool}: {error:#}\n{}", hub.log()))
    };

    assert_eq!(text(&mut client, "test_simple_text", json!({})).await, "Plain words, for a test.");
    let asked = text(&mut client, "test_input_required_result_elicitation", json!({})).await;
    assert_eq!(asked, "Hello, Ada!");
    let sampled = text(&mut client, "test_sampling", json!({ "prompt": "The capital of France?" })).await;
    assert_eq!(sampled, "The model said: Paris");
    let twice = text(&mut client, "test_input_required_result_multi_round", json!({})).await;
    assert!(twice.starts_with("Heard "), "{twice}");

    let failed = client.call("test_error_handling", json!({})).await.unwrap();
    assert_eq!(failed["isError"], json!(true), "a tool's own failure is a result, not a protocol error");
    let unknown = client.call("no_such_tool", json!({})).await.expect_err("there is no such tool");
    let unknown = unknown.downcast_ref::<RpcError>().expect("a JSON-RPC error");
    assert_eq!(unknown.code, -32602);

    let listed = client.list("resources/list", "resources").await.unwrap();
    assert!(listed.iter().any(|resource| resource["uri"] == "test://static-text"), "{listed:?}");
    let read = client.request("resources/read", json!({ "uri": "test://static-text" })).await.unwrap();
    assert_eq!(read["contents"][0]["text"], "Text that never changes.");
    let prompt = client.request("prompts/get", json!({ "name": "test_simple_prompt" })).await.unwrap();
    assert_eq!(prompt["messages"][0]["content"]["text"], "A prompt without any argument.");

    match generation {
        Generation::Modern => {
            assert!(client.session().is_none(), "no session may be handed to a client that knows none");
            assert!(client.heard.iter().all(|message| message.get("id").is_none()), "{:?}", client.heard);
            assert!(read.get("resultType").is_some() && read.get("ttlMs").is_some(), "{read}");
        }
        Generation::Legacy => {
            assert!(client.session().is_some(), "a client with a session gets one");
            assert!(read.get("resultType").is_none(), "an older revision does not know the field: {read}");
        }
    }
}

#[tokio::test]
async fn an_old_client_and_an_old_server() {
    play(Generation::Legacy, Era::Legacy).await;
}

#[tokio::test]
async fn an_old_client_and_a_new_server() {
    play(Generation::Legacy, Era::Modern).await;
}

#[tokio::test]
async fn a_new_client_and_an_old_server() {
    play(Generation::Modern, Era::Legacy).await;
}

#[tokio::test]
async fn a_new_client_and_a_new_server() {
    play(Generation::Modern, Era::Modern).await;
}

#[tokio::test]
async fn everything_at_once_carries_the_connections_names() {
    let (fixture, other) = (Peer::start(Era::Modern).await.unwrap(), Peer::start(Era::Legacy).await.unwrap());
    let config = format!(
        "integrations:\n  one: {{ type: mcp, protocol: http, url: \"{}\" }}\n  two: {{ type: mcp, protocol: http, url: \"{}\" }}\n",
        fixture.url, other.url
    );
    let hub = Hub::start(&config).await.unwrap();
    hub.wait_for_tools("/mcp/c/one").await.unwrap();
    hub.wait_for_tools("/mcp/c/two").await.unwrap();
    let mut client = hub.mcp_modern("/mcp");

    let names = client.tool_names().await.unwrap();

    for name in ["one__test_simple_text", "two__test_simple_text"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
        assert_eq!(client.call_for_text(name, json!({})).await.unwrap(), "Plain words, for a test.");
    }
    assert!(names.iter().all(|name| name.starts_with("one__") || name.starts_with("two__")), "{names:?}");
    assert!(
        client.call("test_simple_text", json!({})).await.is_err(),
        "a bare name that two have belongs to neither"
    );
}

#[tokio::test]
async fn a_server_that_goes_away_and_comes_back_is_used_again() {
    let (mut fixture, hub) = hub_before(Era::Legacy).await;
    let mut client = hub.mcp_modern(PATH);
    client.call_for_text("test_simple_text", json!({})).await.unwrap();

    let port = fixture.url.split(':').nth(2).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
    fixture.program().stop().unwrap();
    let gone = client.call("test_simple_text", json!({})).await;
    let failed = gone.as_ref().map_or(true, |result| result["isError"] == json!(true));
    assert!(failed, "a dead server must not seem to answer: {gone:?}");

    let _again = Peer::start_at(Era::Legacy, &format!("127.0.0.1:{port}")).await.unwrap();
    hub.until("the server is used again", async || {
        let said = hub.mcp_modern(PATH).call_for_text("test_simple_text", json!({})).await?;
        anyhow::ensure!(said == "Plain words, for a test.", "{said}");
        Ok(())
    })
    .await
    .unwrap();
}
