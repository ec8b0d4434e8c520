//! Servers over byte streams: TCP here, Unix sockets the same way.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use connector::{Connector, Peer};
use mcp_upstream::{Sessions, Settings, Transport};
use model::{Code, Era, Retry};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::support::*;

/// What every fake answers beside calls.
fn basics(message: &Value, out: &UnboundedSender<String>, is_modern: bool) -> bool {
    let reply = match (message["method"].as_str().unwrap_or(""), is_modern) {
        ("server/discover", true) => answer(message, discovery()),
        ("server/discover", false) => refuse(message, -32601),
        ("initialize", false) => answer(message, greeting()),
        ("tools/list", _) => answer(message, json!({"tools":[tool("any")]})),
        ("resources/list", _) => answer(message, json!({"resources":[]})),
        ("resources/templates/list", _) => answer(message, json!({"resourceTemplates":[]})),
        ("logging/setLevel", _) => answer(message, json!({})),
        ("tools/call", _) | ("", _) => return false,
        _ => return true,
    };
    out.send(reply).unwrap();
    true
}

fn tcp(addr: &str) -> mcp_upstream::Settings {
    settings(Transport::Tcp { addr: addr.to_owned() })
}

fn count(seen: &Arc<Mutex<Vec<Value>>>, method: &str) -> usize {
    seen.lock().unwrap().iter().filter(|m| m["method"] == method).count()
}

#[tokio::test]
async fn a_modern_server_serves_everyone_over_one_socket_and_answers_find_their_calls() {
    let held: Arc<Mutex<Vec<Value>>> = Arc::default();
    let hold = Arc::clone(&held);
    let (addr, seen) = fake_lines(move |message, out| {
        if basics(&message, &out, true) {
            return;
        }
        // Answers come in the opposite order of the calls, each preceded by progress.
        let mut held = hold.lock().unwrap();
        held.push(message);
        if held.len() == 3 {
            for message in held.drain(..).rev() {
                let token = &message["params"]["_meta"]["progressToken"];
                let progress = json!({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":token,"progress":1}});
                out.send(progress.to_string()).unwrap();
                out.send(answer(&message, json!({"resultType":"complete","echo":message["params"]["arguments"]}))).unwrap();
            }
        }
    })
    .await;
    let upstream = up(tcp(&addr)).await;
    assert_eq!(upstream.state().era, Some(Era::Modern));
    let mut running = Vec::new();
    for n in 0..3 {
        let upstream = Arc::clone(&upstream);
        running.push(tokio::spawn(async move {
            let client: Arc<Client> = Arc::default();
            let peer = if n == 0 { Peer::plain() } else { modern_peer() };
            // Two clients chose the same token.
            let asked =
                request("any", json!({"name":"any","arguments":{"n":n},"_meta":{"progressToken":"same"}}));
            let result = done(upstream.call(&ctx(peer, &client, &format!("p{n}")), asked).await);
            let heard = client.heard.lock().unwrap().clone();
            (result["echo"]["n"].as_i64().unwrap(), heard)
        }));
    }
    for (n, task) in running.into_iter().enumerate() {
        let (echoed, heard) = task.await.unwrap();
        assert_eq!(usize::try_from(echoed).unwrap(), n);
        let expected = ("notifications/progress".to_owned(), json!({"progressToken":"same","progress":1}));
        assert_eq!(heard, [expected], "its own progress under its own token, and nobody else's");
    }
    assert_eq!(count(&seen, "server/discover"), 1);
}

#[tokio::test]
async fn dropping_a_call_cancels_it_under_our_own_id() {
    let (addr, seen) = fake_lines(|message, out| {
        basics(&message, &out, true);
    })
    .await;
    let upstream = up(tcp(&addr)).await;
    let running = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { upstream.call(&plain(), call("any")).await }
    });
    eventually("the call arrives", || count(&seen, "tools/call") == 1).await;
    running.abort();
    eventually("it is cancelled", || count(&seen, "notifications/cancelled") == 1).await;
    let all = seen.lock().unwrap().clone();
    let id = all.iter().find(|m| m["method"] == "tools/call").unwrap()["id"].clone();
    assert_eq!(all.last().unwrap()["params"]["requestId"], id);
}

