//! `requestBody`: the members of the body as arguments.

use serde_json::{Map, Value, json};

use super::super::members;
use super::super::names::line;
use super::Reading;
use super::argument::Argument;
use super::operation::Operation;
use super::schema::Schemas;

/// The most members that become arguments of their own.
const MEMBERS_MAX: usize = 100;

/// What a body became.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) arguments: Vec<Argument>,
    pub(super) is_form: bool,
}

/// Reads it; `Err` where the operation cannot be called without a body that does not map.
pub(super) fn body(operation: &Operation<'_>, reading: &mut Reading<'_>) -> Result<Body, String> {
    let document = reading.document;
    let Some(raw) = operation.own.get("requestBody") else { return Ok(Body::default()) };
    let place = format!("{} requestBody", operation.place);
    let Some(raw) = document.resolve(raw, &place, &mut reading.report) else {
        return Err("its body does not map".to_owned());
    };
    if matches!(operation.method.as_str(), "GET" | "HEAD") {
        reading.report.add(&place, format!("is left out: {} has no body", operation.method));
        return Ok(Body::default());
    }
    let is_required = raw.get("required") == Some(&json!(true));
    let contents: Vec<(&String, &Value)> = members(raw, "content").collect();
    let find = |fits: fn(&str) -> bool| {
        contents.iter().find(|(kind, _)| fits(kind.split(';').next().unwrap_or(kind).trim())).copied()
    };
    let found = find(|kind| kind == "application/json")
        .or_else(|| find(|kind| kind.ends_with("+json") || kind == "*/*"))
        .or_else(|| find(|kind| kind == "application/x-www-form-urlencoded"));
    let others: Vec<&str> = contents
        .iter()
        .filter(|(kind, _)| found.is_none_or(|(known, _)| known != *kind))
        .map(|(kind, _)| kind.as_str())
        .collect();
    let Some((kind, content)) = found else {
        let kinds = line(&others.join(", "));
        if is_required {
            return Err(format!("its body is {kinds}, and JSON and forms are written"));
        }
        if !others.is_empty() {
            reading.report.add(&place, format!("is left out: it is {kinds}, and JSON and forms are written"));
        }
        return Ok(Body::default());
    };
    if !others.is_empty() {
        reading
            .report
            .add(&place, format!("is written as {}; not as {}", line(kind), line(&others.join(", "))));
    }
    if kind.ends_with("+json") {
        reading.report.add(&place, format!("is sent as application/json, not as {}", line(kind)));
    }
    let is_form = kind.contains("x-www-form-urlencoded");
    let words = raw.get("description").and_then(Value::as_str).unwrap_or_default();
    let arguments = arguments(content, is_form, is_required, words, &place, reading);
    Ok(Body { arguments, is_form })
}

fn arguments(
    content: &Value,
    is_form: bool,
    is_required: bool,
    words: &str,
    place: &str,
    reading: &mut Reading<'_>,
) -> Vec<Argument> {
    let free = json!({});
    let schema = content.get("schema").unwrap_or(&free);
    let top = Schemas::new(reading.document, &mut reading.report).opened(schema, place);
    let names = top.get("properties").and_then(Value::as_object).filter(|_| !has_ways(&top));
    let is_map = top.get("type").is_none_or(|kind| kind == "object");
    let is_few = names.is_some_and(|names| (1..=MEMBERS_MAX).contains(&names.len()));
    if let (Some(names), true, true) = (names, is_map, is_few) {
        if top.get("additionalProperties").is_some_and(|more| more != &json!(false)) {
            reading.report.add(place, "takes further members; only those that have names can be said");
        }
        let needed = top.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        return members_of(names, &needed, content, is_form, is_required, place, reading);
    }
    if names.is_some_and(|names| names.len() > MEMBERS_MAX) {
        reading.report.add(place, format!("has more than {MEMBERS_MAX} members; it is one argument, `body`"));
    }
    let schema = Schemas::new(reading.document, &mut reading.report).convert(schema, place);
    let Some(mut whole) = Argument::new("body", "body", schema) else { return Vec::new() };
    whole.wire = ".".to_owned();
    whole.is_required = is_required;
    if whole.description.is_empty() {
        whole.description = if words.is_empty() { "The whole body.".to_owned() } else { words.to_owned() };
    }
    vec![whole]
}

/// Which of several shapes a body has is not said by its members.
fn has_ways(schema: &Map<String, Value>) -> bool {
    ["oneOf", "anyOf", "not", "if", "allOf"].iter().any(|word| schema.contains_key(*word))
}

fn members_of(
    names: &Map<String, Value>,
    needed: &[Value],
    content: &Value,
    is_form: bool,
    is_required: bool,
    place: &str,
    reading: &mut Reading<'_>,
) -> Vec<Argument> {
    let mut out = Vec::new();
    for (name, schema) in names {
        let at = format!("{place}.{}", line(name));
        let schema = Schemas::new(reading.document, &mut reading.report).converted(schema, &at);
        // What only answers have is nothing to ask for.
        let Some(schema) = schema else { continue };
        let Some(mut argument) = Argument::new(name, "body", schema) else {
            reading.report.add(&at, "has a name that cannot be said here; it is left out");
            continue;
        };
        argument.is_required = is_required && needed.iter().any(|one| one == name);
        if is_form {
            let said = content.get("encoding").and_then(|all| all.get(name));
            style(&mut argument, said);
        } else {
            argument.wire = name.replace('\\', "\\\\").replace('.', "\\.");
        }
        out.push(argument);
    }
    out
}

/// How lists and maps stand in a form.
fn style(argument: &mut Argument, said: Option<&Value>) {
    let style = said.and_then(|said| said.get("style")).and_then(Value::as_str);
    let explode = said.and_then(|said| said.get("explode")).and_then(Value::as_bool);
    argument.style = match (argument.kind(), style) {
        (Some("array" | "object"), Some("deepObject")) => None,
        (Some("array"), Some("spaceDelimited")) => Some("space"),
        (Some("array"), _) if explode == Some(false) => Some("comma"),
        (Some("array"), _) => Some("repeat"),
        (Some("object"), _) => Some("json"),
        _ => None,
    };
}
