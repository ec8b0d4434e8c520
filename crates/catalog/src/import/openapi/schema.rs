//! A schema of OpenAPI 3.0 or 3.1 as one of JSON Schema 2020-12 that stands alone: references put in, `allOf`
//! merged, what our compiler does not take left out and reported.

mod words;

use serde_json::{Map, Value, json};

use super::super::document::Document;
use super::super::report::Report;
use super::merge::merge;
use words::{allow_null, is_pattern, kinds, shown};

pub(super) use words::compiles;

/// The most levels of one schema.
const DEPTH_MAX: usize = 12;
/// The most schemas inside of one argument.
const SCHEMAS_MAX: usize = 1_000;
/// How many references and `allOf`s stand inside of each other at one place.
const MERGE_DEPTH_MAX: usize = 32;
/// The longest name of a member, in bytes: longer ones are no keys that YAML reads.
const NAME_BYTES_MAX: usize = 200;
/// The most values of an `enum`.
const ENUM_MAX: usize = 500;

/// Words about a schema that change nothing about which values fit.
const SAID_FOR_PEOPLE: &[&str] = &[
    "example",
    "examples",
    "discriminator",
    "xml",
    "externalDocs",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$comment",
    "$defs",
    "definitions",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "nullable",
];
const WHOLE_NUMBERS: &[&str] = &[
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minContains",
    "maxContains",
];
const SCHEMAS: &[&str] = &["not", "contains", "propertyNames", "if", "then", "else"];
const LISTS: &[&str] = &["oneOf", "anyOf", "allOf", "prefixItems"];

/// One conversion.
pub(super) struct Schemas<'a> {
    document: &'a Document,
    report: &'a mut Report,
    /// The references that we are inside of.
    open: Vec<String>,
    left: usize,
}

// === impl Schemas ===

impl<'a> Schemas<'a> {
    pub(super) fn new(document: &'a Document, report: &'a mut Report) -> Self {
        Self { document, report, open: Vec::new(), left: SCHEMAS_MAX }
    }

    /// The schema itself.
    pub(super) fn convert(&mut self, schema: &Value, place: &str) -> Map<String, Value> {
        self.left = SCHEMAS_MAX;
        match self.one(schema, place, 0) {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// The same, `None` for what only answers have.
    pub(super) fn converted(&mut self, schema: &Value, place: &str) -> Option<Map<String, Value>> {
        let is_read_only = self.opened(schema, place).get("readOnly") == Some(&json!(true));
        (!is_read_only).then(|| self.convert(schema, place))
    }

    /// What the top of a schema says when its references and `allOf`s are put together; its members are as they
    /// were.
    pub(super) fn opened(&mut self, schema: &Value, place: &str) -> Map<String, Value> {
        let mut merged = Map::new();
        self.gather(schema, place, &mut merged, 0, 0);
        self.open.clear();
        merged
    }

    fn one(&mut self, schema: &Value, place: &str, depth: usize) -> Value {
        if self.left == 0 || depth > DEPTH_MAX {
            let what = format!(
                "has more than {SCHEMAS_MAX} parts or {DEPTH_MAX} levels; from here on it takes any value"
            );
            self.report.add(place, what);
            return json!({});
        }
        self.left -= 1;
        if schema == &Value::Bool(false) {
            return json!({ "not": {} });
        }
        let opened = self.open.len();
        let mut merged = Map::new();
        self.gather(schema, place, &mut merged, opened, 0);
        let out = self.keywords(&merged, place, depth);
        self.open.truncate(opened);
        Value::Object(out)
    }

    /// Puts together what a schema says, what it refers to says, and what its `allOf` says. `outer` references
    /// were open before.
    fn gather(
        &mut self,
        schema: &Value,
        place: &str,
        out: &mut Map<String, Value>,
        outer: usize,
        level: usize,
    ) {
        let Some(members) = schema.as_object() else { return };
        if level > MERGE_DEPTH_MAX {
            self.report.add(
                place,
                format!(
                    "has more than {MERGE_DEPTH_MAX} schemas merged into each other; the rest is left out"
                ),
            );
            return;
        }
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            self.follow(reference, place, out, outer, level);
        }
        for part in members.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.gather(part, place, out, outer, level + 1);
        }
        for (key, value) in members.iter().filter(|(key, _)| !matches!(key.as_str(), "$ref" | "allOf")) {
            if let Some(why) = merge(out, key, value) {
                self.report.add(place, why);
            }
        }
    }

    fn follow(
        &mut self,
        reference: &str,
        place: &str,
        out: &mut Map<String, Value>,
        outer: usize,
        level: usize,
    ) {
        let document = self.document;
        let found = match document.find(reference) {
            Ok(found) => found,
            Err(why) => {
                self.report.add(place, format!("{why}; it takes any value"));
                return;
            }
        };
        match self.open.iter().position(|open| open == reference) {
            // Twice in one `allOf` is once.
            Some(at) if at >= outer => {}
            Some(_) => {
                self.report
                    .add(place, format!("`{reference}` refers to itself; inside of itself it is free"));
                let kind = found.get("type").filter(|kind| kind.is_string());
                let is_map = found.get("properties").is_some() || found.get("allOf").is_some();
                if let Some(kind) = kind.cloned().or_else(|| is_map.then(|| json!("object"))) {
                    out.insert("type".to_owned(), kind);
                }
            }
            None => {
                self.open.push(reference.to_owned());
                self.gather(found, place, out, outer, level + 1);
            }
        }
    }

