//! Templates: the plain objects that other hubs keep in place of a schema (`{"protocol": "stdio", "command": ...}`,
//! `{"api_url": "https://{subdomain}.example.com", "scopes": [...]}`), as an entry of our grammar. What the
//! template says becomes what a form begins with.

use model::{Category, IntegrationKind};
use serde_json::{Map, Value, json};

use super::document::parse;
use super::launch::escaped;
use super::names::{argument, cut, line, spoken};
use super::report::Report;
use super::write::Tree;
use super::{Imported, Refused, checked, is_link, items, members, refused, text};
use crate::folder::built_in_manifest;

/// What is known of the entry beside its template.
#[derive(Debug, Clone)]
pub struct About {
    /// What it is called in requests.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// What kind of thing it connects.
    pub kind: IntegrationKind,
    /// Where it stands.
    pub category: Category,
    /// What it is, in a sentence or two; may be empty.
    pub description: String,
    /// Where its documentation is; may be empty.
    pub docs_url: String,
    /// Its version.
    pub version: String,
}

/// Members that only templates of MCP servers have.
const SERVER_KEYS: &[&str] = &["protocol", "command", "args", "env", "cwd", "url", "headers", "auth"];
/// Members that only templates of HTTP APIs have.
const API_KEYS: &[&str] = &[
    "api_url",
    "api_version",
    "oauth_provider",
    "scopes",
    "webhook_url",
    "webhook_secret",
    "rate_limit",
    "custom_headers",
];
/// One of these makes an object a JSON Schema, whatever else it has.
const SCHEMA_KEYS: &[&str] =
    &["$schema", "$ref", "$id", "type", "properties", "allOf", "anyOf", "oneOf", "required"];
/// Members of a template that are no setting, and why.
const UNUSED: &[(&str, &str)] = &[
    ("webhook_url", "is not used: this version takes no inbound webhooks"),
    ("webhook_secret", "is not used: this version takes no inbound webhooks"),
];
/// Whose URLs a provider's name stands for: entries of this program that sign in there.
const PROVIDERS: &[(&str, &str)] =
    &[("google", "google-calendar"), ("microsoft", "outlook"), ("azure", "outlook"), ("atlassian", "jira")];

/// Whether an object in the place of a schema is a template.
#[must_use]
pub fn is_template(schema: &Value) -> bool {
    let has = |keys: &[&str]| keys.iter().any(|key| schema.get(key).is_some());
    !has(SCHEMA_KEYS) && (has(SERVER_KEYS) || has(API_KEYS))
}

/// Makes an entry of a template.
///
/// # Errors
/// When it says what no connection can say, or holds a secret.
pub fn template(about: &About, template: &Value) -> Result<Imported, Refused> {
    let mut report = Report::default();
    let is_api = template.get("api_url").is_some();
    let known = if is_api { API_KEYS } else { SERVER_KEYS };
    for (key, _) in template.as_object().into_iter().flatten() {
        if let Some((_, why)) = UNUSED.iter().find(|(word, _)| word == key) {
            report.add(key, why);
        } else if !known.contains(&key.as_str()) {
            report.add(key, "is not known here, and left out");
        }
    }
    if text(template, "webhook_secret").is_some() {
        return refused("webhook_secret: is a secret, and templates are shown to everyone; leave it empty");
    }
    if is_api { api(about, template, report) } else { server(about, template, report) }
}

/// An MCP server: its connection's settings, each beginning with what the template says.
fn server(about: &About, template: &Value, mut report: Report) -> Result<Imported, Refused> {
    let mut base = own("mcp-server")?;
    let mut credentials = Vec::new();
    for (name, value) in members(template, "env") {
        if is_secret(name) {
            secret(value, &format!("env.{name}"))?;
            credentials.push(credential(&format!("env.{name}"), name));
        }
    }
    for (name, value) in members(template, "headers") {
        if is_secret(name) {
            secret(value, &format!("headers.{name}"))?;
            credentials.push(credential(&format!("headers.{name}"), name));
        }
    }
    let auth = template.get("auth").cloned().unwrap_or_default();
    for (name, value) in members(&auth, "credentials") {
        secret(value, &format!("auth.credentials.{name}"))?;
        credentials.push(credential(&format!("auth.credentials.{name}"), name));
    }
    if let Some(kind) = text(&auth, "type") {
        report.add("auth.type", format!("is `{}`: say it as the connection's auth_method", cut(&kind, 60)));
    }
    for key in ["protocol", "command", "args", "env", "cwd", "url", "headers"] {
        let Some(value) = template.get(key).filter(|value| !is_empty(value)) else { continue };
        let Some(property) = base.pointer_mut(&format!("/config_schema/properties/{key}")) else { continue };
        let default = match value {
            Value::Object(all) => {
                let plain = all.iter().filter(|(name, _)| !is_secret(name));
                Value::Object(plain.map(|(name, value)| (name.clone(), as_text(value))).collect())
            }
            Value::Array(all) => all.iter().map(as_text).collect(),
            other => as_text(other),
        };
        if let Some(property) = property.as_object_mut().filter(|_| !is_empty(&default)) {
            property.insert("default".to_owned(), default);
        }
    }
    let schema = base.pointer_mut("/config_schema").and_then(Value::as_object_mut);
    if let Some(schema) = schema {
        let (command, url) = (text(template, "command").is_some(), text(template, "url").is_some());
        if command || url {
            // What has a default need not be filled in.
            schema.remove("anyOf");
        }
        schema.insert("examples".to_owned(), json!([{}]));
        if !(command || url) {
            schema.insert("examples".to_owned(), json!([{ "url": "https://mcp.example.com/mcp" }]));
        }
    }
    if credentials.is_empty() {
        credentials = base.get("credentials").and_then(Value::as_array).cloned().unwrap_or_default();
    }
    let rest = vec![
        ("config_schema", Tree::Value(base.get("config_schema").cloned().unwrap_or_default())),
        ("credentials", Tree::Value(Value::Array(credentials))),
        ("test", Tree::Value(json!({ "kind": "inventory", "min_tools": 0 }))),
    ];
    finish(about, "an MCP server", rest, report)
}

