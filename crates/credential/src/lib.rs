//! The only room that holds keys: randomness, the master key, what is derived from it, and where
//! secrets come from.
//!
//! Not its job: deciding who may use a secret (`policy`, `call`) or storing sealed rows (`store-*`).
//! Start reading at [`MasterKey`]; everything else is made from it.

mod digest;
mod entropy;
mod master;
mod reference;
mod seal;

pub use digest::{KeyDigester, same, sha256_of};
pub use entropy::SystemEntropy;
pub use master::{KEY_FILE, MasterKey, MasterKeyError, MasterKeyOrigin, MasterKeySources, RunCommand};
pub use reference::{ReferenceError, has_reference, resolve_reference};
pub use seal::AeadSealer;
