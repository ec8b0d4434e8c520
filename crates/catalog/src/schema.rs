//! The schema of an entry's settings: compiled offline, and its examples and defaults.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

/// The largest schema, in bytes as JSON.
pub(crate) const SCHEMA_BYTES_MAX: usize = 256 * 1024;

/// Compiles a schema; nothing is fetched, and patterns are matched in linear time.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn compile(schema: &Value) -> Result<Validator, String> {
    let size = schema.to_string().len();
    if size > SCHEMA_BYTES_MAX {
        return Err(format!("has {size} bytes as JSON, at most {SCHEMA_BYTES_MAX} are read"));
    }
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err("has to say `type: object`".to_owned());
    }
    if schema.get("properties").is_some_and(|properties| !properties.is_object()) {
        return Err("`properties` has to be a map".to_owned());
    }
    let options = jsonschema::options()
        .offline()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex());
    options.build(schema).map_err(|error| format!("does not compile: {}", error.masked()))
}

/// The properties of a schema.
pub(crate) fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// `config` with the schema's defaults where it says nothing.
pub(crate) fn with_defaults(schema: &Value, config: &Map<String, Value>) -> Map<String, Value> {
    let mut out = config.clone();
    for (name, property) in properties(schema) {
        if let Some(default) = property.get("default")
            && !out.contains_key(name)
        {
            out.insert(name.clone(), default.clone());
        }
    }
    out
}

/// Settings as the schema's examples have them: the whole schema's first example, or else the first example
/// or the default of each property that has one.
pub(crate) fn example(schema: &Value) -> Value {
    let first =
        |of: &Value| of.get("examples").and_then(Value::as_array).and_then(|all| all.first()).cloned();
    if let Some(whole) = first(schema) {
        return whole;
    }
    let each = properties(schema).filter_map(|(name, property)| Some((name.clone(), first(property)?)));
    Value::Object(each.collect())
}