/// An HTTP API: the entry `rest` with the template's parts in their places.
fn api(about: &About, template: &Value, mut report: Report) -> Result<Imported, Refused> {
    let mut base = own("rest")?;
    let url = text(template, "api_url").unwrap_or_default().into_owned();
    let is_whole = url.starts_with("https://") || url.starts_with("http://");
    if !is_whole || url.len() > 2_000 || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return refused("api_url: has to be a whole URL, https://...");
    }
    let properties = base
        .pointer_mut("/config_schema/properties")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| Refused("the entry `rest` has no settings".to_owned()))?;
    properties.remove("base_url");
    let (base_url, names) = holes(&url, properties, template)?;
    let is_said = |name: &str| names.iter().any(|known| known == name);
    if text(template, "api_version").is_some() && !is_said("api_version") {
        report.add("api_version", "stands nowhere in api_url: write `{api_version}` where it goes");
    }
    let scopes: Vec<&str> = items(template, "scopes").iter().filter_map(Value::as_str).collect();
    let mut defaults = vec![("scopes", scopes.join(" "))];
    if let Some(provider) = text(template, "oauth_provider") {
        let urls = provider_urls(&provider);
        if urls.is_none() {
            let what = "is not known: fill in authorize_url and token_url when you connect";
            report.add("oauth_provider", what);
        }
        let (authorize, token) = urls.unwrap_or_default();
        defaults.extend([("authorize_url", authorize), ("token_url", token)]);
    }
    for (name, value) in defaults {
        let property = properties.get_mut(name).and_then(Value::as_object_mut);
        if let Some(property) = property.filter(|_| !value.is_empty()) {
            property.insert("default".to_owned(), Value::String(value));
        }
    }
    if let Some(schema) = base.get_mut("config_schema").and_then(Value::as_object_mut) {
        let example: Map<String, Value> = names.iter().map(|name| (name.clone(), json!("example"))).collect();
        schema.insert("examples".to_owned(), json!([example]));
        if names.is_empty() {
            schema.remove("required");
        } else {
            schema.insert("required".to_owned(), json!(names));
        }
    }
    let mut said = base.get("api").and_then(Value::as_object).cloned().unwrap_or_default();
    said.insert("base_url".to_owned(), Value::String(base_url));
    if let Some(rate) = rate(template)? {
        said.insert("rate".to_owned(), rate);
    }
    let mut headers = Map::new();
    for (name, value) in members(template, "custom_headers") {
        if is_secret(name) {
            secret(value, &format!("custom_headers.{name}"))?;
            report.add(format!("custom_headers.{name}"), "is a secret: give it as the credential `key`");
            continue;
        }
        headers.insert(name.clone(), Value::String(escaped(as_text(value).as_str().unwrap_or_default())));
    }
    if !headers.is_empty() {
        said.insert("headers".to_owned(), Value::Object(headers));
    }
    let mut rest = vec![("api", Tree::Value(Value::Object(said)))];
    let mut auth = base.get("auth").cloned().unwrap_or_default();
    if text(template, "oauth_provider").is_some()
        && let Some(all) = auth.as_array_mut()
    {
        // The usual way comes first.
        let at = all.iter().position(|one| one.get("type") == Some(&json!("oauth2"))).unwrap_or_default();
        all.swap(0, at);
    }
    rest.push(("auth", Tree::Value(auth)));
    for key in ["config_schema", "test", "health", "tools"] {
        rest.push((key, Tree::Value(base.get(key).cloned().unwrap_or_default())));
    }
    finish(about, "an HTTP API", rest, report)
}

