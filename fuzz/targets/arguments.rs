//! `call::schema`: any JSON as a schema, any JSON as arguments. Bounded, never fetching, never repeating values.

use call::schema::{Check, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX};
use fuzz::{parts, target};
use serde_json::Value;

const CANARY: &str = "s3cr3t-canary";

/// Every text in place of which a secret could stand.
fn with_canary(value: &mut Value) {
    match value {
        Value::String(text) => CANARY.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(with_canary),
        Value::Object(members) => members.values_mut().for_each(with_canary),
        _ => {}
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

target!(
    /// Parts: the schema, the arguments.
    schemas,
    |input: &[u8]| {
        let parts = parts(input);
        let (schema, arguments) = (parts[0], parts.get(1).copied().unwrap_or(b"{}"));
        let check = Check::compile(schema);
        let read = serde_json::from_slice::<Value>(schema).ok();
        let is_plain = read.as_ref().is_some_and(|schema| schema.is_object() && depth(schema) <= SCHEMA_DEPTH_MAX);
        assert!(check.problem().is_some() || (is_plain && schema.len() <= SCHEMA_BYTES_MAX));

        let outcome = check.apply(arguments);
        assert_eq!(outcome, check.apply(arguments), "the same question has the same answer");
        if check.problem().is_some() || matches!(check, Check::AnyObject) {
            assert_eq!(outcome.is_ok(), arguments.first() == Some(&b'{'));
        }
        if let Err(told) = &outcome {
            assert!(!told.is_empty());
        }
        let Ok(mut arguments) = serde_json::from_slice::<Value>(arguments) else { return };
        with_canary(&mut arguments);
        let told = check.apply(arguments.to_string().as_bytes()).err().unwrap_or_default();
        assert!(!told.contains(CANARY), "{told}");
    },
    2000
);
