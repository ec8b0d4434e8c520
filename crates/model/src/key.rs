//! Keys: the short stable names that stand in URLs and in front of tool names.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// The key of a connection or a toolset: `[a-z0-9-]{1,32}`, unique in its workspace, stable.
/// The configuration file may spell it with `_` (as people's files do); see [`Key::from_config`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a key: use 1 to {max} of a-z, 0-9 and -, for example `{suggestion}`", max = Key::LEN_MAX)]
pub struct BadKey {
    text: String,
    /// The nearest text that is a key.
    pub suggestion: String,
}

impl Key {
    /// The longest key, in characters.
    pub const LEN_MAX: usize = 32;

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a key as configuration files spell it: `my_integration` is the key `my-integration`.
    ///
    /// # Errors
    /// [`BadKey`], with the nearest valid key, for anything else that is not a key.
    pub fn from_config(text: &str) -> Result<Self, BadKey> {
        text.replace('_', "-").parse().map_err(|_| BadKey::new(text))
    }
}

impl BadKey {
    fn new(text: &str) -> Self {
        let mapped: String = text
            .chars()
            .map(|c| c.to_ascii_lowercase())
            .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
            .take(Key::LEN_MAX)
            .collect();
        let trimmed = mapped.trim_matches('-');
        let suggestion = if trimmed.is_empty() { "my-connection" } else { trimmed };
        Self { text: text.chars().take(64).collect(), suggestion: suggestion.to_owned() }
    }
}

impl FromStr for Key {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let fits = (1..=Self::LEN_MAX).contains(&text.len());
        let spelled = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits && spelled { Ok(Self(text.into())) } else { Err(BadKey::new(text)) }
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl serde::Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn keys_are_short_and_plain_and_a_bad_one_names_a_good_one() {
        assert!("files-2".parse::<Key>().is_ok());
        assert_eq!(Key::from_config("my_integration").unwrap().as_str(), "my-integration");
        for bad in ["", "Files", "a__b", "-_-é", &"x".repeat(33)] {
            let error = bad.parse::<Key>().unwrap_err();
            assert!(error.suggestion.parse::<Key>().is_ok(), "{bad}: {error}");
        }
    }
}
