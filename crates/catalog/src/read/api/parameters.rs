//! `parameters` of a tool: each is JSON Schema of one argument, and where it goes.

use serde_json::{Map, Value as Json, json};

use super::super::fields::{Fields, Reading, json as json_of};
use crate::api::{Pagination, Parameter, Place, Style};
use crate::yaml::{Node, Value, Word};

const PLACES: &[(&str, Place)] = &[
    ("path", Place::Path),
    ("query", Place::Query),
    ("header", Place::Header),
    ("body", Place::Body),
    ("variable", Place::Variable),
    ("template", Place::Template),
];
const STYLES: &[(&str, Style)] = &[
    ("comma", Style::Comma),
    ("repeat", Style::Repeat),
    ("brackets", Style::Brackets),
    ("space", Style::Space),
    ("json", Style::Json),
];
/// What `in`, `as`, `style` say is ours; the rest is the argument's schema.
const OURS: &[&str] = &["in", "as", "style"];
/// Arguments that the hub adds to tools that read lists.
pub(super) const ADDED: &[&str] = &["cursor", "max_items"];
/// The most items that one call gathers.
pub(super) const ITEMS_MAX: u64 = 1_000;
/// Headers that belong to the hub or to how the connection proves itself.
const HEADERS_OF_OURS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
];

/// The parameters, and the properties of the input schema.
pub(super) fn read(
    members: &[(Word, Node)],
    usual: Place,
    is_paged: bool,
    reading: &mut Reading,
) -> (Vec<Parameter>, Map<String, Json>) {
    let (mut out, mut properties) = (Vec::new(), Map::new());
    for (word, node) in members {
        let key = format!("tools.parameters.{}", word.text);
        if is_paged && ADDED.contains(&word.text.as_str()) {
            reading.error(word.at.line, &key, "is added by the hub to tools with pagination", "leave it out");
            continue;
        }
        let is_fit = word.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_fit {
            let hint = "use letters, digits and `_`; the API's own name goes into `as`";
            reading.error(word.at.line, &key, "is no name of an argument", hint);
            continue;
        }
        if let Some((parameter, schema)) = one(word, node, &key, usual, reading) {
            properties.insert(word.text.clone(), schema);
            out.push(parameter);
        }
    }
    (out, properties)
}

fn one(
    word: &Word,
    node: &Node,
    key: &str,
    usual: Place,
    reading: &mut Reading,
) -> Option<(Parameter, Json)> {
    let Value::Map(members) = &node.value else {
        reading.error(node.at.line, key, format!("expected a map, found {}", node.value.noun()), "");
        return None;
    };
    let mut fields = Fields::open(node, "tools.parameters.", reading)?;
    let place = fields.choice("in", PLACES, reading).unwrap_or(usual);
    let wire = fields.text("as", 256, reading).unwrap_or_else(|| word.text.clone());
    let style = fields.choice("style", STYLES, reading);
    let mut schema = Map::new();
    let mut is_required = place == Place::Path;
    for (name, node) in members.iter().filter(|(name, _)| !OURS.contains(&name.text.as_str())) {
        match (name.text.as_str(), &node.value) {
            ("required", Value::Bool(flag)) => is_required = *flag,
            _ => {
                schema.insert(name.text.clone(), json_of(node));
            }
        }
    }
    if !schema.contains_key("description") && !schema.contains_key("const") {
        reading.error(
            word.at.line,
            key,
            "has no `description`",
            "say in a sentence what it is, for people and models",
        );
    }
    let has_type = ["type", "enum", "const", "anyOf", "oneOf"].iter().any(|name| schema.contains_key(*name));
    if !has_type && wire != "." {
        reading.error(
            word.at.line,
            key,
            "has no `type`",
            "string, integer, number, boolean, array or object",
        );
    }
    if wire == "*" && !matches!(place, Place::Query | Place::Header) {
        reading.error(word.at.line, key, "`as: \"*\"` spreads a map into the query or the headers only", "");
    }
    if place == Place::Header && HEADERS_OF_OURS.contains(&wire.to_ascii_lowercase().as_str()) {
        reading.error(word.at.line, key, format!("the header `{wire}` is not a caller's to say"), "");
    }
    let default = schema.get("default").cloned();
    let parameter = Parameter { name: word.text.clone(), place, wire, is_required, style, default };
    Some((parameter, Json::Object(schema)))
}

/// The schema of a tool's arguments.
pub(super) fn input_schema(
    parameters: &[Parameter],
    mut properties: Map<String, Json>,
    pagination: Option<&Pagination>,
) -> Json {
    if pagination.is_some() {
        properties.insert(
            "max_items".to_owned(),
            json!({ "type": "integer", "minimum": 1, "maximum": ITEMS_MAX,
                    "description": "How many items to gather at most; as many pages are read as that needs. One page when left out." }),
        );
        properties.insert(
            "cursor".to_owned(),
            json!({ "type": "string",
                    "description": "Goes on where an earlier answer ended: its `next_cursor`, with the other arguments as they were." }),
        );
    }
    let required: Vec<&str> =
        parameters.iter().filter(|one| one.is_required).map(|one| one.name.as_str()).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (false, Some(members)) = (required.is_empty(), schema.as_object_mut()) {
        members.insert("required".to_owned(), required.into());
    }
    schema
}
