//! Who is calling, and what they may use: one owner and one workspace today, the same model for many.

use std::sync::Arc;

use crate::id::{ApiKeyId, UserId, WorkspaceId};

/// Whose things these are. Every stored noun carries one, from the first row on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Owner {
    /// The workspace that isolates.
    pub workspace: WorkspaceId,
    /// The person in it.
    pub user: UserId,
}

/// An authenticated principal. There is no default one: without a caller nothing is reachable.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose authority it carries.
    pub owner: Owner,
    /// The key it came with; `None` for the operator at the machine itself (`trunkline mcp`, embedded).
    pub api_key: Option<ApiKeyId>,
    /// Stable text that names the principal: what sealed values, sessions and caches are bound to.
    pub principal: Arc<str>,
    /// What it may see and use.
    pub access: Arc<Access>,
}

/// Which tools a caller may see and call. Patterns match `connection__tool` with `*` as "anything";
/// a tool is usable when it matches an `allow` and no `deny`. Deny wins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Access {
    /// Patterns of what is allowed. Empty allows nothing.
    pub allow: Vec<String>,
    /// Patterns of what is refused whatever `allow` says.
    #[serde(default)]
    pub deny: Vec<String>,
    /// May use the management API (read status, calls; make keys).
    #[serde(default)]
    pub manage: bool,
}

impl Access {
    /// The owner's: everything.
    #[must_use]
    pub fn everything() -> Self {
        Self { allow: vec!["*".to_owned()], deny: Vec::new(), manage: true }
    }
}
