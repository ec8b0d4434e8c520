//! A hub made of the other rooms: what it stands on, what is connected, where it listens, how it ends.
//!
//! Start reading at [`hub::Hub`]; `commands/serve.rs` is the story of a start.

pub(crate) mod catalogue;
pub(crate) mod clients;
pub(crate) mod connections;
pub(crate) mod facts;
pub(crate) mod house;
pub(crate) mod http;
pub(crate) mod hub;
pub(crate) mod lines;
pub(crate) mod manifests;
pub(crate) mod secret_command;
pub(crate) mod sockets;
pub(crate) mod sources;
pub(crate) mod telemetry;
pub(crate) mod tls;
pub(crate) mod upkeep;
pub(crate) mod waiting;
pub(crate) mod watch;

/// The hidden first argument that makes this program the guard of the hub's child processes.
pub(crate) const GUARD_ARG: &str = "__guard";
