//! What carries conversations, a file each.

pub(crate) mod lines;
pub(crate) mod sse;
pub(crate) mod websocket;
