//! Host keys: what is pinned, and whether a shown key is it.

use model::{Code, Fault};
use russh::keys::ssh_key::{Algorithm, Fingerprint, HashAlg, PublicKey};

/// How many keys of one host may be pinned: the present one, the next one, and one per kind.
const PINS_MAX: usize = 16;

/// A key that the host may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// By its fingerprint.
    Fingerprint(Fingerprint),
    /// The whole key.
    Key(Box<PublicKey>),
}

/// Reads what is pinned: one per line, each a `SHA256:...`, a public key (`ssh-ed25519 AAAA...`) or a line of
/// `known_hosts`. Empty lines and `#` are passed over.
///
/// # Errors
/// Which line is none of these.
pub fn read(text: &str) -> Result<Vec<Pin>, Fault> {
    let mut pins = Vec::new();
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let bad = |what: &str| {
            Fault::new(Code::BAD_ARGUMENTS, format!("connection_config.host_key: line {number} {what}"))
                .with_hint(
                    "a fingerprint (SHA256:...), a public key (ssh-ed25519 AAAA...) or a line of known_hosts",
                )
        };
        if pins.len() == PINS_MAX {
            return Err(bad(&format!("is one too many: at most {PINS_MAX} keys are pinned")));
        }
        if line.starts_with('@') {
            return Err(bad("is a marker (@cert-authority, @revoked), which is not supported"));
        }
        if line.starts_with("SHA256:") {
            let pin = line.parse().map_err(|_| bad("is no SHA256 fingerprint"))?;
            pins.push(Pin::Fingerprint(pin));
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let key = words.windows(2).take(2).find_map(|pair| PublicKey::from_openssh(&pair.join(" ")).ok());
        pins.push(Pin::Key(Box::new(key.ok_or_else(|| bad("is no host key"))?)));
    }
    Ok(pins)
}

/// The fingerprint of a key, as `ssh-keygen -l` writes it.
#[must_use]
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

impl Pin {
    /// Whether the key is the pinned one.
    #[must_use]
    pub fn fits(&self, key: &PublicKey) -> bool {
        match self {
            Self::Fingerprint(pinned) => key.fingerprint(HashAlg::Sha256) == *pinned,
            Self::Key(pinned) => pinned.key_data() == key.key_data(),
        }
    }

    /// Which kind of key it is, where that is known: the host is asked for that kind first.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::Fingerprint(_) => None,
            Self::Key(key) => Some(key.algorithm()),
        }
    }
}
