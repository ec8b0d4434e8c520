//! Envelope encryption of stored credentials: the master key wraps a data key of each workspace, and the
//! data key seals each value. Rotating either never touches the other.
//!
//! AES-256-GCM-SIV (RFC 8452) in both layers, with a fresh random nonce, and with what the value belongs to
//! as associated data: a sealed value that is moved to another row, field, user, workspace or key version
//! does not open. Sealed bytes are: version (1 byte) · nonce (12) · ciphertext · tag (16).
//!
//! Rows come in and go out; where they are kept is `store`'s business, and when they change `connector`'s.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, hmac};
use model::id::{ConnectionId, UserId, WorkspaceId};
use model::{Entropy, Secret};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::master::MasterKey;

/// Bytes of a data key.
const KEY_LEN: usize = 32;
const FORMAT: u8 = 1;
const TAG_LEN: usize = 16;
/// Values of fewer characters show nothing of themselves: four would be too much of it.
const SHOWN_FROM: usize = 12;

/// Why a value or key does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// It was sealed with a key version that is not on the ring.
    #[error("it is sealed with data key {0}, which this workspace does not have")]
    UnknownKey(u32),
    /// It was altered, cut, moved, or sealed under another key.
    #[error("it does not open: it was altered or moved, or the master key is another one")]
    Forged,
}

/// The outer layer: wraps data keys under the master key.
pub struct WrappingKey {
    key: LessSafeKey,
    id: [u8; 8],
}

/// One open data key.
struct DataKey {
    key: LessSafeKey,
    fingerprints: hmac::Key,
}

/// The open data keys of one workspace. Cannot be printed.
pub struct KeyRing {
    workspace: WorkspaceId,
    keys: BTreeMap<u32, DataKey>,
}

/// What a value belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Of which connection.
    pub connection: ConnectionId,
    /// Whose own; `None` for the one that all users share.
    pub user: Option<UserId>,
    /// Which field.
    pub field: &'a str,
}

/// A sealed value, and what may be shown of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The sealed bytes.
    pub bytes: Vec<u8>,
    /// The data key that sealed it.
    pub key_version: u32,
    /// Tells values apart, under this data key.
    pub fingerprint: [u8; 8],
    /// Its last four characters; empty where that would be too much.
    pub last_four: String,
}

// === impl MasterKey ===

impl MasterKey {
    /// What wraps data keys.
    #[must_use]
    pub fn wrapping_key(&self) -> WrappingKey {
        let mut id = [0; 8];
        for (to, from) in id.iter_mut().zip(self.derive("wrapping key id", "").iter()) {
            *to = *from;
        }
        WrappingKey { key: aead_key(&self.derive("wrap", "")), id }
    }
}

// === impl WrappingKey ===

impl WrappingKey {
    /// Tells master keys apart.
    #[must_use]
    pub const fn id(&self) -> [u8; 8] {
        self.id
    }

    /// Makes a fresh data key, and gives it wrapped.
    ///
    /// # Errors
    /// Never for a key of this program's making.
    pub fn make(
        &self,
        workspace: WorkspaceId,
        version: u32,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, EnvelopeError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        entropy.fill(bytes.as_mut_slice());
        seal(&self.key, &self.associated(workspace, version), bytes.as_slice(), entropy)
    }

