//! Child processes: starting them without a shell, framing what they say, and ending them for certain.
//!
//! A [`Child`] runs in its own process group, with a minimal environment and the limits of its
//! [`Command`]. A [`Guard`], one per hub, ends every group when the hub itself is gone, even killed.
//! [`LineReader`] is the newline framing that every byte transport shares.
//!
//! Not its job: what the lines mean (`wire`), when to start again (the caller, helped by [`Backoff`]), and
//! sandboxing beyond limits. Start reading at [`Child::spawn`].

pub mod backoff;
pub mod child;
pub mod command;
pub mod error;
pub mod exit;
pub mod guard;
pub mod inherited;
pub mod lines;

mod group;
mod limits;
mod program;
mod stderr;
mod supervise;

pub use backoff::Backoff;
pub use child::{Child, GRACE};
pub use command::{Command, Limits};
pub use error::SpawnError;
pub use exit::Exit;
pub use guard::{Guard, guard_main};
pub use inherited::keep_inherited;
pub use lines::{LINE_BYTES_MAX, LineError, LineReader};
