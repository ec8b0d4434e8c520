//! `x-mcp-header`: arguments that a modern HTTP client repeats as `Mcp-Param-*` headers (SEP-2243).

use std::collections::HashSet;

use serde_json::Value;

/// One annotated property of a tool's input schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// The header's name behind `Mcp-Param-`, as annotated.
    pub name: String,
    /// Where the argument is: property names from the root of the arguments.
    pub path: Vec<String>,
}

/// Reads the annotations of an `inputSchema`.
///
/// # Errors
/// In words, when an annotation breaks the rules; an HTTP client then has to drop the tool.
pub fn annotations(schema: &Value) -> Result<Vec<ParamHeader>, String> {
    let mut found = Vec::new();
    let mut path = Vec::new();
    walk(schema, &mut path, true, &mut found)?;
    let mut seen = HashSet::new();
    for header in &found {
        if !seen.insert(header.name.to_ascii_lowercase()) {
            return Err(format!("x-mcp-header `{}` is used twice", header.name));
        }
    }
    Ok(found)
}

/// The header value of an argument: `None` when it is absent, null, or not a plain value.
#[must_use]
pub fn value_of(arguments: &Value, header: &ParamHeader) -> Option<String> {
    let value = header.path.iter().try_fold(arguments, |at, key| at.get(key))?;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Depth of schema that is looked into; deeper annotations are refused as unreachable.
const DEPTH_MAX: usize = 16;

fn walk(
    schema: &Value,
    path: &mut Vec<String>,
    by_properties: bool,
    found: &mut Vec<ParamHeader>,
) -> Result<(), String> {
    let Value::Object(members) = schema else {
        if let Value::Array(items) = schema {
            for item in items {
                walk(item, path, false, found)?;
            }
        }
        return Ok(());
    };
    if path.len() > DEPTH_MAX {
        return Ok(());
    }
    if let Some(annotation) = members.get("x-mcp-header") {
        let name = annotation.as_str().ok_or("x-mcp-header must be a string")?;
        if !by_properties || path.is_empty() {
            return Err(format!("x-mcp-header `{name}` is not reached by `properties` alone"));
        }
        let is_token = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if !is_token {
            return Err(format!("x-mcp-header `{name}` is not a header token"));
        }
        if !matches!(members.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
            return Err(format!("x-mcp-header `{name}` must be on a string, integer or boolean"));
        }
        found.push(ParamHeader { name: name.to_owned(), path: path.clone() });
    }
    for (key, value) in members {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (property, schema) in properties {
                    path.push(property.clone());
                    walk(schema, path, by_properties, found)?;
                    path.pop();
                }
            }
            ("const" | "enum" | "default" | "examples" | "x-mcp-header", _) => {}
            _ => walk(value, path, false, found)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{annotations, value_of};
    use serde_json::json;

    #[test]
    fn finds_nested_annotations_and_reads_their_arguments() {
        let schema = json!({"type":"object","properties":{
            "region":{"type":"string","x-mcp-header":"Region"},
            "page":{"type":"object","properties":{"size":{"type":"integer","x-mcp-header":"Page-Size"}}}}});
        let found = annotations(&schema).unwrap();
        assert_eq!(found.len(), 2);
        let arguments = json!({"region":null,"page":{"size":10}});
        let values: Vec<_> = found.iter().filter_map(|h| value_of(&arguments, h)).collect();
        assert_eq!(values, ["10"]);
    }

    #[test]
    fn rule_breakers_are_refused() {
        for bad in [
            json!({"properties":{"a":{"type":"number","x-mcp-header":"A"}}}),
            json!({"properties":{"a":{"type":"string","x-mcp-header":""}}}),
            json!({"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}),
            json!({"properties":{"a":{"type":"string","x-mcp-header":7}}}),
            json!({"properties":{"a":{"type":"string","x-mcp-header":"X"},"b":{"type":"string","x-mcp-header":"x"}}}),
            json!({"properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"X"}}}}),
        ] {
            assert!(annotations(&bad).is_err(), "{bad}");
        }
    }
}
