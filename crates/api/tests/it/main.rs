//! The HTTP API as its callers see it: the real router, pipeline, identity and ledger over a fake connection.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod authorization;
mod bundle;
mod call;
mod connections;
mod fake;
mod guard;
mod idempotency;
mod keys;
mod management;
mod openapi;
mod operations;
mod scene;
