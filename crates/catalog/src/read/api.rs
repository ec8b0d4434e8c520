//! `api`, `auth` and `tools`: an HTTP API.

mod auth;
mod job;
mod paging;
mod parameters;
mod tools;
mod webhook;

use serde_json::Value as Json;

use super::fields::{Fields, Reading, json};
use crate::api::{Api, Encoding, Errors, Path, Rate, Reset, TestCall};
use crate::schema;
use crate::template::{Scope, Template};
use crate::yaml::{Node, Word};

const ENCODINGS: &[(&str, Encoding)] =
    &[("json", Encoding::Json), ("form", Encoding::Form), ("xml", Encoding::Xml)];

/// What holes of the manifest may name.
pub(super) struct Names {
    config: Vec<String>,
    secrets: Vec<String>,
    /// Settings that a template uses.
    used: std::cell::RefCell<Vec<String>>,
}

/// Reads the three sections; `None` where there is no `api`, or after an error.
pub(super) fn read(top: &mut Fields<'_>, schema: &Json, reading: &mut Reading) -> Option<(Api, Vec<String>)> {
    let names = Names::of(schema);
    let node = top.node("api")?;
    let mut fields = Fields::open(node, "api.", reading)?;
    let base_url = names.required(&mut fields, "base_url", &[Scope::Config], reading);
    let headers = names.map(&mut fields, "headers", &[Scope::Config], reading);
    let query = names.map(&mut fields, "query", &[Scope::Config], reading);
    let encoding = fields.choice("encoding", ENCODINGS, reading).unwrap_or(Encoding::Json);
    let errors = errors(&mut fields, reading);
    let rate = rate(&mut fields, reading);
    fields.finish(reading);
    let auth = auth::read(top, &names, reading);
    let tools = tools::read(top, &names, encoding, reading);
    let test = test(top, &tools, reading);
    let webhook = webhook::read(top, &names, reading);
    let rotation = webhook::rotation(top, reading);
    let api = Api {
        base_url: base_url?,
        headers,
        query,
        encoding,
        errors,
        rate,
        auth,
        tools,
        test: test?,
        webhook,
        rotation,
    };
    Some((api, names.used()))
}

fn errors(api: &mut Fields<'_>, reading: &mut Reading) -> Errors {
    let Some(mut fields) = api.map("errors", "api.errors.", reading) else { return Errors::default() };
    let paths = |texts: Vec<(u32, String)>| texts.iter().map(|(_, text)| Path::parse(text)).collect();
    let message = paths(fields.texts("message", reading));
    let code = paths(fields.texts("code", reading));
    let failed_when = fields.map("failed_when", "api.errors.failed_when.", reading).and_then(|mut when| {
        let path = when.required_text("path", 256, reading);
        let equals = when.node("equals").map(json);
        if equals.is_none() {
            reading.error(
                when.at,
                "api.errors.failed_when.equals",
                "missing",
                "the value that means a failure",
            );
        }
        when.finish(reading);
        Some((Path::parse(&path?), equals?))
    });
    let mut statuses = Vec::new();
    for (word, node) in fields.members("statuses", reading) {
        match node
            .value
            .as_text()
            .and_then(|text| text.parse().ok())
            .filter(|status| (400..600).contains(status))
        {
            Some(status) => statuses.push((word.text.clone(), status)),
            None => reading.error(node.at.line, "api.errors.statuses", "is no status from 400 to 599", ""),
        }
    }
    fields.finish(reading);
    Errors { failed_when, message, code, statuses }
}

fn rate(api: &mut Fields<'_>, reading: &mut Reading) -> Rate {
    let usual = "retry-after".to_owned();
    let Some(mut fields) = api.map("rate", "api.rate.", reading) else {
        return Rate { retry_after: usual, ..Rate::default() };
    };
    let requests = fields.count("requests", 1, 1_000_000, reading);
    let seconds = fields.count("per_seconds", 1, 86_400, reading);
    let limit = match (requests, seconds) {
        (Some(requests), Some(seconds)) => u32::try_from(requests).ok().zip(u32::try_from(seconds).ok()),
        (None, None) => None,
        _ => {
            reading.error(fields.at, "api.rate", "`requests` and `per_seconds` go together", "");
            None
        }
    };
    let header = |fields: &mut Fields<'_>, name, reading: &mut Reading| {
        fields.text(name, 128, reading).map(|text| text.to_ascii_lowercase())
    };
    let remaining = header(&mut fields, "remaining", reading);
    let reset = header(&mut fields, "reset", reading);
    let words = [("seconds", Reset::Seconds), ("epoch", Reset::Epoch), ("epoch_ms", Reset::EpochMs)];
    let reset_as = fields.choice("reset_as", &words, reading).unwrap_or(Reset::Seconds);
    let retry_after = header(&mut fields, "retry_after", reading).unwrap_or(usual);
    fields.finish(reading);
    Rate { limit, remaining, reset: reset.map(|name| (name, reset_as)), retry_after }
}

