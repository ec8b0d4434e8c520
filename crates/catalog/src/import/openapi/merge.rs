//! Keywords of several schemas that all have to hold, as one schema.

use serde_json::{Map, Value, json};

/// Of two limits the higher one holds.
const LOWEST: &[&str] = &["minimum", "minLength", "minItems", "minProperties"];
/// Of two limits the lower one holds.
const HIGHEST: &[&str] = &["maximum", "maxLength", "maxItems", "maxProperties"];
/// Words that hold beside each other where there are two.
const BESIDE: &[&str] = &["oneOf", "anyOf", "not", "pattern", "if", "then", "else", "contains"];

/// Puts a keyword under those that there are. What it answers is what could not be kept.
pub(super) fn merge(out: &mut Map<String, Value>, key: &str, value: &Value) -> Option<String> {
    let Some(there) = out.get_mut(key) else {
        out.insert(key.to_owned(), value.clone());
        return None;
    };
    if there == value {
        return None;
    }
    let number = |value: &Value| value.as_f64();
    match (key, &mut *there, value) {
        ("properties", Value::Object(known), Value::Object(more)) => {
            for (name, schema) in more {
                match known.get_mut(name) {
                    Some(there) if there != schema => *there = json!({ "allOf": [there.clone(), schema] }),
                    Some(_) => {}
                    None => drop(known.insert(name.clone(), schema.clone())),
                }
            }
        }
        ("required", Value::Array(known), Value::Array(more)) => {
            let new: Vec<Value> = more.iter().filter(|name| !known.contains(name)).cloned().collect();
            known.extend(new);
        }
        ("enum", Value::Array(known), Value::Array(more)) => {
            let both: Vec<Value> = known.iter().filter(|one| more.contains(one)).cloned().collect();
            if both.is_empty() {
                return Some("two `enum`s have nothing in common; the first one is kept".to_owned());
            }
            *known = both;
        }
        ("type", known, more) => match both_types(known, more) {
            Some(both) => *there = both,
            None => return Some(format!("`type` is {known} and {more} at once; the first one is kept")),
        },
        (key, known, more) if LOWEST.contains(&key) && number(known) >= number(more) => {}
        (key, known, more) if HIGHEST.contains(&key) && number(known) <= number(more) => {}
        (key, _, more) if BESIDE.contains(&key) => {
            let beside = json!({ key: more });
            if let Value::Array(all) = out.entry("allOf").or_insert_with(|| json!([])) {
                all.push(beside);
            }
        }
        // Words for people, and what is nearer to where it is used, go before.
        _ => *there = value.clone(),
    }
    None
}

/// The types that both allow.
fn both_types(one: &Value, other: &Value) -> Option<Value> {
    let list = |value: &Value| match value {
        Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    };
    let (one, other) = (list(one), list(other));
    let fits =
        |kind: &&Value| other.contains(kind) || **kind == "integer" && other.contains(&json!("number"));
    let mut both: Vec<Value> = one.iter().filter(fits).cloned().collect();
    if one.contains(&json!("number"))
        && other.contains(&json!("integer"))
        && !both.contains(&json!("integer"))
    {
        both.push(json!("integer"));
    }
    match both.len() {
        0 => None,
        1 => both.pop(),
        _ => Some(Value::Array(both)),
    }
}
