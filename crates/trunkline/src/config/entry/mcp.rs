//! `type: mcp`: an MCP server as the administrator describes it.

use std::net::IpAddr;
use std::path::PathBuf;

use model::{Era, Secret};
use outbound::egress::{Reach, reach_of};
use policy::{Pattern, ToolLists};

use super::Shape;
use super::auth::{self, Auth, header_name};
use super::later::Later;
use crate::config::fields::{Fields, Reading};
use crate::config::tree::{Mark, Value};

/// How long a call may take when the entry does not say, in milliseconds.
const TIMEOUT_MS: u64 = 60_000;
/// How many calls may be open at once when the entry does not say.
const CONCURRENCY: u64 = 1024;
/// How long a process may idle when the entry does not say, in milliseconds.
const IDLE_STOP_MS: u64 = 600_000;

/// An MCP server, ready to be connected.
#[derive(Debug, Clone)]
pub(crate) struct McpEntry {
    /// How to reach it.
    pub(crate) transport: Transport,
    /// Headers of every request, the authorization among them.
    pub(crate) headers: Vec<(String, Secret)>,
    /// The era to speak; `None` finds out.
    pub(crate) era: Option<Era>,
    /// How long one call may take, in milliseconds.
    pub(crate) timeout_ms: u64,
    /// How many calls may be open at once.
    pub(crate) concurrency: usize,
    /// Which tools are offered.
    pub(crate) tools: ToolLists,
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

/// What a child process may use; `None` = no limit of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ChildLimits {
    /// Address space, in bytes; not for runtimes that reserve much more than they use.
    pub(crate) memory_bytes: Option<u64>,
    /// Processor time, in seconds.
    pub(crate) cpu_seconds: Option<u64>,
    /// Processes and threads, a count.
    pub(crate) processes: Option<u64>,
    /// Open files, a count.
    pub(crate) open_files: Option<u64>,
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
    let timeout_ms = fields.number("timeout", 0.001, 86_400.0, reading).map_or(TIMEOUT_MS, milliseconds);
    retry_count(&mut fields, reading);
    let concurrency = fields.count("concurrency", 1, 65_536, reading).unwrap_or(CONCURRENCY);
    let tools = tools(&mut fields, reading);
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
        timeout_ms,
        concurrency: usize::try_from(concurrency).unwrap_or(1),
        tools,
        is_recording_arguments: record.unwrap_or(false),
        private_allowed: private_said.unwrap_or(is_private),
    })))
}

/// Checks `retry_count`, and says that it changes nothing: sending again is decided per call, by whether
/// it is safe.
fn retry_count(fields: &mut Fields<'_>, reading: &mut Reading<'_>) {
    let Some(at) = fields.get("retry_count", reading).map(|node| node.at) else { return };
    if fields.count("retry_count", 0, 10, reading).is_some_and(|count| count > 0) {
        let what = "has no effect on MCP servers yet: only reads on an expired session are sent again, once";
        reading.warn(at, &fields.key("retry_count"), what, Some("remove it".to_owned()));
    }
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
    let (child, raw_url) = (stdio(fields, reading), fields.raw_text(url_key, reading));
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
    let text = reading.resolve(at, &fields.key(url_key), raw)?.expose().to_owned();
    let parsed = remote(protocol, &text);
    match parsed {
        Ok(transport) => Some((transport, is_private_literal(raw))),
        Err(what) => {
            reading.error(at, &fields.key(url_key), what, None);
            None
        }
    }
}

