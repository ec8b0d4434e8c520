//! `trunkline config default|show`: the default file, and what is in force with where it comes from.

use serde_json::{Value, json};

use crate::cli::Shared;
use crate::commands::{configuration, env};
use crate::config::entry::Shape;
use crate::config::hub::{Definer, Store};
use crate::config::redact::{HIDDEN, redact};
use crate::config::{Config, DEFAULT_FILE, data_folder, emit};
use crate::say::{Quit, note, out, table};

/// Prints the commented default file.
pub(crate) fn default(shared: &Shared) -> Result<(), Quit> {
    if shared.json {
        out(&json!({ "default": DEFAULT_FILE }).to_string());
    } else {
        out(DEFAULT_FILE);
    }
    Ok(())
}

/// Prints what is in force.
pub(crate) fn show(shared: &Shared) -> Result<(), Quit> {
    let config = configuration(shared, None);
    let data = data_folder(shared.data.as_deref(), &env);
    let shown = redact(&config.tree, &|_| HIDDEN.to_owned());
    let settings = settings(&config);
    if shared.json {
        let settings: serde_json::Map<_, _> = settings
            .into_iter()
            .map(|(name, value)| {
                (name.to_owned(), json!({ "value": value, "origin": origin(&config, name) }))
            })
            .collect();
        let part = |name| shown.get(name).map_or(Value::Null, emit::json);
        let report = json!({
            "file": config.file,
            "data": data,
            "settings": settings,
            "integrations": part("integrations"),
            "states": config.entries.iter().map(state).collect::<serde_json::Map<_, _>>(),
            "toolsets": part("toolsets"),
        });
        out(&report.to_string());
    } else {
        let mut rows = vec![vec!["data".to_owned(), data.display().to_string(), String::new()]];
        for (name, value) in settings {
            rows.push(vec![name.to_owned(), value.to_string(), format!("# {}", origin(&config, name))]);
        }
        out(&table(&rows));
        for name in ["integrations", "toolsets"] {
            if let Some(node) = shown.get(name) {
                out(&format!("{name}:\n{}", emit::yaml(node, 2)));
            }
        }
        for problem in &config.problems {
            note(&problem.to_string());
        }
    }
    if config.has_errors() { Err(Quit::silent(2)) } else { Ok(()) }
}

fn state(entry: &crate::config::entry::Entry) -> (String, Value) {
    let (state, reason) = match &entry.shape {
        Shape::Mcp(_) | Shape::Api(_) => ("ready", None),
        Shape::Later(later) => ("configuring", Some(&later.reason)),
        Shape::Off => ("disconnected", None),
        Shape::Broken(reason) => ("error", Some(reason)),
    };
    (entry.name.clone(), json!({ "key": entry.key, "line": entry.line, "state": state, "reason": reason }))
}

fn origin(config: &Config, name: &str) -> String {
    if let Some(origin) = config.overrides.get(name) {
        return (*origin).to_owned();
    }
    match (config.lines.get(name), &config.file) {
        (Some(line), Some(file)) => format!("{}:{line}", file.display()),
        _ => "default".to_owned(),
    }
}

/// Every hub-wide setting with its value.
fn settings(config: &Config) -> Vec<(&'static str, Value)> {
    let hub = &config.hub;
    let definer = match hub.definer() {
        Definer::Nobody => "nobody",
        Definer::Admin => "admin",
    };
    let store = match &hub.store {
        Store::Postgres(_) => "postgres://...",
        other => other.name(),
    };
    let mut all = vec![
        ("listen", hub.listen.to_string().into()),
        ("public_url", json!(hub.public_url)),
        ("allowed_hosts", json!(hub.allowed_hosts)),
        ("allowed_origins", json!(hub.allowed_origins)),
        ("trusted_proxies", hub.trusted_proxies.iter().map(ToString::to_string).collect()),
        ("tls.cert", json!(hub.tls.cert)),
        ("tls.key", json!(hub.tls.key)),
        ("tls.client_ca", json!(hub.tls.client_ca)),
        ("mcp.tcp", json!(hub.mcp.tcp)),
        ("mcp.unix", json!(hub.mcp.unix)),
        ("mcp.websocket", hub.mcp.websocket.into()),
        ("mcp.sse", hub.mcp.sse.into()),
        ("stdio.from_api", definer.into()),
        ("limits.body_bytes", hub.limits.body_bytes.into()),
        ("limits.line_bytes", hub.limits.line_bytes.into()),
        ("limits.header_bytes", hub.limits.header_bytes.into()),
        ("limits.result_bytes", hub.limits.result_bytes.into()),
        ("limits.connections", hub.limits.connections.into()),
        ("catalog", json!(hub.catalog)),
        ("store", store.into()),
        ("cache", "local".into()),
        ("log.level", hub.log.level.as_str().into()),
        ("log.format", if hub.log.is_json { "json" } else { "text" }.into()),
        ("master_key.command", json!(hub.master_key_command)),
        ("retention.logs_days", hub.upkeep.retention.logs_days.into()),
        ("retention.health_days", hub.upkeep.retention.health_days.into()),
        ("retention.hours_days", hub.upkeep.retention.hours_days.into()),
        ("retention.calls_days", hub.upkeep.retention.calls_days.into()),
        ("health_interval", json!(hub.upkeep.health_interval_s)),
        ("secrets.ttl", hub.secrets.ttl_s.into()),
        ("secrets.stale", hub.secrets.stale_s.into()),
        ("secrets.vault", json!(hub.secrets.vault.as_ref().map(|vault| &vault.address))),
        ("secrets.aws", json!(hub.secrets.aws.as_ref().map(|aws| &aws.region))),
    ];
    // As the file writes them: the files that it names have been read and are not kept by name.
    let shown = redact(&config.tree, &|_| HIDDEN.to_owned());
    let said = |name: &str| name.split('.').try_fold(&shown, |node, part| node.get(part)).map(emit::json);
    let egress = crate::config::egress::SETTINGS.iter();
    all.extend(
        egress
            .map(|(name, usual)| (*name, said(name).filter(|value| !value.is_null()).unwrap_or_else(usual))),
    );
    all
}

#[cfg(test)]
mod tests {
    use super::settings;
    use crate::config::parse;

    #[test]
    fn every_hub_wide_setting_is_shown() {
        let full = crate::config::DEFAULT_FILE;
        let config = parse(None, full, &|_| None);
        let shown: Vec<_> = settings(&config).into_iter().map(|(name, _)| name).collect();
        for name in &config.known {
            let is_group = config.known.iter().any(|other| other.starts_with(&format!("{name}.")));
            let is_named = ["integrations", "toolsets"].contains(&name.as_str());
            assert!(is_group || is_named || shown.contains(&name.as_str()), "{name} is not shown");
        }
    }
}
