//! The methods a client may ask for, by era, and what each one's target is.

use model::{CallKind, Era};

/// A method that clients send as a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Initialize,
    Ping,
    Discover,
    ToolsList,
    ToolsCall,
    PromptsList,
    PromptsGet,
    ResourcesList,
    ResourcesTemplatesList,
    ResourcesRead,
    ResourcesSubscribe,
    ResourcesUnsubscribe,
    Complete,
    LoggingSetLevel,
    Listen,
    TasksGet,
    TasksUpdate,
    TasksCancel,
    TasksResult,
    TasksList,
}

use Method as M;

const TABLE: &[(Method, &str, bool, bool)] = &[
    // method, name, legacy, modern
    (M::Initialize, "initialize", true, false),
    (M::Ping, "ping", true, false),
    (M::Discover, "server/discover", false, true),
    (M::ToolsList, "tools/list", true, true),
    (M::ToolsCall, "tools/call", true, true),
    (M::PromptsList, "prompts/list", true, true),
    (M::PromptsGet, "prompts/get", true, true),
    (M::ResourcesList, "resources/list", true, true),
    (M::ResourcesTemplatesList, "resources/templates/list", true, true),
    (M::ResourcesRead, "resources/read", true, true),
    (M::ResourcesSubscribe, "resources/subscribe", true, false),
    (M::ResourcesUnsubscribe, "resources/unsubscribe", true, false),
    (M::Complete, "completion/complete", true, true),
    (M::LoggingSetLevel, "logging/setLevel", true, false),
    (M::Listen, "subscriptions/listen", false, true),
    (M::TasksGet, "tasks/get", true, true),
    (M::TasksUpdate, "tasks/update", false, true),
    (M::TasksCancel, "tasks/cancel", true, true),
    (M::TasksResult, "tasks/result", true, false),
    (M::TasksList, "tasks/list", true, false),
];

impl Method {
    /// The method of that name, where that era knows it.
    #[must_use]
    pub fn find(name: &str, era: Era) -> Option<Self> {
        TABLE
            .iter()
            .find(|(_, known, legacy, modern)| {
                *known == name && if era == Era::Legacy { *legacy } else { *modern }
            })
            .map(|(method, ..)| *method)
    }

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|(method, ..)| *method == self).map_or("", |(_, name, ..)| name)
    }

    /// The member of `params` that `Mcp-Name` repeats (2026-07-28, transports).
    #[must_use]
    pub const fn target_member(self) -> Option<&'static str> {
        match self {
            M::ToolsCall | M::PromptsGet => Some("name"),
            M::ResourcesRead | M::ResourcesSubscribe | M::ResourcesUnsubscribe => Some("uri"),
            M::TasksGet | M::TasksUpdate | M::TasksCancel | M::TasksResult => Some("taskId"),
            _ => None,
        }
    }

    /// The kind of call it is, for those that go to a connection through the pipeline.
    #[must_use]
    pub const fn call_kind(self) -> Option<CallKind> {
        match self {
            M::ToolsCall => Some(CallKind::Tool),
            M::PromptsGet => Some(CallKind::Prompt),
            M::ResourcesRead => Some(CallKind::Resource),
            M::Complete => Some(CallKind::Completion),
            M::TasksGet | M::TasksUpdate | M::TasksCancel | M::TasksResult => Some(CallKind::Task),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Method;
    use model::Era;

    #[test]
    fn each_era_knows_its_own() {
        assert_eq!(Method::find("initialize", Era::Modern), None);
        assert_eq!(Method::find("server/discover", Era::Legacy), None);
        assert_eq!(Method::find("tools/call", Era::Modern), Some(Method::ToolsCall));
        assert_eq!(Method::ToolsCall.name(), "tools/call");
    }
}
