//! An MCP server with everything in it: every tool, prompt and resource whose name the protocol's conformance suite
//! has hard-coded, over HTTP and stdio, in the old era, the new one, or both.
//! It stands on the official SDK on purpose, so that our own wire code is tested against somebody else's.

use std::sync::Arc;

use anyhow::Context as _;
use rmcp::model::{RequestStateCodec, Tool};
use rmcp::service::SubscriptionSink;
use rmcp::task_manager::TaskManager;
use tokio::sync::Mutex;

mod asking;
mod content;
pub mod era;
mod handler;
pub mod http;
mod jobs;
pub mod peer;
mod prompts;
mod resources;
pub mod stdio;

pub use era::Era;
pub use peer::Peer;

/// How long clients may keep what the fixture lists, in milliseconds.
const LIST_TTL_MS: u64 = 60_000;

/// Seals the state of unfinished questions. It guards nothing but tests, so it may stand in the source.
const STATE_KEY: &[u8] = b"fixture state key: it protects nothing at all";

/// The fixture's shared state; clones are the same server seen from another connection.
#[derive(Clone)]
pub struct Fixture {
    era: Era,
    tools: Arc<Vec<Tool>>,
    state: Arc<RequestStateCodec>,
    tasks: TaskManager,
    subscribers: Arc<Mutex<Vec<SubscriptionSink>>>,
}

impl Fixture {
    /// A server of the given era with nothing subscribed and no task running.
    ///
    /// # Errors
    /// When the embedded list of tools is not valid, which a test of this room rules out.
    pub fn new(era: Era) -> anyhow::Result<Self> {
        // The order is part of the fixture: the conformance suite calls whatever tool stands first.
        let tools: Vec<Tool> =
            serde_json::from_str(include_str!("fixture/tools.json")).context("tools.json")?;
        Ok(Self {
            era,
            tools: Arc::new(tools),
            state: Arc::new(RequestStateCodec::try_new(STATE_KEY)?),
            tasks: TaskManager::new(),
            subscribers: Arc::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_tools_load_and_are_the_ones_the_suite_calls() {
        let fixture = Fixture::new(Era::Both).expect("a fixture");
        let names: Vec<&str> = fixture.tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(names.first(), Some(&"test_simple_text"), "the first tool must need no arguments");
        assert!(names.contains(&"test_tool_with_task"));
        assert_eq!(names.len(), 35, "{names:?}");
    }
}
