//! What tests need and the product must not contain: an MCP fixture server on the official SDK, a conformance
//! runner, a builder that starts the real binary, and small clients for both protocol eras.
//! Not for production code: nothing outside tests and test tools may depend on this room.

pub mod client;
pub mod conformance;
pub mod fixture;
pub mod http;
pub mod hub;
pub mod lines;
pub mod nginx;
pub mod program;
pub mod raw;
pub mod soak;
pub mod sshd;
pub mod tools;
pub mod trouble;
pub mod users;
pub mod websocket;
