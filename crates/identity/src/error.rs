//! Why a key was not made or changed. Refused callers get a plain [`model::Fault`] instead.

use model::{Access, Code, Fault};
use store::StoreError;
use thiserror::Error;

/// The longest name of a key, in characters.
const NAME_CHARS_MAX: usize = 100;
/// The most patterns in an access list, both sides together.
const PATTERNS_MAX: usize = 256;
/// The longest pattern, in bytes (the same number as `policy::Pattern::LEN_MAX`).
const PATTERN_BYTES_MAX: usize = 256;

/// What went wrong.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name that people could not read.
    #[error("the name of a key is 1 to {NAME_CHARS_MAX} characters without control characters")]
    BadName,
    /// An access list that is too long.
    #[error("an access list has at most {PATTERNS_MAX} patterns of 1 to {PATTERN_BYTES_MAX} bytes")]
    BadAccess,
}

// === impl IdentityError ===

impl IdentityError {
    /// The same fact for every face.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::BadName | Self::BadAccess => Fault::new(Code::BAD_ARGUMENTS, self.to_string()),
        }
    }
}

/// Checks what a new key comes with.
pub(crate) fn check(name: &str, access: &Access) -> Result<(), IdentityError> {
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(IdentityError::BadName);
    }
    let mut patterns = access.allow.iter().chain(&access.deny);
    let count = access.allow.len() + access.deny.len();
    if count > PATTERNS_MAX || !patterns.all(|one| (1..=PATTERN_BYTES_MAX).contains(&one.len())) {
        return Err(IdentityError::BadAccess);
    }
    Ok(())
}
