//! Servers as child processes: small shell scripts.

use std::sync::Arc;
use std::time::Duration;

use connector::{Connector, Ctx, Request};
use mcp_upstream::{McpUpstream, Settings, Transport};
use model::{Code, Condition, ConnectionStatus, Era, Fault, Retry};

use crate::support::*;

/// A server that answers line by line; `calls` is shell code for `tools/call`, with `$id` at hand.
fn script(before: &str, greeting: &str, calls: &str) -> String {
    format!(
        r#"{before}
say() {{ printf '%s\n' "$1"; }}
ok() {{ say "{{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":$1}}"; }}
while IFS= read -r line; do
  id=${{line#*\"id\":}}; id=${{id%%,*}}
  case "$line" in
{greeting}
    *'"method":"tools/list"'*) ok '{{"tools":[{{"name":"any","inputSchema":{{"type":"object"}}}}]}}' ;;
    *'"method":"tools/call"'*) {calls} ;;
  esac
done"#
    )
}

const LEGACY: &str = r#"
    *'"method":"server/discover"'*) say "{\"jsonrpc\":\"2.0\",\"id\":$id,\"error\":{\"code\":-32601,\"message\":\"no\"}}" ;;
    *'"method":"initialize"'*) ok '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;"#;
const MODERN: &str = r#"
    *'"method":"server/discover"'*) ok '{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}' ;;"#;
/// Ends on the modern question, as some old servers do.
const TOUCHY: &str = r#"
    *'"method":"server/discover"'*) echo 'unexpected message' >&2; exit 3 ;;
    *'"method":"initialize"'*) ok '{"protocolVersion":"2024-11-05","capabilities":{"tools":{}}}' ;;"#;

fn stdio(script: String) -> Settings {
    settings(Transport::Stdio {
        command: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script],
        env: Vec::new(),
        cwd: None,
        limits: process::Limits::default(),
    })
}

async fn run(upstream: &McpUpstream, ctx: &Ctx, request: Request) -> Fault {
    upstream.call(ctx, request).await.unwrap_err()
}

#[tokio::test]
async fn both_eras_are_found_out_and_served() {
    for (greeting, era) in [(LEGACY, Era::Legacy), (MODERN, Era::Modern), (TOUCHY, Era::Legacy)] {
        let upstream = up(stdio(script("", greeting, r#"ok '{"content":[]}'"#))).await;
        let state = upstream.state();
        assert_eq!(state.era, Some(era));
        assert!(state.pid.is_some());
        done(upstream.call(&plain(), call("any")).await);
        done(upstream.call(&ctx(modern_peer(), &Arc::default(), "a"), call("any")).await);
        upstream.close().await;
        let state = upstream.state();
        assert_eq!((state.status, state.pid), (ConnectionStatus::Disconnected, None));
        assert_eq!(run(&upstream, &plain(), call("any")).await.code, Code::UNREACHABLE);
    }
}

#[tokio::test]
async fn a_process_that_ends_midway_says_how_and_is_replaced() {
    let calls = r#"echo 'out of cheese' >&2; exit 7"#;
    let upstream = up(stdio(script("", MODERN, calls))).await;
    let first = upstream.state().pid;
    let fault = run(&upstream, &plain(), call("any")).await;
    assert_eq!((fault.code, fault.retry), (Code::GONE_MIDWAY, Retry::OutcomeUnknown));
    assert!(fault.detail.contains("code 7") && fault.detail.contains("out of cheese"), "{fault}");
    eventually("another process runs", || {
        let state = upstream.state();
        state.pid.is_some() && state.pid != first && state.status == ConnectionStatus::Connected
    })
    .await;
    assert_eq!(upstream.state().restarts, 1);
}

#[tokio::test]
async fn a_process_that_never_stops_talking_in_one_line_is_cut_off() {
    let mut settings = stdio(script("", MODERN, "cat /dev/zero | tr '\\0' 'x'"));
    settings.line_bytes_max = 200_000;
    let upstream = up(settings).await;
    let fault = run(&upstream, &plain(), call("any")).await;
    assert_eq!(fault.code, Code::ANSWER_TOO_LARGE, "{fault}");
    assert!(fault.detail.contains("200000"));
    eventually("it is started again", || upstream.state().restarts == 1).await;
}

#[tokio::test]
async fn a_process_that_only_talks_nonsense_is_given_up() {
    let upstream = up(stdio(script("", MODERN, "yes nonsense"))).await;
    let fault = run(&upstream, &plain(), call("any")).await;
    assert_eq!(fault.code, Code::GONE_MIDWAY, "{fault}");
    assert!(fault.detail.contains("no messages"), "{fault}");
}

#[tokio::test]
async fn a_stopped_process_runs_into_the_calls_deadline_and_nothing_else_does() {
    let stopped = up(stdio(script("", MODERN, "kill -STOP $$"))).await;
    let healthy = up(stdio(script("", MODERN, "ok '{}'"))).await;
    let short = Ctx { deadline: tokio::time::Instant::now() + Duration::from_millis(500), ..plain() };
    let fault = run(&stopped, &short, call("any")).await;
    assert_eq!((fault.code, fault.retry), (Code::TIMEOUT, Retry::OutcomeUnknown), "{fault}");
    done(healthy.call(&plain(), call("any")).await);
    stopped.close().await;
}

#[tokio::test]
async fn a_command_that_does_not_start_says_so_to_every_call() {
    let upstream = McpUpstream::start(stdio("echo 'no such database' >&2; exit 2".to_owned()), parts());
    eventually("it is down", || upstream.state().status == ConnectionStatus::Error).await;
    let fault = run(&upstream, &plain(), call("any")).await;
    assert_eq!(fault.code, Code::UNREACHABLE, "{fault}");
    assert!(fault.detail.contains("code 2") && fault.detail.contains("no such database"), "{fault}");
    assert!(upstream.refresh().await.is_err());

    let Transport::Stdio { args, env, cwd, limits, .. } = stdio(String::new()).transport else { panic!() };
    let missing =
        settings(Transport::Stdio { command: "/no/such/server".to_owned(), args, env, cwd, limits });
    let upstream = McpUpstream::start(missing, parts());
    eventually("it is down", || upstream.state().status == ConnectionStatus::Error).await;
    let fault = run(&upstream, &plain(), call("any")).await;
    assert_eq!(fault.code, Code::MISCONFIGURED, "{fault}");
    assert!(fault.detail.contains("/no/such/server"));
}

#[tokio::test]
async fn an_unused_process_rests_and_a_call_wakes_it() {
    let mut settings = stdio(script("", MODERN, "ok '{}'"));
    settings.idle_stop_ms = Some(50);
    let upstream = up(settings).await;
    eventually("it rests", || upstream.state().condition == Condition::Stopped).await;
    assert_eq!(upstream.state().pid, None);
    assert_eq!(upstream.inventory().tools.len(), 1, "what it offers stays known");
    done(upstream.call(&plain(), call("any")).await);
    assert_eq!(upstream.state().restarts, 0, "resting is no failure");
}
