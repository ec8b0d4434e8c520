//! The record of reads: in the log, and among the call records, where it lasts and is searched.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use credential::Location;
use ledger::Recorder;
use model::id::CallId;
use model::{CallKind, CallOutcome, CallRecord, Clock, Code, Entropy, Key, Timestamp};

use super::Failure;

/// Connections of one read that get a record of their own; the last one's says how many more there are.
const CONNECTIONS_MAX: usize = 32;

/// Where reads are put down.
#[derive(Clone)]
pub struct ReadRecord {
    /// The call records.
    pub recorder: Arc<Recorder>,
    /// For their ids.
    pub entropy: Arc<dyn Entropy>,
}

/// One read.
pub(super) struct Read<'a> {
    pub(super) location: &'a Location,
    /// The connections that it is for.
    pub(super) users: &'a BTreeSet<String>,
    pub(super) at: Timestamp,
    pub(super) took: Duration,
}

/// What is told of one that went well.
pub(super) struct Told<'a> {
    pub(super) version: Option<&'a str>,
    pub(super) is_changed: bool,
}

/// Puts a read down: what came of it, or why nothing did and whether the old value is used. Never a value.
pub(super) fn note(
    record: Option<&ReadRecord>,
    clock: &dyn Clock,
    read: &Read<'_>,
    told: Result<Told<'_>, (&Failure, bool)>,
) {
    let Read { location, users, at, took } = read;
    let source = location.keeper.name();
    let connections = users.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    let (outcome, detail) = match &told {
        Ok(Told { version, is_changed }) => {
            let word = if *is_changed { "changed" } else { "read" };
            tracing::info!(target: "audit", source, secret = %location, connections, version, outcome = word, "secret read");
            let version = version.map(|version| format!(", version {version}")).unwrap_or_default();
            (CallOutcome::Ok, format!("{word} from {source}{version}"))
        }
        Err((failure, is_old_value_in_use)) => {
            tracing::warn!(target: "audit", source, secret = %location, connections,
                outcome = failure.outcome, is_old_value_in_use,
                "secret not read: {}; {}", failure.why, failure.hint);
            let use_of = if *is_old_value_in_use { "; the value before it is in use" } else { "" };
            (
                CallOutcome::Fault,
                format!("not read from {source}, {}: {}{use_of}", failure.outcome, failure.why),
            )
        }
    };
    let Some(ReadRecord { recorder, entropy }) = record else { return };
    let more = users.len().saturating_sub(CONNECTIONS_MAX);
    for (n, user) in users.iter().take(CONNECTIONS_MAX).enumerate() {
        let more = (more > 0 && n + 1 == CONNECTIONS_MAX).then(|| format!("; for {more} more connections"));
        recorder.record(CallRecord {
            id: CallId::new(clock, &**entropy),
            at: *at,
            principal: "hub".into(),
            door: "source",
            kind: CallKind::Secret,
            connection: Key::from_config(user).ok(),
            target: location.to_string().into(),
            outcome,
            code: told.is_err().then_some(Code::MISCONFIGURED),
            detail: Some(format!("{detail}{}", more.unwrap_or_default())),
            refused_by: None,
            duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            bytes_in: 0,
            bytes_out: 0,
            stages: Vec::new(),
            arguments: None,
        });
    }
}
