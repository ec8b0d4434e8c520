//! The configuration as it may be shown: references stay as they are written, literal secrets are replaced.

use credential::has_reference;

use super::entry::looks_secret;
use super::tree::{Node, Value};

/// What stands in the place of a secret where people look at it.
pub(crate) const HIDDEN: &str = "****";
/// Credentials that are no secrets.
const PUBLIC: &[&str] = &["username", "client_id", "header", "token_url", "authorize_url", "scopes"];

/// A copy without literal secrets. `replace` gets the path of each and gives what to write instead.
pub(crate) fn redact(node: &Node, replace: &dyn Fn(&[&str]) -> String) -> Node {
    walk(node, &mut Vec::new(), replace)
}

fn walk<'n>(node: &'n Node, path: &mut Vec<&'n str>, replace: &dyn Fn(&[&str]) -> String) -> Node {
    let value = match &node.value {
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|(word, node)| {
                    path.push(&word.text);
                    let copy = walk(node, path, replace);
                    path.pop();
                    (word.clone(), copy)
                })
                .collect(),
        ),
        Value::List(items) => Value::List(items.iter().map(|item| walk(item, path, replace)).collect()),
        Value::Null => Value::Null,
        Value::Bool(_) | Value::Number(..) | Value::Text(_) => {
            let text = node.value.as_text().unwrap_or_default();
            if is_secret(path) && !text.is_empty() && !has_reference(text) {
                Value::Text(replace(path))
            } else if let Some(hidden) = without_password(text, path, replace) {
                Value::Text(hidden)
            } else {
                node.value.clone()
            }
        }
    };
    Node { at: node.at, value }
}

fn is_secret(path: &[&str]) -> bool {
    let key = path.last().copied().unwrap_or_default();
    let is_credential =
        path.iter().rev().skip(1).any(|part| *part == "credentials") && !PUBLIC.contains(&key);
    is_credential || looks_secret(key) || key.eq_ignore_ascii_case("cookie")
}

/// A URL without the password in it; `None` where there is none.
fn without_password(text: &str, path: &[&str], replace: &dyn Fn(&[&str]) -> String) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split('/').next()?;
    let (user, password) = authority.rsplit_once('@')?.0.split_once(':')?;
    if has_reference(password) {
        return None;
    }
    let behind = rest.get(user.len() + 1 + password.len()..)?;
    Some(format!("{scheme}://{user}:{}{behind}", replace(path)))
}
