//! The configuration as it may be shown: references stay as they are written, literal secrets become `****`.

use credential::has_reference;
use serde_json::{Map, Value as Json};

use super::entry::looks_secret;
use super::tree::{Node, Value};

/// What stands in the place of a secret.
const HIDDEN: &str = "****";
/// Credentials that are no secrets.
const PUBLIC: &[&str] = &["username", "client_id", "header", "token_url", "authorize_url", "scopes"];

/// A node as JSON without literal secrets. `key` is the name it stands under.
pub(crate) fn redact(node: &Node, key: &str, is_in_credentials: bool) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Map(entries) => {
            let is_credentials = is_in_credentials || key == "credentials";
            let map: Map<String, Json> = entries
                .iter()
                .map(|(word, node)| (word.text.clone(), redact(node, &word.text, is_credentials)))
                .collect();
            Json::Object(map)
        }
        Value::List(items) => {
            Json::Array(items.iter().map(|item| redact(item, key, is_in_credentials)).collect())
        }
        Value::Bool(_) | Value::Number(..) | Value::Text(_) => {
            let text = node.value.as_text().unwrap_or_default();
            let is_secret =
                (is_in_credentials && !PUBLIC.contains(&key)) || looks_secret(key) || key == "cookie";
            if is_secret && !text.is_empty() && !has_reference(text) {
                return Json::from(HIDDEN);
            }
            match &node.value {
                Value::Bool(value) => Json::from(*value),
                Value::Number(_, spelled) => spelled
                    .parse::<serde_json::Number>()
                    .map_or_else(|_| Json::from(spelled.as_str()), Json::Number),
                _ => Json::from(without_password(text)),
            }
        }
    }
}

/// A URL without the password in it.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
        Some((user, password)) if !has_reference(password) => {
            let behind = rest.get(user.len() + 1 + password.len()..).unwrap_or_default();
            format!("{scheme}://{user}:{HIDDEN}{behind}")
        }
        _ => text.to_owned(),
    }
}
