//! Proof Key for Code Exchange (RFC 7636), method S256.

use credential::sign::{base64url, sha256};
use model::{Entropy, Secret};

/// A verifier and its challenge.
pub struct Pkce {
    /// What is told when the code is traded.
    pub verifier: Secret,
    /// What is told when leave is asked for.
    pub challenge: String,
}

impl Pkce {
    /// A fresh one.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        Self::of(Secret::new(base64url(&bytes)))
    }

    fn of(verifier: Secret) -> Self {
        let challenge = base64url(&sha256(verifier.expose().as_bytes()));
        Self { verifier, challenge }
    }
}

#[cfg(test)]
mod tests {
    use model::Secret;

    use super::Pkce;

    /// RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_as_the_rfc_has_it() {
        let pkce = Pkce::of(Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned()));
        assert_eq!(pkce.challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
