//! Pure decisions about who may use what, each with the rule that made it.
//!
//! Not its job: finding out who is calling (`identity`), or enforcing (`call`). No IO, no state: the
//! same question always gets the same answer, so answers are computed when a snapshot is built.

mod access;
mod beyond;
mod pattern;

pub use access::{Decision, Rule, ToolLists, may_use};
pub use beyond::{Beyond, beyond};
pub use pattern::{BadPattern, Pattern};
