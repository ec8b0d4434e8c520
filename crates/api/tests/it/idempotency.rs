//! `Idempotency-Key`: sent twice, done once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::{RequestKey, Requests};

use crate::scene::{Answer, Hub, hub};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

async fn call(hub: &Hub, path: &str, key: &str, body: &str) -> Answer {
    let ask = hub.ask(Method::POST, path).key(&hub.root).header("idempotency-key", key);
    ask.json(body).send().await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.contains_key("idempotency-replayed")
}

/// Lets other tasks run until `what` holds.
async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_runs_once() {
    let hub = hub().await;
    let first = call(&hub, "/call/files/text", "k1", "{}").await;
    let second = call(&hub, "/call/files/text", "k1", "{}").await;
    assert_eq!((first.status.as_u16(), &first.text), (200, &second.text));
    assert!(!is_replayed(&first) && is_replayed(&second));
    assert_eq!(hub.upstream.calls(), 1);
    assert_eq!(hub.records().await.len(), 1);
    let fresh = call(&hub, "/call/files/text", "k2", "{}").await;
    assert_ne!(fresh.json["call_id"], first.json["call_id"]);
    assert_eq!(hub.upstream.calls(), 2);
}

#[tokio::test]
async fn requests_at_the_same_moment_wait_for_the_first() {
    let hub = hub().await;
    let open = async {
        until(|| hub.upstream.calls() == 1).await;
        // Room for everyone: a second run would not be held back by the gate.
        hub.upstream.gate.add_permits(10);
    };
    let one = || call(&hub, "/call/files/slow", "k", "{}");
    let (a, b, c, ()) = tokio::join!(one(), one(), one(), open);
    assert_eq!(a.json["result"], "run 1");
    assert!(a.text == b.text && b.text == c.text);
    assert_eq!([&a, &b, &c].into_iter().filter(|answer| is_replayed(answer)).count(), 2);
    assert_eq!(hub.upstream.calls(), 1);
}

