//! The hub-wide settings: everything of the file but `integrations` and `toolsets`.
//! A mistake here stops the start, because guessing a listener or a limit would be worse.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use model::Secret;

use super::fields::{Fields, Reading};
use super::said::Said;
use super::secrets::{self, Secrets};
use super::upkeep::{self, Upkeep};
use outbound::Network;

/// Where the hub listens when nothing says otherwise.
pub(crate) const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4780);

/// The hub-wide settings.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    /// Where HTTP is served.
    pub(crate) listen: SocketAddr,
    /// How clients reach the hub from outside, without a slash at the end; `None` = the listen address.
    pub(crate) public_url: Option<String>,
    /// Host names that requests may carry, beside loopback and `public_url`'s.
    pub(crate) allowed_hosts: Vec<String>,
    /// Origins that browsers may call from, beside the hub's own.
    pub(crate) allowed_origins: Vec<String>,
    /// Addresses and networks whose forwarding headers count.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Certificates of the listener.
    pub(crate) tls: Tls,
    /// MCP beside plain HTTP.
    pub(crate) mcp: Mcp,
    /// Who may define commands outside of the file; `None` = admin on loopback, nobody elsewhere.
    pub(crate) stdio_from_api: Option<Definer>,
    /// The limits of every door.
    pub(crate) limits: Limits,
    /// Folders with further integration manifests.
    pub(crate) catalog: Vec<PathBuf>,
    /// Where state is kept.
    pub(crate) store: Store,
    /// What the log says and how.
    pub(crate) log: Log,
    /// A program that prints the master key, with its arguments.
    pub(crate) master_key_command: Vec<String>,
    /// What the hub does by itself.
    pub(crate) upkeep: Upkeep,
    /// Who keeps secrets for it.
    pub(crate) secrets: Secrets,
}

/// Certificates of the listener. Without `cert` it speaks plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tls {
    /// PEM chain.
    pub(crate) cert: Option<PathBuf>,
    /// PEM key.
    pub(crate) key: Option<PathBuf>,
    /// PEM authorities; clients then have to show a certificate of one of them.
    pub(crate) client_ca: Option<PathBuf>,
}

/// MCP beside plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mcp {
    /// Newline-delimited JSON-RPC over TCP.
    pub(crate) tcp: Option<SocketAddr>,
    /// The same over a Unix socket.
    pub(crate) unix: Option<PathBuf>,
    /// WebSocket upgrades on the MCP paths.
    pub(crate) websocket: bool,
    /// The legacy HTTP+SSE transport under `{endpoint}/sse`.
    pub(crate) sse: bool,
}

/// Who may define stdio commands through the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Definer {
    /// Only this file defines commands.
    Nobody,
    /// An administrator, after consent to the exact command line.
    Admin,
}

/// The limits of every door, in bytes unless named otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// An HTTP request body.
    pub(crate) body_bytes: usize,
    /// One line of a byte stream.
    pub(crate) line_bytes: usize,
    /// The head of an HTTP request.
    pub(crate) header_bytes: usize,
    /// An upstream's answer.
    pub(crate) result_bytes: usize,
    /// Open client connections, a count.
    pub(crate) connections: usize,
}

/// Where state is kept.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    /// In the data folder.
    Sqlite,
    /// In memory: lost on restart.
    Memory,
    /// In a PostgreSQL database.
    Postgres(Secret),
}

/// What the log says and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// A level or filter, for example `info` or `info,mcp_upstream=debug`.
    pub(crate) level: String,
    /// One JSON object per line instead of text.
    pub(crate) is_json: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 10 << 20,
            line_bytes: 16 << 20,
            header_bytes: 64 << 10,
            result_bytes: 16 << 20,
            connections: 10_000,
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            listen: LISTEN_DEFAULT,
            public_url: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            tls: Tls::default(),
            mcp: Mcp { tcp: None, unix: None, websocket: true, sse: true },
            stdio_from_api: None,
            limits: Limits::default(),
            catalog: vec![PathBuf::from("./integrations")],
            store: Store::Sqlite,
            log: Log { level: "info".to_owned(), is_json: false },
            master_key_command: Vec::new(),
            upkeep: Upkeep::default(),
            secrets: Secrets::default(),
        }
    }
}

