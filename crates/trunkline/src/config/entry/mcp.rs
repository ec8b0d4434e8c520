//! `type: mcp`: an MCP server as the administrator describes it.

use std::net::IpAddr;
use std::path::PathBuf;

use mcp_upstream::Sessions;
use model::{Era, Secret};
use outbound::egress::{Reach, reach_of};
use policy::{Pattern, ToolLists};

use super::Shape;
use super::auth::{self, Auth, header_name};
use super::child::{self, ChildLimits};
use super::later::Later;
use super::secret::looks_secret;
use crate::config::fields::{Fields, Reading};
use crate::config::said::Said;
use crate::config::tree::Mark;

/// How long a call may take when the entry does not say, in milliseconds.
const TIMEOUT_MS: u64 = 60_000;
/// How many calls may be open at once when the entry does not say.
const CONCURRENCY: u64 = 1024;

/// How often a call may be tried again at most.
const RETRY_COUNT_MAX: u64 = 10;

/// An MCP server, ready to be connected.
#[derive(Debug, Clone)]
pub(crate) struct McpEntry {
    /// How to reach it.
    pub(crate) transport: Transport,
    /// Headers of every request, the authorization among them.
    pub(crate) headers: Vec<(String, Secret)>,
    /// The era to speak; `None` finds out.
    pub(crate) era: Option<Era>,
    /// How many sessions a legacy server sees.
    pub(crate) sessions: Sessions,
    /// How long one call may take, in milliseconds.
    pub(crate) timeout_ms: u64,
    /// How often a call is tried again where that is harmless.
    pub(crate) retry_count: u32,
    /// How many calls may be open at once.
    pub(crate) concurrency: usize,
    /// Which tools are offered.
    pub(crate) tools: ToolLists,
    /// Which of them may be done twice.
    pub(crate) repeatable: Vec<Pattern>,
    /// Keep arguments in the call record.
    pub(crate) is_recording_arguments: bool,
    /// May reach private and loopback addresses.
    pub(crate) private_allowed: bool,
}

/// How an MCP server is reached.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    /// A child process.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Added to a minimal environment.
        env: Vec<(String, Secret)>,
        /// Where it runs; `None` = where the hub was started.
        cwd: Option<PathBuf>,
        /// What it may use.
        limits: ChildLimits,
        /// Stopped after so many milliseconds without a call; `None` = never.
        idle_stop_ms: Option<u64>,
    },
    /// Streamable HTTP.
    Http(String),
    /// Legacy HTTP+SSE.
    Sse(String),
    /// WebSocket.
    WebSocket(String),
    /// Newline-delimited JSON-RPC over TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// The same over a Unix socket.
    Unix(PathBuf),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Stdio,
    Http,
    Sse,
    WebSocket,
    Tcp,
    Unix,
}

const PROTOCOLS: &[(&str, Protocol)] = &[
    ("stdio", Protocol::Stdio),
    ("http", Protocol::Http),
    ("sse", Protocol::Sse),
    ("websocket", Protocol::WebSocket),
    ("tcp", Protocol::Tcp),
    ("unix", Protocol::Unix),
];

