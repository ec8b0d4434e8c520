//! One entry of `integrations`. Each is read on its own: what is wrong with one becomes that entry's
//! reason, and the others never notice.

mod api;
mod auth;
mod child;
mod later;
mod mcp;
mod secret;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;

use credential::same;
use model::id::UserId;
use model::{Key, Secret};
use store::ConnectionRow;

use super::egress::Egress;
use super::fields::{Env, Fields, Reading, UNREAD};
use super::problem::{Scope, Severity};
use super::tree::{Mark, Node, Value, Word};

pub(crate) use api::ApiEntry;
pub(crate) use auth::Delegation;
pub(crate) use later::Later;
pub(crate) use mcp::{McpEntry, Transport};
pub(crate) use secret::looks_secret;
pub(crate) use usage::Usage;

/// What `type` may be.
pub(crate) const TYPES: &[(&str, Type)] = &[
    ("mcp", Type::Mcp),
    ("api", Type::Api),
    ("database", Type::Database),
    ("queue", Type::Queue),
    ("cache", Type::Cache),
    ("cloud", Type::Cloud),
    ("files", Type::Files),
];

/// What kind of system an entry connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// An MCP server.
    Mcp,
    /// A vendor's API.
    Api,
    /// A database.
    Database,
    /// A message queue.
    Queue,
    /// A cache.
    Cache,
    /// A cloud's services.
    Cloud,
    /// A file store.
    Files,
}

/// One entry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The connection's key.
    pub(crate) key: Key,
    /// The key as the file spells it.
    pub(crate) name: String,
    /// The line that it begins on.
    pub(crate) line: u32,
    /// What it says `type` is, when that could be read.
    pub(crate) kind: Option<Type>,
    /// What became of it.
    pub(crate) shape: Shape,
    /// A secret of it that a source kept is too old to be used, so that what runs with it must end.
    pub(crate) is_starved: bool,
    /// Everybody uses their own credentials.
    pub(crate) is_per_user: bool,
    /// Of a stored connection on which everybody uses their own credentials: what they share. What it says then
    /// stands for each of them, with something in the place of what is their own.
    pub(crate) personal: Option<Box<Shared>>,
    /// Everything that it says, references replaced: equal texts mean an unchanged entry.
    said: Secret,
}

/// What the users of a connection share who use their own credentials.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// The connection.
    pub(crate) row: ConnectionRow,
    /// Credentials that are not a user's own: the client of OAuth.
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// What became of an entry.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// An MCP server, ready to be connected.
    Mcp(Box<McpEntry>),
    /// An HTTP API, ready to be connected.
    Api(Box<ApiEntry>),
    /// Well formed, but waiting: for a connector of a later version, or for something to be added.
    Later(Later),
    /// Switched off with `enabled: false`.
    Off,
    /// Wrong; the reason with its line.
    Broken(String),
}

impl Shape {
    /// What it says about the way out; `None` where it has none over a network.
    pub(crate) fn egress(&self) -> Option<&Egress> {
        match self {
            Self::Mcp(mcp) => match &mcp.transport {
                Transport::Stdio { .. } | Transport::Unix(_) => None,
                Transport::Http(_) | Transport::Sse(_) | Transport::WebSocket(_) | Transport::Tcp { .. } => {
                    Some(&mcp.egress)
                }
            },
            Self::Api(api) => Some(&api.egress),
            Self::Later(_) | Self::Off | Self::Broken(_) => None,
        }
    }
}

impl Type {
    /// The word in the file.
    pub(crate) fn name(self) -> &'static str {
        TYPES.iter().find(|(_, kind)| *kind == self).map_or("mcp", |(name, _)| name)
    }
}

impl Entry {
    /// One that is wrong for a reason outside of what it says.
    pub(crate) fn broken(key: Key, reason: String) -> Self {
        let said = Secret::new(reason.clone());
        Self {
            name: key.to_string(),
            key,
            line: 0,
            kind: None,
            shape: Shape::Broken(reason),
            is_starved: false,
            is_per_user: false,
            personal: None,
            said,
        }
    }

