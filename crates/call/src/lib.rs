//! THE pipeline: the only way in which anything connected is used.
//!
//! A door authenticates, says which connection and what, and gets an outcome or a [`Fault`]; between the
//! two lie the stages, written out in order in [`Pipeline::call`]. The pipeline reads one immutable
//! [`Snapshot`] and asks no database anything. Not its job: protocols (doors), upstreams (connectors).

mod keeper;
mod pausing;
mod pipeline;
pub mod schema;
mod snapshot;
mod stage;

pub use connector::{
    Abilities, AskError, Connector, Ctx, Downstream, Event, Inventory, ListKind, Offered, Outcome, Peer,
    Question, Request, Silent, State, Tool,
};
pub use model::Fault;
pub use pipeline::{Call, Parts, Pipeline};
pub use policy::ToolLists;
pub use snapshot::{Mount, MountSettings, Mounted, MountedTool, Picked, Snapshot, Toolset};
