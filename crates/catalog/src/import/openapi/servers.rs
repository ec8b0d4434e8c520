//! `servers`: what paths go behind.

use serde_json::{Value, json};

use super::super::names::{argument, cut, line};
use super::super::{items, members, text};
use super::Reading;

/// A base URL that is a setting as a whole.
const WHOLE: &str = "{config.base_url}";

/// The base URL.
#[derive(Debug)]
pub(super) struct Base {
    /// As our template.
    pub(super) template: String,
    /// As the document has it.
    pub(super) raw: String,
    /// Its host, for a name where there is no other.
    pub(super) shown: String,
    /// `https://host`, where no setting is in it.
    pub(super) origin: Option<String>,
}

/// The first server that is an address; the others are reported. Its variables become settings.
pub(super) fn base(reading: &mut Reading<'_>) -> Base {
    let document = reading.document;
    let mut found = None;
    for server in items(&document.root, "servers") {
        let Some(url) = text(server, "url") else { continue };
        let place = format!("servers {}", line(cut(&url, 120)));
        if found.is_some() {
            reading.report.add(place, "is not used; a connection says another address as `endpoint`");
        } else if !is_address(&url) {
            reading.report.add(place, "is no http:// or https:// address without a query");
        } else {
            found = filled(server, &url, reading);
        }
    }
    found.unwrap_or_else(|| {
        // The document is for whoever runs the API: they say where.
        let path = items(&document.root, "servers").first().and_then(|one| text(one, "url")).unwrap_or_default();
        let words = match path.as_ref() {
            path if path.starts_with('/') && path.len() > 1 => format!("Where the API is, with `{}` at its end.", line(cut(path, 200))),
            _ => "Where the API is; its paths go behind it.".to_owned(),
        };
        let setting = json!({ "title": "Base URL", "description": words, "type": "string", "minLength": 8, "pattern": "^https?://", "x-order": 1 });
        reading.taken.take("base_url");
        reading.settings.insert("base_url".to_owned(), setting);
        reading.required.push("base_url".to_owned());
        reading.report.add("servers", "no server is an address: each connection says it as the setting `base_url`");
        Base { template: WHOLE.to_owned(), raw: path.into_owned(), shown: String::new(), origin: None }
    })
}

/// What a connection may say to the hub itself: another address, and its patience.
pub(super) fn hubs(base: &Base) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    if base.template != WHOLE {
        let setting = json!({ "title": "Another base URL", "description": "In the place of the usual one: a sandbox, or an installation of one's own.", "type": "string", "pattern": "^https?://", "x-order": 89 });
        out.push(("endpoint".to_owned(), setting));
    }
    let timeout = json!({ "title": "Seconds a call may take", "type": "number", "exclusiveMinimum": 0, "maximum": 86_400, "x-order": 90 });
    out.push(("timeout".to_owned(), timeout));
    out
}

fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && url.len() <= 1_000
            && !rest.contains(|c: char| {
                c.is_whitespace() || c.is_control() || "?#@\\".contains(c) || !c.is_ascii()
            })
    })
}

/// A server with its variables; `None` where one of them has neither a name nor a value.
fn filled(server: &Value, url: &str, reading: &mut Reading<'_>) -> Option<Base> {
    let mut template = String::new();
    let mut rest = url;
    let mut has_settings = false;
    while let Some((before, after)) = rest.split_once('{') {
        template.push_str(&before.replace('}', "}}"));
        let Some((name, after)) = after.split_once('}') else {
            reading.report.add("servers", "has a brace that is not closed");
            return None;
        };
        rest = after;
        let variable =
            members(server, "variables").find(|(known, _)| *known == name).map(|(_, variable)| variable);
        match setting(name, variable.unwrap_or(&Value::Null), reading) {
            Ok(setting) => {
                template.push_str(&format!("{{config.{setting}}}"));
                has_settings = true;
            }
            Err(fixed) => template.push_str(&fixed.replace('{', "{{").replace('}', "}}")),
        }
    }
    template.push_str(&rest.replace('}', "}}"));
    let template = template.trim_end_matches('/').to_owned();
    let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned();
    let origin = (!has_settings).then(|| template.split('/').take(3).collect::<Vec<_>>().join("/"));
    Some(Base { template, raw: url.to_owned(), shown: host, origin })
}

/// A variable as a setting; `Err` with its value where that could not be filled in as a setting.
fn setting(name: &str, variable: &Value, reading: &mut Reading<'_>) -> Result<String, String> {
    let default = text(variable, "default").map(std::borrow::Cow::into_owned);
    if let Some(default) = default.as_ref().filter(|default| !is_word(default)) {
        let place = format!("servers variable {}", line(name));
        reading.report.add(place, "is no setting: its value is not letters, digits, `-`, `_` and `.` only; it stands in the base URL");
        return Err(default.clone());
    }
    let own = reading.taken.free(&argument(cut(name, 60)), 64);
    let choices: Vec<&str> = items(variable, "enum")
        .iter()
        .filter_map(Value::as_str)
        .filter(|one| is_word(one))
        .take(100)
        .collect();
    let order = reading.settings.len() + 1;
    let mut schema = json!({ "title": super::super::names::spoken(&own), "type": "string", "pattern": "^[A-Za-z0-9._-]+$", "x-order": order });
    if let Some(members) = schema.as_object_mut() {
        if let Some(words) = text(variable, "description") {
            members.insert("description".to_owned(), json!(line(cut(&words, 1_000))));
        }
        match &default {
            Some(default) => drop(members.insert("default".to_owned(), json!(default))),
            None => reading.required.push(own.clone()),
        }
        if !choices.is_empty() && default.as_ref().is_none_or(|default| choices.contains(&default.as_str())) {
            members.insert("enum".to_owned(), json!(choices));
        }
    }
    reading.settings.insert(own.clone(), schema);
    Ok(own)
}

/// What may stand inside of a base URL.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !text.split('.').any(str::is_empty)
}