impl Store {
    /// The word for people: never the address, which may hold a password.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Memory => "memory",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// Reads the hub-wide settings from the top of the file.
pub(crate) fn read(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Hub {
    let default = Hub::default();
    check_cache(top, reading);
    Hub {
        listen: address(top, "listen", reading).unwrap_or(default.listen),
        public_url: public_url(top, reading),
        allowed_hosts: hosts(top, reading),
        allowed_origins: origins(top, reading),
        trusted_proxies: proxies(top, reading),
        tls: tls(top, reading),
        mcp: mcp(top, reading),
        stdio_from_api: stdio(top, reading),
        limits: limits(top, reading),
        catalog: catalog(top, reading, default.catalog),
        store: store(top, reading).unwrap_or(default.store),
        log: log(top, reading),
        master_key_command: master_key(top, reading),
        upkeep: upkeep::read(top, reading),
        secrets: secrets::read(top, reading),
    }
}

/// Reads an address such as `127.0.0.1:4780`; `localhost` is the loopback address. `None` for anything else.
pub(crate) fn parse_address(text: &str) -> Option<SocketAddr> {
    let spelled = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let spelled = spelled.as_deref().unwrap_or(text);
    let spelled = if let Some(port) = spelled.strip_prefix(':') {
        format!("0.0.0.0:{port}")
    } else {
        spelled.to_owned()
    };
    spelled.parse().ok()
}

/// What is wrong with a text that is no address, given as it may be shown.
pub(crate) fn no_address(said: &dyn fmt::Display) -> String {
    format!("`{said}` is not an address of the form 127.0.0.1:4780 (an IP address and a port)")
}

impl Hub {
    /// Who may define commands through the API, defaults applied.
    pub(crate) fn definer(&self) -> Definer {
        let usual = if self.listen.ip().is_loopback() { Definer::Admin } else { Definer::Nobody };
        self.stdio_from_api.unwrap_or(usual)
    }
}

/// `cache` has one value so far, which is checked and needs no place.
fn check_cache(top: &mut Fields<'_>, reading: &mut Reading<'_>) {
    if let Some((text, at)) = top.raw_text("cache", reading)
        && text != "local"
    {
        let hint = "write `cache: local`; Redis comes with running on many nodes".to_owned();
        reading.error(at, "cache", "only `local` is served by this version", Some(hint));
    }
}

fn address(fields: &mut Fields<'_>, name: &'static str, reading: &mut Reading<'_>) -> Option<SocketAddr> {
    let said = fields.text(name, reading)?;
    let address = parse_address(said.value());
    if address.is_none() {
        reading.error(said.at, &fields.key(name), no_address(&said), None);
    }
    address
}

fn path(fields: &mut Fields<'_>, name: &'static str, reading: &mut Reading<'_>) -> Option<PathBuf> {
    fields.text(name, reading).map(|said| PathBuf::from(said.value()))
}

fn public_url(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let said = top.text("public_url", reading)?;
    let good = said.value().parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
    });
    if good.is_none() {
        let hint = "write the address that clients use, for example https://hub.example.com".to_owned();
        reading.error(said.at, "public_url", format!("`{said}` is not an http or https URL"), Some(hint));
        return None;
    }
    Some(said.value().trim_end_matches('/').to_owned())
}

fn hosts(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for said in top.texts("allowed_hosts", reading).unwrap_or_default() {
        let text = said.value();
        if text.is_empty() || text.contains(['/', '@', ' ']) {
            let hint = "write a name without scheme and path, for example hub.example.com".to_owned();
            reading.error(said.at, "allowed_hosts", format!("`{said}` is not a host"), Some(hint));
        } else {
            out.push(text.to_ascii_lowercase());
        }
    }
    out
}

fn origins(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for said in top.texts("allowed_origins", reading).unwrap_or_default() {
        let text = said.value();
        let rest = text.split_once("://").map(|(_, rest)| rest.trim_end_matches('/'));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains('/')) {
            let hint = "write scheme and host, for example https://app.example.com".to_owned();
            reading.error(said.at, "allowed_origins", format!("`{said}` is not an origin"), Some(hint));
        } else {
            out.push(text.trim_end_matches('/').to_ascii_lowercase());
        }
    }
    out
}

fn catalog(top: &mut Fields<'_>, reading: &mut Reading<'_>, default: Vec<PathBuf>) -> Vec<PathBuf> {
    let Some(list) = top.texts("catalog", reading) else { return default };
    list.iter().map(|said| PathBuf::from(said.value())).collect()
}

