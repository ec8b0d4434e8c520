//! What an API key looks like: `trk_` and 43 characters of base64url, 256 random bits.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Entropy, Secret};
use zeroize::Zeroizing;

/// How many characters are kept readable, to recognise a key by.
pub(crate) const PREFIX_LEN: usize = 8;

const PREFIX: &str = "trk_";
const RANDOM_BYTES: usize = 32;
const LEN: usize = PREFIX.len() + 43;

/// A new key.
pub(crate) fn make(entropy: &dyn Entropy) -> Secret {
    let mut random = Zeroizing::new([0; RANDOM_BYTES]);
    entropy.fill(random.as_mut_slice());
    // Reserved whole, so that no copy of half a key stays behind in a smaller allocation.
    let mut text = String::with_capacity(LEN + 1);
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(random.as_slice(), &mut text);
    Secret::new(text)
}

/// Whether a text has the form of a key.
pub(crate) fn looks_like_one(text: &str) -> bool {
    text.len() == LEN && text.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use model::SeededEntropy;

    use super::{looks_like_one, make};

    #[test]
    fn keys_have_one_form_and_differ() {
        let entropy = SeededEntropy::new(1);
        let (first, second) = (make(&entropy), make(&entropy));
        assert!(looks_like_one(first.expose()) && looks_like_one(second.expose()));
        assert_ne!(first.expose(), second.expose());
        assert!(first.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
        for other in ["", "trk_", "trk_short", &"x".repeat(47), &format!("{}=", first.expose())] {
            assert!(!looks_like_one(other));
        }
    }
}
