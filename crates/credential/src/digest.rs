//! Digests: how API keys are remembered (keyed, worthless without the master key), and SHA-256 of files.

use aws_lc_rs::{constant_time, hmac};

/// Turns a presented API key into what the store holds: HMAC-SHA-256 under a pepper derived from the
/// master key. Keys are 256 random bits, so no slow hash is needed (and none runs per request).
#[derive(Clone)]
pub struct KeyDigester(hmac::Key);

/// Compares two byte strings in constant time for a given length. Different lengths are different.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

// === impl KeyDigester ===

impl KeyDigester {
    pub(crate) fn new(pepper: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, pepper))
    }

    /// The digest of an API key. Nothing is allocated on the heap by this room.
    #[must_use]
    pub fn digest(&self, api_key: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.0, api_key.as_bytes());
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        out
    }
}

impl std::fmt::Debug for KeyDigester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyDigester(****)")
    }
}

/// SHA-256 of everything that `source` gives.
///
/// # Errors
/// Those of reading.
pub fn sha256_of(source: &mut dyn std::io::Read) -> std::io::Result<[u8; 32]> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = source.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { break };
        context.update(chunk);
    }
    context.finish().as_ref().try_into().map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::{KeyDigester, same};

    #[test]
    fn a_digest_depends_on_the_key_and_on_the_pepper() {
        let ours = KeyDigester::new(&[1; 32]);
        assert_eq!(ours.digest("trk_a"), ours.clone().digest("trk_a"));
        assert_ne!(ours.digest("trk_a"), ours.digest("trk_b"));
        assert_ne!(ours.digest("trk_a"), KeyDigester::new(&[2; 32]).digest("trk_a"));
        assert_eq!(format!("{ours:?}"), "KeyDigester(****)");
    }

    /// RFC 4231, test case 2, with the key padded by zeros to 32 bytes (HMAC pads short keys alike).
    #[test]
    fn it_is_plain_hmac_sha_256() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let digest = KeyDigester::new(&key).digest("what do ya want for nothing?");
        assert_eq!(digest[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
    }

    #[test]
    fn comparison_sees_every_byte_and_the_length() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd"));
        assert!(!same(b"abc", b"ab"));
    }
}
