//! Status, connections, tools and calls.

use http::Method;
use serde_json::{Value, json};

use crate::scene::{hub, only};

fn names(list: &Value, member: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn status_counts_what_is_there_and_what_never_came_up() {
    let hub = hub().await;
    hub.clock.advance_ms(1500);
    let status = hub.get("/api/v1/status").await.json;
    assert_eq!(status["connections"], json!({ "up": 1, "starting": 0, "down": 1 }));
    assert_eq!((&status["tool_count"], &status["uptime_ms"]), (&json!(9), &json!(1500)));
    assert_eq!((&status["version"], &status["dropped_record_count"]), (&json!("1.2.3"), &json!(0)));
}

#[tokio::test]
async fn a_connection_says_how_it_stands_and_an_entry_why_it_is_none() {
    let hub = hub().await;
    let all = hub.get("/api/v1/connections").await.json;
    assert_eq!(names(&all["connections"], "key"), ["broken", "files"]);
    let files = hub.get("/api/v1/connections/files").await.json;
    assert_eq!((&files["status"], &files["condition"]), (&json!("connected"), &json!("started")));
    assert_eq!((&files["era"], &files["protocol_version"]), (&json!("modern"), &json!("2026-07-28")));
    assert_eq!((&files["transport"], &files["server"]), (&json!("http"), &json!("fake 1")));
    assert_eq!(files["source"], json!({ "file": "trunkline.yaml", "line": 3 }));
    let tools = files["tools"].as_array().unwrap();
    let odd = tools.iter().find(|tool| tool["tool"] == "odd/name").unwrap();
    assert!(odd["problem"].as_str().unwrap().contains("does not compile"), "{odd}");
    let hidden = tools.iter().find(|tool| tool["tool"] == "hidden").unwrap();
    assert_eq!(hidden["is_offered"], false);
    let broken = hub.get("/api/v1/connections/broken").await.json;
    assert_eq!((&broken["status"], &broken["reason"]), (&json!("configuring"), &json!("add `command`")));
    assert_eq!(broken["tools"], json!([]));
    assert_eq!(hub.get("/api/v1/connections/nothere").await.text, "null", "absent is not an error");
}

#[tokio::test]
async fn a_test_answers_with_what_failed() {
    let hub = hub().await;
    let good = hub.post("/api/v1/connections/files/test", "").await;
    assert_eq!((&good.json["is_ok"], &good.json["problem"]), (&json!(true), &Value::Null));
    let bad = hub.post("/api/v1/connections/broken/test", "").await;
    assert_eq!(bad.status, 200);
    assert_eq!((&bad.json["is_ok"], &bad.json["problem"]["code"]), (&json!(false), &json!("TL-1501")));
    hub.post("/api/v1/connections/nothere/test", "").await.is_problem(404, "TL-1101");
    assert_eq!(*hub.directory.retested.lock().unwrap(), ["files", "broken", "nothere"]);
}

#[tokio::test]
async fn tools_are_those_the_key_may_use_searched_and_paged() {
    let hub = hub().await;
    let narrow = hub.key(only(&["files__t*", "files__hidden"])).await;
    let mine = hub.ask(Method::GET, "/api/v1/tools").key(&narrow).send().await.json;
    assert_eq!(names(&mine["tools"], "name"), ["files__text"]);
    let found = hub.get("/api/v1/tools?search=PROTOCOL%20answers").await.json;
    assert_eq!(names(&found["tools"], "tool"), ["refuse"]);

    let mut seen = Vec::new();
    let mut path = "/api/v1/tools?limit=3".to_owned();
    loop {
        let page = hub.get(&path).await.json;
        assert!(page["tools"].as_array().unwrap().len() <= 3);
        seen.extend(names(&page["tools"], "tool"));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/tools?limit=3&cursor={}", cursor.replace('/', "%2F"));
    }
    assert_eq!(seen, ["ask", "echo", "fail", "large", "odd/name", "refuse", "shaky", "slow", "text"]);
    let echo = &hub.get("/api/v1/tools?search=echo").await.json["tools"][0];
    assert_eq!(echo["input_schema"]["required"], json!(["n"]));
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_named() {
    let hub = hub().await;
    for (path, name) in [
        ("/api/v1/tools?limit=0", "limit"),
        ("/api/v1/tools?limit=1001", "limit"),
        ("/api/v1/tools?limit=x", "limit"),
        ("/api/v1/tools?serach=x", "serach"),
        ("/api/v1/calls?outcome=great", "outcome"),
        ("/api/v1/calls?limit=100000", "limit"),
    ] {
        let answer = hub.get(path).await;
        answer.is_problem(400, "TL-1201");
        assert!(answer.json["detail"].as_str().unwrap().contains(name), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn calls_are_found_by_what_they_were() {
    let hub = hub().await;
    let first = hub.post("/call/files/text", "{}").await;
    hub.post("/call/files/fail", "{}").await;
    hub.post("/call/files/nothing", "{}").await;
    let all = hub.get("/api/v1/calls").await.json;
    assert_eq!(all["calls"].as_array().unwrap().len(), 3);
    let failed = hub.get("/api/v1/calls?outcome=tool_error").await.json;
    assert_eq!(names(&failed["calls"], "target"), ["fail"]);
    let id = first.json["call_id"].as_str().unwrap();
    let one = hub.get(&format!("/api/v1/calls?search={id}&connection=files&limit=5")).await.json;
    assert_eq!(names(&one["calls"], "target"), ["text"]);
}
