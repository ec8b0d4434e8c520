//! Input schemas: compiled once when an inventory arrives, applied to every call. Bounded: size, depth,
//! linear-time patterns, and no `$ref` is ever fetched.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Largest schema that is compiled, bytes.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Deepest schema that is compiled.
pub const SCHEMA_DEPTH_MAX: usize = 64;
/// How many violations are told at once.
const VIOLATIONS_MAX: usize = 5;

/// Arguments of one tool, checkable.
#[derive(Debug)]
pub enum Check {
    /// Any object fits: nothing to check beyond "is an object".
    AnyObject,
    /// A compiled schema.
    Compiled(Box<Validator>),
    /// The schema is unusable; why. Calls pass unchecked, and the reason is shown with the tool.
    Unusable(String),
}

impl Check {
    /// Compiles a raw `inputSchema`; draft 2020-12 unless `$schema` names another.
    #[must_use]
    pub fn compile(raw: &[u8]) -> Self {
        if raw.len() > SCHEMA_BYTES_MAX {
            return Self::Unusable(format!(
                "input schema is {} bytes, the limit is {SCHEMA_BYTES_MAX}",
                raw.len()
            ));
        }
        let schema: Value = match serde_json::from_slice(raw) {
            Ok(schema) => schema,
            Err(error) => return Self::Unusable(format!("input schema is not usable JSON: {error}")),
        };
        let Value::Object(members) = &schema else {
            return Self::Unusable("input schema is not an object".to_owned());
        };
        if depth(&schema) > SCHEMA_DEPTH_MAX {
            return Self::Unusable(format!("input schema is nested deeper than {SCHEMA_DEPTH_MAX}"));
        }
        let says_something = members.keys().any(|key| {
            !matches!(key.as_str(), "type" | "$schema" | "title" | "description" | "$id" | "$comment")
        });
        if !says_something && members.get("type").is_some_and(|t| t == "object") {
            return Self::AnyObject;
        }
        let linear =
            jsonschema::options().offline().with_pattern_options(PatternOptions::regex()).build(&schema);
        // Look-around needs the backtracking engine; it is bounded instead of linear.
        let built = linear.or_else(|_| {
            jsonschema::options()
                .offline()
                .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(10_000))
                .build(&schema)
        });
        match built {
            Ok(validator) => Self::Compiled(Box::new(validator)),
            Err(error) => Self::Unusable(format!("input schema does not compile: {}", error.masked())),
        }
    }

    /// Whether raw `arguments` fit; the violations in words (field first) when they do not.
    ///
    /// # Errors
    /// What does not fit, at most five violations, without repeating the values.
    pub fn apply(&self, arguments: &[u8]) -> Result<(), String> {
        let validator = match self {
            Self::Compiled(validator) => validator,
            Self::AnyObject | Self::Unusable(_) => {
                return if arguments.first() == Some(&b'{') {
                    Ok(())
                } else {
                    Err("arguments must be an object".to_owned())
                };
            }
        };
        let value: Value =
            serde_json::from_slice(arguments).map_err(|error| format!("arguments: {error}"))?;
        if validator.is_valid(&value) {
            return Ok(());
        }
        let told: Vec<String> = validator
            .iter_errors(&value)
            .take(VIOLATIONS_MAX)
            .map(|error| {
                let field = error.instance_path().to_string();
                let field = if field.is_empty() { "arguments" } else { field.trim_start_matches('/') };
                format!("{field}: {}", error.masked())
            })
            .collect();
        Err(told.join("; "))
    }

    /// Why the tool's arguments cannot be checked, when they cannot.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Unusable(why) => Some(why),
            _ => None,
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::Check;

    #[test]
    fn arguments_are_checked_by_the_dialect_the_schema_names() {
        let check = Check::compile(
            br#"{"type":"object","properties":{"n":{"type":"integer","maximum":9}},"required":["n"]}"#,
        );
        assert_eq!(check.apply(br#"{"n":3}"#), Ok(()));
        assert!(check.apply(br#"{"n":30}"#).unwrap_err().starts_with("n: "));
        assert!(check.apply(b"{}").unwrap_err().contains("\"n\" is a required property"));
        let draft7 = br#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"t":{"type":"array","items":[{"type":"string"}]}}}"#;
        assert!(Check::compile(draft7).apply(br#"{"t":[1]}"#).is_err());
    }

    #[test]
    fn violations_never_repeat_the_value() {
        let check =
            Check::compile(br#"{"type":"object","properties":{"key":{"type":"string","maxLength":3}}}"#);
        assert!(!check.apply(br#"{"key":"s3cr3t"}"#).unwrap_err().contains("s3cr3t"));
    }

    #[test]
    fn hostile_schemas_are_refused_quickly_and_fetch_nothing() {
        let deep = format!("{}{{}}{}", r#"{"not":"#.repeat(200), "}".repeat(200));
        for bad in [
            br#"{"$ref":"http://169.254.169.254/latest"}"#.as_slice(),
            br#"{"$ref":"file:///etc/passwd"}"#,
            br#"{"type":17}"#,
            b"[]",
            deep.as_bytes(),
            "x".repeat(300_000).as_bytes(),
        ] {
            assert!(Check::compile(bad).problem().is_some());
        }
        let slow = Check::compile(br#"{"properties":{"a":{"pattern":"^(a+)+$"}}}"#);
        let attack = format!("{{\"a\":\"{}!\"}}", "a".repeat(5000));
        assert!(slow.apply(attack.as_bytes()).is_err());
    }
}
