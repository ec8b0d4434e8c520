//! Sealing under a passphrase, for what leaves the hub: an export that holds secrets.
//!
//! The key is PBKDF2-HMAC-SHA256 (RFC 8018) of the passphrase over a random salt; what it seals with is the
//! envelope's AES-256-GCM-SIV, and what goes with it (algorithm, rounds, salt, the rest of the document) is
//! associated data. Deriving takes a good part of a second: call it where waiting holds up nobody.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, hmac, pbkdf2};
use model::{Entropy, Secret};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::envelope::{aead_key, associated, open, seal};

/// How the key is made and what it seals with, as the header of a document says it.
pub const PASSPHRASE_ALGORITHM: &str = "pbkdf2-hmac-sha256+aes-256-gcm-siv";
/// Rounds of new documents, and the fewest that are read.
pub const ROUNDS_MIN: u32 = 600_000;
/// The most rounds that are read: a document must not keep a hub busy for minutes.
pub const ROUNDS_MAX: u32 = 10_000_000;
/// The shortest passphrase that seals, in bytes.
pub const PASSPHRASE_LEN_MIN: usize = 12;
/// The longest, in bytes.
pub const PASSPHRASE_LEN_MAX: usize = 1024;

/// Bytes sealed under a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassSealed {
    /// Rounds of the derivation.
    pub rounds: u32,
    /// Its salt.
    pub salt: [u8; 16],
    /// Tells a wrong passphrase from an altered document.
    pub check: [u8; 8],
    /// The sealed bytes.
    pub bytes: Vec<u8>,
}

/// Why something does not seal or open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PassphraseError {
    /// Too short or too long.
    #[error("the passphrase has to have {PASSPHRASE_LEN_MIN} to {PASSPHRASE_LEN_MAX} bytes")]
    Length,
    /// Another passphrase, or another salt.
    #[error("it is another passphrase than the one that this was sealed with")]
    Wrong,
    /// The passphrase fits, and what it sealed does not open.
    #[error("it was altered since it was sealed")]
    Altered,
    /// Fewer or more rounds than are read.
    #[error("it names {0} rounds, and between {ROUNDS_MIN} and {ROUNDS_MAX} are read")]
    Rounds(u32),
}

/// Seals `plain` under a passphrase; `context` is what it belongs to.
///
/// # Errors
/// [`PassphraseError::Length`].
pub fn seal_under(
    passphrase: &Secret,
    context: &[u8],
    plain: &Secret,
    entropy: &dyn Entropy,
) -> Result<PassSealed, PassphraseError> {
    let length = passphrase.expose().len();
    if !(PASSPHRASE_LEN_MIN..=PASSPHRASE_LEN_MAX).contains(&length) {
        return Err(PassphraseError::Length);
    }
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    let rounds = ROUNDS_MIN;
    let key = derive(passphrase, &salt, rounds)?;
    let aad = aad(rounds, &salt, context);
    let bytes = seal(&aead_key(&key), &aad, plain.expose().as_bytes(), entropy)
        .map_err(|_| PassphraseError::Altered)?;
    Ok(PassSealed { rounds, salt, check: check_of(&key), bytes })
}

/// Opens what [`seal_under`] sealed, for the same context.
///
/// # Errors
/// As [`PassphraseError`] says.
pub fn open_under(
    passphrase: &Secret,
    context: &[u8],
    sealed: &PassSealed,
) -> Result<Secret, PassphraseError> {
    if passphrase.expose().len() > PASSPHRASE_LEN_MAX {
        return Err(PassphraseError::Length);
    }
    let key = derive(passphrase, &sealed.salt, sealed.rounds)?;
    if constant_time::verify_slices_are_equal(&check_of(&key), &sealed.check).is_err() {
        return Err(PassphraseError::Wrong);
    }
    let aad = aad(sealed.rounds, &sealed.salt, context);
    let plain = open(&aead_key(&key), &aad, &sealed.bytes).map_err(|_| PassphraseError::Altered)?;
    let text = std::str::from_utf8(&plain).map_err(|_| PassphraseError::Altered)?;
    Ok(Secret::new(text.to_owned()))
}

fn derive(passphrase: &Secret, salt: &[u8], rounds: u32) -> Result<Zeroizing<[u8; 32]>, PassphraseError> {
    if !(ROUNDS_MIN..=ROUNDS_MAX).contains(&rounds) {
        return Err(PassphraseError::Rounds(rounds));
    }
    let count = NonZeroU32::new(rounds).ok_or(PassphraseError::Rounds(rounds))?;
    let mut key = Zeroizing::new([0; 32]);
    let secret = passphrase.expose().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, salt, secret, key.as_mut_slice());
    Ok(key)
}

/// Eight bytes that say nothing of the key but whether it is the same one.
fn check_of(key: &[u8; 32]) -> [u8; 8] {
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"passphrase check");
    let mut check = [0; 8];
    for (to, from) in check.iter_mut().zip(signed.as_ref()) {
        *to = *from;
    }
    check
}

fn aad(rounds: u32, salt: &[u8], context: &[u8]) -> Vec<u8> {
    associated(&[PASSPHRASE_ALGORITHM.as_bytes(), &rounds.to_be_bytes(), salt, context])
}

#[cfg(test)]
mod tests {
    use model::Secret;

    use super::{PassphraseError, ROUNDS_MIN, open_under, seal_under};
    use crate::SystemEntropy;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn what_is_sealed_opens_with_its_passphrase_in_its_context_and_in_no_other_way() {
        let passphrase = secret("correct horse battery");
        let sealed = seal_under(&passphrase, b"document", &secret("canary"), &SystemEntropy).unwrap();
        let opened = open_under(&passphrase, b"document", &sealed).unwrap();
        assert_eq!(opened.expose(), "canary");
        assert!(!sealed.bytes.windows(6).any(|part| part == b"canary"));
        let wrong = open_under(&secret("correct horse batterz"), b"document", &sealed).unwrap_err();
        assert_eq!(wrong, PassphraseError::Wrong);
        let moved = open_under(&passphrase, b"documenu", &sealed).unwrap_err();
        assert_eq!(moved, PassphraseError::Altered);
        let mut altered = sealed.clone();
        altered.bytes[20] ^= 1;
        assert_eq!(open_under(&passphrase, b"document", &altered).unwrap_err(), PassphraseError::Altered);
        let again = seal_under(&passphrase, b"document", &secret("canary"), &SystemEntropy).unwrap();
        assert_ne!((again.salt, &again.bytes), (sealed.salt, &sealed.bytes), "nothing is used twice");
    }

    #[test]
    fn short_passphrases_and_few_or_many_rounds_are_refused() {
        let short = seal_under(&secret("short"), b"", &secret("x"), &SystemEntropy).unwrap_err();
        assert_eq!(short, PassphraseError::Length);
        let passphrase = secret("correct horse battery");
        let sealed = seal_under(&passphrase, b"", &secret("x"), &SystemEntropy).unwrap();
        for rounds in [0, 1, ROUNDS_MIN - 1, u32::MAX] {
            let other = super::PassSealed { rounds, ..sealed.clone() };
            assert_eq!(open_under(&passphrase, b"", &other).unwrap_err(), PassphraseError::Rounds(rounds));
        }
    }
}
