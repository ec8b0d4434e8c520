//! The stages of a call, a file each. A stage that has nothing configured costs nothing.

pub(crate) mod access;
pub(crate) mod find;
pub(crate) mod limit;
pub(crate) mod retry;
pub(crate) mod validate;

/// Names of the stages, in order, as records and faults tell them.
pub(crate) mod name {
    pub(crate) const FIND: &str = "find";
    pub(crate) const POLICY: &str = "policy";
    pub(crate) const VALIDATE: &str = "validate";
    pub(crate) const LIMIT: &str = "limit";
    pub(crate) const CONNECTOR: &str = "connector";
    /// The wait before the connector is called once more.
    pub(crate) const RETRY: &str = "retry";
}
