//! `trunkline status`: how a running hub and its connections stand.

use serde_json::{Value, json};

use super::client::{Remote, block_on, cell};
use super::connection::rows;
use crate::cli::Shared;
use crate::say::{Quit, out, table};

/// Prints it; exits with 1 when a connection has an error, so that a script can ask.
pub(crate) fn run(shared: &Shared) -> Result<(), Quit> {
    let hub = Remote::of(shared);
    let (status, connections) = block_on(async {
        let status = hub.get("/api/v1/status").await?;
        let connections = super::connection::all(&hub).await?;
        Ok((status, connections))
    })?;
    let list = connections.get("connections").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_bad = list.iter().any(|one| cell(one, "status") == "error");
    if shared.json {
        out(&json!({ "hub": status, "connections": list }).to_string());
    } else {
        let uptime = status.get("uptime_ms").and_then(Value::as_i64).unwrap_or(0) / 1000;
        let rows_of_hub = [
            vec![
                "hub".to_owned(),
                format!("{} (version {})", cell(&status, "listen"), cell(&status, "version")),
            ],
            vec!["up".to_owned(), duration(uptime)],
            vec!["tools".to_owned(), cell(&status, "tool_count")],
            vec!["open calls".to_owned(), cell(&status, "open_call_count")],
            vec!["lost records".to_owned(), cell(&status, "dropped_record_count")],
        ];
        out(&table(&rows_of_hub));
        if !list.is_empty() {
            out(&format!("\n{}", table(&rows(&list))));
        }
    }
    if is_bad { Err(Quit::silent(1)) } else { Ok(()) }
}

fn duration(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
