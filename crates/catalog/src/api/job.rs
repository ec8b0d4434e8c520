//! What an API does behind its answer: it takes an order, says later that it is done, and then gives the result.

use super::{Path, Source};

/// How the result of an order is waited for.
#[derive(Debug)]
pub struct Job {
    /// Where it is asked how the order stands; from the answer to the order.
    pub status: Lead,
    /// What the answer about the status says; without it 202 means not yet, and anything else that it is done.
    pub state: Option<State>,
    /// Where the result is, from the last answer about the status; without it that answer is the result.
    pub result: Option<Lead>,
    /// Seconds between two questions, where the answer does not ask for more.
    pub every_s: u32,
    /// How often it is asked at most.
    pub polls: u32,
}

/// What leads from one answer to the next request.
#[derive(Debug)]
pub struct Lead {
    /// Where the URL is, or what goes into `path`. A result may do without: then it is what led to the status.
    pub from: Option<Source>,
    /// A path behind the base URL with one `{id}`.
    pub path: Option<String>,
}

/// Words about the state of an order.
#[derive(Debug)]
pub struct State {
    /// Where the word is.
    pub at: Path,
    /// Words that mean that it is done.
    pub done: Vec<String>,
    /// Words that mean that it came to nothing. Any other word means not yet.
    pub failed: Vec<String>,
}