    fn keywords(&mut self, merged: &Map<String, Value>, place: &str, depth: usize) -> Map<String, Value> {
        let mut out = Map::new();
        for (key, value) in merged {
            let kept = match (key.as_str(), value) {
                (key, _) if SAID_FOR_PEOPLE.contains(&key) || key.starts_with("x-") => continue,
                ("title" | "description" | "format", Value::String(text)) => Some(json!(text.trim())),
                ("const" | "default", value) => Some(value.clone()),
                ("type", value) => kinds(value),
                ("enum", Value::Array(all)) if (1..=ENUM_MAX).contains(&all.len()) => Some(value.clone()),
                ("pattern", Value::String(pattern)) => is_pattern(pattern).then(|| value.clone()),
                ("multipleOf", Value::Number(n)) => {
                    n.as_f64().is_some_and(|n| n > 0.0).then(|| value.clone())
                }
                ("minimum", Value::Number(_)) if merged.get("exclusiveMinimum") == Some(&json!(true)) => {
                    continue;
                }
                ("maximum", Value::Number(_)) if merged.get("exclusiveMaximum") == Some(&json!(true)) => {
                    continue;
                }
                ("minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum", Value::Number(_)) => {
                    Some(value.clone())
                }
                // OpenAPI 3.0: whether the limit itself is outside.
                ("exclusiveMinimum" | "exclusiveMaximum", Value::Bool(flag)) => {
                    let limit = merged.get(if key == "exclusiveMinimum" { "minimum" } else { "maximum" });
                    match limit.filter(|limit| *flag && limit.is_number()) {
                        Some(limit) => Some(limit.clone()),
                        None => continue,
                    }
                }
                (key, value) if WHOLE_NUMBERS.contains(&key) => value.is_u64().then(|| value.clone()),
                ("uniqueItems" | "unevaluatedProperties" | "unevaluatedItems", Value::Bool(_)) => {
                    Some(value.clone())
                }
                ("required", Value::Array(_)) => continue,
                ("properties", Value::Object(members)) => Some(self.properties(members, place, depth)),
                ("items", Value::Array(_)) => {
                    let list = self.list(value, &format!("{place}.items"), depth);
                    out.extend(list.map(|list| ("prefixItems".to_owned(), list)));
                    continue;
                }
                ("items" | "additionalProperties", Value::Bool(_)) => Some(value.clone()),
                ("items" | "additionalProperties", Value::Object(_)) => {
                    Some(self.one(value, &format!("{place}.{key}"), depth + 1))
                }
                (key, Value::Object(_) | Value::Bool(_)) if SCHEMAS.contains(&key) => {
                    Some(self.one(value, &format!("{place}.{key}"), depth + 1))
                }
                (key, Value::Array(_)) if LISTS.contains(&key) => {
                    self.list(value, &format!("{place}.{key}"), depth)
                }
                _ => None,
            };
            match kept {
                Some(kept) => drop(out.insert(key.clone(), kept)),
                None => self.report.add(place, format!("`{key}` is not taken over: {}", shown(value))),
            }
        }
        let known = |name: &&Value| {
            out.get("properties").is_none_or(|all| name.as_str().is_some_and(|name| all.get(name).is_some()))
        };
        let required: Vec<&Value> = merged
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|one| one.is_string())
            .filter(known)
            .collect();
        if !required.is_empty() {
            let required = json!(required);
            out.insert("required".to_owned(), required);
        }
        if merged.get("nullable") == Some(&json!(true)) {
            allow_null(&mut out);
        }
        out
    }

    fn properties(&mut self, members: &Map<String, Value>, place: &str, depth: usize) -> Value {
        let mut out = Map::new();
        for (name, schema) in members {
            let place = format!("{place}.{name}");
            if name.len() > NAME_BYTES_MAX || name.contains('\0') {
                self.report.add(&place, "has a name that is too long; it is left out");
                continue;
            }
            if self.left == 0 {
                self.report.add(&place, format!("is left out: there are more than {SCHEMAS_MAX} parts"));
                break;
            }
            // What only answers have is nothing to ask for.
            if schema.get("readOnly") != Some(&json!(true)) {
                let schema = self.one(schema, &place, depth + 1);
                out.insert(name.clone(), schema);
            }
        }
        Value::Object(out)
    }

    fn list(&mut self, value: &Value, place: &str, depth: usize) -> Option<Value> {
        let all = value.as_array().filter(|all| !all.is_empty())?;
        Some(all.iter().map(|one| self.one(one, place, depth + 1)).collect())
    }
}
