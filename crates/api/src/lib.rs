//! The HTTP face: `POST /call`, the OpenAPI document, operations (`/health`, `/ready`, `/metrics`) and
//! the management API under `/api/v1`.
//!
//! A request passes the guards (Host, Origin), then authentication and the one table of who may do what
//! ([`routes`]), then its handler; everything that goes wrong leaves as problem JSON (`rescue`). Not its
//! job: listeners and TLS (the binary), MCP (`mcp-door`), deciding about calls (`call`).
//!
//! Start reading at [`Parts`], then [`routes::table`].

mod app;
mod body;
mod bundle;
mod calls;
mod connections;
mod directory;
mod docs;
mod door;
mod errors;
mod events;
mod extract;
mod guard;
mod idempotency;
mod integrations;
mod keys;
mod live;
mod metrics;
mod oauth;
mod openapi;
mod operations;
mod page;
mod rescue;
pub mod routes;
mod search;
mod status;
mod tools;
mod toolsets;

pub use app::{Parts, Settings};
pub use directory::{
    AuthWay, CredentialField, Described, Directory, Entry, Leave, OwnWay, Proof, ReadManifest, Source,
};
pub use errors::page as error_page;
pub use live::{FileChange, Live, Sources};
pub use metrics::Counters;
pub use oauth::Links;
pub use routes::router;
pub use toolsets::ChosenTool;
