//! Tasks in both forms: the core tasks of 2025-11-25 and the extension of 2026-07-28 (SEP-2663). They say the same
//! with other members; what neither renames (`statusMessage`, the two times) is kept as the bytes that came.

use crate::object::{Object, push_str};

/// The id of the extension.
pub const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// The member of `_meta` by which a legacy message names the task it belongs to.
pub const RELATED: &str = "io.modelcontextprotocol/related-task";

/// Shortest and longest pause between two looks at a task, milliseconds, and the one where none is suggested.
const POLL_MS: (u64, u64, u64) = (50, 10_000, 1000);

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

/// Whether a tool runs as a task (`execution.taskSupport` of 2025-11-25).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    Forbidden,
    Optional,
    Required,
}

/// A task as either era writes it.
#[derive(Debug)]
pub struct Task<'a> {
    object: Object<'a>,
    pub id: String,
    pub status: Status,
}

const STATUS: [(&str, Status); 5] = [
    ("working", Status::Working),
    ("input_required", Status::InputRequired),
    ("completed", Status::Completed),
    ("failed", Status::Failed),
    ("cancelled", Status::Cancelled),
];

impl Status {
    /// Its word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        STATUS.iter().find(|(_, known)| *known == self).map_or("working", |(word, _)| word)
    }

    /// Nothing changes any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl<'a> Task<'a> {
    /// The task in a result or notification: at its top, or in the member `task` (the legacy answer that hands
    /// one out). `None` when there is none that can be used.
    #[must_use]
    pub fn read(raw: &'a [u8]) -> Option<Self> {
        let object = Object::scan(raw).ok()?;
        let object = match object.get("task") {
            Some(inner) if object.get("taskId").is_none() => Object::scan(inner).ok()?,
            _ => object,
        };
        let id = object.get_str("taskId")?.into_owned();
        let word = object.get_str("status")?;
        let status = STATUS.iter().find(|(known, _)| *known == word).map(|(_, status)| *status)?;
        Some(Self { object, id, status })
    }

    /// A raw member as it came (`result`, `error`, `inputRequests`).
    #[must_use]
    pub fn get(&self, member: &str) -> Option<&'a [u8]> {
        self.object.get(member)
    }

    /// How long to wait before looking again, milliseconds, within bounds.
    #[must_use]
    pub fn poll_ms(&self) -> u64 {
        let raw = self.get("pollIntervalMs").or_else(|| self.get("pollInterval"));
        let said =
            raw.and_then(|raw| std::str::from_utf8(raw).ok()).and_then(|text| text.parse::<f64>().ok());
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, and the bounds follow"
        )]
        let ms = said.map_or(POLL_MS.2, |said| said as u64);
        ms.clamp(POLL_MS.0, POLL_MS.1)
    }

    /// Its members as 2025-11-25 names them, without braces, under the id `shown` and the status `status`.
    #[must_use]
    pub fn legacy_members(&self, shown: &str, status: Status) -> Vec<u8> {
        self.members(shown, status, ("ttl", "pollInterval"))
    }

    /// Its members as 2026-07-28 names them, without braces.
    #[must_use]
    pub fn modern_members(&self, shown: &str, status: Status) -> Vec<u8> {
        self.members(shown, status, ("ttlMs", "pollIntervalMs"))
    }

    fn members(&self, shown: &str, status: Status, (ttl, poll): (&str, &str)) -> Vec<u8> {
        let mut out = Vec::from(*b"\"taskId\":");
        push_str(&mut out, shown);
        out.extend_from_slice(b",\"status\":");
        push_str(&mut out, status.word());
        let either = |a: &str, b: &str| self.get(a).or_else(|| self.get(b));
        let ttl_said = either("ttlMs", "ttl").unwrap_or(b"null");
        for (name, raw) in [
            ("statusMessage", self.get("statusMessage")),
            ("createdAt", self.get("createdAt")),
            ("lastUpdatedAt", self.get("lastUpdatedAt").or_else(|| self.get("createdAt"))),
            (ttl, Some(ttl_said)),
            (poll, either("pollIntervalMs", "pollInterval")),
        ] {
            if let Some(raw) = raw {
                out.push(b',');
                push_str(&mut out, name);
                out.push(b':');
                out.extend_from_slice(raw);
            }
        }
        out
    }
}

