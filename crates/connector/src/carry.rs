//! The secrets of connections on their way from one hub to another: sealed under a passphrase, and bound to
//! the document that they travel in.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credential::{PASSPHRASE_ALGORITHM, PassSealed, open_under, seal_under};
use model::{Code, Entropy, Fault, Secret, Timestamp};
use serde::{Deserialize, Serialize};

/// The values of connections: by the connection's key, then by field.
pub type Carried = BTreeMap<String, BTreeMap<String, CarriedValue>>;

/// One value.
#[derive(Debug, Clone)]
pub struct CarriedValue {
    /// The value.
    pub value: Secret,
    /// From when on it is of no use; `None` for never.
    pub expires_at: Option<Timestamp>,
}

/// Secrets as they stand in a document: what they are sealed with is said, and nothing of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedSecrets {
    /// How the key is made of the passphrase, and what seals.
    pub algorithm: String,
    /// Rounds of the derivation.
    pub rounds: u32,
    /// Its salt, base64.
    pub salt: String,
    /// Tells a wrong passphrase from an altered document, base64.
    pub check: String,
    /// The sealed values, base64.
    pub sealed: String,
}

#[derive(Serialize)]
struct Written<'a> {
    value: &'a str,
    expires_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Read {
    value: String,
    expires_at: Option<Timestamp>,
}

/// Seals values under a passphrase; `context` is the digest of the document around them. Takes a good part
/// of a second of computing.
///
/// # Errors
/// A passphrase that is too short or too long.
pub fn seal_secrets(
    values: &Carried,
    context: &[u8],
    passphrase: &Secret,
    entropy: &dyn Entropy,
) -> Result<SealedSecrets, Fault> {
    let plain: BTreeMap<&str, BTreeMap<&str, Written<'_>>> = values
        .iter()
        .map(|(key, fields)| {
            let fields = fields.iter().map(|(field, one)| {
                (field.as_str(), Written { value: one.value.expose(), expires_at: one.expires_at })
            });
            (key.as_str(), fields.collect())
        })
        .collect();
    let plain = serde_json::to_string(&plain).map_err(|error| Fault::new(Code::BUG, error.to_string()))?;
    let plain = Secret::new(plain);
    let sealed = seal_under(passphrase, context, &plain, entropy)
        .map_err(|error| Fault::new(Code::BAD_ARGUMENTS, format!("passphrase: {error}")))?;
    Ok(SealedSecrets {
        algorithm: PASSPHRASE_ALGORITHM.to_owned(),
        rounds: sealed.rounds,
        salt: STANDARD.encode(sealed.salt),
        check: STANDARD.encode(sealed.check),
        sealed: STANDARD.encode(sealed.bytes),
    })
}

/// Opens what [`seal_secrets`] sealed.
///
/// # Errors
/// Another passphrase, a document that was altered, an algorithm that is not known here.
pub fn open_secrets(sealed: &SealedSecrets, context: &[u8], passphrase: &Secret) -> Result<Carried, Fault> {
    let refused = |what: String| Fault::new(Code::BAD_ARGUMENTS, what);
    if sealed.algorithm != PASSPHRASE_ALGORITHM {
        return Err(refused("sealed.algorithm: is not known to this version".to_owned())
            .with_hint(format!("known is `{PASSPHRASE_ALGORITHM}`")));
    }
    let bytes = |name: &str, text: &str| {
        STANDARD.decode(text).map_err(|_| refused(format!("sealed.{name}: is not base64")))
    };
    let length = |name: &str| refused(format!("sealed.{name}: has another length"));
    let whole = PassSealed {
        rounds: sealed.rounds,
        salt: bytes("salt", &sealed.salt)?.try_into().map_err(|_| length("salt"))?,
        check: bytes("check", &sealed.check)?.try_into().map_err(|_| length("check"))?,
        bytes: bytes("sealed", &sealed.sealed)?,
    };
    let plain = open_under(passphrase, context, &whole).map_err(|error| match error {
        credential::PassphraseError::Altered => {
            refused(format!("document: {error}")).with_hint("take the document as it was exported")
        }
        _ => refused(format!("passphrase: {error}"))
            .with_hint("give the passphrase that the export was made with"),
    })?;
    let read: BTreeMap<String, BTreeMap<String, Read>> = serde_json::from_str(plain.expose())
        .map_err(|_| refused("sealed: does not hold the values of connections".to_owned()))?;
    let values = read.into_iter().map(|(key, fields)| {
        let fields = fields.into_iter().map(|(field, one)| {
            (field, CarriedValue { value: Secret::new(one.value), expires_at: one.expires_at })
        });
        (key, fields.collect())
    });
    Ok(values.collect())
}
