//! The nouns of Trunkline and the few facts every room shares: ids, faults, time, chance, callers.
//!
//! Not its job: IO, async, storage, wire formats. Start reading at [`call`], then [`fault`].

pub mod call;
pub mod caller;
pub mod clock;
pub mod connection;
pub mod entropy;
pub mod fault;
mod hex;
pub mod id;
pub mod integration;
pub mod key;
pub mod seal;
pub mod secret;

pub use call::{CallKind, CallOutcome, CallRecord, StageNote};
pub use caller::{Access, Caller, Owner};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use connection::{Condition, ConnectionStatus, Era};
pub use entropy::{Entropy, SeededEntropy};
pub use fault::{Blame, Code, Fault, Link, Retry};
pub use hex::hex;
pub use id::Id;
pub use integration::{AuthMethod, BadWord, Category, IntegrationKind};
pub use key::Key;
pub use seal::{SealError, Sealer};
pub use secret::Secret;