fn proxies(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<Network> {
    let mut out = Vec::new();
    for said in top.texts("trusted_proxies", reading).unwrap_or_default() {
        if let Some(network) = Network::parse(said.value()) {
            out.push(network);
        } else {
            let hint = "write an IP address or a network, for example 10.0.0.0/8".to_owned();
            reading.error(said.at, "trusted_proxies", format!("`{said}` is not an address"), Some(hint));
        }
    }
    out
}

fn tls(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Tls {
    let Some(mut fields) = top.map("tls", reading) else {
        return Tls::default();
    };
    let tls = Tls {
        cert: path(&mut fields, "cert", reading),
        key: path(&mut fields, "key", reading),
        client_ca: path(&mut fields, "client_ca", reading),
    };
    let at = fields.at;
    match (&tls.cert, &tls.key) {
        (Some(_), None) => reading.error(
            at,
            "tls.key",
            "missing beside tls.cert",
            Some("name the PEM file of the key".to_owned()),
        ),
        (None, Some(_)) => reading.error(
            at,
            "tls.cert",
            "missing beside tls.key",
            Some("name the PEM file of the certificate chain".to_owned()),
        ),
        (None, None) if tls.client_ca.is_some() => {
            reading.error(at, "tls.client_ca", "needs tls.cert and tls.key", None);
        }
        _ => {}
    }
    fields.finish(reading);
    tls
}

fn mcp(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Mcp {
    let default = Hub::default().mcp;
    let Some(mut fields) = top.map("mcp", reading) else { return default };
    let mcp = Mcp {
        tcp: address(&mut fields, "tcp", reading),
        unix: path(&mut fields, "unix", reading),
        websocket: fields.flag("websocket", reading).unwrap_or(default.websocket),
        sse: fields.flag("sse", reading).unwrap_or(default.sse),
    };
    fields.finish(reading);
    mcp
}

fn stdio(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Definer> {
    let mut fields = top.map("stdio", reading)?;
    let words = [("nobody", Definer::Nobody), ("admin", Definer::Admin)];
    let definer = fields.choice("from_api", &words, reading);
    fields.finish(reading);
    definer
}

fn limits(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Limits {
    let default = Limits::default();
    let Some(mut fields) = top.map("limits", reading) else { return default };
    let mut bytes = |name, min, usual: usize| {
        let found = fields.count(name, min, 1 << 30, reading);
        found.and_then(|count| usize::try_from(count).ok()).unwrap_or(usual)
    };
    let limits = Limits {
        body_bytes: bytes("body_bytes", 1024, default.body_bytes),
        line_bytes: bytes("line_bytes", 1024, default.line_bytes),
        header_bytes: bytes("header_bytes", 8192, default.header_bytes),
        result_bytes: bytes("result_bytes", 1024, default.result_bytes),
        connections: bytes("connections", 1, default.connections),
    };
    fields.finish(reading);
    limits
}

fn store(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Store> {
    let (raw, at) = top.raw_text("store", reading)?;
    let has_password = raw
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'))
        .and_then(|(user, _)| user.split_once(':'))
        .is_some_and(|(_, password)| !password.is_empty() && !credential::has_reference(password));
    if has_password {
        let hint = "write \"${DATABASE_URL}\", or put ${DB_PASSWORD} in its place".to_owned();
        reading.warn(at, "store", "a password is written out in the file", Some(hint));
    }
    let value = reading.resolve(at, "store", raw)?;
    match value.expose() {
        "sqlite" => Some(Store::Sqlite),
        "memory" => Some(Store::Memory),
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            Some(Store::Postgres(value))
        }
        _ => {
            let hint = "write sqlite, memory or postgres://user@host/database".to_owned();
            reading.error(at, "store", "not a known store", Some(hint));
            None
        }
    }
}

fn log(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Log {
    let default = Hub::default().log;
    let Some(mut fields) = top.map("log", reading) else { return default };
    let level = fields.text("level", reading);
    let log = Log {
        is_json: fields
            .choice("format", &[("text", false), ("json", true)], reading)
            .unwrap_or(default.is_json),
        level: match level {
            Some(said) => match said.value().parse::<tracing_subscriber::EnvFilter>() {
                Ok(_) => said.into_value(),
                Err(error) => {
                    let hint = "write error, warn, info, debug or trace".to_owned();
                    reading.error(said.at, "log.level", said.not("a level", &error), Some(hint));
                    default.level
                }
            },
            None => default.level,
        },
    };
    fields.finish(reading);
    log
}

fn master_key(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<String> {
    let Some(mut fields) = top.map("master_key", reading) else { return Vec::new() };
    let command = fields.texts("command", reading).unwrap_or_default();
    fields.finish(reading);
    command.into_iter().map(Said::into_value).collect()
}