/// Reads the entry. `None` after an error that left nothing to describe.
pub(super) fn read(at: Mark, mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Shape> {
    let private_said = egress(&mut fields, reading);
    let auth = auth::read(&mut fields, reading);
    let mut headers = headers(&mut fields, reading);
    let era = fields.choice(
        "era",
        &[("auto", None), ("modern", Some(Era::Modern)), ("legacy", Some(Era::Legacy))],
        reading,
    );
    let sessions = fields.choice(
        "sessions",
        &[("auto", Sessions::Auto), ("one", Sessions::One), ("by_ability", Sessions::ByAbility)],
        reading,
    );
    let timeout_ms = fields.number("timeout", 0.001, 86_400.0, reading).map_or(TIMEOUT_MS, milliseconds);
    let retry_count = fields.count("retry_count", 0, RETRY_COUNT_MAX, reading).unwrap_or(0);
    let concurrency = fields.count("concurrency", 1, 65_536, reading).unwrap_or(CONCURRENCY);
    let (tools, repeatable) = tools(&mut fields, reading);
    let record = fields.choice("record", &[("nothing", false), ("arguments", true)], reading);
    let (transport, is_private) = transport(at, &mut fields, reading)?;
    fields.finish(reading);
    match auth? {
        Auth::None => {}
        Auth::Header { name, value } => {
            headers.retain(|(known, _)| *known != name);
            headers.push((name, value));
        }
        Auth::Delegated { missing } => {
            let mut reason = "signing in with OAuth comes with a later version; until then use \
                              `auth: { type: bearer, credentials: { token: \"${TOKEN}\" } }`"
                .to_owned();
            if !missing.is_empty() {
                reason.push_str(&format!("; OAuth will also need auth.credentials.{}", missing.join(", ")));
            }
            return Some(Shape::Later(Later { reason }));
        }
    }
    Some(Shape::Mcp(Box::new(McpEntry {
        transport,
        headers,
        era: era.flatten(),
        sessions: sessions.unwrap_or_default(),
        timeout_ms,
        retry_count: u32::try_from(retry_count).unwrap_or(0),
        concurrency: usize::try_from(concurrency).unwrap_or(1),
        tools,
        repeatable,
        is_recording_arguments: record.unwrap_or(false),
        private_allowed: private_said.unwrap_or(is_private),
    })))
}

/// Reads `egress.private`, when it is said.
pub(super) fn egress(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<bool> {
    let mut egress = fields.map("egress", reading)?;
    let private = egress.flag("private", reading);
    egress.finish(reading);
    private
}

/// The transport, and whether it names a private address literally.
fn transport(at: Mark, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<(Transport, bool)> {
    let has_command = fields.get("command", reading).is_some();
    let url_key = if fields.get("url", reading).is_none() && fields.get("endpoint", reading).is_some() {
        "endpoint"
    } else {
        "url"
    };
    let said = fields.get("protocol", reading).is_some();
    let protocol = fields.choice("protocol", PROTOCOLS, reading);
    let protocol = match protocol {
        Some(protocol) => protocol,
        None if said => return None,
        None if has_command => Protocol::Stdio,
        None => match fields.raw_text(url_key, reading).map(|(text, _)| text) {
            Some(url) if url.starts_with("ws:") || url.starts_with("wss:") => Protocol::WebSocket,
            Some(url) if url.starts_with("tcp:") => Protocol::Tcp,
            Some(url) if url.starts_with("unix:") => Protocol::Unix,
            Some(_) => Protocol::Http,
            None => {
                let hint = "name a `command` (stdio) or a `url`".to_owned();
                reading.error(at, &fields.key("protocol"), "missing", Some(hint));
                return None;
            }
        },
    };
    let (child, raw_url) = (child::read(fields, reading), fields.raw_text(url_key, reading));
    if protocol == Protocol::Stdio {
        if let Some((_, at)) = raw_url {
            reading.error(
                at,
                &fields.key(url_key),
                "a stdio server has no URL",
                Some("remove it, or change `protocol`".to_owned()),
            );
        }
        let Some(child) = child else {
            if !has_command {
                let hint = "name the program; its arguments go into `args`".to_owned();
                reading.error(at, &fields.key("command"), "missing", Some(hint));
            }
            return None;
        };
        return Some((child, false));
    }
    if has_command {
        let hint = "write `protocol: stdio`, or remove `command`".to_owned();
        reading.error(at, &fields.key("command"), "only a stdio server has a command", Some(hint));
    }
    let Some((raw, at)) = raw_url else {
        let hint = match protocol {
            Protocol::Tcp => "for example 127.0.0.1:9000",
            Protocol::Unix => "for example /run/server.sock",
            _ => "for example https://mcp.example.com/mcp",
        };
        reading.error(at, &fields.key("url"), "missing", Some(hint.to_owned()));
        return None;
    };
    let value = reading.resolve(at, &fields.key(url_key), raw)?;
    match remote(protocol, &Said::new(at, raw, value)) {
        Ok(transport) => Some((transport, is_private_literal(raw))),
        Err(what) => {
            reading.error(at, &fields.key(url_key), what, None);
            None
        }
    }
}

/// The transport that a URL names, or what is wrong with it, in the words of the file.
fn remote(protocol: Protocol, said: &Said<'_>) -> Result<Transport, String> {
    let text = said.value();
    let url = |schemes: [&str; 2]| {
        let uri: http::Uri = text.parse().map_err(|_| format!("`{said}` is not a URL"))?;
        if !uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) {
            return Err(format!("`{said}` does not begin with {}:// or {}://", schemes[0], schemes[1]));
        }
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err("a URL with a user name in it; write them under `auth`".to_owned());
        }
        Ok(text.to_owned())
    };
    match protocol {
        Protocol::Http => url(["http", "https"]).map(Transport::Http),
        Protocol::Sse => url(["http", "https"]).map(Transport::Sse),
        Protocol::WebSocket => url(["ws", "wss"]).map(Transport::WebSocket),
        Protocol::Tcp => {
            let rest = text.strip_prefix("tcp://").unwrap_or(text).trim_end_matches('/');
            let parts =
                rest.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
            let (host, port) = parts
                .filter(|(host, port)| !host.is_empty() && *port > 0)
                .ok_or_else(|| format!("`{said}` is not host:port"))?;
            Ok(Transport::Tcp { host: host.trim_matches(['[', ']']).to_owned(), port })
        }
        Protocol::Unix => {
            let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
            if path.starts_with('/') {
                Ok(Transport::Unix(PathBuf::from(path)))
            } else {
                Err(format!("`{said}` is not the absolute path of a socket"))
            }
        }
        Protocol::Stdio => Err("a stdio server has no URL".to_owned()),
    }
}

/// True when the host stands in the file itself and is loopback or private: whoever wrote it there meant it.
fn is_private_literal(raw: &str) -> bool {
    let rest = raw.split_once("://").map_or(raw, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let name = host.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| matches!(reach_of(ip), Reach::Private(_)))
}

fn headers(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<(String, Secret)> {
    let path = fields.key("headers");
    let mut out = Vec::new();
    for (word, node) in fields.names("headers", reading).unwrap_or_default() {
        let key = format!("{path}.{}", word.text);
        let Some(text) = node.value.as_text() else {
            reading.error(node.at, &key, format!("expected a text, found {}", node.value.noun()), None);
            continue;
        };
        let Some(name) = header_name(&Said::literal(word.at, &word.text), &key, reading) else { continue };
        let value = if looks_secret(&name) || name == "cookie" {
            reading.resolve_secret(node.at, &key, text)
        } else {
            reading.resolve(node.at, &key, text)
        };
        let Some(value) = value else { continue };
        if http::HeaderValue::from_str(value.expose()).is_err() {
            reading.error(node.at, &key, "the value has line breaks or control characters", None);
            continue;
        }
        out.push((name, value));
    }
    out
}

fn tools(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> (ToolLists, Vec<Pattern>) {
    let Some(mut map) = fields.map("tools", reading) else { return Default::default() };
    let mut patterns = |name| {
        let key = map.key(name);
        let list = map.texts(name, reading)?;
        let mut out = Vec::with_capacity(list.len());
        for said in list {
            match Pattern::compile(said.value()) {
                Ok(pattern) => out.push(pattern),
                Err(error) => reading.error(said.at, &key, said.not("a pattern", &error), None),
            }
        }
        Some(out)
    };
    let texts = |patterns: Vec<Pattern>| patterns.iter().map(|one| one.as_str().to_owned()).collect();
    let lists = ToolLists {
        allow: patterns("allow").map(texts),
        deny: patterns("deny").map(texts).unwrap_or_default(),
    };
    let repeatable = patterns("repeatable").unwrap_or_default();
    map.finish(reading);
    (lists, repeatable)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "every caller has checked that the seconds are positive and at most a year"
)]
pub(super) fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::is_private_literal;

    #[test]
    fn only_what_stands_in_the_file_opens_private_addresses() {
        for yes in [
            "http://127.0.0.1:1/mcp",
            "http://localhost/x",
            "ws://[::1]:2",
            "10.0.0.1:9",
            "tcp://192.168.1.1:3",
        ] {
            assert!(is_private_literal(yes), "{yes}");
        }
        for no in [
            "http://example.com",
            "${URL}",
            "http://${HOST}:80/",
            "http://169.254.169.254/",
            "http://127.0.0.1.evil.example/",
        ] {
            assert!(!is_private_literal(no), "{no}");
        }
    }
}