#[tokio::test]
async fn a_legacy_server_gets_one_socket_or_one_per_class_and_questions_go_to_the_only_open_call() {
    for (sessions, sockets) in [(Sessions::Auto, 1), (Sessions::ByAbility, 2)] {
        let waiting: Arc<Mutex<Option<Value>>> = Arc::default();
        let hold = Arc::clone(&waiting);
        let (addr, seen) = fake_lines(move |message, out| {
            if basics(&message, &out, false) {
                return;
            }
            if message["method"] == "tools/call" {
                *hold.lock().unwrap() = Some(message);
                out.send(
                json!({"jsonrpc":"2.0","id":77,"method":"sampling/createMessage","params":{"messages":[]}})
                    .to_string(),
            )
            .unwrap();
                out.send(json!({"jsonrpc":"2.0","id":78,"method":"ping"}).to_string()).unwrap();
                out.send(json!({"jsonrpc":"2.0","id":79,"method":"made/up"}).to_string()).unwrap();
            } else if message["id"] == 77 {
                let call = hold.lock().unwrap().take().unwrap();
                out.send(answer(&call, json!({"said":message["result"]}))).unwrap();
            }
        })
        .await;
        let upstream = up(Settings { sessions, ..tcp(&addr) }).await;
        assert_eq!(upstream.state().era, Some(Era::Legacy));
        let client = Arc::new(Client { answer: Some(json!({"role":"assistant"})), ..Client::default() });
        let result = done(upstream.call(&ctx(all_peer(), &client, "ada"), call("any")).await);
        assert_eq!(result["said"]["role"], "assistant");
        assert_eq!(count(&seen, "initialize"), 1, "a client that can do everything shares the first socket");
        let replies: Vec<Value> =
            seen.lock().unwrap().iter().filter(|m| m["method"].is_null()).cloned().collect();
        assert!(replies.iter().any(|m| m["id"] == 78 && m["result"] == json!({})));
        assert!(replies.iter().any(|m| m["id"] == 79 && m["error"]["code"] == -32601));

        // A client that cannot be asked: its question is refused, on a socket of its own or by the hub.
        let running = tokio::spawn({
            let upstream = Arc::clone(&upstream);
            async move { upstream.call(&plain(), call("any")).await }
        });
        eventually("the question is refused", || {
            seen.lock().unwrap().iter().any(|m| m["id"] == 77 && m["error"]["code"] == -32601)
        })
        .await;
        assert_eq!(count(&seen, "initialize"), sockets);
        done(running.await.unwrap());
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_midway_fails_its_calls_and_is_there_again_for_the_next() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let (addr, seen) = fake_lines(move |message, out| {
        if basics(&message, &out, true) {
            return;
        }
        if counter.fetch_add(1, Ordering::SeqCst) == 0 {
            out.send("HANG UP".to_owned()).unwrap();
        } else {
            out.send(answer(&message, json!({}))).unwrap();
        }
    })
    .await;
    let upstream = up(tcp(&addr)).await;
    let fault = upstream.call(&plain(), call("any")).await.unwrap_err();
    assert_eq!((fault.code, fault.retry), (Code::GONE_MIDWAY, Retry::OutcomeUnknown), "{fault}");
    done(upstream.call(&plain(), call("any")).await);
    assert_eq!(calls.load(Ordering::SeqCst), 2, "the first call was not sent again");
    assert_eq!(count(&seen, "server/discover"), 2);
    assert_eq!(upstream.state().restarts, 1);
}

#[tokio::test]
async fn nonsense_and_wrong_ids_disturb_nobody_and_a_key_twice_fails_its_own_call_at_once() {
    let (addr, _) = fake_lines(|message, out| {
        if basics(&message, &out, true) {
            return;
        }
        out.send("Server listening on stdout, as one does".to_owned()).unwrap();
        out.send(json!({"jsonrpc":"2.0","id":424_242,"result":{}}).to_string()).unwrap();
        out.send(json!({"jsonrpc":"2.0","id":"what","error":{"code":1,"message":""}}).to_string()).unwrap();
        let id = &message["id"];
        out.send(match message["params"]["name"].as_str().unwrap() {
            "twice" => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}},\"result\":{{}}}}"),
            "text" => format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{id}\",\"result\":{{}}}}"),
            _ => answer(&message, json!({})),
        })
        .unwrap();
    })
    .await;
    let upstream = up(tcp(&addr)).await;
    done(upstream.call(&plain(), call("any")).await);
    done(upstream.call(&plain(), call("text")).await);
    let fault = upstream.call(&plain(), call("twice")).await.unwrap_err();
    assert_eq!(fault.code, Code::BAD_ANSWER, "{fault}");
    done(upstream.call(&plain(), call("any")).await);
    assert_eq!(upstream.state().restarts, 0);
}

#[tokio::test]
async fn a_unix_socket_works_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
                let (read, mut write) = socket.into_split();
                let (out, mut queue) = tokio::sync::mpsc::unbounded_channel();
                let mut lines = BufReader::new(read).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let message: Value = serde_json::from_str(&line).unwrap();
                    if !basics(&message, &out, true) {
                        out.send(answer(&message, json!({"ok":1}))).unwrap();
                    }
                    while let Ok(line) = queue.try_recv() {
                        write.write_all(format!("{line}\n").as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    let upstream = up(settings(Transport::Unix { path })).await;
    assert_eq!(done(upstream.call(&plain(), call("any")).await)["ok"], 1);
}

#[tokio::test]
async fn sockets_are_bounded_and_idle_classes_make_room_for_others() {
    let (addr, seen) = fake_lines(|message, out| {
        if !basics(&message, &out, false) && message["params"]["name"] == "quick" {
            out.send(answer(&message, json!({}))).unwrap();
        }
    })
    .await;
    let upstream = up(Settings { sessions: Sessions::ByAbility, ..tcp(&addr) }).await;
    let class = |n: usize| Peer {
        abilities: connector::Abilities {
            elicit_form: n & 1 != 0,
            elicit_url: n & 2 != 0,
            sampling: n & 4 != 0,
            ..connector::Abilities::default()
        },
        ..form_peer()
    };
    for n in 0..7 {
        done(upstream.call(&ctx(class(n), &Arc::default(), "a"), call("quick")).await);
    }
    assert_eq!(count(&seen, "initialize"), 8, "one for the lists, one per class");

    let mut running = Vec::new();
    for n in 0..4 {
        let (upstream, ctx) = (Arc::clone(&upstream), ctx(class(n), &Arc::default(), "a"));
        running.push(tokio::spawn(async move { upstream.call(&ctx, call("hangs")).await }));
    }
    eventually("four sockets are in use", || {
        let seen = seen.lock().unwrap();
        seen.iter().filter(|m| m["params"]["name"] == "hangs").count() == 4
    })
    .await;
    let fault = upstream.call(&ctx(class(6), &Arc::default(), "a"), call("quick")).await.unwrap_err();
    assert_eq!(fault.code, Code::BUSY, "{fault}");
    running.iter().for_each(tokio::task::JoinHandle::abort);
}
