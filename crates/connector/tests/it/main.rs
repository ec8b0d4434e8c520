//! Credentials and tokens over a real store.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod credentials;
mod keeper;
mod scene;
