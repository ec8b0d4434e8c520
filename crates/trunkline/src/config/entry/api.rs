//! `type: api`: what the catalogue describes (`integration: stripe`, `integration: sftp`), or any HTTP API (`style`).

use std::collections::BTreeMap;
use std::sync::Arc;

use connector_http::Grant;
use model::id::UserId;
use model::{AuthMethod, Secret};
use serde_json::{Map, Number, Value as Json};
use store::ConnectionRow;

use super::Shape;
use super::later::Later;
use super::mcp::is_private_literal;
use super::secret::looks_secret;
use super::usage::{self, Usage};
use crate::config::egress::{self, Egress};
use crate::config::fields::{Fields, Reading};
use crate::config::tree::{Mark, Node, Value};

/// How often a call is tried again where the entry does not say: an API that says "not now" says when.
const RETRY_COUNT: u64 = 2;
const METHODS: &[(&str, AuthMethod)] = &[
    ("none", AuthMethod::None),
    ("api_key", AuthMethod::ApiKey),
    ("bearer", AuthMethod::ApiKey),
    ("basic", AuthMethod::Basic),
    ("oauth2", AuthMethod::Oauth),
    ("oauth", AuthMethod::Oauth),
    ("jwt", AuthMethod::Jwt),
    ("certificate", AuthMethod::Certificate),
    ("ssh_key", AuthMethod::SshKey),
];

const GRANTS: &[(&str, Grant)] = &[
    ("authorization_code", Grant::AuthorizationCode),
    ("client_credentials", Grant::ClientCredentials),
    ("device_code", Grant::DeviceCode),
];

/// An API, as far as its entry says.
#[derive(Debug, Clone)]
pub(crate) struct ApiEntry {
    /// The slug of what it is a connection with.
    pub(crate) integration: String,
    /// The manifest that it pins; `None` in the file, where the newest counts.
    pub(crate) manifest: Option<Arc<catalog::Entry>>,
    /// A base URL in the place of the manifest's.
    pub(crate) endpoint: Option<String>,
    /// Settings of the manifest's schema.
    pub(crate) config: Map<String, Json>,
    /// How it proves itself; `None` = as the manifest has it first.
    pub(crate) method: Option<AuthMethod>,
    /// The way to a token that it chooses, where there are several.
    pub(crate) grant: Option<Grant>,
    /// Its credentials, by name.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// How it may be used.
    pub(crate) usage: Usage,
    /// May reach private and loopback addresses.
    pub(crate) private_allowed: bool,
    /// What it says about the way out.
    pub(crate) egress: Egress,
    /// The connection in the store whose tokens it keeps; `None` in the file, whose tokens are kept in memory.
    pub(crate) row: Option<Box<ConnectionRow>>,
    /// Whose own tokens; `None` for those that all users share.
    pub(crate) user: Option<UserId>,
}