/// Whether a server's raw `capabilities` have core tasks for tool calls (2025-11-25).
#[must_use]
pub fn has_core(capabilities: &[u8]) -> bool {
    fn member<'a>(raw: &'a [u8], key: &str) -> Option<&'a [u8]> {
        Object::scan(raw).ok()?.get(key)
    }
    let tools = member(capabilities, "tasks").and_then(|raw| member(raw, "requests"));
    tools.and_then(|raw| member(raw, "tools")).is_some_and(|raw| member(raw, "call").is_some())
}

/// Whether raw capabilities of a client or a server have the extension (2026-07-28).
#[must_use]
pub fn has_extension(capabilities: &[u8]) -> bool {
    let Ok(object) = Object::scan(capabilities) else { return false };
    let extensions = object.get("extensions").and_then(|raw| Object::scan(raw).ok());
    extensions.is_some_and(|extensions| extensions.get(EXTENSION).is_some())
}

/// What a raw tool says of itself.
#[must_use]
pub fn support(tool: &[u8]) -> Support {
    let Ok(object) = Object::scan(tool) else { return Support::Forbidden };
    let execution = object.get("execution").and_then(|raw| Object::scan(raw).ok());
    match execution.and_then(|e| e.get_str("taskSupport").map(std::borrow::Cow::into_owned)).as_deref() {
        Some("required") => Support::Required,
        Some("optional") => Support::Optional,
        _ => Support::Forbidden,
    }
}

/// A raw object whose `_meta` names the task that it belongs to; `None` takes such a name out.
#[must_use]
pub fn related_to(raw: &[u8], shown: Option<&str>) -> Option<Vec<u8>> {
    let object = Object::scan(raw).ok()?;
    let named = shown.map(|shown| {
        let mut named = Vec::from(*b"{\"taskId\":");
        push_str(&mut named, shown);
        named.push(b'}');
        named
    });
    let meta = match object.get("_meta").map(Object::scan) {
        Some(meta) => meta.ok()?.edit(&[(RELATED, named.as_deref())]),
        None => Object::scan(b"{}").ok()?.edit(&[(RELATED, named.as_deref())]),
    };
    let meta = (meta != b"{}").then_some(meta);
    Some(object.edit(&[("_meta", meta.as_deref())]))
}

#[cfg(test)]
mod tests {
    use super::{Status, Support, Task, has_core, has_extension, related_to, support};

    fn value(raw: &[u8]) -> serde_json::Value {
        serde_json::from_slice(raw).unwrap()
    }

    #[test]
    fn one_task_in_both_forms() {
        let legacy = br#"{"task":{"taskId":"a","status":"working","createdAt":"t1","lastUpdatedAt":"t2","ttl":60000,"pollInterval":500}}"#;
        let task = Task::read(legacy).unwrap();
        assert_eq!((task.id.as_str(), task.status, task.poll_ms()), ("a", Status::Working, 500));
        let modern = [b"{", task.modern_members("s", task.status).as_slice(), b"}"].concat();
        assert_eq!(
            value(&modern),
            serde_json::json!({"taskId":"s","status":"working","createdAt":"t1","lastUpdatedAt":"t2","ttlMs":60000,"pollIntervalMs":500})
        );
        let task = Task::read(&modern).unwrap();
        let back = [b"{", task.legacy_members("a", task.status).as_slice(), b"}"].concat();
        assert_eq!(value(&back), value(legacy)["task"]);
        for bad in
            [&b"{}"[..], br#"{"taskId":"a"}"#, br#"{"taskId":"a","status":"new"}"#, b"[]", br#"{"task":7}"#]
        {
            assert!(Task::read(bad).is_none());
        }
    }

    #[test]
    fn what_is_declared_is_found_and_nothing_else() {
        assert!(has_core(br#"{"tasks":{"requests":{"tools":{"call":{}}}}}"#));
        assert!(!has_core(br#"{"tasks":{"list":{}}}"#) && !has_core(b"{}"));
        assert!(has_extension(br#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#));
        assert!(!has_extension(br#"{"extensions":{}}"#));
        assert_eq!(support(br#"{"execution":{"taskSupport":"required"}}"#), Support::Required);
        assert_eq!(support(br#"{"execution":{"taskSupport":"sometimes"}}"#), Support::Forbidden);
    }

    #[test]
    fn a_related_task_is_renamed_added_and_taken_out() {
        let named = related_to(br#"{"a":1}"#, Some("s")).unwrap();
        assert_eq!(value(&named)["_meta"]["io.modelcontextprotocol/related-task"]["taskId"], "s");
        assert_eq!(value(&related_to(&named, None).unwrap()), serde_json::json!({"a":1}));
    }
}
