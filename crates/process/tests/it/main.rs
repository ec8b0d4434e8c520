//! Real processes, started and ended through the room's own face.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails should say so at once")]

mod orphans;
mod roles;
mod start;
mod stderr;
mod stop;
mod support;
