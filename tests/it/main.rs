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
mod browser;
mod catalogue;
mod clients;
mod connections;
mod doors;
mod egress;
mod events;
mod faults;
mod idempotency;
mod idle;
mod killed;
mod lifecycle;
mod looked_after;
mod moving;
mod oauth;
mod peers;
mod per_user;
mod references;
mod reload;
mod revoked;
mod secrets;
mod sessions;
mod sftp;
mod tasks;
mod typescript;
mod vendors;
mod websocket;