    /// The same, where what ran before must end with it.
    pub(crate) fn starved(self) -> Self {
        Self { is_starved: true, ..self }
    }

    /// The same as one of a connection on which everybody uses their own credentials, or all the same.
    pub(crate) fn with_mode(self, is_per_user: bool) -> Self {
        Self { is_per_user, ..self }
    }

    /// The same as one of whose users everybody uses their own credentials.
    pub(crate) fn shared_by(self, row: &ConnectionRow, secrets: BTreeMap<String, Secret>) -> Self {
        let said = Secret::new(format!("{}{} per user", self.said.expose(), row.id));
        Self { personal: Some(Box::new(Shared { row: row.clone(), secrets })), said, ..self }
    }

    /// The same for one of those users.
    pub(crate) fn of_user(mut self, user: UserId) -> Self {
        match &mut self.shape {
            Shape::Mcp(mcp) => {
                if let Some(delegation) = &mut mcp.delegation {
                    delegation.user = Some(user);
                }
            }
            Shape::Api(api) => api.user = Some(user),
            _ => {}
        }
        self
    }

    /// How it may be used, where it can be.
    pub(crate) fn usage(&self) -> Option<&Usage> {
        match &self.shape {
            Shape::Mcp(mcp) => Some(&mcp.usage),
            Shape::Api(api) => Some(&api.usage),
            _ => None,
        }
    }

    /// True when nothing about the entry is different, its place in the file aside.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.key == other.key && same(self.said.expose().as_bytes(), other.said.expose().as_bytes())
    }
}

/// Reads the whole map. Names that are no keys are errors of their own entry, which then has no place
/// in the registry; a name that maps to a taken key likewise.
pub(crate) fn read_all(entries: &[(Word, Node)], reading: &mut Reading<'_>) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::with_capacity(entries.len());
    for (word, node) in entries {
        reading.scope = Scope::Entry(word.text.clone());
        let path = format!("integrations.{}", word.text);
        match Key::from_config(&word.text) {
            Err(error) => {
                reading.error(word.at, &path, error.to_string(), None);
            }
            Ok(key) => {
                if let Some(first) = out.iter().find(|entry| entry.key == key) {
                    let what = format!("`{}` on line {} has the same key `{key}`", first.name, first.line);
                    reading.error(word.at, &path, what, Some("rename one of them".to_owned()));
                } else {
                    out.push(read(key, word, node, &path, reading));
                }
            }
        }
    }
    reading.scope = Scope::Hub;
    out
}

fn read(key: Key, word: &Word, node: &Node, path: &str, reading: &mut Reading<'_>) -> Entry {
    let (before, expired) = (reading.problems.len(), reading.expired);
    let mut said = String::new();
    spell(node, reading, &mut said);
    let (kind, shape) = shape(word.at, node, path, reading);
    // What its files hold is part of what it says.
    said.push_str(shape.egress().map(Egress::said).as_ref().map_or("", Secret::expose));
    let errors = reading.problems.iter().skip(before).filter(|p| p.severity == Severity::Error);
    let reasons: Vec<String> =
        errors.map(|problem| format!("{}: {}: {}", problem.place(), problem.key, problem.reason())).collect();
    let shape = if reasons.is_empty() { shape } else { Shape::Broken(reasons.join("; ")) };
    let is_starved = reading.expired > expired;
    Entry {
        key,
        name: word.text.clone(),
        line: word.at.line,
        kind,
        shape,
        is_starved,
        is_per_user: false,
        personal: None,
        said: Secret::new(said),
    }
}

/// What the fields of a stored connection are called when they are wrong.
const STORED: &str = "connection_config";

