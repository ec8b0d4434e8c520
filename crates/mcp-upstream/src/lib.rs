//! MCP servers as connections: finding out their era, pools and sessions, every transport, and faults that
//! say what happened.
//!
//! Not its job: deciding whether a call may happen (`call`), opening sockets (`outbound`), running processes
//! (`process`). Start reading at [`McpUpstream`], then `calls` for the way of one call and `handshake` for
//! the era ladder.

mod answer;
mod ask;
mod calls;
mod challenge;
mod channel;
mod classes;
mod frames;
#[cfg(test)]
mod fuzz;
mod handshake;
mod http;
mod inner;
mod inventory;
mod lanes;
mod legacy_http;
mod listen;
mod modern_http;
mod open;
mod params;
mod remember;
mod session;
pub mod settings;
mod signals;
mod supervisor;
mod tasks;
mod transport;
mod trouble;
pub mod upstream;

pub use challenge::challenge_of;
pub use remember::{load as read_facts, save as facts_of};
pub use settings::{EraChoice, Facts, Leave, Parts, Sessions, Settings, Transport};
pub use upstream::McpUpstream;