fn remote(protocol: Protocol, text: &str) -> Result<Transport, String> {
    let url = |schemes: [&str; 2]| {
        let uri: http::Uri = text.parse().map_err(|_| format!("`{text}` is not a URL"))?;
        if !uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) {
            return Err(format!("`{text}` does not begin with {}:// or {}://", schemes[0], schemes[1]));
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
                .ok_or_else(|| format!("`{text}` is not host:port"))?;
            Ok(Transport::Tcp { host: host.trim_matches(['[', ']']).to_owned(), port })
        }
        Protocol::Unix => {
            let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
            if path.starts_with('/') {
                Ok(Transport::Unix(PathBuf::from(path)))
            } else {
                Err(format!("`{text}` is not the absolute path of a socket"))
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

/// Reads everything about a child process; asked for whatever the protocol, so that each key is known.
fn stdio(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Transport> {
    let command = fields.text("command", reading);
    let args: Vec<String> =
        fields.texts("args", reading).unwrap_or_default().into_iter().map(|(text, _)| text).collect();
    let env = env(fields, reading);
    let cwd = fields.text("cwd", reading).map(|(text, _)| PathBuf::from(text));
    let limits = child_limits(fields, reading);
    let idle = fields.number("idle_stop", 1.0, 31_536_000.0, reading).map(milliseconds);
    // `idle_stop: null` is "never"; leaving it out is the usual.
    let idle_stop_ms = idle.or_else(|| (!fields.has_null("idle_stop")).then_some(IDLE_STOP_MS));
    let (command, at) = command?;
    if command.trim().is_empty() {
        reading.error(at, &fields.key("command"), "is empty", None);
        return None;
    }
    if args.is_empty() && command.contains(' ') && !command.contains('/') {
        let mut words = command.split_whitespace();
        let program = words.next().unwrap_or_default();
        let rest: Vec<_> = words.collect();
        let hint = format!("no shell is used: write `command: {program}` and `args: [{}]`", rest.join(", "));
        reading.warn(at, &fields.key("command"), "a program's name with spaces in it", Some(hint));
    }
    Some(Transport::Stdio { command, args, env, cwd, limits, idle_stop_ms })
}

fn env(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<(String, Secret)> {
    let path = fields.key("env");
    let mut out = Vec::new();
    for (word, node) in fields.names("env", reading).unwrap_or_default() {
        let key = format!("{path}.{}", word.text);
        if word.text.is_empty() || word.text.contains(['=', '\0']) {
            reading.error(word.at, &key, "not the name of an environment variable", None);
            continue;
        }
        let Some(text) = node.value.as_text().or(matches!(node.value, Value::Null).then_some("")) else {
            reading.error(node.at, &key, format!("expected a text, found {}", node.value.noun()), None);
            continue;
        };
        let value = if looks_secret(&word.text) {
            reading.resolve_secret(node.at, &key, text)
        } else {
            reading.resolve(node.at, &key, text)
        };
        out.extend(value.map(|value| (word.text.clone(), value)));
    }
    out
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
        let Some(name) = header_name(&word.text, word.at, &key, reading) else { continue };
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

/// True for names that usually hold secrets: a warning must not cry at `LOG_LEVEL`.
pub(crate) fn looks_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase().replace('-', "_");
    let words = [
        "TOKEN",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "APIKEY",
        "AUTHORIZATION",
        "CREDENTIAL",
        "CREDENTIALS",
        "PAT",
    ];
    let parts: Vec<_> = upper.split('_').collect();
    parts.iter().any(|part| words.contains(part) || part.ends_with("TOKEN") || part.ends_with("PASSWORD"))
        || (parts.last() == Some(&"KEY") && !upper.contains("PUBLIC"))
        || upper.contains("APIKEY")
}

fn tools(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> ToolLists {
    let Some(mut map) = fields.map("tools", reading) else { return ToolLists::default() };
    let mut patterns = |name| {
        let key = map.key(name);
        let list = map.texts(name, reading)?;
        let mut out = Vec::with_capacity(list.len());
        for (text, at) in list {
            match Pattern::compile(&text) {
                Ok(_) => out.push(text),
                Err(error) => reading.error(at, &key, error.to_string(), None),
            }
        }
        Some(out)
    };
    let lists = ToolLists { allow: patterns("allow"), deny: patterns("deny").unwrap_or_default() };
    map.finish(reading);
    lists
}

fn child_limits(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> ChildLimits {
    let Some(mut map) = fields.map("limits", reading) else { return ChildLimits::default() };
    let memory_bytes = map.text("memory", reading).and_then(|(text, at)| {
        let size = bytes_of(&text);
        if size.is_none() {
            let hint = "write a number of bytes, or for example 512MiB".to_owned();
            reading.error(at, &map.key("memory"), format!("`{text}` is not a size"), Some(hint));
        }
        size
    });
    let limits = ChildLimits {
        memory_bytes,
        cpu_seconds: map.count("cpu_seconds", 1, 31_536_000, reading),
        processes: map.count("processes", 1, 65_536, reading),
        open_files: map.count("open_files", 8, 1_048_576, reading),
    };
    map.finish(reading);
    limits
}

/// `512MiB`, `512M` (the same), `1GB`, `65536`: bytes.
fn bytes_of(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "every caller has checked that the seconds are positive and at most a year"
)]
fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::{bytes_of, is_private_literal, looks_secret};

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

    #[test]
    fn sizes_and_secret_names() {
        assert_eq!(
            (bytes_of("512MiB"), bytes_of("1k"), bytes_of("7")),
            (Some(512 << 20), Some(1024), Some(7))
        );
        assert_eq!(
            (bytes_of("0"), bytes_of("x"), bytes_of("1 parsec"), bytes_of("99999999999999999999")),
            (None, None, None, None)
        );
        for name in [
            "GITHUB_TOKEN",
            "api-key",
            "X-Api-Key",
            "DB_PASSWORD",
            "authorization",
            "OPENAI_API_KEY",
            "GH_PAT",
        ] {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["LOG_LEVEL", "PATH", "KEYBOARD", "TOKENIZERS", "X-Tenant", "PUBLIC_KEY"] {
            assert!(!looks_secret(name), "{name}");
        }
    }
}
