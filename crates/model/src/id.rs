//! Ids: UUIDv7 in the store, `prefix` + Crockford base32 (lower case, sortable) outside.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use thiserror::Error;
use uuid::Uuid;

use crate::{Clock, Entropy};

/// A kind of thing that has ids.
pub trait Kind: 'static {
    /// What its ids begin with, underscore included.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $prefix:literal => $alias:ident;)*) => {$(
        #[doc = concat!("Marks ids that begin with `", $prefix, "`.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $kind {}
        impl Kind for $kind { const PREFIX: &'static str = $prefix; }
        $(#[$doc])*
        pub type $alias = Id<$kind>;
    )*};
}

kinds! {
    /// Id of one call.
    CallTag = "call_" => CallId;
    /// Id of a connection.
    ConnectionTag = "con_" => ConnectionId;
    /// Id of an integration (a catalogue entry); outside it is named by its slug.
    IntegrationTag = "int_" => IntegrationId;
    /// Id of a stored credential.
    CredentialTag = "cred_" => CredentialId;
    /// Id of an event: a log entry or a health metric.
    EventTag = "evt_" => EventId;
    /// Id of an API key (the key itself begins with `trk_`).
    ApiKeyTag = "key_" => ApiKeyId;
    /// Id of a workspace.
    WorkspaceTag = "ws_" => WorkspaceId;
    /// Id of a user.
    UserTag = "usr_" => UserId;
}

/// A typed, sortable id. Two kinds of ids cannot be mixed up: they are different types.
pub struct Id<K: Kind>(Uuid, PhantomData<K>);

/// Why a text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not an id of the form {prefix}... (26 characters of Crockford base32)")]
pub struct BadId {
    text: String,
    prefix: &'static str,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;

impl<K: Kind> Id<K> {
    /// A new id: UUIDv7 (RFC 9562 §5.7) from the given time and randomness.
    #[must_use]
    pub fn new(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        let mut random = [0; 10];
        entropy.fill(&mut random);
        let ms = u64::try_from(clock.now().0).unwrap_or(0);
        Self::from_uuid(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }

    /// An id that is already known, as the store holds it.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// As the store holds it.
    #[must_use]
    pub const fn uuid(&self) -> Uuid {
        self.0
    }

    /// The 26 characters behind the prefix, without an allocation.
    fn text(&self) -> [u8; TEXT_LEN] {
        let mut value = self.0.as_u128();
        let mut out = [b'0'; TEXT_LEN];
        for slot in out.iter_mut().rev() {
            let digit = usize::try_from(value & 31).unwrap_or(0);
            *slot = ALPHABET.get(digit).copied().unwrap_or(b'0');
            value >>= 5;
        }
        out
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(K::PREFIX)?;
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { text: text.chars().take(64).collect(), prefix: K::PREFIX };
        let digits = text.strip_prefix(K::PREFIX).ok_or_else(bad)?;
        if digits.len() != TEXT_LEN || digits.as_bytes().first().is_some_and(|b| *b > b'7') {
            return Err(bad());
        }
        let mut value: u128 = 0;
        for byte in digits.bytes() {
            let digit = ALPHABET.iter().position(|a| *a == byte).ok_or_else(bad)?;
            value = (value << 5) | u128::try_from(digit).map_err(|_| bad())?;
        }
        Ok(Self::from_uuid(Uuid::from_u128(value)))
    }
}

impl<K: Kind> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K: Kind> Copy for Id<K> {}
impl<K: Kind> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K: Kind> Eq for Id<K> {}
impl<K: Kind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: Kind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K: Kind> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K: Kind> serde::Serialize for Id<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K: Kind> serde::Deserialize<'de> for Id<K> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes ids that sort in the order in which they were made here, also within one millisecond: the next one
/// is the last one plus one where time and chance would put it before (RFC 9562 §6.2, method 2).
pub struct Sequence<K: Kind> {
    last: Mutex<u128>,
    kind: PhantomData<K>,
}

/// The lowest bits of a UUIDv7, which are all chance.
const CHANCE: u128 = (1 << 62) - 1;

impl<K: Kind> Sequence<K> {
    /// One that has made nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: Mutex::new(0), kind: PhantomData }
    }

    /// The next id.
    #[must_use]
    pub fn next(&self, clock: &dyn Clock, entropy: &dyn Entropy) -> Id<K> {
        let fresh = Id::<K>::new(clock, entropy).uuid().as_u128();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_behind = fresh <= *last && *last & CHANCE != CHANCE;
        *last = if is_behind { *last + 1 } else { fresh };
        Id::from_uuid(Uuid::from_u128(*last))
    }
}

impl<K: Kind> Default for Sequence<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{CallId, ConnectionId, EventTag, Sequence};
    use crate::{ManualClock, SeededEntropy, Timestamp};

    #[test]
    fn a_sequence_keeps_its_order_within_a_millisecond_and_when_the_clock_goes_back() {
        let clock = ManualClock::at(Timestamp(1_790_000_000_000));
        let entropy = SeededEntropy::new(7);
        let sequence = Sequence::<EventTag>::new();
        let mut made: Vec<_> = (0..1_000).map(|_| sequence.next(&clock, &entropy)).collect();
        clock.advance_ms(-10_000_000);
        made.push(sequence.next(&clock, &entropy));
        assert!(made.is_sorted() && made.windows(2).all(|two| two[0] != two[1]));
        assert_eq!(made[0].uuid().get_version_num(), 7);
    }

    #[test]
    fn ids_round_trip_sort_by_time_and_keep_their_kind() {
        let clock = ManualClock::at(Timestamp(1_790_000_000_000));
        let entropy = SeededEntropy::new(7);
        let first = CallId::new(&clock, &entropy);
        clock.advance_ms(1);
        let second = CallId::new(&clock, &entropy);
        assert_eq!(first.to_string().parse::<CallId>(), Ok(first));
        assert!(first.to_string() < second.to_string());
        assert!(first.to_string().parse::<ConnectionId>().is_err());
        assert!("call_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<CallId>().is_err());
    }
}
