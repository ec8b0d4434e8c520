//! How doors hand state to a peer without trusting it: sealed, bound to a purpose and a caller.
//! The implementation (AEAD under the master key) lives in `credential`; the binary hands it in.

use thiserror::Error;

/// Why a sealed text could not be opened. Deliberately says no more: the text came from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the sealed value is not one of ours, was altered, or was made for someone else")]
pub struct SealError;

/// Seals and opens small values (session ids, cursors, `requestState`).
///
/// `purpose` separates kinds of values; `bound_to` is authenticated but not stored (the caller's id,
/// an endpoint), so a value opened for another caller fails exactly like a forged one.
pub trait Sealer: Send + Sync {
    /// Seals `plain` into URL-safe, visible-ASCII text without padding.
    ///
    /// # Errors
    /// [`SealError`] when the random source or the cipher fails.
    fn seal(&self, purpose: &str, bound_to: &str, plain: &[u8]) -> Result<String, SealError>;

    /// Opens what [`Sealer::seal`] made with the same `purpose` and `bound_to`.
    ///
    /// # Errors
    /// [`SealError`] for anything else.
    fn open(&self, purpose: &str, bound_to: &str, sealed: &str) -> Result<Vec<u8>, SealError>;

    /// Names `parts` without telling them: a keyed digest, the same on every node and worthless without
    /// the key. Parts put together otherwise have another.
    fn digest(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32];
}