/// The entry of a connection with an MCP server that was made through the API: the same grammar, as JSON.
/// Nothing in it is looked up anywhere: references are for the administrator's file.
pub(crate) fn of_stored(
    key: Key,
    config: &serde_json::Value,
    secrets: &BTreeMap<String, Secret>,
    is_private_allowed: bool,
) -> Entry {
    let mut config = config.clone();
    if let Some(members) = config.as_object_mut() {
        members.insert("type".to_owned(), "mcp".into());
    }
    stored(key, &config, secrets, is_private_allowed)
}

/// The same with the row that it was read from, for one that signs in with tokens that are kept there.
pub(crate) fn of_row(
    row: &ConnectionRow,
    config: &serde_json::Value,
    secrets: &BTreeMap<String, Secret>,
) -> Entry {
    let own = secrets.iter().filter(|(field, _)| !field.starts_with("oauth."));
    let own = own.map(|(field, value)| (field.clone(), value.clone())).collect();
    let mut entry = of_stored(row.key.clone(), config, &own, row.egress_private);
    if let Shape::Mcp(mcp) = &mut entry.shape
        && let Some(delegation) = &mut mcp.delegation
    {
        let client = secrets.get(connector::oauth::CLIENT_FIELD);
        delegation.registered = client.and_then(connector::oauth::Registered::from_secret);
        delegation.row = Some(Box::new(row.clone()));
        let client = client.map(Secret::expose).unwrap_or_default();
        entry.said = Secret::new(format!("{}{}{client}", entry.said.expose(), row.id));
    }
    entry
}

/// The same of a connection with an API that the catalogue describes.
pub(crate) fn of_stored_api(
    row: &ConnectionRow,
    manifest: &Arc<catalog::Entry>,
    secrets: &BTreeMap<String, Secret>,
) -> Entry {
    let key = row.key.clone();
    let catalog::Settled { config: mut own, hubs } = match manifest.settle(&row.config.value()) {
        Ok(settled) => settled,
        Err(problems) => return Entry::broken(key, problems.to_string().replace('\n', "; ")),
    };
    // What the provider said about the account beside its token counts as filled in.
    let tokens =
        secrets.get(connector::oauth::TOKENS_FIELD).and_then(connector::oauth::TokenSet::from_secret);
    for (name, value) in tokens.map(|set| set.kept).unwrap_or_default() {
        own.entry(name).or_insert_with(|| value.into());
    }
    let mut said = serde_json::Value::Object(hubs);
    if let Some(members) = said.as_object_mut() {
        members.insert("type".to_owned(), "api".into());
        members.insert("integration".to_owned(), manifest.slug.as_str().into());
        members.insert("config".to_owned(), own.into());
        let method = row.auth_method.as_str();
        members.insert("auth".to_owned(), serde_json::json!({ "type": method, "credentials": {} }));
    }
    let own = secrets.iter().filter(|(field, _)| field.starts_with("auth.credentials."));
    let own = own.map(|(field, value)| (field.clone(), value.clone())).collect();
    let mut entry = stored(key, &said, &own, row.egress_private);
    if let Shape::Api(api) = &mut entry.shape {
        api.manifest = Some(Arc::clone(manifest));
        api.row = Some(Box::new(row.clone()));
    }
    let said = format!("{}{}{}{}", entry.said.expose(), row.id, manifest.version, manifest.manifest);
    entry.said = Secret::new(said);
    entry
}

