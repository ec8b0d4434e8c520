//! `POST /call/{connection}/{tool}`.

use http::Method;
use serde_json::{Value, json};

use crate::scene::{hub, only};

#[tokio::test]
async fn arguments_go_in_and_the_result_comes_out_under_the_id_of_its_record() {
    let hub = hub().await;
    let answer = hub.post("/call/files/echo", r#" {"n": 7} "#).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let members: Vec<&str> = answer.json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["cached", "call_id", "duration_ms", "is_error", "result", "truncated"]);
    assert_eq!(answer.json["result"], json!({ "n": 7 }));
    assert_eq!(answer.json["is_error"], false);
    let records = hub.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["id"], answer.json["call_id"]);
    assert_eq!((&records[0]["door"], &records[0]["target"]), (&json!("call"), &json!("echo")));
}

#[tokio::test]
async fn no_body_is_no_arguments_and_a_text_is_a_text() {
    let hub = hub().await;
    let answer = hub.ask(Method::POST, "/call/files/text").key(&hub.root).send().await;
    assert_eq!(answer.json["result"], "run 1");
    let odd = hub.post("/call/files/odd%2Fname", "{}").await;
    assert_eq!(odd.json["result"], "run 2");
}

#[tokio::test]
async fn a_tool_that_fails_has_answered() {
    let hub = hub().await;
    let answer = hub.post("/call/files/fail", "{}").await;
    assert_eq!(answer.status, 200);
    assert_eq!((&answer.json["is_error"], &answer.json["result"]), (&json!(true), &json!("no luck")));
    assert_eq!(hub.records().await[0]["outcome"], "tool_error");
}

#[tokio::test]
async fn bad_bodies_are_refused_and_nothing_is_called() {
    let hub = hub().await;
    for body in ["{", "[]", "7", "null", r#"{"n":1} {"n":2}"#] {
        hub.post("/call/files/echo", body).await.is_problem(400, "TL-1201");
    }
    let large = format!(r#"{{"n":1,"pad":"{}"}}"#, "x".repeat(1000));
    hub.post("/call/files/echo", &large).await.is_problem(413, "TL-1203");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let ask = hub.ask(Method::POST, "/call/files/echo").key(&hub.root).header("content-type", kind);
        ask.body(r#"{"n":1}"#).send().await.is_problem(415, "TL-1204");
    }
    let misfit = hub.post("/call/files/echo", r#"{"n":"seven"}"#).await;
    misfit.is_problem(422, "TL-1202");
    assert!(misfit.json["detail"].as_str().unwrap().contains("n: "), "the field is named: {}", misfit.text);
    assert!(!misfit.text.contains("seven"), "the value is not repeated");
    assert!(misfit.json["call_id"].is_string());
    assert_eq!(hub.upstream.calls(), 0);
}

#[tokio::test]
async fn not_there_and_not_allowed_are_the_same_words() {
    let hub = hub().await;
    let narrow = hub.key(only(&["files__text"])).await;
    let detail = async |key: &str, path: &str| {
        let answer = hub.ask(Method::POST, path).key(key).json("{}").send().await;
        answer.is_problem(404, "TL-1101");
        let mut problem = answer.json;
        problem["call_id"] = Value::Null;
        problem.to_string()
    };
    let refused = detail(&narrow, "/call/files/fail").await;
    let absent = detail(&narrow, "/call/nothere/fail").await;
    assert_eq!(refused.replace("files", "X"), absent.replace("nothere", "X"));
    assert_eq!(refused, detail(&narrow, "/call/files/zzzz").await.replace("zzzz", "fail"));
    assert_eq!(refused, detail(&hub.root, "/call/files/hidden").await.replace("hidden", "fail"));
    // Nor do arguments that would not fit tell that the tool is there.
    assert_eq!(refused.replace("fail", "echo"), detail(&narrow, "/call/files/echo").await);
    detail(&narrow, "/call/Not%20A%20Key/fail").await;
    assert_eq!(hub.upstream.calls(), 0);
}

#[tokio::test]
async fn a_question_nobody_here_can_answer_is_a_problem_that_says_where_to_go() {
    let hub = hub().await;
    let answer = hub.post("/call/files/ask", "{}").await;
    answer.is_problem(502, "TL-1601");
    assert!(answer.json["hint"].as_str().unwrap().contains("/mcp"));
    assert_eq!(answer.json["call_id"], hub.records().await[0]["id"]);
}

#[tokio::test]
async fn a_protocol_error_of_the_upstream_keeps_its_words() {
    let hub = hub().await;
    let answer = hub.post("/call/files/refuse", "{}").await;
    answer.is_problem(502, "TL-1403");
    assert!(answer.json["detail"].as_str().unwrap().contains("-32603: on fire"));
    assert_eq!(answer.json["blame"], "upstream");
}

#[tokio::test]
async fn every_problem_points_to_a_page_that_is_there() {
    let hub = hub().await;
    let answer = hub.post("/call/files/nothing", "{}").await;
    let page = hub.ask(Method::GET, answer.json["type"].as_str().unwrap()).send().await;
    assert!(page.text.starts_with("# TL-1101"), "{}", page.text);
    hub.get("/errors/TL-9999").await.is_problem(404, "TL-1101");
}
