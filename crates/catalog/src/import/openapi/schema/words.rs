//! Single keywords of a schema, looked at one by one.

use serde_json::{Map, Value, json};

use crate::schema::compile;

const TYPES: &[&str] = &["string", "number", "integer", "boolean", "array", "object", "null"];

/// Whether our compiler takes it as the schema of an argument.
pub(in super::super) fn compiles(schema: &Value) -> Result<(), String> {
    compile(&json!({ "type": "object", "properties": { "a": schema } })).map(drop)
}

pub(super) fn is_pattern(pattern: &str) -> bool {
    pattern.len() <= 1_000 && compiles(&json!({ "pattern": pattern })).is_ok()
}

/// The types that there are, of one or several.
pub(super) fn kinds(value: &Value) -> Option<Value> {
    let is_known = |one: &&Value| one.as_str().is_some_and(|one| TYPES.contains(&one));
    match value {
        Value::Array(all) => {
            let mut kinds: Vec<&Value> = all.iter().filter(is_known).collect();
            kinds.dedup();
            (!kinds.is_empty() && kinds.len() == all.len()).then(|| json!(kinds))
        }
        one => is_known(&one).then(|| one.clone()),
    }
}

/// OpenAPI 3.0's `nullable`.
pub(super) fn allow_null(schema: &mut Map<String, Value>) {
    match schema.get_mut("type") {
        Some(Value::Array(kinds)) if !kinds.contains(&json!("null")) => kinds.push(json!("null")),
        Some(kind @ Value::String(_)) => *kind = json!([kind.clone(), "null"]),
        _ => {}
    }
    if let Some(Value::Array(all)) = schema.get_mut("enum")
        && !all.contains(&Value::Null)
    {
        all.push(Value::Null);
    }
    let has_type = schema.contains_key("type");
    for word in ["anyOf", "oneOf"] {
        if let Some(Value::Array(all)) = schema.get_mut(word)
            && !has_type
        {
            all.push(json!({ "type": "null" }));
        }
    }
}

pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 80 { format!("{}…", text.chars().take(80).collect::<String>()) } else { text }
}
