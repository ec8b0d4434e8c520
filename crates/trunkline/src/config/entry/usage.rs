//! How a connection may be used, whatever it connects: time, tries, places, and which tools.

use policy::{Pattern, ToolLists};

use crate::config::fields::{Fields, Reading};

/// How long a call may take when the entry does not say, in milliseconds.
const TIMEOUT_MS: u64 = 60_000;
/// How many calls may be open at once when the entry does not say.
const CONCURRENCY: u64 = 1024;
/// How often a call may be tried again at most.
const RETRY_COUNT_MAX: u64 = 10;

/// See the head of the file.
#[derive(Debug, Clone)]
pub(crate) struct Usage {
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
}

/// Reads its keys; `retry_count` is how often a call is tried again where the entry does not say.
pub(super) fn read(fields: &mut Fields<'_>, retry_count: u64, reading: &mut Reading<'_>) -> Usage {
    let timeout_ms = fields.number("timeout", 0.001, 86_400.0, reading).map_or(TIMEOUT_MS, milliseconds);
    let retry_count = fields.count("retry_count", 0, RETRY_COUNT_MAX, reading).unwrap_or(retry_count);
    let concurrency = fields.count("concurrency", 1, 65_536, reading).unwrap_or(CONCURRENCY);
    let (tools, repeatable) = tools(fields, reading);
    let record = fields.choice("record", &[("nothing", false), ("arguments", true)], reading);
    Usage {
        timeout_ms,
        retry_count: u32::try_from(retry_count).unwrap_or(0),
        concurrency: usize::try_from(concurrency).unwrap_or(1),
        tools,
        repeatable,
        is_recording_arguments: record.unwrap_or(false),
    }
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
