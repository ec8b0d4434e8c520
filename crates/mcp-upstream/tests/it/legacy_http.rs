//! Legacy servers over streamable HTTP, and the oldest transport behind the same setting.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use connector::{Connector, Event, Outcome, Peer};
use mcp_upstream::{EraChoice, McpUpstream, Transport};
use model::{Code, Era};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::*;

/// A legacy server with sessions `s1`, `s2`, ...; `on_call` answers `tools/call`, `on_get` the session's stream.
struct Legacy {
    fake: FakeHttp,
    sessions: Arc<AtomicUsize>,
    /// Sessions below this number are expired.
    expired: Arc<AtomicUsize>,
}

async fn legacy(
    on_call: impl Fn(Seen) -> Future<Reply> + Send + Sync + Clone + 'static,
    on_get: impl Fn(Seen) -> Future<Reply> + Send + Sync + Clone + 'static,
) -> Legacy {
    let sessions: Arc<AtomicUsize> = Arc::default();
    let expired: Arc<AtomicUsize> = Arc::default();
    let (count, old) = (Arc::clone(&sessions), Arc::clone(&expired));
    let fake = FakeHttp::start(move |seen| {
        let (on_call, on_get) = (on_call.clone(), on_get.clone());
        let (count, old) = (Arc::clone(&count), old.load(Ordering::SeqCst));
        Box::pin(async move {
            let session: usize = seen.header("mcp-session-id").map_or(0, |id| id[1..].parse().unwrap());
            match (seen.verb.as_str(), seen.method()) {
                ("POST", "initialize") => {
                    let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                    seen.result(greeting()).with("mcp-session-id", &format!("s{number}"))
                }
                ("DELETE", _) => Reply::status(204),
                _ if session == 0 => seen.error(400, -32000, json!(null)),
                _ if session <= old => Reply::status(404),
                ("GET", _) => on_get(seen).await,
                (_, "tools/list") => seen.result(json!({"tools":[tool("any")]})),
                (_, "resources/list") => seen.result(json!({"resources":[]})),
                (_, "resources/templates/list") => seen.error(200, -32601, json!(null)),
                (_, "tools/call") => on_call(seen).await,
                (_, "logging/setLevel" | "resources/subscribe") => seen.result(json!({})),
                _ => Reply::status(202),
            }
        })
    })
    .await;
    Legacy { fake, sessions, expired }
}

/// A session's id and its open GET stream.
type Stream = (String, mpsc::Sender<String>);

fn no_stream(_: Seen) -> Future<Reply> {
    Box::pin(async { Reply::status(405) })
}

async fn started(legacy: &Legacy) -> Arc<McpUpstream> {
    up(settings(Transport::Http { url: legacy.fake.url.clone() })).await
}