    /// Wraps a data key that `old` wraps.
    ///
    /// # Errors
    /// [`EnvelopeError::Forged`] when `old` does not open it.
    pub fn rewrap(
        &self,
        old: &Self,
        workspace: WorkspaceId,
        version: u32,
        wrapped: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, EnvelopeError> {
        let bytes = open(&old.key, &old.associated(workspace, version), wrapped)?;
        seal(&self.key, &self.associated(workspace, version), &bytes, entropy)
    }

    /// Opens the data keys of a workspace: (version, wrapped).
    ///
    /// # Errors
    /// [`EnvelopeError::Forged`] when one does not open under this master key.
    pub fn ring<'k>(
        &self,
        workspace: WorkspaceId,
        wrapped: impl IntoIterator<Item = (u32, &'k [u8])>,
    ) -> Result<KeyRing, EnvelopeError> {
        let mut keys = BTreeMap::new();
        for (version, wrapped) in wrapped {
            let bytes = open(&self.key, &self.associated(workspace, version), wrapped)?;
            let bytes: &[u8; KEY_LEN] = bytes.as_slice().try_into().map_err(|_| EnvelopeError::Forged)?;
            keys.insert(version, DataKey::new(bytes));
        }
        Ok(KeyRing { workspace, keys })
    }

    fn associated(&self, workspace: WorkspaceId, version: u32) -> Vec<u8> {
        let workspace = workspace.uuid();
        associated(&[b"data key", &self.id, workspace.as_bytes(), &version.to_be_bytes()])
    }
}

// === impl KeyRing ===

impl KeyRing {
    /// The newest key's version: what seals. `None` on an empty ring.
    #[must_use]
    pub fn newest(&self) -> Option<u32> {
        self.keys.keys().next_back().copied()
    }

    /// Seals a value with the newest key.
    ///
    /// # Errors
    /// [`EnvelopeError::UnknownKey`] on an empty ring.
    pub fn seal(
        &self,
        place: Place<'_>,
        value: &Secret,
        entropy: &dyn Entropy,
    ) -> Result<Sealed, EnvelopeError> {
        let (version, key) = self.keys.last_key_value().ok_or(EnvelopeError::UnknownKey(0))?;
        let value = value.expose();
        let bytes = seal(&key.key, &self.associated(place, *version), value.as_bytes(), entropy)?;
        let mut fingerprint = [0; 8];
        for (to, from) in fingerprint.iter_mut().zip(hmac::sign(&key.fingerprints, value.as_bytes()).as_ref())
        {
            *to = *from;
        }
        Ok(Sealed { bytes, key_version: *version, fingerprint, last_four: last_four(value) })
    }

    /// Opens a value.
    ///
    /// # Errors
    /// As [`EnvelopeError`] says; which of its reasons it was is not told apart.
    pub fn open(&self, place: Place<'_>, key_version: u32, sealed: &[u8]) -> Result<Secret, EnvelopeError> {
        let key = self.keys.get(&key_version).ok_or(EnvelopeError::UnknownKey(key_version))?;
        let bytes = open(&key.key, &self.associated(place, key_version), sealed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| EnvelopeError::Forged)?;
        Ok(Secret::new(text.to_owned()))
    }

    /// Whether `fingerprint` is the one of `value` under this key.
    #[must_use]
    pub fn is_same(&self, key_version: u32, fingerprint: [u8; 8], value: &Secret) -> bool {
        let Some(key) = self.keys.get(&key_version) else { return false };
        let signed = hmac::sign(&key.fingerprints, value.expose().as_bytes());
        let known = signed.as_ref().get(..8).unwrap_or_default();
        constant_time::verify_slices_are_equal(known, &fingerprint).is_ok()
    }