fn stored(
    key: Key,
    config: &serde_json::Value,
    secrets: &BTreeMap<String, Secret>,
    is_private_allowed: bool,
) -> Entry {
    let nothing: Env<'_> = &|_| None;
    let mut reading = Reading::new(None, nothing, UNREAD);
    reading.is_stored = true;
    let at = Mark { line: 1, column: 1 };
    let broken = |reason: String| (None, Shape::Broken(reason), String::new());
    let (kind, shape, mut said) = match super::tree::parse(&config.to_string()) {
        Err(error) => broken(format!("{STORED}: {}", error.what)),
        Ok(node) if holds_reference(&node) => broken(format!("{STORED}: holds a reference (`${{...}}`)")),
        Ok(mut node) => {
            for (field, value) in secrets {
                node.set(&field.split('.').collect::<Vec<_>>(), value.expose());
            }
            let mut said = String::new();
            spell(&node, &reading, &mut said);
            let (kind, shape) = shape(at, &node, STORED, &mut reading);
            (kind, shape, said)
        }
    };
    let errors = reading.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let reasons: Vec<String> =
        errors.map(|problem| format!("{}: {}", problem.key, problem.reason())).collect();
    let shape = match (reasons.is_empty(), shape) {
        (false, _) => Shape::Broken(reasons.join("; ")),
        // A literal address is a permission only where the administrator writes it.
        (true, Shape::Mcp(mcp)) => {
            Shape::Mcp(Box::new(McpEntry { private_allowed: is_private_allowed, ..*mcp }))
        }
        (true, Shape::Api(api)) => {
            Shape::Api(Box::new(ApiEntry { private_allowed: is_private_allowed, ..*api }))
        }
        (true, shape) => shape,
    };
    said.push_str(if is_private_allowed { "private" } else { "public" });
    Entry {
        name: key.to_string(),
        key,
        line: 0,
        kind,
        shape,
        is_starved: false,
        is_per_user: false,
        personal: None,
        said: Secret::new(said),
    }
}

fn holds_reference(node: &Node) -> bool {
    match &node.value {
        Value::List(items) => items.iter().any(holds_reference),
        Value::Map(entries) => {
            entries.iter().any(|(word, node)| word.text.contains("${") || holds_reference(node))
        }
        other => other.as_text().is_some_and(|text| text.contains("${")),
    }
}

fn shape(at: Mark, node: &Node, path: &str, reading: &mut Reading<'_>) -> (Option<Type>, Shape) {
    let broken = || Shape::Broken("see the errors of this entry".to_owned());
    let Some(mut fields) = Fields::open(node, path, "integrations.*", reading) else {
        return (None, broken());
    };
    if matches!(node.value, Value::Null) {
        reading.error(
            at,
            path,
            "the entry is empty",
            Some("say at least `type: mcp` and a `command` or `url`".to_owned()),
        );
        return (None, broken());
    }
    let is_enabled = fields.flag("enabled", reading).unwrap_or(true);
    let said = fields.get("type", reading).is_some();
    let kind = match fields.choice("type", TYPES, reading) {
        Some(kind) => kind,
        // The files of desktop clients have no type; what has a command or a URL is an MCP server.
        None if !said && (node.get("command").is_some() || node.get("url").is_some()) => Type::Mcp,
        None => {
            if !said {
                let words: Vec<_> = TYPES.iter().map(|(word, _)| *word).collect();
                reading.error(
                    at,
                    &fields.key("type"),
                    "missing",
                    Some(format!("one of: {}", words.join(", "))),
                );
            }
            return (None, broken());
        }
    };
    let shape = match kind {
        Type::Mcp => mcp::read(at, fields, reading),
        Type::Api => api::read(at, fields, reading),
        other => Some(later::read(at, other, fields, reading)),
    };
    match shape {
        Some(shape) if is_enabled => (Some(kind), shape),
        Some(_) => (Some(kind), Shape::Off),
        None => (Some(kind), broken()),
    }
}

/// Writes everything that a node says, references replaced, in one unambiguous spelling.
fn spell(node: &Node, reading: &Reading<'_>, out: &mut String) {
    match &node.value {
        Value::Null => out.push('~'),
        Value::List(items) => {
            out.push('[');
            for item in items {
                spell(item, reading, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (word, node) in entries {
                out.push_str(&format!("{:?}:", word.text));
                spell(node, reading, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Bool(_) | Value::Number(..) | Value::Text(_) => {
            let text = node.value.as_text().unwrap_or_default();
            match reading.spelled(text) {
                Ok(value) => out.push_str(&format!("{:?}", value.expose())),
                Err(error) => out.push_str(&format!("{text:?}!{error}")),
            }
        }
    }
}
