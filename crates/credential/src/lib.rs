//! The only room that holds keys: randomness, the master key, what is derived from it, where secrets come
//! from, and what is signed with them.
//!
//! Not its job: deciding who may use a secret (`policy`, `call`) or storing sealed rows (`store-*`).
//! Start reading at [`MasterKey`]; everything else is made from it.

mod digest;
mod entropy;
mod envelope;
mod external;
mod master;
mod passphrase;
mod reference;
mod seal;
pub mod sign;
pub mod sigv4;

pub use digest::{KeyDigester, same};
pub use entropy::SystemEntropy;
pub use envelope::{EnvelopeError, KeyRing, Place, Sealed, WrappingKey};
pub use external::{External, Keeper, Location, Looked};
pub use master::{KEY_FILE, MasterKey, MasterKeyError, MasterKeyOrigin, MasterKeySources, RunCommand};
pub use passphrase::{
    PASSPHRASE_ALGORITHM, PASSPHRASE_LEN_MAX, PASSPHRASE_LEN_MIN, PassSealed, PassphraseError, ROUNDS_MAX,
    ROUNDS_MIN, open_under, seal_under,
};
pub use reference::{ReferenceError, has_reference, resolve_reference, resolve_with};
pub use seal::AeadSealer;
