//! The MCP door: the hub as an MCP server, in both protocol eras, over every transport.
//!
//! Three faces of one thing: everything (`/mcp`, names `key__tool`), one connection (`/mcp/c/{key}`, original
//! names), a toolset (`/mcp/s/{key}`). The door authenticates, reads messages, and turns what the pipeline
//! answers into what the client's era expects. Not its job: deciding about calls (`call`), or listeners
//! (the binary owns them and hands requests and streams in).
//!
//! Start reading at [`Door`], then `serve` (what each method does) and `http` (the classification ladder).

mod asked;
mod authorise;
mod bridge;
mod conversation;
mod door;
mod endpoint;
mod events;
#[cfg(test)]
mod fuzz;
mod greeting;
mod guard;
mod http;
mod listen;
mod lists;
mod names;
mod outbox;
mod park;
mod peer;
mod related;
mod rescue;
mod resume;
mod routing;
mod serve;
mod session;
mod shape;
mod standing;
mod tasks;
mod transport;
mod view;

pub use door::{Door, Parts, Settings};
pub use endpoint::Endpoint;
pub use http::DoorBody;
pub use transport::lines::LineAuth;
