//! One event, as it is kept and as it is sent.

use std::sync::Arc;

use model::id::{CallId, EventId, WorkspaceId};
use model::{CallKind, CallOutcome, CallRecord, Code, Key, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// Every type there is, in the order of the reference.
pub(crate) const TYPES: &[&str] = &[
    CONNECTION_MADE,
    CONNECTION_CHANGED,
    CONNECTION_STATUS_CHANGED,
    CONNECTION_CHECKED,
    CONNECTION_REMOVED,
    CREDENTIAL_STORED,
    CREDENTIAL_ROTATED,
    CREDENTIAL_REMOVED,
    INTEGRATION_MADE,
    INTEGRATION_CHANGED,
    INTEGRATION_REMOVED,
    TOOLSET_MADE,
    TOOLSET_CHANGED,
    TOOLSET_REMOVED,
    KEY_MADE,
    KEY_RETIRED,
    KEY_REVOKED,
    CALL_FINISHED,
    STORE_CHANGED,
    GAP,
];

pub(crate) const CONNECTION_MADE: &str = "connection.made";
pub(crate) const CONNECTION_CHANGED: &str = "connection.changed";
pub(crate) const CONNECTION_STATUS_CHANGED: &str = "connection.status_changed";
pub(crate) const CONNECTION_CHECKED: &str = "connection.checked";
pub(crate) const CONNECTION_REMOVED: &str = "connection.removed";
pub(crate) const CREDENTIAL_STORED: &str = "credential.stored";
pub(crate) const CREDENTIAL_ROTATED: &str = "credential.rotated";
pub(crate) const CREDENTIAL_REMOVED: &str = "credential.removed";
pub(crate) const INTEGRATION_MADE: &str = "integration.made";
pub(crate) const INTEGRATION_CHANGED: &str = "integration.changed";
pub(crate) const INTEGRATION_REMOVED: &str = "integration.removed";
pub(crate) const TOOLSET_MADE: &str = "toolset.made";
pub(crate) const TOOLSET_CHANGED: &str = "toolset.changed";
pub(crate) const TOOLSET_REMOVED: &str = "toolset.removed";
pub(crate) const KEY_MADE: &str = "key.made";
pub(crate) const KEY_RETIRED: &str = "key.retired";
pub(crate) const KEY_REVOKED: &str = "key.revoked";
pub(crate) const CALL_FINISHED: &str = "call.finished";
pub(crate) const STORE_CHANGED: &str = "store.changed";
pub(crate) const GAP: &str = "gap";

/// Something that happened.
#[derive(Debug, Serialize)]
pub(crate) struct Event {
    pub(crate) id: EventId,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) at: Timestamp,
    pub(crate) data: Data,
    /// In which workspace; `None` for all.
    #[serde(skip)]
    pub(crate) workspace: Option<WorkspaceId>,
}

/// What an event says. Calls come by the thousand, so that they become JSON only when somebody reads them.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Data {
    Told(Value),
    Call(CallEnd),
}

/// How a call ended. Neither its arguments nor what came of them.
#[derive(Debug, Serialize)]
pub(crate) struct CallEnd {
    call_id: CallId,
    connection: Option<Key>,
    kind: CallKind,
    tool: Arc<str>,
    outcome: CallOutcome,
    code: Option<Code>,
    door: &'static str,
    principal: Arc<str>,
    duration_us: u64,
}

impl From<&CallRecord> for CallEnd {
    fn from(record: &CallRecord) -> Self {
        Self {
            call_id: record.id,
            connection: record.connection.clone(),
            kind: record.kind,
            tool: Arc::clone(&record.target),
            outcome: record.outcome,
            code: record.code,
            door: record.door,
            principal: Arc::clone(&record.principal),
            duration_us: record.duration_us,
        }
    }
}

impl Event {
    /// As one line of JSON.
    pub(crate) fn json(&self) -> String {
        // Nothing in an event fails to become JSON; an empty object would be a mistake of ours.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }

    /// The lines of an event stream.
    pub(crate) fn frame(&self, out: &mut String) {
        out.push_str(&format!("id: {}\nevent: {}\ndata: {}\n\n", self.id, self.kind, self.json()));
    }
}
