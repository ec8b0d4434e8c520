//! Scenes with small fake MCP servers: both eras, every transport, and everything that can go wrong on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test that fails here fails, and fake servers open their own sockets"
)]

mod faults;
mod lanes;
mod legacy_http;
mod lines;
mod modern_http;
mod stdio;
mod support;
mod websocket;
