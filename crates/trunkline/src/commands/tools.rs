//! `trunkline tools`: the tools that the key may use.

use serde_json::{Value, json};

use super::client::{Remote, block_on, cell, escape};
use crate::cli::Shared;
use crate::say::{Quit, note, out, plain, table};

/// Tools asked for at once.
const PAGE: usize = 500;

/// Prints them all, page by page.
pub(crate) fn run(shared: &Shared, search: Option<&str>) -> Result<(), Quit> {
    let hub = Remote::of(shared);
    let tools = block_on(async {
        let mut tools: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut path = format!("/api/v1/tools?limit={PAGE}");
            if let Some(search) = search {
                path.push_str(&format!("&search={}", escape(search)));
            }
            if let Some(cursor) = &cursor {
                path.push_str(&format!("&cursor={}", escape(cursor)));
            }
            let page = hub.get(&path).await?;
            tools.extend(page.get("tools").and_then(Value::as_array).cloned().unwrap_or_default());
            cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(tools);
            }
        }
    })?;
    if shared.json {
        out(&json!({ "tools": tools }).to_string());
    } else if tools.is_empty() {
        note("no tools");
    } else {
        let rows: Vec<_> = tools
            .iter()
            .map(|tool| vec![cell(tool, "name"), plain(&cell(tool, "description"), 100)])
            .collect();
        out(&table(&rows));
    }
    Ok(())
}
