//! Policy, as far as it is allow and deny: what a caller may not use does not exist for it.

use model::{Access, Code, Fault, Key};

/// Whether the caller's access covers a tool (`connection__tool`).
pub(crate) fn is_allowed(access: &Access, full_name: &str) -> bool {
    // The owner's access is by far the most common one and needs no pattern matching.
    if access.deny.is_empty() && access.allow.iter().any(|pattern| pattern == "*") {
        return true;
    }
    policy::may_use(access, full_name).allowed
}

/// The same for a prompt or resource of a connection.
pub(crate) fn is_allowed_part(access: &Access, connection: &Key, id: &str) -> bool {
    if access.deny.is_empty() && access.allow.iter().any(|pattern| pattern == "*") {
        return true;
    }
    policy::may_use(access, &format!("{connection}__{id}")).allowed
}

/// The refusal: the same words as for something that is not there, so that nothing is given away.
pub(crate) fn refuse(what: &str, id: &str, connection: &str) -> Fault {
    Fault::new(Code::NOT_FOUND, format!("no {what} `{id}` in `{connection}`"))
        .with_hint("list what you may use with tools/list or `trunkline tools`")
}
