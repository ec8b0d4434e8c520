//! Sealing small values for the outside: AES-256-GCM-SIV (RFC 8452) under a key per purpose.
//!
//! Sealed text is base64url without padding of: version (1 byte) · key id (4) · nonce (12) ·
//! ciphertext · tag (16). SIV is chosen because a repeated nonce, the classic accident of many nodes
//! sharing one key, then reveals no more than that two values were equal.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Entropy, SealError, Sealer};

use crate::master::MasterKey;

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + KEY_ID_LEN;
const TAG_LEN: usize = 16;
/// Purposes are words of the source code, so there are few; more than this are derived anew each time.
const PURPOSES_MAX: usize = 64;

/// Seals and opens under the master key it was made from.
pub struct AeadSealer {
    master: MasterKey,
    key_id: [u8; KEY_ID_LEN],
    entropy: Arc<dyn Entropy>,
    keys: RwLock<HashMap<Box<str>, Arc<LessSafeKey>>>,
}

// === impl AeadSealer ===

impl AeadSealer {
    /// A sealer under `master`. The key id in every header is derived from it too, so that a value
    /// sealed under another master key is recognised without a trial decryption.
    #[must_use]
    pub fn new(master: MasterKey, entropy: Arc<dyn Entropy>) -> Self {
        let mut key_id = [0; KEY_ID_LEN];
        for (to, from) in key_id.iter_mut().zip(master.derive("key id", "").iter()) {
            *to = *from;
        }
        Self { master, key_id, entropy, keys: RwLock::default() }
    }

    fn key(&self, purpose: &str) -> Result<Arc<LessSafeKey>, SealError> {
        if let Some(key) = self.keys.read().unwrap_or_else(PoisonError::into_inner).get(purpose) {
            return Ok(Arc::clone(key));
        }
        let bytes = self.master.derive("seal", purpose);
        let key = UnboundKey::new(&AES_256_GCM_SIV, bytes.as_slice()).map_err(|_| SealError)?;
        let key = Arc::new(LessSafeKey::new(key));
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < PURPOSES_MAX {
            keys.insert(purpose.into(), Arc::clone(&key));
        }
        Ok(key)
    }
}

impl Sealer for AeadSealer {
    fn seal(&self, purpose: &str, bound_to: &str, plain: &[u8]) -> Result<String, SealError> {
        let key = self.key(purpose)?;
        let mut nonce = [0; NONCE_LEN];
        self.entropy.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(HEADER_LEN + NONCE_LEN + plain.len() + TAG_LEN);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.key_id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let body = sealed.get_mut(HEADER_LEN + NONCE_LEN..).ok_or(SealError)?;
        let aad = Aad::from(associated(purpose, bound_to));
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, aad, body).map_err(|_| SealError)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(&sealed))
    }

    fn open(&self, purpose: &str, bound_to: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| SealError)?;
        let (header, rest) = bytes.split_at_mut_checked(HEADER_LEN).ok_or(SealError)?;
        if header.split_first() != Some((&VERSION, self.key_id.as_slice())) {
            return Err(SealError);
        }
        let (nonce, body) = rest.split_at_mut_checked(NONCE_LEN).ok_or(SealError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
        let aad = Aad::from(associated(purpose, bound_to));
        let plain = self.key(purpose)?.open_in_place(nonce, aad, body).map_err(|_| SealError)?;
        Ok(plain.to_vec())
    }

    fn digest(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.master.derive("digest", purpose).as_slice());
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        out
    }
}

impl std::fmt::Debug for AeadSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AeadSealer(****)")
    }
}

/// What is authenticated beside the ciphertext: purpose, a zero byte, what it is bound to.
fn associated(purpose: &str, bound_to: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(purpose.len() + 1 + bound_to.len());
    out.extend_from_slice(purpose.as_bytes());
    out.push(0);
    out.extend_from_slice(bound_to.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use model::{SealError, Sealer};

    use super::AeadSealer;
    use crate::{MasterKey, SystemEntropy};

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const OTHER: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

    fn sealer(key: &str) -> AeadSealer {
        AeadSealer::new(MasterKey::parse(key, "test").unwrap(), Arc::new(SystemEntropy))
    }

    #[test]
    fn a_value_opens_for_its_purpose_and_caller_only_on_any_node_with_the_key() {
        let sealed = sealer(KEY).seal("session", "key_1", b"state").unwrap();
        assert!(sealed.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        let node = sealer(KEY);
        assert_eq!(node.open("session", "key_1", &sealed).unwrap(), b"state");
        assert_eq!(node.open("cursor", "key_1", &sealed), Err(SealError));
        assert_eq!(node.open("session", "key_2", &sealed), Err(SealError));
        assert_eq!(sealer(OTHER).open("session", "key_1", &sealed), Err(SealError));
    }

    #[test]
    fn a_digest_depends_on_key_purpose_and_where_parts_end() {
        let digest = |key, purpose, parts: &[&[u8]]| sealer(key).digest(purpose, parts);
        let ours = digest(KEY, "request", &[b"ab", b"c"]);
        assert_eq!(ours, digest(KEY, "request", &[b"ab", b"c"]));
        assert_ne!(ours, digest(KEY, "request", &[b"a", b"bc"]));
        assert_ne!(ours, digest(KEY, "other", &[b"ab", b"c"]));
        assert_ne!(ours, digest(OTHER, "request", &[b"ab", b"c"]));
    }

    #[test]
    fn every_altered_byte_and_every_shortened_text_is_refused() {
        let sealer = sealer(KEY);
        let bytes = URL_SAFE_NO_PAD.decode(sealer.seal("session", "", b"state").unwrap()).unwrap();
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert_eq!(sealer.open("session", "", &URL_SAFE_NO_PAD.encode(altered)), Err(SealError), "{at}");
            assert_eq!(sealer.open("session", "", &URL_SAFE_NO_PAD.encode(&bytes[..at])), Err(SealError));
        }
        for foreign in ["", "=", "not base64!", "é"] {
            assert_eq!(sealer.open("session", "", foreign), Err(SealError));
        }
    }

    #[test]
    fn the_same_value_sealed_twice_looks_different_and_an_empty_one_is_a_value() {
        let sealer = sealer(KEY);
        let (first, second) = (sealer.seal("p", "", b"").unwrap(), sealer.seal("p", "", b"").unwrap());
        assert_ne!(first, second);
        assert_eq!(sealer.open("p", "", &first).unwrap(), b"");
    }

    #[test]
    fn more_purposes_than_are_remembered_still_work() {
        let sealer = sealer(KEY);
        for n in 0..2 * super::PURPOSES_MAX {
            let purpose = format!("purpose {n}");
            let sealed = sealer.seal(&purpose, "", b"x").unwrap();
            assert_eq!(sealer.open(&purpose, "", &sealed).unwrap(), b"x");
        }
        assert_eq!(sealer.keys.read().unwrap().len(), super::PURPOSES_MAX);
    }
}
