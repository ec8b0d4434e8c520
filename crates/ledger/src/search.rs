//! Finding records: newest first, most lines turned away without being parsed.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use memchr::memmem::Finder;
use model::{CallKind, CallOutcome, Timestamp};
use serde_json::Value;

use crate::{reverse, segments};

/// The most records that one search answers with.
pub const SEARCH_MAX: usize = 1000;

/// Calls answered this long before `since` end a search: the file is in the order of answers, give or
/// take a batch and a clock that was set.
const SLACK_MS: i64 = 60_000;

/// Which records; everything that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFilter {
    /// The connection's key.
    pub connection: Option<String>,
    /// Tool name, resource URI or prompt name.
    pub target: Option<String>,
    /// The caller's principal.
    pub principal: Option<String>,
    /// How it ended.
    pub outcome: Option<CallOutcome>,
    /// What it asked for. Reads of secrets are nobody's calls: found only where they are asked for.
    pub kind: Option<CallKind>,
    /// Accepted at this moment or later.
    pub since: Option<Timestamp>,
    /// Text anywhere in the record; ASCII letters match in either case.
    pub text: Option<String>,
    /// How many, at most [`SEARCH_MAX`].
    pub limit: usize,
}

/// A filter made ready.
struct Matcher {
    /// Member name, wanted value, and the bytes that a line with them must contain.
    members: Vec<(&'static str, String, Finder<'static>)>,
    since: Option<i64>,
    text: Option<Finder<'static>>,
    /// Reads of secrets are passed over.
    is_of_calls: bool,
    limit: usize,
    found: Vec<Value>,
}

// === impl CallFilter ===

impl Default for CallFilter {
    /// The last hundred.
    fn default() -> Self {
        Self {
            connection: None,
            target: None,
            principal: None,
            outcome: None,
            kind: None,
            since: None,
            text: None,
            limit: 100,
        }
    }
}

pub(crate) fn in_folder(folder: &Path, filter: &CallFilter) -> std::io::Result<Vec<Value>> {
    let mut matcher = Matcher::new(filter);
    for (_, path) in segments::list(folder)?.into_iter().rev() {
        let mut file = match File::open(&path) {
            // Deleted by rotation since it was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        if reverse::lines(&mut file, |line| matcher.look(line))?.is_break() {
            break;
        }
    }
    Ok(matcher.found)
}

pub(crate) fn in_memory(lines: &[Arc<[u8]>], filter: &CallFilter) -> Vec<Value> {
    let mut matcher = Matcher::new(filter);
    for line in lines.iter().rev() {
        if matcher.look(line).is_break() {
            break;
        }
    }
    matcher.found
}

// === impl Matcher ===

impl Matcher {
    fn new(filter: &CallFilter) -> Self {
        let word = |value: serde_json::Result<Value>| {
            value.ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
        };
        let outcome = filter.outcome.map(|outcome| word(serde_json::to_value(outcome)));
        let kind = filter.kind.map(|kind| word(serde_json::to_value(kind)));
        let wanted = [
            ("connection", filter.connection.clone()),
            ("target", filter.target.clone()),
            ("principal", filter.principal.clone()),
            ("outcome", outcome),
            ("kind", kind),
        ];
        let members = wanted.into_iter().filter_map(|(name, value)| {
            let value = value?;
            let needle = format!("\"{name}\":{}", Value::from(value.as_str()));
            Some((name, value, Finder::new(needle.as_bytes()).into_owned()))
        });
        let text = filter.text.as_deref().filter(|text| !text.is_empty()).map(|text| {
            // As it stands inside a JSON string, without the quotes around it.
            let quoted = Value::from(text.to_ascii_lowercase()).to_string();
            let bare = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
            Finder::new(bare.as_bytes()).into_owned()
        });
        Self {
            members: members.collect(),
            since: filter.since.map(|since| since.0),
            text,
            is_of_calls: filter.kind.is_none(),
            limit: filter.limit.clamp(1, SEARCH_MAX),
            found: Vec::new(),
        }
    }

    /// Takes the line if it matches; breaks when nothing further back can.
    fn look(&mut self, line: &[u8]) -> ControlFlow<()> {
        let may_match = self.members.iter().all(|(.., needle)| needle.find(line).is_some())
            && self.text.as_ref().is_none_or(|text| text.find(&line.to_ascii_lowercase()).is_some());
        // Without `since` a line that cannot match need not be understood at all.
        if !may_match && self.since.is_none() {
            return ControlFlow::Continue(());
        }
        // A torn line is no JSON, or not an object.
        let Ok(record) = serde_json::from_slice::<Value>(line) else {
            return ControlFlow::Continue(());
        };
        if let (Some(since), Some(at)) = (self.since, record.get("at").and_then(Value::as_i64)) {
            let duration_ms = record.get("duration_us").and_then(Value::as_i64).unwrap_or(0) / 1000;
            if at.saturating_add(duration_ms).saturating_add(SLACK_MS) < since {
                return ControlFlow::Break(());
            }
            if at < since {
                return ControlFlow::Continue(());
            }
        }
        // The bytes may also stand inside another member (recorded arguments), so the value decides.
        let is_match = may_match
            && record.is_object()
            && !(self.is_of_calls && record.get("kind").and_then(Value::as_str) == Some("secret"))
            && self
                .members
                .iter()
                .all(|(name, value, _)| record.get(name).and_then(Value::as_str) == Some(value));
        if is_match {
            self.found.push(record);
        }
        if self.found.len() >= self.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
