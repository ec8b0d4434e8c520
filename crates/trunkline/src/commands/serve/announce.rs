//! What a hub says once it is ready: one JSON line for programs, or what a person pastes next.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use credential::MasterKeyOrigin;
use model::Secret;
use serde::Serialize;

use crate::commands::export::http_entry;
use crate::config::Config;
use crate::say::{note, out};
use crate::wiring::hub::Hub;

/// Where the hub is reached.
pub(crate) struct Addresses {
    listen: SocketAddr,
    tcp: Option<SocketAddr>,
    /// `https://hub.example.com` or `http://127.0.0.1:4780`.
    pub(crate) base: String,
}

/// The first line with `--json`. The order of the members is part of the promise.
#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    listen: String,
    mcp: String,
    api: String,
    console: Option<&'a str>,
    tcp: Option<String>,
    first_key: Option<&'a str>,
    console_sign_in: Option<&'a str>,
}

// === impl Addresses ===

impl Addresses {
    /// The addresses of a hub that listens there.
    pub(crate) fn new(config: &Config, listen: SocketAddr, tcp: Option<SocketAddr>) -> Self {
        let scheme = if config.hub.tls.cert.is_some() { "https" } else { "http" };
        let mut near = listen;
        if near.ip().is_unspecified() {
            // "Everywhere" is no place to call.
            near.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let base = config.hub.public_url.clone().unwrap_or_else(|| format!("{scheme}://{near}"));
        Self { listen, tcp, base }
    }
}

/// Says it.
pub(crate) fn announce(
    is_json: bool,
    config: &Config,
    hub: &Hub,
    addresses: &Addresses,
    first_key: Option<&Secret>,
) {
    let first_key = first_key.map(Secret::expose);
    let (mcp, api) = (format!("{}/mcp", addresses.base), format!("{}/api/v1", addresses.base));
    if let MasterKeyOrigin::Made(path) = &hub.house.origin {
        tracing::info!(
            "made a master key: {} (keep a copy: without it the stored secrets are lost)",
            path.display()
        );
    }
    if let Some(warning) = hub.house.store.backend().warning() {
        tracing::warn!("{warning}");
    }
    if is_json {
        let ready = Ready {
            ready: true,
            listen: addresses.listen.to_string(),
            mcp,
            api,
            console: None,
            tcp: addresses.tcp.map(|address| address.to_string()),
            first_key,
            console_sign_in: None,
        };
        match serde_json::to_string(&ready) {
            Ok(line) => out(&line),
            Err(error) => note(&format!("trunkline: the ready line cannot be written: {error}")),
        }
        return;
    }
    out(&banner(config, addresses, &mcp, &api, first_key));
}

fn banner(config: &Config, addresses: &Addresses, mcp: &str, api: &str, first_key: Option<&str>) -> String {
    let file =
        config.file.as_ref().map_or_else(|| "the built-in defaults".to_owned(), |f| f.display().to_string());
    let mut text = format!(
        "Trunkline {} is ready\n  MCP            {mcp}\n  API            {api}\n",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(tcp) = addresses.tcp {
        text.push_str(&format!("  MCP over TCP   {tcp}\n"));
    }
    if let Some(path) = &config.hub.mcp.unix {
        text.push_str(&format!("  MCP over Unix  {}\n", path.display()));
    }
    text.push_str(&format!("  configuration  {file} ({} integrations)\n", config.entries.len()));
    if let Some(key) = first_key {
        let entry = serde_json::to_string_pretty(&http_entry(&addresses.base, key)).unwrap_or_default();
        text.push_str(&format!(
            "\nThe first API key, shown only now:\n  {key}\n\nFor an MCP client:\n{entry}\n\nOr by hand:\n  \
             curl -H 'Authorization: Bearer {key}' {api}/tools\n"
        ));
    }
    text
}
