//! A modern server over streamable HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use connector::{Connector, Outcome};
use mcp_upstream::Transport;
use model::{Code, Era};
use serde_json::{Value, json};

use crate::support::*;

/// Answers discovery, lists the tools, and leaves calls to `on_call`.
async fn modern(
    tools: Value,
    on_call: impl Fn(Seen) -> Future<Reply> + Send + Sync + Clone + 'static,
) -> FakeHttp {
    FakeHttp::start(move |seen| {
        let (tools, on_call) = (tools.clone(), on_call.clone());
        Box::pin(async move {
            match seen.method() {
                "server/discover" => seen.result(discovery()),
                "tools/list" => seen.result(
                    json!({"resultType":"complete","tools":tools,"ttlMs":60000,"cacheScope":"public"}),
                ),
                _ => on_call(seen).await,
            }
        })
    })
    .await
}

fn http(fake: &FakeHttp) -> mcp_upstream::Settings {
    settings(Transport::Http { url: fake.url.clone() })
}

#[tokio::test]
async fn a_call_arrives_with_everything_the_era_asks_for_and_its_answer_comes_back_untouched() {
    let fake = modern(json!([tool("echo")]), |seen| {
        Box::pin(async move { seen.result(json!({"resultType":"complete","content":[],"vendor":1.5})) })
    })
    .await;
    let mut settings = http(&fake);
    settings.headers.push(("Authorization".to_owned(), model::Secret::new("Bearer t")));
    let upstream = up(settings).await;

    let state = upstream.state();
    assert_eq!((state.era, state.protocol_version.as_deref()), (Some(Era::Modern), Some("2026-07-28")));
    assert_eq!(state.server.as_deref(), Some("fake 2"));
    let inventory = upstream.inventory();
    assert_eq!(inventory.tools.len(), 1);
    assert_eq!(serde_json::from_slice::<Value>(&inventory.tools[0].raw).unwrap(), tool("echo"));

    let result = done(upstream.call(&plain(), call("echo")).await);
    assert_eq!(result, json!({"resultType":"complete","content":[],"vendor":1.5}));
    let seen = fake.seen("tools/call").pop().unwrap();
    assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(seen.header("mcp-method"), Some("tools/call"));
    assert_eq!(seen.header("mcp-name"), Some("echo"));
    assert_eq!(seen.header("authorization"), Some("Bearer t"));
    assert_eq!(seen.header("accept"), Some("application/json, text/event-stream"));
    let meta = &seen.body["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "trunkline");
    assert!(fake.seen("initialize").is_empty(), "a modern server is not greeted the old way");
}

#[tokio::test]
async fn annotated_arguments_travel_as_headers_and_a_mismatch_is_healed_once() {
    let tries = Arc::new(AtomicUsize::new(0));
    let annotated = json!({"name":"q","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}});
    let broken = json!({"name":"bad","inputSchema":{"type":"object","properties":{"a":{"type":"number","x-mcp-header":"A"}}}});
    let count = Arc::clone(&tries);
    let fake = modern(json!([annotated, broken]), move |seen| {
        let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move {
            if is_first { seen.error(400, -32020, json!(null)) } else { seen.result(json!({"content":[]})) }
        })
    })
    .await;
    let upstream = up(http(&fake)).await;
    assert_eq!(upstream.inventory().tools.len(), 1, "the tool with the broken annotation is left out");

    let asked = request("q", json!({"name":"q","arguments":{"region":"zürich"}}));
    done(upstream.call(&plain(), asked).await);
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    let seen = fake.seen("tools/call").pop().unwrap();
    assert_eq!(seen.header("mcp-param-region"), Some("=?base64?esO8cmljaA==?="));
    assert_eq!(fake.seen("tools/list").len(), 2, "the list was read again before the second try");
}

#[tokio::test]
async fn an_event_stream_brings_progress_before_the_answer() {
    let fake = modern(json!([tool("slow")]), |seen| {
        Box::pin(async move {
            let (events, reply) = Reply::events();
            let token = seen.body["params"]["_meta"]["progressToken"].clone();
            let progress = json!({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":token,"progress":1}});
            events.try_send(event(&progress)).unwrap();
            events.try_send(": alive\n\n".to_owned()).unwrap();
            let answer = json!({"jsonrpc":"2.0","id":seen.body["id"],"result":{"resultType":"complete","content":[]}});
            events.try_send(event(&answer)).unwrap();
            reply
        })
    })
    .await;
    let upstream = up(http(&fake)).await;
    let client: Arc<Client> = Arc::default();
    let asked = request("slow", json!({"name":"slow","_meta":{"progressToken":"tok"}}));
    done(upstream.call(&ctx(form_peer(), &client, "a"), asked).await);
    let heard = client.heard.lock().unwrap().clone();
    assert_eq!(heard, [("notifications/progress".to_owned(), json!({"progressToken":"tok","progress":1}))]);
    let meta = fake.seen("tools/call")[0].body["params"]["_meta"].clone();
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({"elicitation":{"form":{}}}));
}

#[tokio::test]
async fn dropping_the_call_closes_its_stream_and_says_nothing_else() {
    let fake = modern(json!([tool("hang")]), |_| {
        Box::pin(async move {
            let (events, reply) = Reply::events();
            // The sender lives as long as nobody drops the body.
            tokio::spawn(async move { events.closed().await });
            reply
        })
    })
    .await;
    let upstream = up(http(&fake)).await;
    let (ctx, asked) = (plain(), call("hang"));
    let running = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { upstream.call(&ctx, asked).await }
    });
    eventually("the call arrives", || !fake.seen("tools/call").is_empty()).await;
    running.abort();
    eventually("the stream is closed", || fake.cut.load(Ordering::SeqCst) == 1).await;
    assert!(fake.seen("notifications/cancelled").is_empty());
}

#[tokio::test]
async fn questions_tasks_and_errors_come_through_as_what_they_are() {
    let fake = modern(json!([tool("any")]), |seen| {
        Box::pin(async move {
            match seen.body["params"]["name"].as_str().unwrap() {
                "asks" => seen.result(json!({"resultType":"input_required","inputRequests":{"k":{}}})),
                "task" => seen.result(json!({"resultType":"task","taskId":"t1","status":"working"})),
                "odd" => seen.result(json!({"resultType":"riddle"})),
                "unknown" => seen.error(404, -32601, json!(null)),
                "needs" => seen.error(400, -32021, json!({"requiredCapabilities":{"sampling":{}}})),
                "twice" => Reply::text(
                    200,
                    "application/json",
                    format!(
                        "{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{\"a\":1,\"a\":2}}}}",
                        seen.body["id"]
                    ),
                ),
                "html" => Reply::text(200, "text/html", "<html>".to_owned()),
                "down" => Reply::text(503, "text/plain", "busy".to_owned()),
                "login" => Reply::status(401),
                _ => seen.result(json!({"isError":true,"content":[]})),
            }
        })
    })
    .await;
    let upstream = up(http(&fake)).await;
    let run = async |name: &str| upstream.call(&ctx(modern_peer(), &Arc::default(), "a"), call(name)).await;
    assert!(matches!(run("asks").await, Ok(Outcome::InputRequired { .. })));
    assert!(matches!(run("task").await, Ok(Outcome::Task { .. })));
    assert!(matches!(run("fails").await, Ok(Outcome::Complete { is_error: true, .. })));
    assert!(matches!(run("unknown").await, Ok(Outcome::RpcError { .. })));
    assert!(matches!(run("needs").await, Ok(Outcome::RpcError { .. })));
    for (name, code) in [
        ("odd", Code::BAD_ANSWER),
        ("twice", Code::BAD_ANSWER),
        ("html", Code::BAD_ANSWER),
        ("down", Code::UNREACHABLE),
        ("login", Code::UPSTREAM_REFUSED),
    ] {
        let fault = run(name).await.unwrap_err();
        assert_eq!(fault.code, code, "{name}: {fault}");
        assert!(!fault.hint.is_empty());
    }
}

#[tokio::test]
async fn list_changes_and_watched_resources_arrive_over_one_listen_stream() {
    let tools = Arc::new(AtomicUsize::new(1));
    let listening = Arc::new(std::sync::Mutex::new(Vec::<tokio::sync::mpsc::Sender<String>>::new()));
    let (count, streams) = (Arc::clone(&tools), Arc::clone(&listening));
    let fake = FakeHttp::start(move |seen| {
        let count = count.load(Ordering::SeqCst);
        let streams = Arc::clone(&streams);
        Box::pin(async move {
            match seen.method() {
                "server/discover" => {
                    let mut found = discovery();
                    found["capabilities"] = json!({"tools":{"listChanged":true},"resources":{}});
                    seen.result(found)
                }
                "tools/list" => {
                    let all: Vec<Value> = (0..count).map(|n| tool(&format!("t{n}"))).collect();
                    seen.result(json!({"resultType":"complete","tools":all}))
                }
                "subscriptions/listen" => {
                    let (events, reply) = Reply::events();
                    let ack = json!({"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{}});
                    events.try_send(event(&ack)).unwrap();
                    streams.lock().unwrap().push(events);
                    reply
                }
                "resources/list" => seen.result(json!({"resources":[]})),
                _ => seen.error(404, -32601, json!(null)),
            }
        })
    })
    .await;
    let upstream = up(http(&fake)).await;
    let mut events = upstream.events();
    eventually("somebody listens", || listening.lock().unwrap().len() == 1).await;
    tools.store(2, Ordering::SeqCst);
    let changed = json!({"jsonrpc":"2.0","method":"notifications/tools/list_changed"});
    listening.lock().unwrap()[0].try_send(event(&changed)).unwrap();
    eventually("the new tool is known", || upstream.inventory().tools.len() == 2).await;
    assert!(matches!(events.recv().await, Ok(connector::Event::ListChanged(connector::ListKind::Tools))));

    upstream.subscribe("test://a").await.unwrap();
    upstream.subscribe("test://a").await.unwrap();
    eventually("the stream is opened again", || listening.lock().unwrap().len() == 2).await;
    let filter = fake.seen("subscriptions/listen")[1].body["params"]["notifications"].clone();
    assert_eq!(filter, json!({"toolsListChanged":true,"resourceSubscriptions":["test://a"]}));
    let updated =
        json!({"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"test://a"}});
    listening.lock().unwrap()[1].try_send(event(&updated)).unwrap();
    let told = loop {
        match events.recv().await.unwrap() {
            connector::Event::ResourceUpdated { uri, .. } => break uri,
            _ => continue,
        }
    };
    assert_eq!(&*told, "test://a");
}

#[tokio::test]
async fn a_list_that_fails_keeps_its_last_good_content_and_pages_are_followed() {
    let fails = Arc::new(AtomicUsize::new(0));
    let flag = Arc::clone(&fails);
    let fake = FakeHttp::start(move |seen| {
        let fails = flag.load(Ordering::SeqCst) == 1;
        Box::pin(async move {
            match (seen.method(), seen.body["params"]["cursor"].as_str()) {
                ("server/discover", _) => seen.result(discovery()),
                ("tools/list", _) if fails => Reply::status(500),
                ("tools/list", None) => seen.result(json!({"tools":[tool("a")],"nextCursor":"2"})),
                ("tools/list", Some("2")) => seen.result(json!({"tools":[tool("b")]})),
                _ => Reply::status(404),
            }
        })
    })
    .await;
    let upstream = up(http(&fake)).await;
    assert_eq!(upstream.inventory().tools.len(), 2);
    assert!(!upstream.inventory().is_stale);
    fails.store(1, Ordering::SeqCst);
    upstream.refresh().await.unwrap();
    let inventory = upstream.inventory();
    assert_eq!((inventory.tools.len(), inventory.is_stale), (2, true));
    assert!(upstream.state().reason.unwrap().contains("tools/list"));
}

#[tokio::test]
async fn a_server_that_is_replaced_by_an_older_one_is_greeted_again_and_the_call_goes_through() {
    let is_old = Arc::new(AtomicUsize::new(0));
    let flag = Arc::clone(&is_old);
    let fake = FakeHttp::start(move |seen| {
        let is_old = flag.load(Ordering::SeqCst) == 1;
        Box::pin(async move {
            match (seen.method(), is_old) {
                ("server/discover", false) => seen.result(discovery()),
                ("initialize", true) => seen.result(greeting()).with("mcp-session-id", "s1"),
                ("notifications/initialized", true) => Reply::status(202),
                _ if is_old && seen.header("mcp-session-id").is_none() => {
                    seen.error(400, -32000, json!(null))
                }
                ("tools/list", _) => seen.result(json!({"tools":[tool("any")]})),
                ("tools/call", _) => seen.result(json!({"old":is_old})),
                _ => Reply::status(405),
            }
        })
    })
    .await;
    let upstream = up(http(&fake)).await;
    assert_eq!(done(upstream.call(&plain(), call("any")).await)["old"], false);
    is_old.store(1, Ordering::SeqCst);
    assert_eq!(done(upstream.call(&plain(), call("any")).await)["old"], true);
    assert_eq!(upstream.state().era, Some(Era::Legacy));
    assert_eq!(fake.seen("server/discover").len(), 2);
}