/// `test: { kind: call, tool: NAME, arguments: {} }`.
fn test(top: &mut Fields<'_>, tools: &[crate::api::Tool], reading: &mut Reading) -> Option<TestCall> {
    let Some(mut fields) = top.map("test", "test.", reading) else {
        reading.error(top.at, "test", "missing", "for example `test: { kind: call, tool: get_me }`");
        return None;
    };
    let kind = fields.required_text("kind", 64, reading);
    let tool = fields.required_text("tool", 128, reading);
    let arguments = fields.node("arguments").map_or_else(|| Json::Object(serde_json::Map::new()), json);
    fields.finish(reading);
    if kind.as_deref().is_some_and(|kind| kind != "call") {
        reading.error(fields.line("kind"), "test.kind", "is not `call`, which an API is tested with", "");
    }
    let tool = tool?;
    match tools.iter().find(|one| one.name == tool) {
        None => {
            let known: Vec<&str> = tools.iter().map(|one| one.name.as_str()).collect();
            reading.unknown(fields.line("tool"), "test.tool", &tool, &known);
        }
        Some(one) if one.effect != crate::api::Effect::Read => {
            reading.error(fields.line("tool"), "test.tool", "changes something; a test only reads", "");
        }
        Some(_) => {}
    }
    Some(TestCall { tool, arguments })
}

// === impl Names ===

impl Names {
    fn of(schema: &Json) -> Self {
        Self {
            config: schema::properties(schema).map(|(name, _)| name.clone()).collect(),
            secrets: Vec::new(),
            used: std::cell::RefCell::default(),
        }
    }

    /// The same, with the secrets of one way to prove oneself.
    fn with_secrets(&self, secrets: Vec<String>) -> Self {
        Self { config: self.config.clone(), secrets, used: std::cell::RefCell::default() }
    }

    fn used(self) -> Vec<String> {
        self.used.into_inner()
    }

    fn take(&self, other: Self) {
        self.used.borrow_mut().extend(other.used());
    }

    /// Notes a setting that something other than a template uses.
    fn note(&self, name: &str) {
        self.used.borrow_mut().push(name.to_owned());
    }

    /// A text as a template with holes of `scopes`. Holes of the input are checked by whoever knows the inputs.
    fn template(&self, node: &Node, key: &str, scopes: &[Scope], reading: &mut Reading) -> Option<Template> {
        let line = node.at.line;
        let Some(text) = node.value.as_text() else {
            reading.error(line, key, format!("expected a text, found {}", node.value.noun()), "");
            return None;
        };
        let template = match Template::parse_in(text, scopes) {
            Ok(template) => template,
            Err(what) => {
                reading.error(line, key, what, "");
                return None;
            }
        };
        for hole in template.holes() {
            let known = match hole.scope {
                Scope::Config => &self.config,
                Scope::Secret => &self.secrets,
                Scope::Input | Scope::Sign => continue,
            };
            if hole.scope == Scope::Config {
                self.note(&hole.name);
            }
            if !known.contains(&hole.name) {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                reading.unknown(line, key, &hole.name, &known);
            }
        }
        Some(template)
    }

    /// Notes and checks the settings that a name holds.
    fn check_text(&self, text: &str, line: u32, key: &str, reading: &mut Reading) {
        match Template::parse_in(text, &[Scope::Config]) {
            Err(what) => reading.error(line, key, what, ""),
            Ok(template) => {
                for name in template.names() {
                    self.note(name);
                    if !self.config.iter().any(|known| known == name) {
                        let known: Vec<&str> = self.config.iter().map(String::as_str).collect();
                        reading.unknown(line, key, name, &known);
                    }
                }
            }
        }
    }

    fn one(
        &self,
        fields: &mut Fields<'_>,
        name: &'static str,
        scopes: &[Scope],
        reading: &mut Reading,
    ) -> Option<Template> {
        let node = fields.node(name)?;
        self.template(node, &fields.key(name), scopes, reading)
    }

    fn required(
        &self,
        fields: &mut Fields<'_>,
        name: &'static str,
        scopes: &[Scope],
        reading: &mut Reading,
    ) -> Option<Template> {
        if fields.node(name).is_none() {
            reading.error(fields.at, &fields.key(name), "missing", "");
        }
        self.one(fields, name, scopes, reading)
    }

    fn map(
        &self,
        fields: &mut Fields<'_>,
        name: &'static str,
        scopes: &[Scope],
        reading: &mut Reading,
    ) -> Vec<(String, Template)> {
        let key = fields.key(name);
        let members: &[(Word, Node)] = fields.members(name, reading);
        let one = |(word, node): &(Word, Node)| {
            let key = format!("{key}.{}", word.text);
            Some((word.text.clone(), self.template(node, &key, scopes, reading)?))
        };
        members.iter().filter_map(one).collect()
    }
}