#[tokio::test]
async fn an_old_server_is_found_out_greeted_and_called_in_a_session_of_the_callers_own_class() {
    let legacy = legacy(
        |seen| Box::pin(async move { seen.result(json!({"content":[],"_meta":{"vendor":1.50}})) }),
        no_stream,
    )
    .await;
    let upstream = started(&legacy).await;
    let state = upstream.state();
    assert_eq!((state.era, state.protocol_version.as_deref()), (Some(Era::Legacy), Some("2025-11-25")));
    assert_eq!(upstream.inventory().instructions.as_deref(), Some("be kind"));
    assert!(!upstream.inventory().is_stale, "templates that are not served are no failure");

    for _ in 0..3 {
        done(upstream.call(&plain(), call("any")).await);
    }
    let greeted = legacy.fake.seen("initialize");
    assert_eq!(greeted.len(), 2, "one session for the lists, one for callers that can answer nothing");
    let all = &greeted[0].body["params"]["capabilities"];
    assert_eq!(all, &json!({"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}));
    assert_eq!(greeted[1].body["params"]["capabilities"], json!({}));
    let seen = legacy.fake.seen("tools/call").pop().unwrap();
    assert_eq!(seen.header("mcp-session-id"), Some("s2"));
    assert_eq!(seen.header("mcp-protocol-version"), Some("2025-11-25"));
    assert_eq!(seen.header("mcp-method"), None, "nothing of the other era");
    assert_eq!(seen.body["params"], json!({"name":"any","arguments":{}}));

    upstream.close().await;
    drop(upstream);
    eventually("the sessions are ended", || {
        legacy.fake.seen.lock().unwrap().iter().filter(|seen| seen.verb == "DELETE").count() == 2
    })
    .await;
}

#[tokio::test]
async fn a_question_on_the_calls_stream_goes_to_the_caller_and_its_answer_back() {
    let answers: Arc<Mutex<Option<mpsc::Sender<String>>>> = Arc::default();
    let waiting = Arc::clone(&answers);
    let legacy = legacy(
        move |seen| {
            let waiting = Arc::clone(&waiting);
            Box::pin(async move {
                let (events, reply) = Reply::events();
                let asks = json!({"jsonrpc":"2.0","id":"q1","method":"elicitation/create","params":{"message":"name?"}});
                events.try_send(event(&asks)).unwrap();
                let progress = json!({"jsonrpc":"2.0","method":"notifications/progress",
                    "params":{"progressToken":seen.body["params"]["_meta"]["progressToken"],"progress":1}});
                events.try_send(event(&progress)).unwrap();
                let log = json!({"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"hi"}});
                events.try_send(event(&log)).unwrap();
                let quiet = json!({"jsonrpc":"2.0","method":"notifications/message","params":{"level":"debug","data":"psst"}});
                events.try_send(event(&quiet)).unwrap();
                *waiting.lock().unwrap() = Some(events);
                reply
            })
        },
        no_stream,
    )
    .await;
    let upstream = started(&legacy).await;
    let client = Arc::new(Client {
        answer: Some(json!({"action":"accept","content":{"name":"Ada"}})),
        ..Client::default()
    });
    let peer = Peer { log_level: Some("info".into()), ..form_peer() };
    let running = tokio::spawn({
        let (upstream, ctx) = (Arc::clone(&upstream), ctx(peer, &client, "ada"));
        async move {
            let asked = request("any", json!({"name":"any","_meta":{"progressToken":"mine"}}));
            upstream.call(&ctx, asked).await
        }
    });
    let answered = || {
        let seen = legacy.fake.seen.lock().unwrap();
        seen.iter().find(|seen| seen.body["id"] == "q1" && seen.verb == "POST").cloned()
    };
    eventually("the answer reaches the server", || answered().is_some()).await;
    assert_eq!(answered().unwrap().body["result"]["content"]["name"], "Ada");
    let id = legacy.fake.seen("tools/call")[0].body["id"].clone();
    let result = json!({"jsonrpc":"2.0","id":id,"result":{"content":[]}});
    answers.lock().unwrap().take().unwrap().try_send(event(&result)).unwrap();
    done(running.await.unwrap());

    assert_eq!(client.asked.lock().unwrap().len(), 1);
    let heard = client.heard.lock().unwrap().clone();
    assert_eq!(heard[0].1, json!({"progressToken":"mine","progress":1}), "under the client's own token");
    assert_eq!(heard.len(), 2, "the debug message was not asked for: {heard:?}");
    assert_eq!(legacy.fake.seen("logging/setLevel")[0].body["params"]["level"], "info");
    let capabilities = legacy.fake.seen("initialize")[1].body["params"]["capabilities"].clone();
    assert_eq!(capabilities, json!({"elicitation":{"form":{}}}));
}

#[tokio::test]
async fn an_expired_session_is_replaced_and_the_call_goes_through_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let legacy = legacy(
        move |seen| {
            count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move { seen.result(json!({"content":[]})) })
        },
        no_stream,
    )
    .await;
    let upstream = started(&legacy).await;
    done(upstream.call(&plain(), call("any")).await);
    let mut events = upstream.events();
    legacy.expired.store(legacy.sessions.load(Ordering::SeqCst), Ordering::SeqCst);
    done(upstream.call(&plain(), call("any")).await);
    assert_eq!(calls.load(Ordering::SeqCst), 2, "each call ran once");
    assert!(matches!(events.recv().await, Ok(Event::ListChanged(_))));
    eventually("the first session is replaced too", || legacy.sessions.load(Ordering::SeqCst) == 4).await;
    eventually("all is well", || upstream.state().reason.is_none() && !upstream.inventory().is_stale).await;
}

#[tokio::test]
async fn dropping_the_call_says_so_because_closing_does_not() {
    let legacy = legacy(
        |_| {
            Box::pin(async move {
                let (events, reply) = Reply::events();
                tokio::spawn(async move { events.closed().await });
                reply
            })
        },
        no_stream,
    )
    .await;
    let upstream = started(&legacy).await;
    let running = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { upstream.call(&plain(), call("any")).await }
    });
    eventually("the call arrives", || !legacy.fake.seen("tools/call").is_empty()).await;
    running.abort();
    eventually("it is cancelled", || !legacy.fake.seen("notifications/cancelled").is_empty()).await;
    let id = legacy.fake.seen("tools/call")[0].body["id"].clone();
    assert_eq!(legacy.fake.seen("notifications/cancelled")[0].body["params"]["requestId"], id);
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_again_where_it_broke() {
    let id: Arc<Mutex<Value>> = Arc::default();
    let (set, get) = (Arc::clone(&id), Arc::clone(&id));
    let legacy = legacy(
        move |seen| {
            *set.lock().unwrap() = seen.body["id"].clone();
            Box::pin(async move {
                let (events, reply) = Reply::events();
                // The priming event of SEP-1699: an id, a wait, no data; then the server hangs up.
                events.try_send("id: e1\nretry: 10\ndata:\n\n".to_owned()).unwrap();
                reply
            })
        },
        move |seen| {
            let get = Arc::clone(&get);
            Box::pin(async move {
                if seen.header("last-event-id") != Some("e1") {
                    return Reply::status(405);
                }
                let (events, reply) = Reply::events();
                let result = json!({"jsonrpc":"2.0","id":*get.lock().unwrap(),"result":{"content":["late"]}});
                events.try_send(event(&result)).unwrap();
                reply
            })
        },
    )
    .await;
    let upstream = started(&legacy).await;
    let result = done(upstream.call(&plain(), call("any")).await);
    assert_eq!(result["content"][0], "late");
    assert_eq!(legacy.fake.seen("tools/call").len(), 1, "the call itself is not sent again");
}

#[tokio::test]
async fn a_stream_that_ends_without_an_answer_is_an_outcome_unknown() {
    let legacy = legacy(|_| Box::pin(async { Reply::events().1 }), no_stream).await;
    let upstream = started(&legacy).await;
    let fault = upstream.call(&plain(), call("any")).await.unwrap_err();
    assert_eq!((fault.code, fault.retry), (Code::GONE_MIDWAY, model::Retry::OutcomeUnknown));
}

#[tokio::test]
async fn the_sessions_own_stream_brings_changes_and_questions_find_the_open_call() {
    let streams: Arc<Mutex<Vec<Stream>>> = Arc::default();
    let opened = Arc::clone(&streams);
    let legacy = legacy(
        |_| {
            Box::pin(async move {
                let (events, reply) = Reply::events();
                tokio::spawn(async move { events.closed().await });
                reply
            })
        },
        move |seen| {
            let opened = Arc::clone(&opened);
            Box::pin(async move {
                let (events, reply) = Reply::events();
                let session = seen.header("mcp-session-id").unwrap().to_owned();
                opened.lock().unwrap().push((session, events));
                reply
            })
        },
    )
    .await;
    let upstream = started(&legacy).await;
    upstream.subscribe("test://a").await.unwrap();
    assert_eq!(legacy.fake.seen("resources/subscribe").len(), 1);
    let say = |session: &str, message: Value| {
        let streams = streams.lock().unwrap();
        let (_, events) = streams.iter().find(|(known, _)| known == session).unwrap();
        events.try_send(event(&message)).unwrap();
    };
    eventually("the stream is open", || !streams.lock().unwrap().is_empty()).await;
    let mut events = upstream.events();
    say(
        "s1",
        json!({"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"test://a"}}),
    );
    assert!(matches!(events.recv().await, Ok(Event::ResourceUpdated { .. })));

    // A question with no call open, with one, and with two of different people.
    say("s1", json!({"jsonrpc":"2.0","id":"nobody","method":"roots/list"}));
    let reply = |id: &str| {
        let seen = legacy.fake.seen.lock().unwrap();
        seen.iter().find(|seen| seen.body["id"] == id && seen.verb == "POST").map(|seen| seen.body.clone())
    };
    eventually("it is refused", || reply("nobody").is_some()).await;
    assert!(reply("nobody").unwrap()["error"]["message"].as_str().unwrap().contains("no call is open"));

    let ada = Arc::new(Client { answer: Some(json!({"action":"decline"})), ..Client::default() });
    let bob: Arc<Client> = Arc::default();
    let mut running = Vec::new();
    for (client, principal, count) in [(&ada, "ada", 1), (&bob, "bob", 2)] {
        let (upstream, ctx) = (Arc::clone(&upstream), ctx(form_peer(), client, principal));
        running.push(tokio::spawn(async move { upstream.call(&ctx, call("any")).await }));
        eventually("the call arrives", || legacy.fake.seen("tools/call").len() == count).await;
        eventually("its session has a stream", || streams.lock().unwrap().iter().any(|(s, _)| s == "s2"))
            .await;
        say("s2", json!({"jsonrpc":"2.0","id":principal,"method":"elicitation/create","params":{}}));
        eventually("it is answered", || reply(principal).is_some()).await;
    }
    assert_eq!(reply("ada").unwrap()["result"]["action"], "decline");
    assert!(reply("bob").unwrap()["error"]["message"].as_str().unwrap().contains("several clients"));
    assert_eq!((ada.asked.lock().unwrap().len(), bob.asked.lock().unwrap().len()), (1, 0));
    running.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_legacy_task_is_handed_out_as_one() {
    let legacy = legacy(
        |seen| Box::pin(async move { seen.result(json!({"task":{"taskId":"t","status":"working"}})) }),
        no_stream,
    )
    .await;
    let upstream = started(&legacy).await;
    let asked = request("any", json!({"name":"any","task":{"ttl":1000}}));
    assert!(matches!(upstream.call(&plain(), asked).await, Ok(Outcome::Task { .. })));
    assert_eq!(legacy.fake.seen("tools/call")[0].body["params"]["task"], json!({"ttl":1000}));
}

#[tokio::test]
async fn a_server_of_the_oldest_transport_is_found_behind_an_http_url() {
    let stream: Arc<Mutex<Option<mpsc::Sender<String>>>> = Arc::default();
    let out = Arc::clone(&stream);
    let fake = FakeHttp::start(move |seen| {
        let out = Arc::clone(&out);
        Box::pin(async move {
            match (seen.verb.as_str(), seen.path.as_str()) {
                ("GET", "/mcp") => {
                    let (events, reply) = Reply::events();
                    events.try_send("event: endpoint\ndata: /messages?session=1\n\n".to_owned()).unwrap();
                    *out.lock().unwrap() = Some(events);
                    reply
                }
                ("POST", "/messages?session=1") => {
                    let result = match seen.method() {
                        "initialize" => json!({"protocolVersion":"2024-11-05","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"0"}}),
                        "tools/list" => json!({"tools":[tool("any")]}),
                        "tools/call" => json!({"content":[]}),
                        _ => return Reply::status(202),
                    };
                    let answer = json!({"jsonrpc":"2.0","id":seen.body["id"],"result":result});
                    out.lock().unwrap().as_ref().unwrap().try_send(event(&answer)).unwrap();
                    Reply::status(202)
                }
                _ => Reply::status(404),
            }
        })
    })
    .await;
    let upstream = up(settings(Transport::Http { url: fake.url.clone() })).await;
    let state = upstream.state();
    assert_eq!((state.transport, state.protocol_version.as_deref()), ("sse", Some("2024-11-05")));
    done(upstream.call(&ctx(all_peer(), &Arc::default(), "a"), call("any")).await);

    let direct = up(settings(Transport::Sse { url: fake.url.clone() })).await;
    done(direct.call(&ctx(all_peer(), &Arc::default(), "a"), call("any")).await);
}

#[tokio::test]
async fn a_server_that_is_forced_to_one_era_is_not_asked_in_the_other() {
    let legacy = legacy(|seen| Box::pin(async move { seen.result(json!({})) }), no_stream).await;
    let mut only = settings(Transport::Http { url: legacy.fake.url.clone() });
    only.era = EraChoice::Legacy;
    up(only.clone()).await;
    assert!(legacy.fake.seen("server/discover").is_empty());
    only.era = EraChoice::Modern;
    let upstream = McpUpstream::start(only, parts());
    eventually("it says why", || upstream.state().reason.is_some()).await;
    let fault = upstream.call(&plain(), call("any")).await.unwrap_err();
    assert_eq!(fault.code, Code::BAD_ANSWER, "{fault}");
    assert!(fault.detail.contains("modern"));
}
