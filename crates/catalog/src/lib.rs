//! The catalogue: what can be connected, described by manifests (`integrations/<slug>/integration.yaml` with
//! an `icon.svg` beside it), those that are compiled in and those of the operator's folders.
//!
//! Not its job: storing entries, or connecting anything. A manifest is read once; [`Entry::resolve`] is a
//! pure function from what a user fills in to what a connection says. [`import`] makes manifests of what others
//! have described. Start reading at [`Entry::read`].

pub mod api;
mod entry;
pub mod fixture;
mod folder;
mod icon;
pub mod import;
mod near;
mod problem;
mod read;
mod schema;
pub mod template;
pub mod yaml;

pub use entry::{
    API_CONNECTION_KEYS, CONNECTORS, Credential, Entry, InventoryTest, Native, Preset, Settled, Way,
};
pub use folder::{Shelf, built_in, read_folder};
pub use icon::{ICON_BYTES_MAX, check_icon};
pub use near::nearest;
pub use problem::{Problem, Problems};
pub use read::slug_of;

/// The file that describes an entry.
pub const MANIFEST: &str = "integration.yaml";
/// The picture beside it.
pub const ICON: &str = "icon.svg";
