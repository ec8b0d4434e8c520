//! One server of a client's file, as one entry of ours.

use model::Key;
use serde_json::{Map, Value as Json};

use crate::config::entry::looks_secret;
use crate::config::tree::{Node, Value};

/// What maps; everything else is reported.
const KNOWN: &[&str] = &[
    "type",
    "transport",
    "command",
    "args",
    "env",
    "cwd",
    "url",
    "serverUrl",
    "httpUrl",
    "headers",
    "disabled",
    "enabled",
];

/// The entry and what to say about it, or why there is none.
pub(super) fn entry(name: &str, key: &Key, settings: &Json) -> Result<(Node, Vec<String>), String> {
    let settings = settings.as_object().ok_or("its settings are not an object")?;
    let mut notes = Vec::new();
    let mut fields: Vec<(&str, Node)> = vec![("type", Node::text("mcp"))];
    let text = |field: &str| settings.get(field).and_then(Json::as_str).filter(|text| !text.is_empty());
    let url = text("url").or_else(|| text("httpUrl")).or_else(|| text("serverUrl"));
    let kind = text("type").or_else(|| text("transport")).unwrap_or_default().to_ascii_lowercase();
    if let Some(command) = text("command") {
        fields.push(("protocol", Node::text("stdio")));
        fields.push(("command", Node::text(reference(command, &mut notes))));
        child(settings, &mut fields, &mut notes)?;
    } else if let Some(url) = url {
        let protocol = match kind.as_str() {
            "sse" => "sse",
            "ws" | "websocket" => "websocket",
            _ if url.starts_with("ws://") || url.starts_with("wss://") => "websocket",
            "" | "http" | "streamable-http" | "streamablehttp" | "streamable_http" => "http",
            other => return Err(format!("its type `{other}` is not known here")),
        };
        fields.push(("protocol", Node::text(protocol)));
        fields.push(("url", Node::text(reference(url, &mut notes))));
        headers(key, settings, &mut fields, &mut notes);
    } else {
        return Err("it has neither a `command` nor a `url`".to_owned());
    }
    let is_off = settings.get("disabled") == Some(&Json::Bool(true))
        || settings.get("enabled") == Some(&Json::Bool(false));
    if is_off {
        fields.push(("enabled", Node::new(Value::Bool(false))));
        notes.push("is switched off there, so it is here: remove `enabled: false` to use it".to_owned());
    }
    for field in settings.keys().filter(|field| !KNOWN.contains(&field.as_str())) {
        let why = match field.as_str() {
            "autoApprove" | "alwaysAllow" | "trust" => {
                "approving tools is the client's matter; see `tools: { allow, deny }`"
            }
            "timeout" => "clients count it in different units; set `timeout` in seconds",
            "envFile" => "read the file into the environment of the hub, or use ${file:/path}",
            "includeTools" | "excludeTools" => "write `tools: { allow: [..], deny: [..] }`",
            _ => "there is nothing like it here",
        };
        notes.push(format!("`{field}` of `{name}` was not taken over: {why}"));
    }
    Ok((Node::map(fields), notes))
}

fn child(
    settings: &Map<String, Json>,
    fields: &mut Vec<(&str, Node)>,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    if let Some(args) = settings.get("args") {
        let args = args.as_array().ok_or("its `args` are not a list")?;
        let mut items = Vec::with_capacity(args.len());
        let mut before = "";
        for (index, arg) in args.iter().enumerate() {
            let arg = arg.as_str().ok_or_else(|| format!("argument {} is not a text", index + 1))?;
            let flag = arg.split_once('=').map_or(before, |(flag, _)| flag);
            if flag.starts_with("--") && looks_secret(flag.trim_start_matches('-')) && !arg.contains("${") {
                notes.push(format!(
                    "argument {} looks like a secret: write a reference in its place",
                    index + 1
                ));
            }
            items.push(Node::text(reference(arg, notes)));
            before = arg;
        }
        if !items.is_empty() {
            fields.push(("args", Node::new(Value::List(items))));
        }
    }
    let mut env = Vec::new();
    for (name, value) in settings.get("env").and_then(Json::as_object).into_iter().flatten() {
        let value = match value {
            Json::String(text) => text.clone(),
            Json::Number(_) | Json::Bool(_) => value.to_string(),
            _ => continue,
        };
        let said = if looks_secret(name) && !value.is_empty() && !value.contains("${") {
            notes.push(format!(
                "set the environment variable {name} for the hub: its value stays out of the file"
            ));
            format!("${{{name}}}")
        } else {
            reference(&value, notes)
        };
        env.push((name.as_str(), Node::text(said)));
    }
    if !env.is_empty() {
        fields.push(("env", Node::map(env)));
    }
    if let Some(cwd) = settings.get("cwd").and_then(Json::as_str) {
        fields.push(("cwd", Node::text(reference(cwd, notes))));
    }
    Ok(())
}

fn headers(key: &Key, settings: &Map<String, Json>, fields: &mut Vec<(&str, Node)>, notes: &mut Vec<String>) {
    let mut headers = Vec::new();
    for (name, value) in settings.get("headers").and_then(Json::as_object).into_iter().flatten() {
        let Some(value) = value.as_str() else { continue };
        let bearer = value.strip_prefix("Bearer ").filter(|_| name.eq_ignore_ascii_case("authorization"));
        let variable = |suffix: &str| format!("{}_{suffix}", key.as_str().to_uppercase().replace('-', "_"));
        let hidden = |literal: &str, suffix: &str, notes: &mut Vec<String>| {
            if literal.contains("${") {
                return reference(literal, notes);
            }
            let variable = variable(suffix);
            notes.push(format!(
                "set the environment variable {variable} for the hub: its value stays out of the file"
            ));
            format!("${{{variable}}}")
        };
        if let Some(token) = bearer {
            let token = hidden(token, "TOKEN", notes);
            let credentials = Node::map(vec![("token", Node::text(token))]);
            fields.push((
                "auth",
                Node::map(vec![("type", Node::text("bearer")), ("credentials", credentials)]),
            ));
        } else if looks_secret(name) || name.eq_ignore_ascii_case("cookie") {
            let suffix = name.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            headers.push((name.as_str(), Node::text(hidden(value, &suffix, notes))));
        } else {
            headers.push((name.as_str(), Node::text(reference(value, notes))));
        }
    }
    if !headers.is_empty() {
        fields.push(("headers", Node::map(headers)));
    }
}

/// Editors' references as ours: `${env:NAME}` and `${input:id}`; folders of a workspace are only reported.
fn reference(text: &str, notes: &mut Vec<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((inner, behind)) = after.split_once('}') else {
            out.push_str("$${");
            rest = after;
            continue;
        };
        if let Some(name) = inner.strip_prefix("env:") {
            out.push_str(&format!("${{{name}}}"));
        } else if let Some(id) = inner.strip_prefix("input:") {
            let name: String = id
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
                .collect();
            notes.push(format!(
                "set the environment variable {name} for the hub: the editor asked for `{id}`"
            ));
            out.push_str(&format!("${{{name}}}"));
        } else {
            if inner.contains("workspace") || inner == "userHome" {
                notes.push(format!("`${{{inner}}}` only means something in the editor: write the path"));
            }
            out.push_str(&format!("${{{inner}}}"));
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}
