//! `/health`, `/ready`, `/metrics`.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::json;

use crate::scene::{hub, hub_with, settings};

#[tokio::test]
async fn readiness_follows_the_life_of_the_hub_and_health_does_not() {
    let hub = hub_with(settings()).await;
    let ready = async || hub.ask(Method::GET, "/ready").send().await;
    let starting = ready().await;
    assert_eq!((starting.status.as_u16(), &starting.json["status"]), (503, &json!("starting")));
    hub.mount();
    let up = ready().await;
    assert_eq!((up.status.as_u16(), &up.json["status"]), (200, &json!("ready")));
    assert_eq!(up.json["connections"], json!({ "up": 1, "starting": 0, "down": 1 }));
    assert!(!up.text.contains("files"), "no names without a key");
    hub.directory.is_draining.store(true, Ordering::SeqCst);
    let draining = ready().await;
    assert_eq!((draining.status.as_u16(), &draining.json["status"]), (503, &json!("draining")));
    assert_eq!(hub.ask(Method::GET, "/health").send().await.json, json!({ "status": "ok" }));
}

#[tokio::test]
async fn metrics_count_calls_by_connection_kind_and_outcome() {
    let hub = hub().await;
    hub.post("/call/files/text", "{}").await;
    hub.post("/call/files/text", "{}").await;
    hub.post("/call/files/fail", "{}").await;
    hub.post("/call/nothere/text", "{}").await;
    hub.recorder.flush().await.unwrap();
    hub.clock.advance_ms(2000);
    let answer = hub.get("/metrics").await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    for line in [
        r#"trunkline_calls_total{connection="files",kind="tool",outcome="ok"} 2"#,
        r#"trunkline_calls_total{connection="files",kind="tool",outcome="tool_error"} 1"#,
        r#"trunkline_calls_total{connection="(none)",kind="tool",outcome="fault"} 1"#,
        r#"trunkline_call_duration_seconds_count{connection="files"} 3"#,
        r#"trunkline_connections{state="up"} 1"#,
        r#"trunkline_connections{state="down"} 1"#,
        r#"trunkline_open_calls{connection="files"} 0"#,
        "trunkline_records_dropped_total 0",
        "trunkline_uptime_seconds 2.0",
        r#"trunkline_build_info{version="1.2.3"} 1"#,
    ] {
        assert!(answer.text.lines().any(|known| known == line), "{line}\n{}", answer.text);
    }
    for name in
        ["process_resident_memory_bytes ", "process_cpu_seconds_total ", "process_start_time_seconds "]
    {
        assert!(answer.text.lines().any(|known| known.starts_with(name)), "{name}\n{}", answer.text);
    }
    assert!(answer.text.ends_with("# EOF\n"));
    assert!(!answer.text.contains("nothere"), "labels come from what is connected, never from requests");
}