    fn associated(&self, place: Place<'_>, version: u32) -> Vec<u8> {
        let (workspace, connection) = (self.workspace.uuid(), place.connection.uuid());
        let user = place.user.map(|user| user.uuid());
        let user = user.as_ref().map_or(&[][..], |user| user.as_bytes());
        let field = place.field.as_bytes();
        associated(&[
            b"credential",
            workspace.as_bytes(),
            connection.as_bytes(),
            user,
            field,
            &version.to_be_bytes(),
        ])
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("versions", &self.keys.keys()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WrappingKey(****)")
    }
}

// === impl DataKey ===

impl DataKey {
    fn new(bytes: &[u8; KEY_LEN]) -> Self {
        // Separate keys for separate jobs: a fingerprint says nothing about the sealing key.
        let base = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let fingerprints = hmac::sign(&base, b"fingerprints");
        Self { key: aead_key(bytes), fingerprints: hmac::Key::new(hmac::HMAC_SHA256, fingerprints.as_ref()) }
    }
}

pub(crate) fn aead_key(bytes: &[u8; KEY_LEN]) -> LessSafeKey {
    match UnboundKey::new(&AES_256_GCM_SIV, bytes) {
        Ok(key) => LessSafeKey::new(key),
        // Cannot happen for 32 bytes; a hub that could not seal must not go on.
        Err(_) => std::process::abort(),
    }
}

pub(crate) fn seal(
    key: &LessSafeKey,
    aad: &[u8],
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, EnvelopeError> {
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce);
    let mut sealed = Vec::with_capacity(1 + NONCE_LEN + plain.len() + TAG_LEN);
    sealed.push(FORMAT);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let body = sealed.get_mut(1 + NONCE_LEN..).ok_or(EnvelopeError::Forged)?;
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), body)
        .map_err(|_| EnvelopeError::Forged)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

pub(crate) fn open(
    key: &LessSafeKey,
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let (format, rest) = sealed.split_first().ok_or(EnvelopeError::Forged)?;
    let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(EnvelopeError::Forged)?;
    if *format != FORMAT {
        return Err(EnvelopeError::Forged);
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| EnvelopeError::Forged)?;
    let mut body = Zeroizing::new(body.to_vec());
    let length =
        key.open_in_place(nonce, Aad::from(aad), &mut body).map_err(|_| EnvelopeError::Forged)?.len();
    body.truncate(length);
    Ok(body)
}

/// Parts one after another, each with its length before it: no two lists of parts read the same.
pub(crate) fn associated(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        out.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

fn last_four(value: &str) -> String {
    let count = value.chars().count();
    if count < SHOWN_FROM { String::new() } else { value.chars().skip(count - 4).collect() }
}

#[cfg(test)]
mod tests {
    use model::id::{ConnectionId, UserId, WorkspaceId};
    use model::{Secret, SeededEntropy};
    use uuid::Uuid;

    use super::{EnvelopeError, KeyRing, Place};
    use crate::{MasterKey, SystemEntropy};

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const OTHER: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";
    const VALUE: &str = "canary-9f2c-very-secret";

    fn workspace(n: u128) -> WorkspaceId {
        WorkspaceId::from_uuid(Uuid::from_u128(n))
    }

    fn place(field: &str) -> Place<'_> {
        Place { connection: ConnectionId::from_uuid(Uuid::from_u128(7)), user: None, field }
    }

    fn ring(versions: u32) -> KeyRing {
        let wrapping = MasterKey::parse(KEY, "test").unwrap().wrapping_key();
        let keys: Vec<_> = (1..=versions)
            .map(|version| (version, wrapping.make(workspace(1), version, &SeededEntropy::new(9)).unwrap()))
            .collect();
        wrapping.ring(workspace(1), keys.iter().map(|(version, key)| (*version, key.as_slice()))).unwrap()
    }

    #[test]
    fn a_value_opens_in_its_own_place_only() {
        let ring = ring(1);
        let value = Secret::new(VALUE.to_owned());
        let sealed = ring.seal(place("auth.key"), &value, &SystemEntropy).unwrap();
        let open = |place: Place<'_>, version: u32| ring.open(place, version, &sealed.bytes);
        assert_eq!(open(place("auth.key"), 1).unwrap().expose(), VALUE);
        let user = UserId::from_uuid(Uuid::from_u128(3));
        let elsewhere = ConnectionId::from_uuid(Uuid::from_u128(8));
        for moved in [
            place("auth.kez"),
            place(""),
            Place { user: Some(user), ..place("auth.key") },
            Place { connection: elsewhere, ..place("auth.key") },
        ] {
            assert_eq!(open(moved, 1).unwrap_err(), EnvelopeError::Forged, "{moved:?}");
        }
        assert_eq!(open(place("auth.key"), 2).unwrap_err(), EnvelopeError::UnknownKey(2));
        // The same key bytes in another workspace are another ring.
        let wrapping = MasterKey::parse(KEY, "test").unwrap().wrapping_key();
        let key = wrapping.make(workspace(1), 1, &SeededEntropy::new(9)).unwrap();
        assert_eq!(wrapping.ring(workspace(2), [(1, key.as_slice())]).unwrap_err(), EnvelopeError::Forged);
        assert_eq!(wrapping.ring(workspace(1), [(2, key.as_slice())]).unwrap_err(), EnvelopeError::Forged);
    }

    #[test]
    fn every_altered_or_missing_byte_is_noticed() {
        let ring = ring(1);
        let sealed = ring.seal(place("f"), &Secret::new(VALUE.to_owned()), &SystemEntropy).unwrap();
        for at in 0..sealed.bytes.len() {
            let mut altered = sealed.bytes.clone();
            altered[at] ^= 0x40;
            assert_eq!(ring.open(place("f"), 1, &altered).unwrap_err(), EnvelopeError::Forged, "byte {at}");
            assert_eq!(ring.open(place("f"), 1, &sealed.bytes[..at]).unwrap_err(), EnvelopeError::Forged);
        }
    }

    #[test]
    fn old_keys_open_and_the_newest_seals() {
        let old = ring(1).seal(place("f"), &Secret::new(VALUE.to_owned()), &SystemEntropy).unwrap();
        let both = ring(2);
        assert_eq!(both.open(place("f"), old.key_version, &old.bytes).unwrap().expose(), VALUE);
        let new = both.seal(place("f"), &Secret::new(VALUE.to_owned()), &SystemEntropy).unwrap();
        assert_eq!((old.key_version, new.key_version), (1, 2));
        assert!(both.is_same(2, new.fingerprint, &Secret::new(VALUE.to_owned())));
        assert!(!both.is_same(2, new.fingerprint, &Secret::new("another".to_owned())));
    }

    #[test]
    fn another_master_key_opens_nothing_until_the_data_keys_are_wrapped_anew() {
        let (old, new) = (MasterKey::parse(KEY, "t").unwrap(), MasterKey::parse(OTHER, "t").unwrap());
        let (old, new) = (old.wrapping_key(), new.wrapping_key());
        assert_ne!(old.id(), new.id());
        let wrapped = old.make(workspace(1), 1, &SystemEntropy).unwrap();
        let value = Secret::new(VALUE.to_owned());
        let before = old.ring(workspace(1), [(1, wrapped.as_slice())]).unwrap();
        let sealed = before.seal(place("f"), &value, &SystemEntropy).unwrap();
        assert_eq!(new.ring(workspace(1), [(1, wrapped.as_slice())]).unwrap_err(), EnvelopeError::Forged);
        let again = new.rewrap(&old, workspace(1), 1, &wrapped, &SystemEntropy).unwrap();
        let after = new.ring(workspace(1), [(1, again.as_slice())]).unwrap();
        assert_eq!(after.open(place("f"), 1, &sealed.bytes).unwrap().expose(), VALUE);
        assert_eq!(new.rewrap(&new, workspace(1), 1, &wrapped, &SystemEntropy), Err(EnvelopeError::Forged));
    }

    #[test]
    fn nothing_that_can_be_printed_holds_the_value() {
        let ring = ring(1);
        let value = Secret::new(VALUE.to_owned());
        let sealed = ring.seal(place("f"), &value, &SystemEntropy).unwrap();
        let wrapping = MasterKey::parse(KEY, "test").unwrap().wrapping_key();
        let printed = format!("{ring:?} {sealed:?} {value:?} {wrapping:?} {:?}", place("f"));
        assert!(!printed.contains("canary") && !printed.contains("very"), "{printed}");
        assert_eq!(sealed.last_four, "cret");
        let short = ring.seal(place("f"), &Secret::new("12345678901".to_owned()), &SystemEntropy).unwrap();
        assert_eq!(short.last_four, "");
    }

    #[test]
    fn the_same_value_never_looks_the_same_twice() {
        let ring = ring(1);
        let value = Secret::new(VALUE.to_owned());
        let seen: std::collections::BTreeSet<Vec<u8>> =
            (0..2_000).map(|_| ring.seal(place("f"), &value, &SystemEntropy).unwrap().bytes).collect();
        assert_eq!(seen.len(), 2_000);
    }
}