/// Reads the entry. `None` after an error that left nothing to describe.
pub(super) fn read(at: Mark, mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Shape> {
    let egress = egress::read_entry(&mut fields, reading);
    let written = fields.raw_text("endpoint", reading).map(|(text, _)| text.to_owned());
    let endpoint = fields.text("endpoint", reading);
    if let Some(said) = &endpoint
        && !(said.value().starts_with("https://") || said.value().starts_with("http://"))
    {
        reading.error(
            said.at,
            &fields.key("endpoint"),
            format!("`{said}` is not a URL of http:// or https://"),
            None,
        );
    }
    let integration = fields.text("integration", reading).map(|said| said.into_value());
    let styles =
        [("rest", Some("rest")), ("graphql", Some("graphql")), ("soap", Some("soap")), ("websocket", None)];
    let style = fields.choice("style", &styles, reading);
    let mut config = match fields.get("config", reading) {
        None => Map::new(),
        Some(node) => match json(node, &fields.key("config"), reading) {
            Some(Json::Object(members)) => members,
            _ => {
                reading.error(node.at, &fields.key("config"), "expected a map of settings", None);
                Map::new()
            }
        },
    };
    let (method, secrets) = auth(&mut fields, &mut config, reading);
    let grant = fields.choice("grant", GRANTS, reading);
    let usage = usage::read(&mut fields, RETRY_COUNT, reading);
    fields.finish(reading);
    if style == Some(None) {
        let reason = "connections of style `websocket` come with a later version of Trunkline; this entry was \
                      read and is kept as it is";
        return Some(Shape::Later(Later { reason: reason.to_owned() }));
    }
    let is_generic = integration.is_none();
    let integration = integration.unwrap_or_else(|| style.flatten().unwrap_or("rest").to_owned());
    if is_generic && endpoint.is_none() {
        let hint =
            format!("add the API's URL, or name one of the catalogue with `integration` (line {})", at.line);
        return Some(Shape::Later(Later { reason: format!("needs endpoint: {hint}") }));
    }
    if let Some(url) = endpoint.as_ref().filter(|_| is_generic) {
        // The entries for any API have no URL of their own: this is their setting.
        config.entry("base_url").or_insert_with(|| url.value().into());
    }
    Some(Shape::Api(Box::new(ApiEntry {
        integration,
        manifest: None,
        endpoint: endpoint.map(|said| said.value().to_owned()),
        config,
        method,
        grant,
        secrets,
        usage,
        row: None,
        user: None,
        private_allowed: egress
            .private
            .unwrap_or_else(|| written.is_some_and(|url| is_private_literal(&url))),
        egress,
    })))
}

/// Reads `auth`. What it says beside secrets (`token_url`, `scopes`) are settings; which are, the manifest knows.
fn auth(
    entry: &mut Fields<'_>,
    config: &mut Map<String, Json>,
    reading: &mut Reading<'_>,
) -> (Option<AuthMethod>, BTreeMap<String, Secret>) {
    let mut secrets = BTreeMap::new();
    let Some(mut fields) = entry.map("auth", reading) else { return (None, secrets) };
    let method = fields.choice("type", METHODS, reading);
    if method.is_none() && fields.get("type", reading).is_none() {
        let words: Vec<_> = METHODS.iter().map(|(word, _)| *word).collect();
        reading.error(
            fields.at,
            &fields.key("type"),
            "missing",
            Some(format!("one of: {}", words.join(", "))),
        );
    }
    let path = fields.key("credentials");
    for (word, node) in fields.names("credentials", reading).unwrap_or_default() {
        let key = format!("{path}.{}", word.text);
        match node.value.as_text() {
            Some(text) => {
                let is_setting = SETTINGS.contains(&word.text.as_str());
                let value = if !is_setting && (looks_secret(&word.text) || word.text == "key") {
                    reading.resolve_secret(node.at, &key, text)
                } else {
                    reading.resolve(node.at, &key, text)
                };
                let Some(value) = value else { continue };
                if SETTINGS.contains(&word.text.as_str()) {
                    config.insert(word.text.clone(), value.expose().into());
                } else {
                    secrets.insert(word.text.clone(), value);
                }
            }
            None => {
                // A list of scopes is one text on its way; null is nothing.
                match json(node, &key, reading) {
                    None | Some(Json::Null) => {}
                    Some(Json::Array(items)) if word.text == "scopes" => {
                        let words: Vec<&str> = items.iter().filter_map(Json::as_str).collect();
                        if !words.is_empty() {
                            config.insert(word.text.clone(), words.join(" ").into());
                        }
                    }
                    Some(value) => {
                        config.insert(word.text.clone(), value);
                    }
                }
            }
        }
    }
    fields.finish(reading);
    (method, secrets)
}

/// What stands under `credentials` and is no secret.
const SETTINGS: &[&str] =
    &["token_url", "authorization_url", "authorize_url", "device_url", "scopes", "header", "prefix"];

/// A value with its references replaced.
fn json(node: &Node, key: &str, reading: &mut Reading<'_>) -> Option<Json> {
    Some(match &node.value {
        Value::Null => Json::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number, text) => {
            let spelled = serde_json::from_str::<Number>(text).ok();
            spelled.or_else(|| Number::from_f64(*number)).map_or(Json::Null, Json::Number)
        }
        Value::Text(text) => reading.resolve(node.at, key, text)?.expose().into(),
        Value::List(items) => {
            items.iter().map(|item| json(item, key, reading)).collect::<Option<Vec<_>>>()?.into()
        }
        Value::Map(members) => {
            let mut out = Map::new();
            for (word, node) in members {
                out.insert(word.text.clone(), json(node, &format!("{key}.{}", word.text), reading)?);
            }
            out.into()
        }
    })
}
