//! One argument of a tool: its schema and where it goes, in the words of our grammar.

use serde_json::{Map, Value, json};

use super::super::names::{argument, cut, is_argument, line};
use super::super::report::Report;
use super::super::write::Tree;
use super::schema::compiles;

/// The largest schema of one argument, in bytes as JSON.
const SCHEMA_BYTES_MAX: usize = 24 * 1024;
/// The longest description of an argument, in bytes.
const WORDS_MAX: usize = 1_500;
/// The longest name on the wire, in bytes.
const WIRE_MAX: usize = 256;

/// One argument.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    /// What callers call it.
    pub(super) name: String,
    /// What the API calls it, as `as` has it.
    pub(super) wire: String,
    /// `path`, `query`, `header` or `body`.
    pub(super) place: &'static str,
    pub(super) is_required: bool,
    /// How a list is written.
    pub(super) style: Option<&'static str>,
    pub(super) schema: Map<String, Value>,
    pub(super) description: String,
}

// === impl Argument ===

impl Argument {
    /// An argument by the API's name; `None` for a name that our grammar cannot say.
    pub(super) fn new(wire: &str, place: &'static str, schema: Map<String, Value>) -> Option<Self> {
        let is_fit = !wire.is_empty()
            && wire.len() <= WIRE_MAX
            && wire.trim() == wire
            && !wire.contains(char::is_control)
            && !matches!(wire, "*" | ".");
        let description = schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        is_fit.then(|| Self {
            name: argument(cut(wire, 64)),
            wire: wire.to_owned(),
            place,
            is_required: false,
            style: None,
            schema,
            description,
        })
    }

    /// The type, where it is one.
    pub(super) fn kind(&self) -> Option<&str> {
        match self.schema.get("type")? {
            Value::Array(all) => all.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
            one => one.as_str(),
        }
    }

    /// As a member of `parameters`. `usual` is the place that needs no word.
    pub(super) fn tree(mut self, usual: &str, place: &str, report: &mut Report) -> (String, Tree) {
        self.settle(place, report);
        let mut members: Vec<(String, Tree)> = Vec::new();
        let mut put = |key: &str, value: Value| members.push((key.to_owned(), Tree::Value(value)));
        if self.place != usual {
            put("in", json!(self.place));
        }
        if self.wire != self.name || !is_argument(&self.wire) {
            put("as", json!(self.wire));
        }
        if let Some(style) = self.style {
            put("style", json!(style));
        }
        if let Some(kind) = self.schema.remove("type") {
            put("type", kind);
        }
        if self.is_required && self.place != "path" {
            put("required", json!(true));
            // `required` is ours where it is a yes or no; the schema's own goes one level down.
            if let Some(names) = self.schema.remove("required") {
                let own = json!({ "required": names });
                match self.schema.get_mut("allOf") {
                    Some(Value::Array(all)) => all.push(own),
                    _ => drop(self.schema.insert("allOf".to_owned(), json!([own]))),
                }
            }
        }
        put("description", json!(self.description));
        for (key, value) in self.schema {
            put(&key, value);
        }
        (self.name, Tree::Map(members).line())
    }

    /// Makes the schema one that the grammar takes.
    fn settle(&mut self, place: &str, report: &mut Report) {
        for ours in ["in", "as", "style", "description"] {
            self.schema.remove(ours);
        }
        let default = self.schema.remove("default");
        self.schema.remove("title").inspect(|title| {
            if self.description.trim().is_empty() {
                self.description = title.as_str().unwrap_or_default().to_owned();
            }
        });
        let has_kind =
            ["type", "enum", "const", "anyOf", "oneOf"].iter().any(|word| self.schema.contains_key(*word));
        if !has_kind && self.wire != "." {
            let any = ["string", "number", "boolean", "object", "array", "null"];
            let kind = match (self.schema.contains_key("properties"), self.schema.contains_key("items")) {
                (true, _) => json!("object"),
                (_, true) => json!("array"),
                _ if self.place == "body" => json!(any),
                _ => json!(["string", "number", "boolean"]),
            };
            self.schema.insert("type".to_owned(), kind);
        }
        let schema = Value::Object(self.schema.clone());
        let size = schema.to_string().len();
        let why = if size > SCHEMA_BYTES_MAX {
            Some(format!("has {size} bytes, at most {SCHEMA_BYTES_MAX} are taken over"))
        } else {
            compiles(&schema).err()
        };
        if let Some(why) = why {
            report.add(place, format!("its schema is left out, any value of its type fits: {why}"));
            let kind = self.schema.remove("type");
            self.schema.clear();
            self.schema.insert(
                "type".to_owned(),
                kind.unwrap_or_else(|| json!(["string", "number", "boolean", "object", "array", "null"])),
            );
            if compiles(&Value::Object(self.schema.clone())).is_err() {
                self.schema.insert("type".to_owned(), json!("object"));
            }
        }
        self.describe(default.as_ref());
    }

    /// Words for people and models. A default is told and not sent: what is left out stays the API's to fill in,
    /// and in a change it would undo what is there.
    fn describe(&mut self, default: Option<&Value>) {
        let mut words = line(&self.description);
        if words.is_empty() {
            let wire =
                if self.wire == "*" { self.name.clone() } else { line(&self.wire.replace("\\.", ".")) };
            words = match self.place {
                "body" => format!("The member `{wire}` of the body."),
                "query" => format!("The query parameter `{wire}`."),
                place => format!("`{wire}` of the {place}."),
            };
        }
        if words.len() > WORDS_MAX {
            words = format!("{}…", cut(&words, WORDS_MAX));
        }
        let default = default.map(ToString::to_string).filter(|text| text.len() <= 100 && text != "null");
        if let Some(default) = default {
            words = format!("{words} Default: {default}.");
        }
        self.description = words;
    }
}
