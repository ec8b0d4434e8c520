//! How the API says that something went wrong, from the schemas of its refusals.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::members;
use super::super::report::Report;
use super::super::write::Tree;
use super::Reading;
use super::operation::Operation;
use super::schema::Schemas;

/// Where words are looked for.
const MESSAGES: &[&str] = &[
    "error.message",
    "message",
    "error_description",
    "detail",
    "error.description",
    "error_message",
    "errors.0.message",
    "errors.0.detail",
    "title",
    "error",
    "msg",
];
/// Where codes are looked for.
const CODES: &[&str] = &["error.code", "code", "error.type", "error_code", "errors.0.code", "type", "status"];
/// How many refusals are looked at.
const RESPONSES_MAX: usize = 200;
/// The most places of each.
const PLACES_MAX: usize = 3;

/// `api.errors`, where refusals have a schema.
pub(super) fn errors(operations: &[Operation<'_>], reading: &mut Reading<'_>) -> Option<Tree> {
    let document = reading.document;
    let mut silent = Report::default();
    let (mut words, mut codes) = (BTreeMap::new(), BTreeMap::new());
    let refusals = operations.iter().flat_map(|one| members(one.own, "responses"));
    let is_refusal = |status: &str| status == "default" || status.starts_with(['4', '5']);
    for (_, response) in refusals.filter(|(status, _)| is_refusal(status)).take(RESPONSES_MAX) {
        let Some(response) = document.resolve(response, "", &mut silent) else { continue };
        let Some((_, content)) = members(response, "content").find(|(kind, _)| kind.contains("json")) else {
            continue;
        };
        let Some(schema) = content.get("schema") else { continue };
        let schema = Schemas::new(document, &mut silent).convert(schema, "");
        count(&schema, MESSAGES, &["string"], &mut words);
        count(&schema, CODES, &["string", "integer", "number"], &mut codes);
    }
    let (words, codes) = (best(&words, MESSAGES), best(&codes, CODES));
    let mut out = Vec::new();
    if !words.is_empty() {
        out.push(("message", Tree::texts(words)));
    }
    if !codes.is_empty() {
        out.push(("code", Tree::texts(codes)));
    }
    (!out.is_empty()).then(|| Tree::map(out))
}

fn count(
    schema: &Map<String, Value>,
    paths: &[&'static str],
    kinds: &[&str],
    out: &mut BTreeMap<&'static str, usize>,
) {
    let schema = Value::Object(schema.clone());
    for path in paths {
        let found = path.split('.').try_fold(&schema, |at, step| match step {
            "0" => at.get("items"),
            name => at.get("properties")?.get(name),
        });
        let kind = found.and_then(|found| found.get("type"));
        let is_one = match kind {
            Some(Value::String(kind)) => kinds.contains(&kind.as_str()),
            Some(Value::Array(all)) => all.iter().any(|kind| kinds.iter().any(|one| kind == &json!(one))),
            _ => false,
        };
        if is_one {
            *out.entry(path).or_insert(0) += 1;
        }
    }
}

/// The commonest first; of equals, the more telling.
fn best(counts: &BTreeMap<&'static str, usize>, order: &[&'static str]) -> Vec<&'static str> {
    let mut all: Vec<(&'static str, usize)> =
        order.iter().filter_map(|path| Some((*path, *counts.get(path)?))).collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    all.into_iter().map(|(path, _)| path).take(PLACES_MAX).collect()
}
