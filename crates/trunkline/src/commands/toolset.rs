//! `trunkline toolset ...`: chosen tools, through a running hub.

use serde_json::{Value, json};

use super::client::{Remote, block_on, cell, escape};
use crate::cli::{Shared, ToolsetVerb};
use crate::say::{Quit, out, plain, table};

/// Runs one of them.
pub(crate) fn run(shared: &Shared, verb: &ToolsetVerb) -> Result<(), Quit> {
    let hub = Remote::of(shared);
    let show = |answer: &Value, text: String| out(&if shared.json { answer.to_string() } else { text });
    let path = |toolset: &str| format!("/api/v1/toolsets/{}", escape(toolset));
    match verb {
        ToolsetVerb::List => {
            let answer = block_on(hub.get("/api/v1/toolsets"))?;
            let mut rows = vec![["TOOLSET", "NAME", "TOOLS", "DESCRIPTION"].map(str::to_owned).to_vec()];
            for one in answer.get("toolsets").and_then(Value::as_array).into_iter().flatten() {
                let description = plain(&cell(one, "description"), 100);
                rows.push(vec![
                    cell(one, "key"),
                    cell(one, "name"),
                    tools(one).len().to_string(),
                    description,
                ]);
            }
            show(&answer, table(&rows));
        }
        ToolsetVerb::Show { toolset } => {
            let answer = block_on(hub.get(&path(toolset)))?;
            let mut rows = vec![["TOOL", "CALLED HERE", "DESCRIPTION"].map(str::to_owned).to_vec()];
            for one in tools(&answer) {
                rows.push(vec![cell(one, "tool"), cell(one, "as"), plain(&cell(one, "description"), 100)]);
            }
            show(&answer, table(&rows));
        }
        ToolsetVerb::Put { toolset, name, tools, description } => {
            let chosen = tools.iter().map(|text| match text.split_once('=') {
                Some((tool, rename)) => json!({ "tool": tool, "as": rename }),
                None => json!({ "tool": text }),
            });
            let body = json!({
                "name": name,
                "description": description,
                "tools": chosen.collect::<Vec<_>>(),
            });
            let answer = block_on(hub.ask("PUT", &path(toolset), Some(&body)))?;
            show(&answer, format!("{toolset}: {} tools, at {}/mcp/s/{toolset}", tools.len(), hub.url));
        }
        ToolsetVerb::Remove { toolset } => {
            block_on(hub.ask("DELETE", &path(toolset), None))?;
            show(&json!({ "removed": toolset }), format!("removed {toolset}"));
        }
    }
    Ok(())
}

fn tools(one: &Value) -> &[Value] {
    one.get("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
