//! Inputs of a `server.json`: values that stand fixed, that users fill in, or that are secrets.

use serde_json::{Map, Value, json};

use super::launch::{Launch, Named, escaped};
use super::names::{cut, line, spoken};
use super::report::Report;
use super::write::Tree;
use super::{items, members, text};

/// The most arguments, variables or headers that are taken over.
const INPUTS_MAX: usize = 200;

pub(super) fn is_yes(value: &Value, key: &str) -> bool {
    value.get(key) == Some(&json!(true))
}

/// The schema of what a user fills in.
fn schema(input: &Value, title: &str) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| drop(out.insert(key.to_owned(), value));
    put("title", json!(cut(&spoken(title), 200)));
    let mut words = text(input, "description").map(|words| line(cut(&words, 1_000))).unwrap_or_default();
    if let Some(shown) = text(input, "placeholder").or_else(|| text(input, "valueHint")) {
        words = format!("{words} For example {}", line(cut(&shown, 200))).trim().to_owned();
    }
    if !words.is_empty() {
        put("description", json!(words));
    }
    let kind = match input.get("format").and_then(Value::as_str) {
        Some("number") => "number",
        Some("boolean") => "boolean",
        _ => "string",
    };
    let typed = |raw: &Value| match (kind, raw) {
        ("number", Value::String(text)) => serde_json::from_str::<Value>(text).ok().filter(Value::is_number),
        ("boolean", Value::String(text)) => text.parse::<bool>().ok().map(Value::Bool),
        ("number", raw) => raw.is_number().then(|| raw.clone()),
        ("boolean", raw) => raw.is_boolean().then(|| raw.clone()),
        (_, Value::String(text)) => Some(json!(text)),
        (_, raw @ (Value::Number(_) | Value::Bool(_))) => Some(json!(raw.to_string())),
        _ => None,
    };
    put("type", json!(kind));
    let choices: Vec<Value> = items(input, "choices").iter().take(INPUTS_MAX).filter_map(typed).collect();
    let default = input.get("default").and_then(typed);
    if let Some(default) = default.filter(|default| choices.is_empty() || choices.contains(default)) {
        put("default", default);
    }
    if !choices.is_empty() {
        put("enum", json!(choices));
    }
    out
}

/// A value with `{variables}` as our template; `Err` with the name of one that is a secret.
pub(super) fn filled(value: &str, input: &Value, launch: &mut Launch) -> Result<String, String> {
    let mut out = String::new();
    let mut known: Vec<(String, String)> = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(&escaped(before));
        let hole = after.split_once('}');
        let variable = hole.and_then(|(name, after)| {
            let (_, variable) = members(input, "variables").find(|(known, _)| *known == name)?;
            Some((name, variable, after))
        });
        // What is no variable stays as it is.
        let Some((name, variable, after)) = variable else {
            out.push_str("{{");
            rest = after;
            continue;
        };
        rest = after;
        if is_yes(variable, "isSecret") {
            return Err(name.to_owned());
        }
        if let Some(fixed) = text(variable, "value") {
            out.push_str(&escaped(&fixed));
            continue;
        }
        let setting = match known.iter().find(|(one, _)| one == name) {
            Some((_, setting)) => setting.clone(),
            None => {
                let setting = launch.setting(name, schema(variable, name), is_yes(variable, "isRequired"));
                known.push((name.to_owned(), setting.clone()));
                setting
            }
        };
        out.push_str(&format!("{{config.{setting}}}"));
    }
    out.push_str(&escaped(rest));
    Ok(out)
}

