//! `/metrics`: OpenMetrics text. Counts of calls are kept in [`Counters`]; all else is read when asked.

mod process;

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{PoisonError, RwLock};

use model::{CallKind, CallOutcome, CallRecord, Key};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::app::App;
use crate::status::count;

/// How many connections have labels of their own; later ones are counted together as `other`.
const CONNECTIONS_MAX: usize = 500;
/// Seconds. From a cache hit's to a patient person's.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0];

/// Counts of finished calls, fed with their records by whoever sees all of them.
pub struct Counters {
    calls: Family<CallLabels, Counter>,
    durations: Family<ConnectionLabel, Histogram, fn() -> Histogram>,
    removed: Family<WhatLabel, Counter>,
    checks: Family<CheckLabel, Counter>,
    known: RwLock<HashSet<Key>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhatLabel {
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    connection: Label,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabel {
    connection: Label,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// The connection of a call, bounded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Label {
    Key(Key),
    /// One of those past the bound.
    Other,
    /// None was found.
    None,
}

// === impl Counters ===

impl Counters {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            calls: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            removed: Family::default(),
            checks: Family::default(),
            known: RwLock::default(),
        }
    }

    /// Counts one finished call. Takes two short read locks once its labels are known.
    pub fn count(&self, record: &CallRecord) {
        // On the same record, but nobody called anything.
        if record.kind == CallKind::Secret {
            return;
        }
        let connection = self.label(record.connection.as_ref());
        let kind = kind_text(record.kind);
        let outcome = outcome_text(record.outcome);
        #[expect(clippy::cast_precision_loss, reason = "a call of 2^53 microseconds would last 285 years")]
        let seconds = record.duration_us as f64 / 1_000_000.0;
        self.durations.get_or_create(&ConnectionLabel { connection: connection.clone() }).observe(seconds);
        self.calls.get_or_create(&CallLabels { connection, kind, outcome }).inc();
    }

    /// Counts what retention has removed.
    pub fn count_removed(&self, what: &'static str, count: u64) {
        self.removed.get_or_create(&WhatLabel { what }).inc_by(count);
    }

    /// Counts one check of a connection that nobody asked for.
    pub fn count_check(&self, is_good: bool) {
        let outcome = if is_good { "ok" } else { "error" };
        self.checks.get_or_create(&CheckLabel { outcome }).inc();
    }

    fn label(&self, connection: Option<&Key>) -> Label {
        let Some(key) = connection else { return Label::None };
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains(key) {
            return Label::Key(key.clone());
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CONNECTIONS_MAX && !known.contains(key) {
            return Label::Other;
        }
        known.insert(key.clone());
        Label::Key(key.clone())
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let text = match self {
            Self::Key(key) => key.as_str(),
            // No key can be these: keys have no brackets.
            Self::Other => "(other)",
            Self::None => "(none)",
        };
        EncodeLabelValue::encode(&text, encoder)
    }
}

/// Everything, as text. The gauges are what holds at this moment, so their registry lives as long.
pub(crate) fn text(app: &App) -> Result<String, fmt::Error> {
    let parts = &app.parts;
    let mut registry = Registry::with_prefix("trunkline");
    let counters = &parts.counters;
    registry.register("calls", "Finished calls", counters.calls.clone());
    let help = "From acceptance to answer";
    registry.register_with_unit("call_duration", help, Unit::Seconds, counters.durations.clone());
    let dropped = ConstCounter::new(parts.recorder.dropped());
    registry.register("records_dropped", "Call records that were lost before they were written", dropped);
    let help = "What retention has removed, or added to its hours";
    registry.register("removed", help, counters.removed.clone());
    let help = "Checks of connections that the hub made by itself";
    registry.register("health_checks", help, counters.checks.clone());
    registry.register("open_calls", "Calls that are running", open_calls(app));
    registry.register("connections", "Connections by how they run", connections(app));
    let uptime = seconds(parts.clock.now().ms_since(parts.settings.started_at));
    registry.register_with_unit("uptime", "Since the start", Unit::Seconds, ConstGauge::new(uptime));
    let build = Info::new([("version", parts.settings.version.clone())]);
    registry.register("build", "Which program this is", build);
    let mut text = String::with_capacity(16 * 1024);
    let mut process = Registry::with_prefix("process");
    process::register(&mut process, seconds(parts.settings.started_at.0));
    prometheus_client::encoding::text::encode_registry(&mut text, &process)?;
    encode(&mut text, &registry)?;
    Ok(text)
}

fn open_calls(app: &App) -> Family<ConnectionLabel, Gauge<u64, AtomicU64>> {
    let family = Family::<ConnectionLabel, Gauge<u64, AtomicU64>>::default();
    for (key, open) in app.parts.pipeline.open_calls() {
        let connection = app.parts.counters.label(Some(&key));
        family.get_or_create(&ConnectionLabel { connection }).inc_by(u64::try_from(open).unwrap_or(u64::MAX));
    }
    family
}

fn connections(app: &App) -> Family<StateLabel, Gauge<u64, AtomicU64>> {
    let counts = count(app);
    let family = Family::<StateLabel, Gauge<u64, AtomicU64>>::default();
    for (state, number) in [("up", counts.up), ("starting", counts.starting), ("down", counts.down)] {
        family.get_or_create(&StateLabel { state }).set(u64::try_from(number).unwrap_or(u64::MAX));
    }
    family
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit into 53 bits for another 285,000 years"
)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

const fn kind_text(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Tool => "tool",
        CallKind::Resource => "resource",
        CallKind::Prompt => "prompt",
        CallKind::Completion => "completion",
        CallKind::Task => "task",
        CallKind::Proxy => "proxy",
        CallKind::Test => "test",
        CallKind::Secret => "secret",
    }
}

const fn outcome_text(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Ok => "ok",
        CallOutcome::ToolError => "tool_error",
        CallOutcome::RpcError => "rpc_error",
        CallOutcome::InputRequired => "input_required",
        CallOutcome::TaskStarted => "task_started",
        CallOutcome::Fault => "fault",
        CallOutcome::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::{CONNECTIONS_MAX, Counters, Label};

    #[test]
    fn connections_past_the_bound_are_counted_together() {
        let counters = Counters::new();
        for n in 0..CONNECTIONS_MAX {
            let key = format!("c-{n}").parse().unwrap();
            assert_eq!(counters.label(Some(&key)), Label::Key(key));
        }
        assert_eq!(counters.label(Some(&"late".parse().unwrap())), Label::Other);
        assert!(matches!(counters.label(Some(&"c-0".parse().unwrap())), Label::Key(_)));
        assert_eq!(counters.label(None), Label::None);
    }
}