/// `https://{subdomain}.example.com` as a template of ours: each hole becomes a setting that has to be filled in.
fn holes(
    url: &str,
    properties: &mut Map<String, Value>,
    template: &Value,
) -> Result<(String, Vec<String>), Refused> {
    let (mut out, mut names) = (String::new(), Vec::new());
    let mut rest = url;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((name, after)) = behind.split_once('}') else {
            return refused("api_url: a `{` without its `}`");
        };
        let own = argument(cut(name, 60)).to_ascii_lowercase();
        if name.is_empty() || before.contains('}') || properties.contains_key(&own) && !names.contains(&own) {
            return refused(format!("api_url: `{{{}}}` is no name for a setting", cut(name, 60)));
        }
        out.push_str(before);
        out.push_str(&format!("{{config.{own}}}"));
        if !names.contains(&own) {
            let default = text(template, "api_version").filter(|_| own == "api_version");
            let mut setting = Map::from_iter(default.map(|version| ("default".to_owned(), json!(version))));
            for (key, value) in [
                ("title", json!(spoken(&own))),
                ("type", json!("string")),
                ("minLength", json!(1)),
                ("pattern", json!("^[A-Za-z0-9._-]+$")),
                ("x-order", json!(names.len() + 1)),
            ] {
                setting.insert(key.to_owned(), value);
            }
            let setting = Value::Object(setting);
            properties.insert(own.clone(), setting);
            names.push(own);
        }
        rest = after;
    }
    if rest.contains('}') {
        return refused("api_url: a `}` without its `{`");
    }
    out.push_str(rest);
    Ok((out, names))
}

/// `rate_limit` as the grammar has it: the shorter span, which is the one that is hit first.
fn rate(template: &Value) -> Result<Option<Value>, Refused> {
    let Some(limit) = template.get("rate_limit") else { return Ok(None) };
    for (key, seconds) in [("requests_per_minute", 60), ("requests_per_hour", 3_600)] {
        if let Some(count) = limit.get(key) {
            let count = count.as_u64().filter(|count| (1..=1_000_000).contains(count));
            let Some(count) = count else {
                return refused(format!("rate_limit.{key}: has to be a whole number from 1 to 1000000"));
            };
            return Ok(Some(json!({ "requests": count, "per_seconds": seconds })));
        }
    }
    Ok(None)
}

/// Where a provider gives leave and tokens, if an entry of this program signs in there.
fn provider_urls(provider: &str) -> Option<(String, String)> {
    let provider = provider.to_ascii_lowercase();
    let slug =
        PROVIDERS.iter().find(|(word, _)| *word == provider).map_or(provider.as_str(), |(_, slug)| slug);
    let entry = own(slug).ok()?;
    let oauth = items(&entry, "auth").iter().find(|one| one.get("type") == Some(&json!("oauth2")))?;
    let url = |key: &str| oauth.get(key)?.as_str().filter(|url| !url.contains('{')).map(str::to_owned);
    Some((url("authorization_url")?, url("token_url")?))
}

/// A manifest of this program, as data.
fn own(slug: &str) -> Result<Value, Refused> {
    let manifest =
        built_in_manifest(slug).ok_or_else(|| Refused(format!("this program has no entry `{slug}`")))?;
    parse(manifest)
}

fn finish(
    about: &About,
    noun: &str,
    parts: Vec<(&'static str, Tree)>,
    report: Report,
) -> Result<Imported, Refused> {
    let name = line(&about.name);
    let description = match about.description.trim().replace('\0', "") {
        empty if empty.is_empty() => format!("{name}, {noun}."),
        said => said,
    };
    let docs = Some(about.docs_url.clone()).filter(|url| is_link(url));
    let source = docs.clone().unwrap_or_else(|| "https://modelcontextprotocol.io/docs".to_owned());
    let mut top = vec![
        ("slug", Tree::text(&about.slug)),
        ("name", Tree::text(cut(&name, 250))),
        ("type", Tree::text(about.kind.as_str())),
        ("category", Tree::text(about.category.as_str())),
        ("description", Tree::text(cut(&description, 4_000))),
    ];
    top.extend(docs.map(|url| ("docs_url", Tree::text(url))));
    top.extend([("version", Tree::text(&about.version)), ("sources", Tree::texts([source]))]);
    top.extend(parts.into_iter().map(|(key, tree)| (key, tree.line())));
    checked(about.slug.clone(), Tree::map(top).yaml(), report)
}

/// Whether what has this name is a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '_'], "");
    ["token", "secret", "password", "passwd", "apikey", "authorization", "credential", "privatekey", "cookie"]
        .iter()
        .any(|word| name.contains(word))
}

/// A secret's place in a template is empty, or holds words that stand for one.
fn secret(value: &Value, place: &str) -> Result<(), Refused> {
    let said = value.as_str().unwrap_or_default().trim().to_ascii_lowercase();
    let stands_in = said.is_empty()
        || (said.starts_with("${") && said.ends_with('}'))
        || (said.starts_with('<') && said.ends_with('>'))
        || ["your", "xxx", "***", "..."].iter().any(|word| said.starts_with(word));
    if stands_in && (value.is_string() || value.is_null()) {
        return Ok(());
    }
    refused(format!("{place}: is a secret, and templates are shown to everyone; leave it empty"))
}

fn credential(field: &str, title: &str) -> Value {
    json!({ "field": field, "title": cut(&line(title), 200), "required": true })
}

fn as_text(value: &Value) -> Value {
    match value {
        Value::String(_) => value.clone(),
        other => Value::String(other.to_string()),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        _ => false,
    }
}
