//! What a bundle asks its user for, as a property of our settings.

use serde_json::{Map, Value, json};

use super::super::inputs::is_yes;
use super::super::names::{cut, line, spoken};
use super::super::report::Report;
use super::super::text;

/// The schema of one member of `user_config`.
pub(super) fn schema(key: &str, one: &Value, report: &mut Report) -> Map<String, Value> {
    let kind = text(one, "type").unwrap_or_default();
    let mut schema = Map::new();
    let mut put = |key: &str, value: Value| drop(schema.insert(key.to_owned(), value));
    put("title", json!(cut(&text(one, "title").map_or_else(|| spoken(key), |title| line(&title)), 200)));
    if let Some(words) = text(one, "description") {
        put("description", json!(line(cut(&words, 1_000))));
    }
    let mut single = Map::new();
    let word = match kind.as_ref() {
        "number" => "number",
        "boolean" => "boolean",
        _ => "string",
    };
    single.insert("type".to_owned(), json!(word));
    for (from, to) in [("min", "minimum"), ("max", "maximum")] {
        if let Some(limit) = one.get(from).filter(|limit| limit.is_number() && word == "number") {
            single.insert(to.to_owned(), limit.clone());
        }
    }
    let is_list = is_yes(one, "multiple");
    let default = one.get("default");
    let fits = |value: &Value| match word {
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.as_str().is_some_and(|text| !text.contains("${")),
    };
    let is_good = |value: &Value| match value {
        Value::Array(all) => is_list && all.iter().all(fits),
        value => !is_list && fits(value),
    };
    match default {
        Some(default) if is_good(default) => put("default", default.clone()),
        Some(_) => report.add(
            format!("user_config.{}.default", line(key)),
            "is left out: it holds words of the user's own machine, or does not fit",
        ),
        None => {}
    }
    if is_list {
        put("type", json!("array"));
        put("items", Value::Object(single));
    } else {
        single.into_iter().for_each(|(key, value)| put(&key, value));
    }
    schema
}
