//! `preset`: what a connection says before its user says anything.

use serde_json::Value as Json;

use super::fields::{Fields, Reading, json};
use crate::entry::Preset;
use crate::schema;
use crate::template::{Arg, Template};
use crate::yaml::{Node, Value};

/// What a connection with an MCP server may say, as `docs/reference/configuration.md` has it.
pub(super) const CONNECTION_KEYS: &[&str] = &[
    "protocol",
    "command",
    "args",
    "env",
    "cwd",
    "limits",
    "idle_stop",
    "url",
    "headers",
    "auth",
    "era",
    "sessions",
    "timeout",
    "retry_count",
    "concurrency",
    "tools",
    "record",
];
/// Those whose value is one text.
const TEXTS: &[&str] = &["protocol", "command", "cwd", "url"];
/// Those whose value is a map of texts.
const MAPS: &[&str] = &["env", "headers"];

/// The properties that templates may name.
struct Names<'s>(Vec<&'s str>);

/// Reads it; every `{config.NAME}` has to be a property of `schema`.
pub(super) fn read(top: &mut Fields<'_>, schema: &Json, reading: &mut Reading) -> Preset {
    let mut preset = Preset::default();
    let Some(node) = top.node("preset") else { return preset };
    let Value::Map(entries) = &node.value else {
        reading.error(node.at.line, "preset", format!("expected a map, found {}", node.value.noun()), "");
        return preset;
    };
    let names = Names(schema::properties(schema).map(|(name, _)| name.as_str()).collect());
    for (word, node) in entries {
        let key = format!("preset.{}", word.text);
        match word.text.as_str() {
            "args" => preset.args = args(node, &key, &names, reading),
            name if TEXTS.contains(&name) => {
                preset.texts.extend(names.template(node, &key, reading).map(|one| (word.text.clone(), one)));
            }
            name if MAPS.contains(&name) => {
                let Value::Map(members) = &node.value else {
                    reading.error(node.at.line, &key, "expected a map of texts", "");
                    continue;
                };
                let mut map = Vec::with_capacity(members.len());
                for (member, node) in members {
                    let key = format!("{key}.{}", member.text);
                    map.extend(names.template(node, &key, reading).map(|one| (member.text.clone(), one)));
                }
                preset.maps.push((word.text.clone(), map));
            }
            name if CONNECTION_KEYS.contains(&name) => preset.fixed.push((word.text.clone(), json(node))),
            other => reading.unknown(word.at.line, &key, other, CONNECTION_KEYS),
        }
    }
    preset
}

fn args(node: &Node, key: &str, names: &Names<'_>, reading: &mut Reading) -> Vec<Arg> {
    let Value::List(items) = &node.value else {
        reading.error(node.at.line, key, format!("expected a list, found {}", node.value.noun()), "");
        return Vec::new();
    };
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        match &item.value {
            Value::List(group) => {
                let group = group.iter().filter_map(|one| names.template(one, key, reading));
                out.push(Arg::Group(group.collect()));
            }
            Value::Map(_) => {
                let Some(mut fields) = Fields::open(item, "preset.args.", reading) else { continue };
                let text = fields.required_text("flag", 256, reading);
                let when = fields.required_text("when", 64, reading);
                fields.finish(reading);
                let (Some(text), Some(when)) = (text, when) else { continue };
                names.check(item.at.line, "preset.args.when", &when, reading);
                out.push(Arg::Flag { text, when });
            }
            _ => out.extend(names.template(item, key, reading).map(Arg::One)),
        }
    }
    out
}

// === impl Names ===

impl Names<'_> {
    fn template(&self, node: &Node, key: &str, reading: &mut Reading) -> Option<Template> {
        let line = node.at.line;
        let Some(text) = node.value.as_text() else {
            reading.error(line, key, format!("expected a text, found {}", node.value.noun()), "");
            return None;
        };
        match Template::parse(text) {
            Ok(template) => {
                for name in template.names() {
                    self.check(line, key, name, reading);
                }
                Some(template)
            }
            Err(what) => {
                reading.error(line, key, what, "");
                None
            }
        }
    }

    fn check(&self, line: u32, key: &str, name: &str, reading: &mut Reading) {
        if !self.0.contains(&name) {
            reading.unknown(line, key, name, &self.0);
        }
    }
}
