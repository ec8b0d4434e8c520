//! MCP on the wire, both eras: borrowed JSON-RPC envelopes, splice rewrites, version and header rules.
//!
//! Not its job: IO, sessions, meaning. Everything here is a function of bytes. The typed SDK costs 6 to
//! 28 times more per message and drops fields it does not know; here a message is validated once, looked
//! into where needed, and passed on as the bytes it came in. Start reading at [`Envelope`].
//!
//! Sources: JSON-RPC 2.0; the MCP revisions 2024-11-05 to 2026-07-28.

pub mod envelope;
pub mod error;
pub mod header;
pub mod message;
pub mod meta;
pub mod method;
pub mod object;
pub mod param_header;
pub mod sse;
pub mod task;
pub mod version;

pub use envelope::{Envelope, Incoming, Malformed};
pub use error::RpcCode;
pub use meta::Meta;
pub use method::Method;
pub use object::Object;
