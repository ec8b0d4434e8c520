//! `trunkline connection list|show|test`.

use serde_json::Value;

use super::client::{Remote, block_on, cell, escape};
use crate::cli::{ConnectionVerb, Shared};
use crate::say::{Quit, out, plain, table};

/// Runs one of them.
pub(crate) fn run(shared: &Shared, verb: &ConnectionVerb) -> Result<(), Quit> {
    let hub = Remote::of(shared);
    match verb {
        ConnectionVerb::List => {
            let answer = block_on(hub.get("/api/v1/connections"))?;
            let list = answer.get("connections").and_then(Value::as_array).cloned().unwrap_or_default();
            out(&if shared.json { answer.to_string() } else { table(&rows(&list)) });
        }
        ConnectionVerb::Show { connection } => {
            let answer = block_on(hub.get(&format!("/api/v1/connections/{}", escape(connection))))?;
            out(&if shared.json { answer.to_string() } else { detail(&answer) });
        }
        ConnectionVerb::Test { connection } => {
            let path = format!("/api/v1/connections/{}/test", escape(connection));
            let answer = block_on(hub.ask("POST", &path, None))?;
            let is_ok = answer.get("is_ok").and_then(Value::as_bool).unwrap_or(false);
            if shared.json {
                out(&answer.to_string());
            } else {
                let view = answer.get("connection").cloned().unwrap_or(Value::Null);
                let problem = answer.get("problem").cloned().unwrap_or(Value::Null);
                out(&match is_ok {
                    true => format!(
                        "{connection}: works ({} ms, {} tools)",
                        cell(&answer, "duration_ms"),
                        cell(&view, "tool_count")
                    ),
                    false => {
                        format!("{connection}: {}\n  {}", cell(&problem, "detail"), cell(&problem, "hint"))
                    }
                });
            }
            if !is_ok {
                return Err(Quit::silent(1));
            }
        }
    }
    Ok(())
}

/// Connections as rows with a heading.
pub(crate) fn rows(list: &[Value]) -> Vec<Vec<String>> {
    let heading = ["CONNECTION", "STATUS", "CONDITION", "TRANSPORT", "ERA", "TOOLS", "REASON"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for one in list {
        let reason = plain(one.get("reason").and_then(Value::as_str).unwrap_or_default(), 160);
        let cells = ["key", "status", "condition", "transport", "era", "tool_count"].map(|name| {
            match cell(one, name) {
                empty if empty.is_empty() => "-".to_owned(),
                text => text,
            }
        });
        rows.push([cells.as_slice(), &[reason]].concat());
    }
    rows
}

fn detail(one: &Value) -> String {
    let mut rows = Vec::new();
    for (name, value) in one.as_object().into_iter().flatten() {
        if name != "tools" && !value.is_null() {
            rows.push(vec![name.clone(), cell(one, name)]);
        }
    }
    let mut text = table(&rows);
    let tools = one.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
    if !tools.is_empty() {
        let rows: Vec<_> = tools
            .iter()
            .map(|tool| {
                let mark =
                    if tool.get("is_offered") == Some(&Value::Bool(false)) { "not offered" } else { "" };
                vec![cell(tool, "tool"), mark.to_owned(), plain(&cell(tool, "description"), 100)]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(&rows));
    }
    text
}
