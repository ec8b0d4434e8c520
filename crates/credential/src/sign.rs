//! Signing with a connection's secrets: keyed hashes (RFC 2104) and JSON Web Tokens (RFC 7515, 7518, 8037).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use model::Secret;
use thiserror::Error;

/// A hash by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1, for systems that have nothing better.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// HMAC with SHA-256.
    Hs256,
    /// Ed25519.
    EdDsa,
}

/// Why nothing was signed. Never holds any of the key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignError {
    /// The key cannot be read as what it should be.
    #[error("the key is no {0}")]
    Key(&'static str),
    /// The cipher library refused.
    #[error("signing failed")]
    Failed,
}

/// HMAC of `data`.
#[must_use]
pub fn keyed_hash(hash: Hash, key: &[u8], data: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha512 => hmac::HMAC_SHA512,
    };
    hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref().to_vec()
}

/// SHA-256 of `data`.
#[must_use]
pub fn sha256(data: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, data).as_ref().to_vec()
}

/// Bytes in base64 for URLs, without padding.
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A signed token: `header` and `claims` are JSON objects; `alg` and `typ` have to be in the header already.
///
/// # Errors
/// [`SignError`]
pub fn json_web_token(
    signature: Signature,
    key: &Secret,
    header: &[u8],
    claims: &[u8],
) -> Result<Secret, SignError> {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let bytes = match signature {
        Signature::Hs256 => keyed_hash(Hash::Sha256, key.expose().as_bytes(), signed.as_bytes()),
        Signature::Rs256 => {
            let pair = rsa(key)?;
            let mut out = vec![0; pair.public_modulus_len()];
            pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut out)
                .map_err(|_| SignError::Failed)?;
            out
        }
        Signature::Es256 => {
            let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
            let pem = pem(key).ok_or(SignError::Key("EC P-256 private key in PEM"))?;
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, &pem.bytes)
                .or_else(|_| EcdsaKeyPair::from_private_key_der(algorithm, &pem.bytes))
                .map_err(|_| SignError::Key("EC P-256 private key in PEM"))?;
            let signed = pair.sign(&SystemRandom::new(), signed.as_bytes());
            signed.map_err(|_| SignError::Failed)?.as_ref().to_vec()
        }
        Signature::EdDsa => {
            let pem = pem(key).ok_or(SignError::Key("Ed25519 private key in PEM"))?;
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pem.bytes)
                .map_err(|_| SignError::Key("Ed25519 private key in PEM"))?;
            pair.sign(signed.as_bytes()).as_ref().to_vec()
        }
    };
    Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))))
}

/// How a private key in PEM signs tokens: by its own kind.
///
/// # Errors
/// [`SignError::Key`] for what is none of RSA, EC P-256 and Ed25519.
pub fn signature_of(key: &Secret) -> Result<Signature, SignError> {
    [Signature::Rs256, Signature::Es256, Signature::EdDsa]
        .into_iter()
        .find(|one| json_web_token(*one, key, b"{}", b"{}").is_ok())
        .ok_or(SignError::Key("private key in PEM: RSA of 2048 bits or more, EC P-256 or Ed25519"))
}

impl Signature {
    /// Its word in the header of a token (RFC 7518 §3.1, RFC 8037 §3.1).
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

fn rsa(key: &Secret) -> Result<RsaKeyPair, SignError> {
    let wrong = SignError::Key("RSA private key in PEM, of 2048 bits or more");
    let pem = pem(key).ok_or(wrong.clone())?;
    let read = if pem.label == "RSA PRIVATE KEY" {
        RsaKeyPair::from_der(&pem.bytes)
    } else {
        RsaKeyPair::from_pkcs8(&pem.bytes)
    };
    read.map_err(|_| wrong)
}

struct Pem {
    label: String,
    bytes: zeroize::Zeroizing<Vec<u8>>,
}

/// The first block of a PEM text (RFC 7468) that is a private key. Line ends may be written as `\n`, as keys in
/// one-line settings often are.
fn pem(key: &Secret) -> Option<Pem> {
    let text = zeroize::Zeroizing::new(key.expose().replace("\\n", "\n"));
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let body: zeroize::Zeroizing<String> = zeroize::Zeroizing::new(body.split_whitespace().collect());
    let bytes = STANDARD.decode(body.as_bytes()).ok()?;
    label
        .ends_with("PRIVATE KEY")
        .then(|| Pem { label: label.to_owned(), bytes: zeroize::Zeroizing::new(bytes) })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
    };
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use model::Secret;

    use model::hex;

    use super::{Hash, SignError, Signature, json_web_token, keyed_hash, sha256};

    fn pem(der: &[u8]) -> Secret {
        Secret::new(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der)
        ))
    }

    fn is_signed_by(token: &Secret, algorithm: &'static dyn VerificationAlgorithm, public: &[u8]) -> bool {
        let (signed, signature) = token.expose().rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(algorithm, public).verify(signed.as_bytes(), &signature).is_ok()
    }

    #[test]
    fn tokens_verify_under_their_public_keys() {
        let (header, claims) = (br#"{"alg":"x","typ":"JWT"}"#, br#"{"iss":"a"}"#);
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = ec.to_pkcs8v1().unwrap();
        let token = json_web_token(Signature::Es256, &pem(der.as_ref()), header, claims).unwrap();
        assert!(is_signed_by(&token, &ECDSA_P256_SHA256_FIXED, ec.public_key().as_ref()));

        let ed = Ed25519KeyPair::generate().unwrap();
        let der = ed.to_pkcs8().unwrap();
        let token = json_web_token(Signature::EdDsa, &pem(der.as_ref()), header, claims).unwrap();
        assert!(is_signed_by(&token, &ED25519, ed.public_key().as_ref()));

        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = rsa.as_der().unwrap();
        let one_line = Secret::new(pem(der.as_ref()).expose().replace('\n', "\\n"));
        let token = json_web_token(Signature::Rs256, &one_line, header, claims).unwrap();
        assert!(is_signed_by(&token, &RSA_PKCS1_2048_8192_SHA256, rsa.public_key().as_ref()));
        let wrong = json_web_token(Signature::Rs256, &pem(b"not a key"), header, claims);
        assert_eq!(wrong.err(), Some(SignError::Key("RSA private key in PEM, of 2048 bits or more")));
    }

    /// RFC 7515, appendix A.1.
    #[test]
    fn hs256_is_as_the_rfc_has_it() {
        let key = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = keyed_hash(Hash::Sha256, &key, signed.as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.encode(signature), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn hashes_are_those_of_their_standards() {
        assert_eq!(hex(&sha256(b""))[..16], *"e3b0c44298fc1c14");
        assert_eq!(
            hex(&keyed_hash(Hash::Sha1, b"key", b"The quick brown fox jumps over the lazy dog")),
            "de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9"
        );
    }
}
