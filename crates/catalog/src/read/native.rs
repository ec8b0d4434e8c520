//! `connector`, `auth`: a system that is spoken to in a protocol of its own, by a connector of that name.

use model::{AuthMethod, IntegrationKind};

use super::fields::{Fields, Reading};
use crate::api::Field;
use crate::entry::{CONNECTORS, Native, Way};
use crate::yaml::Node;

/// Reads them. `test: { kind: connector }` is the one test that such an entry has: the connector's own.
pub(super) fn read(top: &mut Fields<'_>, reading: &mut Reading) -> Option<Native> {
    let words: Vec<(&str, &'static str)> = CONNECTORS.iter().map(|word| (*word, *word)).collect();
    let connector = top.choice("connector", &words, reading);
    for other in ["api", "preset", "credentials", "tools", "webhook"] {
        if top.node(other).is_some() {
            let hint = "its connector knows its tools, and its secrets are in `auth`";
            reading.error(top.line(other), other, "does not go with `connector`", hint);
        }
    }
    let mut ways: Vec<Way> = Vec::new();
    let nodes = top.list("auth", reading);
    if nodes.is_empty() {
        let hint = "at least one way, for example `- type: basic`, or `- type: none`";
        reading.error(top.line("auth"), "auth", "missing", hint);
    }
    for node in nodes {
        let Some(way) = way(node, reading) else { continue };
        if ways.iter().any(|other| other.method == way.method) {
            reading.error(node.at.line, "auth.type", format!("`{}` is there twice", way.method), "");
        }
        ways.push(way);
    }
    match top.map("test", "test.", reading) {
        None => reading.error(top.at, "test", "missing", "`test: { kind: connector }`"),
        Some(mut test) => {
            if test.required_text("kind", 64, reading).is_some_and(|kind| kind != "connector") {
                let what = "is not `connector`, which such an entry is tested with";
                reading.error(test.line("kind"), "test.kind", what, "");
            }
            test.finish(reading);
        }
    }
    if top.text("type", 64, reading).is_some_and(|kind| kind != IntegrationKind::Custom.as_str()) {
        reading.error(top.line("type"), "type", "is not `custom`, which an entry with a `connector` is", "");
    }
    Some(Native { connector: connector?, ways })
}

fn way(node: &Node, reading: &mut Reading) -> Option<Way> {
    let mut fields = Fields::open(node, "auth.", reading)?;
    let method: Option<AuthMethod> = fields.word("type", reading);
    let title = fields.required_text("title", 256, reading);
    let mut secrets = Vec::new();
    for (word, node) in fields.members("fields", reading) {
        let Some(mut field) = Fields::open(node, "auth.fields.", reading) else { continue };
        let title = field.required_text("title", 256, reading);
        let help = field.text("help", 4_096, reading).unwrap_or_default();
        let is_required = field.flag("required", reading).unwrap_or(true);
        field.finish(reading);
        if word.text.is_empty() || word.text.contains('.') {
            reading.error(node.at.line, "auth.fields", "a name has no `.` in it", "");
        }
        let Some(title) = title else { continue };
        secrets.push(Field { name: word.text.clone(), title, help, is_required });
    }
    fields.finish(reading);
    Some(Way { method: method?, title: title?, fields: secrets })
}
