//! Parameters of an operation: path, query, header; with their styles.

use serde_json::{Value, json};

use super::super::names::line;
use super::super::{items, members, text};
use super::argument::Argument;
use super::operation::Operation;
use super::{Reading, schema::Schemas};

/// Headers that are the hub's, or the connection's.
const HEADERS_OF_OURS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "accept",
    "content-type",
];

/// The arguments; `Err` where the operation cannot be called without something that does not map.
pub(super) fn arguments<'d>(
    operation: &Operation<'d>,
    reading: &mut Reading<'d>,
) -> Result<Vec<Argument>, String> {
    let mut out: Vec<Argument> = Vec::new();
    for raw in gathered(operation, reading) {
        let (Some(name), Some(place)) = (raw.get("name").and_then(Value::as_str), text(raw, "in")) else {
            reading.report.add(&operation.place, "a parameter has no `name` or no `in`; it is left out");
            continue;
        };
        let is_required = raw.get("required") == Some(&json!(true)) || place == "path";
        let at = format!("{} parameter {}", operation.place, line(name));
        match one(raw, name, &place, &at, reading) {
            Ok(Some(mut argument)) => {
                argument.is_required = is_required;
                out.push(argument);
            }
            Ok(None) => {}
            Err(why) if is_required => {
                return Err(format!("it needs the parameter `{}`, which {why}", line(name)));
            }
            Err(why) => reading.report.add(&at, format!("{why}; it is left out")),
        }
    }
    Ok(out)
}

/// Those of the path and those of the operation, which go before.
fn gathered<'d>(operation: &Operation<'d>, reading: &mut Reading<'d>) -> Vec<&'d Value> {
    let document = reading.document;
    let mut out: Vec<&Value> = Vec::new();
    for raw in items(operation.item, "parameters").iter().chain(items(operation.own, "parameters")) {
        let Some(raw) = document.resolve(raw, &operation.place, &mut reading.report) else { continue };
        let is_same =
            |other: &&Value| other.get("name") == raw.get("name") && other.get("in") == raw.get("in");
        out.retain(|other| !is_same(other));
        out.push(raw);
    }
    out
}

fn one(
    raw: &Value,
    name: &str,
    place: &str,
    at: &str,
    reading: &mut Reading<'_>,
) -> Result<Option<Argument>, String> {
    let place = match place {
        "path" => "path",
        "query" => "query",
        "header" if HEADERS_OF_OURS.contains(&name.to_ascii_lowercase().as_str()) => {
            reading.report.add(at, "is a header that the hub itself says; it is left out");
            return Ok(None);
        }
        "header" => "header",
        "cookie" => return Err("goes into a cookie, and the hub keeps none".to_owned()),
        other => return Err(format!("goes into `{}`, which is no place that is known", line(other))),
    };
    let content = members(raw, "content").next();
    let raw_schema = content.map_or_else(|| raw.get("schema"), |(_, content)| content.get("schema"));
    let free = json!({});
    let schema = Schemas::new(reading.document, &mut reading.report).convert(raw_schema.unwrap_or(&free), at);
    let mut argument = Argument::new(name, place, schema).ok_or("has a name that cannot be said here")?;
    if let Some(words) = text(raw, "description") {
        argument.description = words.into_owned();
    }
    if place == "header" {
        argument.name = argument.name.to_ascii_lowercase();
    }
    if let Some((kind, _)) = content {
        if !kind.contains("json") || place != "query" {
            return Err(format!("is written as {}", line(kind)));
        }
        argument.style = Some("json");
        return Ok(Some(argument));
    }
    styled(raw, argument, at, reading).map(Some)
}

/// How lists and maps are written.
fn styled(
    raw: &Value,
    mut argument: Argument,
    at: &str,
    reading: &mut Reading<'_>,
) -> Result<Argument, String> {
    let usual = if argument.place == "query" { "form" } else { "simple" };
    let style = text(raw, "style").unwrap_or_else(|| usual.into());
    let is_exploded = raw.get("explode").and_then(Value::as_bool).unwrap_or(style == "form");
    let is_list = argument.kind() == Some("array");
    let is_map = argument.kind() == Some("object");
    match (argument.place, style.as_ref()) {
        (_, style) if style == usual && !is_list && !is_map => {}
        ("query", "form") if is_list => argument.style = Some(if is_exploded { "repeat" } else { "comma" }),
        // Each member is a parameter of its own.
        ("query", "form") if is_exploded => argument.wire = "*".to_owned(),
        ("query", "deepObject") if is_map => {}
        ("query", "deepObject") if is_list => argument.style = Some("brackets"),
        ("query", "spaceDelimited") if is_list => {
            argument.style = Some(if is_exploded { "repeat" } else { "space" });
        }
        ("query", "pipeDelimited") if is_list => {
            if is_exploded {
                argument.style = Some("repeat");
            } else {
                reading.report.add(at, "is a list with `|` between; callers write it so, as one text");
                let words = line(&argument.description);
                argument.description = format!("{words} Several with `|` between.").trim().to_owned();
                argument.schema.clear();
                argument.schema.insert("type".to_owned(), json!("string"));
            }
        }
        ("query", "spaceDelimited" | "pipeDelimited" | "deepObject") if !is_map => {}
        ("path" | "header", "simple") if is_list => {}
        (_, style) => {
            let what = if is_map { "a map" } else { "a value" };
            return Err(format!("is {what} in the style `{}`", line(style)));
        }
    }
    Ok(argument)
}