/// Variables or headers.
pub(super) fn named(list: &[Value], named: Named, launch: &mut Launch, report: &mut Report) {
    for input in list.iter().take(INPUTS_MAX) {
        let Some(name) = text(input, "name").filter(|name| named.takes(name)) else {
            report.add(named.word(), "one has no name, or one that cannot be said here; it is left out");
            continue;
        };
        let place = format!("{}.{name}", named.word());
        let words = text(input, "description").unwrap_or_default();
        let is_required = is_yes(input, "isRequired");
        let value = text(input, "value");
        if is_yes(input, "isSecret") {
            let help = match &value {
                Some(value) if value.contains('{') => format!("The whole of it: {value}. {words}"),
                _ => words.into_owned(),
            };
            launch.credential(named, &name, &name, &help, is_required);
            continue;
        }
        match value {
            Some(value) => match filled(&value, input, launch) {
                Ok(template) => launch.put(named, &name, template),
                Err(_) => {
                    let is_needed =
                        is_required || members(input, "variables").any(|(_, one)| is_yes(one, "isRequired"));
                    let hints: Vec<String> = members(input, "variables")
                        .filter_map(|(_, one)| text(one, "description").map(|text| text.into_owned()))
                        .collect();
                    let help = format!("The whole of it: {value}. {words} {}", hints.join(" "));
                    report.add(&place, "holds a secret: the whole of it is one, with what stands around it");
                    launch.credential(named, &name, &name, &help, is_needed);
                }
            },
            None => {
                let setting = launch.setting(&name, schema(input, &name), is_required);
                launch.put(named, &name, format!("{{config.{setting}}}"));
            }
        }
    }
    if list.len() > INPUTS_MAX {
        report.add(named.word(), format!("has more than {INPUTS_MAX}; the rest is left out"));
    }
}

/// Arguments of a command line; `Err` where it cannot be written without a secret.
pub(super) fn arguments(
    list: &[Value],
    is_runtime: bool,
    launch: &mut Launch,
    report: &mut Report,
) -> Result<(), String> {
    for (n, input) in list.iter().take(INPUTS_MAX).enumerate() {
        let flag = text(input, "name").filter(|_| text(input, "type").as_deref() == Some("named"));
        let hint = text(input, "valueHint");
        let own =
            flag.as_deref().or(hint.as_deref()).unwrap_or("argument").trim_start_matches('-').to_owned();
        let place = format!("argument {} {}", n + 1, line(&own));
        if is_yes(input, "isSecret") {
            if is_yes(input, "isRequired") {
                return Err(format!(
                    "its argument `{}` is a secret, and secrets do not stand on command lines",
                    line(&own)
                ));
            }
            report.add(place, "is a secret, and secrets do not stand on command lines; it is left out");
            continue;
        }
        let value = match text(input, "value") {
            Some(value) => match filled(&value, input, launch) {
                Ok(template) => Some(template),
                Err(secret) => {
                    return Err(format!(
                        "its argument `{}` holds the secret `{}`, and secrets do not stand on command lines",
                        line(&own),
                        line(&secret)
                    ));
                }
            },
            None => None,
        };
        let is_bare = ["default", "choices", "placeholder", "valueHint", "variables", "format", "isRepeated"]
            .iter()
            .all(|key| input.get(key).is_none());
        let arg = match (&flag, value) {
            (None, Some(value)) => Tree::text(value),
            (Some(flag), Some(value)) => Tree::texts([escaped(flag), value]),
            (Some(flag), None) if is_bare && (is_runtime || is_yes(input, "isRequired")) => {
                Tree::text(escaped(flag))
            }
            (Some(flag), None) if is_bare || input.get("format") == Some(&json!("boolean")) => {
                let mut said = schema(input, &own);
                said.insert("type".to_owned(), json!("boolean"));
                let setting = launch.setting(&own, said, false);
                if is_bare {
                    report.add(place, "does not say whether a value follows; it is taken for a switch");
                }
                Tree::map(vec![("flag", Tree::text(flag.as_ref())), ("when", Tree::text(setting))]).line()
            }
            (flag, None) => {
                let mut said = schema(input, &own);
                if is_yes(input, "isRepeated") {
                    let one = ["type", "enum"]
                        .iter()
                        .filter_map(|key| said.remove_entry(*key))
                        .collect::<Map<_, _>>();
                    said.insert("type".to_owned(), json!("array"));
                    said.insert("items".to_owned(), Value::Object(one));
                    if let Some(default) = said.remove("default") {
                        said.insert("default".to_owned(), json!([default]));
                    }
                }
                let setting = launch.setting(&own, said, is_yes(input, "isRequired"));
                let hole = format!("{{config.{setting}}}");
                match flag {
                    Some(flag) => Tree::texts([escaped(flag), hole]),
                    None => Tree::text(hole),
                }
            }
        };
        launch.args.push(arg);
    }
    if list.len() > INPUTS_MAX {
        return Err(format!("has more than {INPUTS_MAX} arguments"));
    }
    Ok(())
}
