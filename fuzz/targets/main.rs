//! Fuzz targets for the parsers that rooms offer to others. Each holds an input against a slower, plainer
//! way to say the same thing, or against a property that must hold of every input.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod arguments;
mod events;
mod headers;
mod json;
mod keys;
mod lines;
mod messages;
mod names;
mod origins;
mod secrets;
