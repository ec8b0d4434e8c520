//! Sealed texts and the master key: nothing that was altered opens, nothing that is no key is taken for one.

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use credential::{AeadSealer, MasterKey};
use fuzz::{parts, target};
use model::{SealError, Sealer, SeededEntropy};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn sealer() -> &'static AeadSealer {
    static SEALER: OnceLock<AeadSealer> = OnceLock::new();
    SEALER.get_or_init(|| {
        AeadSealer::new(MasterKey::parse(KEY, "a test").unwrap(), Arc::new(SeededEntropy::new(1)))
    })
}

target!(
    /// What was sealed opens for the same purpose and holder, and for nothing else; a text with one
    /// character changed, added or lost never opens. Parts: purpose, holder, value, a stranger's text.
    sealed_texts,
    |input: &[u8]| {
        let parts = parts(input);
        let text = |at: usize| String::from_utf8_lossy(parts.get(at).copied().unwrap_or_default());
        let (purpose, holder, plain) = (text(0), text(1), parts.get(2).copied().unwrap_or_default());
        let sealed = sealer().seal(&purpose, &holder, plain).unwrap();
        assert!(sealed.bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_eq!(sealer().open(&purpose, &holder, &sealed).unwrap(), plain);
        for (purpose, holder) in [
            (format!("{purpose}x"), holder.to_string()),
            (purpose.to_string(), format!("{holder}x")),
            (format!("{purpose}{holder}"), String::new()),
            (String::new(), format!("{purpose}{holder}")),
        ] {
            if (&*purpose, &*holder) != (&*text(0), &*text(1)) {
                assert_eq!(sealer().open(&purpose, &holder, &sealed), Err(SealError));
            }
        }
        let at = input.iter().fold(0_usize, |sum, byte| sum + usize::from(*byte)) % sealed.len();
        for replaced in ["", "AA", "-", "_", "A", "z", "="] {
            let altered = format!("{}{replaced}{}", &sealed[..at], &sealed[at + 1..]);
            if altered != sealed {
                assert_eq!(sealer().open(&purpose, &holder, &altered), Err(SealError));
            }
        }
        assert_eq!(sealer().open(&purpose, &holder, &sealed[..at]), Err(SealError));
        assert_eq!(sealer().open(&purpose, &holder, &text(3)), Err(SealError));
    },
    2000
);

/// The 32 bytes that a text spells, the plain way.
fn spelled(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.len() == 64 {
        let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
        return Some(digits?.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect());
    }
    let bare = text.trim_end_matches('=');
    let bytes = STANDARD_NO_PAD.decode(bare).or_else(|_| URL_SAFE_NO_PAD.decode(bare)).ok()?;
    (bytes.len() == 32).then_some(bytes)
}

target!(
    /// A key is taken in each of its spellings for the same key; the error never repeats the text.
    master_key,
    |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let bytes = spelled(&text);
        match (MasterKey::parse(&text, "a test"), bytes) {
            (Ok(key), Some(bytes)) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
                let again = MasterKey::parse(&format!(" {hex}\n"), "a test").unwrap();
                assert_eq!(key.key_digester().digest("x"), again.key_digester().digest("x"));
            }
            (Ok(_), None) => panic!("taken for a key"),
            (Err(error), bytes) => {
                let is_regular = bytes.is_some_and(|bytes| {
                    bytes.iter().collect::<std::collections::HashSet<_>>().len() < 16
                });
                assert!(is_regular || spelled(&text).is_none(), "{error}");
                assert!(text.len() < 40 || !error.to_string().contains(&*text));
            }
        }
    }
);
