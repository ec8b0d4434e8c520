//! `trunkline export`: the client configuration that points at this hub, and this configuration without secrets.

use serde_json::json;

use crate::cli::{Exported, Shared};
use crate::commands::{configuration, env};
use crate::config::redact::redact;
use crate::config::{Config, emit};
use crate::say::{Quit, note, out};

/// Prints what was asked for.
pub(crate) fn run(shared: &Shared, what: Exported, is_stdio: bool) -> Result<(), Quit> {
    let config = configuration(shared, None);
    match what {
        Exported::Client => {
            let key = shared.key.clone().or_else(|| env("TRUNKLINE_KEY"));
            if key.is_none() {
                note("no key given (--key or TRUNKLINE_KEY): put yours in the place of ${TRUNKLINE_KEY}");
            }
            let key = key.unwrap_or_else(|| "${TRUNKLINE_KEY}".to_owned());
            let url =
                shared.url.clone().or_else(|| env("TRUNKLINE_URL")).unwrap_or_else(|| base_url(&config));
            let entry = if is_stdio { stdio_entry(&url, &key) } else { http_entry(&url, &key) };
            let text =
                serde_json::to_string_pretty(&entry).map_err(|error| Quit::failed(error.to_string()))?;
            out(&text);
        }
        Exported::Config => {
            // A literal secret becomes a reference with a name made of where it stood.
            let copy = redact(&config.tree, &|path| {
                let parts = path.iter().filter(|part| {
                    !["integrations", "auth", "credentials", "env", "headers"].contains(*part)
                });
                let name = parts.copied().collect::<Vec<_>>().join("_");
                let name: String = name
                    .chars()
                    .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
                    .collect();
                format!("${{{name}}}")
            });
            if shared.json {
                out(&emit::json(&copy).to_string());
            } else {
                out(&emit::yaml(&copy, 0));
            }
        }
    }
    Ok(())
}

/// Where the hub of this configuration is reached.
pub(crate) fn base_url(config: &Config) -> String {
    let scheme = if config.hub.tls.cert.is_some() { "https" } else { "http" };
    config.hub.public_url.clone().unwrap_or_else(|| format!("{scheme}://{}", config.hub.listen))
}

/// The entry of a client that calls a URL.
pub(crate) fn http_entry(url: &str, key: &str) -> serde_json::Value {
    let url = format!("{}/mcp", url.trim_end_matches('/'));
    json!({ "mcpServers": { "trunkline": {
        "type": "http",
        "url": url,
        "headers": { "Authorization": format!("Bearer {key}") },
    } } })
}

/// The entry of a client that starts a program.
fn stdio_entry(url: &str, key: &str) -> serde_json::Value {
    let program =
        std::env::current_exe().map_or_else(|_| "trunkline".to_owned(), |path| path.display().to_string());
    json!({ "mcpServers": { "trunkline": {
        "command": program,
        "args": ["mcp"],
        "env": { "TRUNKLINE_URL": url, "TRUNKLINE_KEY": key },
    } } })
}
