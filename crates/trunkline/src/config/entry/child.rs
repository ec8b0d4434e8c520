//! What an entry says about a child process: program, arguments, environment, folder, limits.

use std::path::PathBuf;

use model::Secret;

use super::mcp::Transport;
use super::secret::looks_secret;
use super::usage::milliseconds;
use crate::config::fields::{Fields, Reading};
use crate::config::said::Said;
use crate::config::tree::Value;

/// How long a process may idle when the entry does not say, in milliseconds.
const IDLE_STOP_MS: u64 = 600_000;

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

/// Reads everything about a child process; asked for whatever the protocol, so that each key is known.
pub(super) fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Transport> {
    let command = fields.text("command", reading);
    let args: Vec<String> =
        fields.texts("args", reading).unwrap_or_default().into_iter().map(Said::into_value).collect();
    let env = env(fields, reading);
    let cwd = fields.text("cwd", reading).map(|said| PathBuf::from(said.value()));
    let limits = child_limits(fields, reading);
    let idle = fields.number("idle_stop", 1.0, 31_536_000.0, reading).map(milliseconds);
    // `idle_stop: null` is "never"; leaving it out is the usual.
    let idle_stop_ms = idle.or_else(|| (!fields.has_null("idle_stop")).then_some(IDLE_STOP_MS));
    let said = command?;
    let (command, at) = (said.value(), said.at);
    if command.trim().is_empty() {
        reading.error(at, &fields.key("command"), "is empty", None);
        return None;
    }
    if args.is_empty() && command.contains(' ') && !command.contains('/') {
        let mut words = said.written().split_whitespace();
        let program = words.next().unwrap_or_default();
        let rest: Vec<_> = words.collect();
        let hint = if rest.is_empty() {
            "no shell is used: its arguments go into `args`".to_owned()
        } else {
            format!("no shell is used: write `command: {program}` and `args: [{}]`", rest.join(", "))
        };
        reading.warn(at, &fields.key("command"), "a program's name with spaces in it", Some(hint));
    }
    Some(Transport::Stdio { command: said.into_value(), args, env, cwd, limits, idle_stop_ms })
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

fn child_limits(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> ChildLimits {
    let Some(mut map) = fields.map("limits", reading) else { return ChildLimits::default() };
    let memory_bytes = map.text("memory", reading).and_then(|said| {
        let size = bytes_of(said.value());
        if size.is_none() {
            let hint = "write a number of bytes, or for example 512MiB".to_owned();
            reading.error(said.at, &map.key("memory"), format!("`{said}` is not a size"), Some(hint));
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

#[cfg(test)]
mod tests {
    use super::bytes_of;

    #[test]
    fn sizes_are_bytes() {
        assert_eq!(
            (bytes_of("512MiB"), bytes_of("1k"), bytes_of("7")),
            (Some(512 << 20), Some(1024), Some(7))
        );
        assert_eq!(
            (bytes_of("0"), bytes_of("x"), bytes_of("1 parsec"), bytes_of("99999999999999999999")),
            (None, None, None, None)
        );
    }
}
