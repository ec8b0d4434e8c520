//! Who may do what: the table, walked.

use api::routes::{Needs, table};
use http::Method;

use crate::scene::{hub, hub_with, only, settings};

/// The path with something in its parameters.
fn example(path: &str) -> String {
    path.replace("{connection}", "files")
        .replace("{tool}", "text")
        .replace("{key}", "files")
        .replace("{id}", "key_00000000000000000000000000")
        .replace("{code}", "TL-1101")
        .replace("{type}", "mcp")
        .replace("{category}", "other")
        .replace("{slug}", "server")
        .replace("{field}", "auth.credentials.key")
        .replace("{toolset}", "writing")
}

/// What an open route answers to somebody who says nothing: a page of leave needs a link of this hub's.
fn open(path: &str) -> u16 {
    match path {
        "/oauth/start" | "/oauth/callback" => 404,
        "/oauth/enter" => 400,
        _ => 200,
    }
}

#[tokio::test]
async fn without_a_key_only_the_open_routes_answer() {
    let hub = hub().await;
    for route in table() {
        for key in [None, Some("trk_wrong"), Some("")] {
            let mut ask = hub.ask(route.method.clone(), &example(&route.path));
            if let Some(key) = key {
                ask = ask.key(key);
            }
            let answer = ask.send().await;
            if route.needs == Needs::Nothing {
                assert_eq!(answer.status, open(&route.path), "{}", route.path);
            } else {
                answer.is_problem(401, "TL-1001");
                assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer "));
            }
        }
    }
    assert_eq!(hub.upstream.calls(), 0);
    assert!(hub.records().await.is_empty());
}

#[tokio::test]
async fn a_key_without_manage_reaches_no_management_route_and_changes_nothing() {
    let hub = hub().await;
    let key = hub.key(only(&["*"])).await;
    for route in table() {
        let answer = hub.ask(route.method.clone(), &example(&route.path)).key(&key).send().await;
        match route.needs {
            Needs::Manage | Needs::Metrics => answer.is_problem(403, "TL-1002"),
            Needs::Nothing => assert_eq!(answer.status, open(&route.path), "{}", route.path),
            Needs::Key => assert_eq!(answer.status, 200, "{} {}", route.path, answer.text),
        }
    }
    assert!(hub.directory.retested.lock().unwrap().is_empty());
    let keys = hub.get("/api/v1/keys").await;
    assert_eq!(keys.json["keys"].as_array().unwrap().len(), 2, "the owner's and this one");
}

#[tokio::test]
async fn metrics_open_only_when_the_configuration_says_so() {
    let mut settings = settings();
    settings.is_metrics_open = true;
    let hub = hub_with(settings).await;
    assert_eq!(hub.ask(Method::GET, "/metrics").send().await.status, 200);
    assert_eq!(hub.ask(Method::GET, "/api/v1/status").send().await.status, 401);
}

#[tokio::test]
async fn either_header_carries_the_key() {
    let hub = hub().await;
    let root = hub.root.clone();
    let answer = hub.ask(Method::GET, "/api/v1/status").header("x-api-key", &root).send().await;
    assert_eq!(answer.status, 200);
    let both =
        hub.ask(Method::GET, "/api/v1/status").key(&root).header("x-api-key", "trk_other").send().await;
    both.is_problem(401, "TL-1001");
}

#[tokio::test]
async fn what_is_not_served_is_a_problem_with_or_without_a_key() {
    let hub = hub().await;
    for path in
        ["/", "/api/v1", "/api/v1/nothing", "/call/files", "/call/files/a/b", "/api/v2/status", "/mcp"]
    {
        hub.ask(Method::GET, path).send().await.is_problem(404, "TL-1101");
        hub.get(path).await.is_problem(404, "TL-1101");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_which_ones_there_are() {
    let hub = hub().await;
    let answer = hub.get("/call/files/text").await;
    answer.is_problem(405, "TL-1204");
    assert_eq!(answer.headers["allow"], "POST");
    let keys = hub.ask(Method::PUT, "/api/v1/keys").key(&hub.root).send().await;
    keys.is_problem(405, "TL-1204");
    assert_eq!(keys.headers["allow"], "GET,HEAD,POST");
}
