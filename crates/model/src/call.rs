//! A call and its record: what was asked of which connection, what each stage decided, how it ended.

use std::sync::Arc;

use crate::id::CallId;
use crate::{Code, Key, Timestamp};

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// Run a tool.
    Tool,
    /// Read a resource.
    Resource,
    /// Get a prompt.
    Prompt,
    /// Complete an argument.
    Completion,
    /// Ask about, feed or cancel a task.
    Task,
    /// The vendor's own API through the proxy.
    Proxy,
    /// Try the connection out.
    Test,
    /// Nobody's call: a secret that another system keeps was read for the connection.
    Secret,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// Answered.
    Ok,
    /// Answered, and the answer says that the tool failed (`isError`).
    ToolError,
    /// Answered with a protocol error.
    RpcError,
    /// Answered with a question back (`input_required`).
    InputRequired,
    /// Answered with a task handle.
    TaskStarted,
    /// Refused or failed in the hub; the fault's code says where.
    Fault,
    /// The caller went away first.
    Cancelled,
}

/// One stage's decision and the microseconds it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct StageNote {
    /// Name of the stage.
    pub stage: &'static str,
    /// Microseconds spent in it.
    pub us: u32,
}

/// What is kept of one call. Arguments only where configured; never a credential.
#[derive(Debug, Clone, serde::Serialize)]
pub struct CallRecord {
    /// Which call.
    pub id: CallId,
    /// When it was accepted.
    pub at: Timestamp,
    /// Who called: `Caller::principal`.
    pub principal: Arc<str>,
    /// Through which door: `mcp`, `call`, `cli`.
    pub door: &'static str,
    /// What it asked for.
    pub kind: CallKind,
    /// Of which connection; `None` when none was found.
    pub connection: Option<Key>,
    /// Tool name, resource URI, prompt name.
    pub target: Arc<str>,
    /// How it ended.
    pub outcome: CallOutcome,
    /// The fault's code, when the hub refused or failed.
    pub code: Option<Code>,
    /// The fault's text, when there is one.
    pub detail: Option<String>,
    /// The stage that refused, when one did.
    pub refused_by: Option<&'static str>,
    /// Microseconds from acceptance to answer.
    pub duration_us: u64,
    /// Bytes of the parameters.
    pub bytes_in: u32,
    /// Bytes of the result.
    pub bytes_out: u32,
    /// Each stage's time, in order.
    pub stages: Vec<StageNote>,
    /// The arguments, only where the connection says `record: arguments`.
    pub arguments: Option<String>,
}
