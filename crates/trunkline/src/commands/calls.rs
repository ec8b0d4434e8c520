//! `trunkline calls`: the record of calls, newest first, or as it grows.

use std::collections::VecDeque;
use std::time::Duration;

use model::Timestamp;
use serde_json::Value;

use super::client::{Remote, block_on, cell, escape};
use crate::cli::Shared;
use crate::say::{Quit, out, table};

/// How often `--tail` looks, and how many records it looks back.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOK_BACK: u32 = 1000;

/// Prints them.
pub(crate) fn run(
    shared: &Shared,
    is_tail: bool,
    search: Option<&str>,
    is_of_secrets: bool,
    limit: u32,
) -> Result<(), Quit> {
    let hub = Remote::of(shared);
    block_on(async {
        let mut calls = list(&hub, search, is_of_secrets, limit).await?;
        if !is_tail {
            print(shared.json, &calls);
            return Ok(());
        }
        let mut seen: VecDeque<String> = VecDeque::new();
        loop {
            calls.reverse();
            let fresh: Vec<Value> =
                calls.into_iter().filter(|call| !seen.contains(&cell(call, "id"))).collect();
            for call in &fresh {
                seen.push_back(cell(call, "id"));
            }
            // What the hub shows at most is what can come again.
            while seen.len() > 2 * LOOK_BACK as usize {
                seen.pop_front();
            }
            print_lines(shared.json, &fresh);
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
            calls = list(&hub, search, is_of_secrets, LOOK_BACK).await?;
        }
    })
}

async fn list(
    hub: &Remote,
    search: Option<&str>,
    is_of_secrets: bool,
    limit: u32,
) -> Result<Vec<Value>, Quit> {
    let mut path = format!("/api/v1/calls?limit={limit}");
    if let Some(search) = search {
        path.push_str(&format!("&search={}", escape(search)));
    }
    if is_of_secrets {
        path.push_str("&kind=secret");
    }
    let answer = hub.get(&path).await?;
    Ok(answer.get("calls").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn print(is_json: bool, calls: &[Value]) {
    if is_json {
        out(&serde_json::json!({ "calls": calls }).to_string());
        return;
    }
    let mut rows =
        vec![["AT", "CALL", "DOOR", "CONNECTION", "WHAT", "OUTCOME", "MS"].map(str::to_owned).to_vec()];
    rows.extend(calls.iter().map(row));
    out(&table(&rows));
}

fn print_lines(is_json: bool, calls: &[Value]) {
    for call in calls {
        out(&if is_json { call.to_string() } else { row(call).join("  ") });
    }
}

fn row(call: &Value) -> Vec<String> {
    let micros = call.get("duration_us").and_then(Value::as_u64).unwrap_or(0);
    let outcome = match (cell(call, "outcome"), cell(call, "code")) {
        (outcome, code) if code.is_empty() => outcome,
        (_, code) => code,
    };
    vec![
        Timestamp(call.get("at").and_then(Value::as_i64).unwrap_or(0)).to_rfc3339(),
        cell(call, "id"),
        cell(call, "door"),
        cell(call, "connection"),
        cell(call, "target"),
        outcome,
        format!("{}.{}", micros / 1000, micros / 100 % 10),
    ]
}
