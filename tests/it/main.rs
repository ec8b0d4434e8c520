//! Whole-product scenes, one module per subject. Each starts the real binary with a configuration of its own and
//! talks to it from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a scene fails by panicking"
)]

mod access;
mod bridge;
mod catalogue;
mod clients;
mod connections;
mod doors;
mod events;
mod faults;
mod idle;
mod lifecycle;
mod looked_after;
mod moving;
mod oauth;
mod peers;
mod reload;
mod revoked;
mod sessions;
mod sftp;
mod tasks;
mod typescript;
mod vendors;
mod websocket;