#[tokio::test]
async fn other_arguments_under_the_same_key_are_refused() {
    let hub = hub().await;
    let first = call(&hub, "/call/files/echo", "k", r#"{"n":1}"#).await;
    let other = call(&hub, "/call/files/echo", "k", r#"{"n":2}"#).await;
    other.is_problem(422, "TL-1206");
    assert_eq!(other.json["call_id"], first.json["call_id"], "it names the call that has the key");
    assert_eq!(hub.upstream.calls(), 1);
    let elsewhere = hub.again().await;
    let other = call(&elsewhere, "/call/files/echo", "k", r#"{"n":2}"#).await;
    other.is_problem(422, "TL-1206");
    assert_eq!(other.json["call_id"], first.json["call_id"], "so does another node");
    assert_eq!(elsewhere.upstream.calls(), 0);
}

#[tokio::test]
async fn a_key_belongs_to_one_caller_and_one_tool() {
    let hub = hub().await;
    call(&hub, "/call/files/text", "k", "{}").await;
    assert!(!is_replayed(&call(&hub, "/call/files/odd%2Fname", "k", "{}").await));
    let other = hub.key(model::Access::everything()).await;
    let theirs =
        hub.ask(Method::POST, "/call/files/text").key(&other).header("idempotency-key", "k").send().await;
    assert!(!is_replayed(&theirs));
    assert_eq!(hub.upstream.calls(), 3);
}

#[tokio::test]
async fn a_day_later_the_key_is_free_again() {
    let hub = hub().await;
    call(&hub, "/call/files/text", "k", "{}").await;
    hub.clock.advance_ms(DAY_MS - 1);
    assert!(is_replayed(&call(&hub, "/call/files/text", "k", "{}").await));
    hub.clock.advance_ms(1);
    assert!(!is_replayed(&call(&hub, "/call/files/text", "k", "{}").await));
    assert_eq!(hub.upstream.calls(), 2);
}

#[tokio::test]
async fn what_did_nothing_may_be_tried_again_with_the_same_key() {
    let hub = hub().await;
    hub.upstream.is_down.store(true, Ordering::SeqCst);
    call(&hub, "/call/files/shaky", "k", "{}").await.is_problem(502, "TL-1402");
    hub.upstream.is_down.store(false, Ordering::SeqCst);
    let again = call(&hub, "/call/files/shaky", "k", "{}").await;
    assert_eq!((again.status.as_u16(), is_replayed(&again)), (200, false));
}

#[tokio::test]
async fn what_may_have_happened_is_not_done_again() {
    let hub = hub().await;
    let first = call(&hub, "/call/files/refuse", "k", "{}").await;
    let second = call(&hub, "/call/files/refuse", "k", "{}").await;
    first.is_problem(502, "TL-1403");
    assert_eq!(first.text, second.text);
    assert_eq!(hub.upstream.calls(), 1);
}

#[tokio::test]
async fn a_client_that_left_finds_its_answer_when_it_comes_back() {
    let hub = hub().await;
    {
        let leaving = call(&hub, "/call/files/slow", "k", "{}");
        tokio::select! {
            _ = leaving => panic!("the gate is closed"),
            () = until(|| hub.upstream.calls() == 1) => {}
        }
    }
    hub.upstream.gate.add_permits(10);
    let answer = call(&hub, "/call/files/slow", "k", "{}").await;
    assert_eq!((&answer.json["result"], is_replayed(&answer)), (&Value::from("run 1"), true));
    assert_eq!(hub.upstream.calls(), 1);
}

#[tokio::test]
async fn a_key_is_one_short_visible_text() {
    let hub = hub().await;
    for key in ["", &"x".repeat(256), "caf\u{e9}"] {
        call(&hub, "/call/files/text", key, "{}").await.is_problem(400, "TL-1201");
    }
    assert_eq!(hub.upstream.calls(), 0);
}

#[tokio::test]
async fn another_node_and_a_restart_know_the_answer() {
    let hub = hub().await;
    let first = call(&hub, "/call/files/text", "k", "{}").await;
    let restarted = hub.again().await;
    let second = call(&restarted, "/call/files/text", "k", "{}").await;
    assert_eq!((second.status.as_u16(), &first.text), (200, &second.text));
    assert_eq!(second.headers["content-type"], "application/json");
    assert!(is_replayed(&second));
    assert_eq!(restarted.upstream.calls(), 0);
}

#[tokio::test]
async fn what_runs_on_another_node_is_not_run_here() {
    let hub = hub().await;
    let elsewhere = hub.again().await;
    let there = async {
        until(|| hub.upstream.calls() == 1).await;
        let refused = call(&elsewhere, "/call/files/slow", "k", "{}").await;
        hub.upstream.gate.add_permits(10);
        refused
    };
    let (here, refused) = tokio::join!(call(&hub, "/call/files/slow", "k", "{}"), there);
    refused.is_problem(409, "TL-1206");
    assert_eq!(refused.json["retry"], "outcome_unknown");
    assert_eq!(elsewhere.upstream.calls(), 0);
    let later = call(&elsewhere, "/call/files/slow", "k", "{}").await;
    assert_eq!((&later.text, is_replayed(&later)), (&here.text, true));
    assert_eq!(elsewhere.upstream.calls(), 0);
}

#[tokio::test]
async fn an_answer_that_is_too_large_to_keep_is_not_fetched_by_running_again() {
    let hub = hub().await;
    let first = call(&hub, "/call/files/large", "k", "{}").await;
    assert_eq!(first.status.as_u16(), 200);
    assert!(first.text.len() > 200_000);
    let second = call(&hub, "/call/files/large", "k", "{}").await;
    second.is_problem(409, "TL-1206");
    assert_eq!(second.json["call_id"], first.json["call_id"]);
    assert_eq!(hub.upstream.calls(), 1);
}

async fn make_key(hub: &Hub, key: &str, name: &str) -> Answer {
    let body = format!(r#"{{"name":"{name}","access":{{"allow":["*"]}}}}"#);
    let ask = hub.ask(Method::POST, "/api/v1/keys").key(&hub.root).header("idempotency-key", key);
    ask.json(&body).send().await
}

#[tokio::test]
async fn a_change_that_is_sent_twice_is_made_once() {
    let hub = hub().await;
    let count = async || hub.get("/api/v1/keys").await.json["keys"].as_array().unwrap().len();
    let before = count().await;
    let (first, second) = tokio::join!(make_key(&hub, "k", "robot"), make_key(&hub, "k", "robot"));
    assert_eq!((first.status.as_u16(), &first.text), (201, &second.text), "the same key, secret and all");
    assert!(is_replayed(&first) != is_replayed(&second));
    let restarted = hub.again().await;
    let third = make_key(&restarted, "k", "robot").await;
    assert!(is_replayed(&third));
    assert_eq!((&third.text, &third.status), (&first.text, &first.status));
    assert_eq!(count().await, before + 1);
    make_key(&hub, "k", "another").await.is_problem(422, "TL-1206");
    assert_eq!(count().await, before + 1);
}

#[tokio::test]
async fn a_key_of_one_path_is_not_one_of_another() {
    let hub = hub().await;
    let made = make_key(&hub, "k", "robot").await;
    let path = format!("/api/v1/keys/{}", made.json["id"].as_str().unwrap());
    let ask = hub.ask(Method::DELETE, &path).key(&hub.root).header("idempotency-key", "k");
    ask.send().await.is_problem(422, "TL-1206");
    let ask = hub.ask(Method::DELETE, &path).key(&hub.root).header("idempotency-key", "k2");
    assert!(ask.send().await.status.is_success());
}

#[tokio::test]
async fn a_change_that_was_refused_may_be_sent_again_corrected() {
    let hub = hub().await;
    make_key(&hub, "k", "").await.is_problem(422, "TL-1202");
    let again = make_key(&hub, "k", "robot").await;
    assert_eq!((again.status.as_u16(), is_replayed(&again)), (201, false));
}

#[tokio::test]
async fn whoever_may_not_make_a_change_does_not_see_its_answer_either() {
    let hub = hub().await;
    make_key(&hub, "k", "robot").await;
    let plain = hub.key(crate::scene::only(&["*"])).await;
    let ask = hub.ask(Method::POST, "/api/v1/keys").key(&plain).header("idempotency-key", "k");
    ask.json(r#"{"name":"robot","access":{"allow":["*"]}}"#).send().await.is_problem(403, "TL-1002");
}

#[tokio::test]
async fn what_is_kept_tells_no_secret() {
    let hub = hub().await;
    let made = make_key(&hub, "k", "robot").await;
    let secret = made.json["key"].as_str().unwrap().to_owned();
    let mut hash = Sha256::new();
    for part in ["api", "k"] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let key = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let id = made.json["id"].as_str().unwrap();
    let root = hub.get("/api/v1/keys").await;
    let root = root.json["keys"].as_array().unwrap().iter().find(|key| key["id"] != id).unwrap();
    let caller = root["id"].as_str().unwrap().to_owned();
    let key = RequestKey { workspace: hub.owner.workspace, caller, key };
    let row = hub.store.find_request(&key).await.unwrap();
    let kept = String::from_utf8(row.unwrap().response.unwrap()).unwrap();
    assert!(kept.len() > 300, "the answer is there");
    assert!(!kept.contains(&secret) && !kept.contains("robot"), "{kept}");
}
