//! What every stored text and JSON keeps to, so that all backends store and compare the same.

use serde_json::Value;

use crate::StoreError;

/// JSON that is known to be JSON, in one spelling: keys sorted, no blanks. PostgreSQL keeps `jsonb`, which
/// forgets the spelling, so that only one spelling can come back the same everywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(String);

/// A case-folded copy of `text`: what names are compared and searched by. Folded here, not in SQL, because
/// databases fold differently.
#[must_use]
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// What a search looks for, as it is compared; `None` for everything. No stored text has a NUL, and databases take
/// none in a question either: a noncharacter in its place finds as little.
pub(crate) fn sought(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(|text| fold(text).replace('\0', "\u{ffff}"))
}

/// Refuses what is empty, too long (in bytes), or holds a NUL, which PostgreSQL cannot store.
pub(crate) fn check_text(what: &'static str, text: &str, max: usize) -> Result<(), StoreError> {
    if text.len() > max {
        return Err(StoreError::TooLarge { what, max });
    }
    if text.contains('\0') {
        return Err(StoreError::Malformed { what, why: "must not hold a NUL character" });
    }
    Ok(())
}

/// Like [`check_text`], and refuses what is empty or only blank.
pub(crate) fn check_name(what: &'static str, text: &str, max: usize) -> Result<(), StoreError> {
    if text.trim().is_empty() {
        return Err(StoreError::Malformed { what, why: "must not be empty" });
    }
    check_text(what, text, max)
}

/// Refuses bytes beyond `max`.
pub(crate) fn check_bytes(what: &'static str, length: usize, max: usize) -> Result<(), StoreError> {
    if length > max { Err(StoreError::TooLarge { what, max }) } else { Ok(()) }
}

// === impl Json ===

impl Json {
    /// Reads JSON text.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] for what is not JSON, or holds a NUL character (which `jsonb` cannot).
    pub fn parse(what: &'static str, text: &str) -> Result<Self, StoreError> {
        let value: Value =
            serde_json::from_str(text).map_err(|_| StoreError::Malformed { what, why: "is not JSON" })?;
        Self::from_value(what, &value)
    }

    /// Takes a value.
    ///
    /// # Errors
    /// As [`Json::parse`].
    pub fn from_value(what: &'static str, value: &Value) -> Result<Self, StoreError> {
        let text = value.to_string();
        if text.contains("\\u0000") && holds_nul(value) {
            return Err(StoreError::Malformed { what, why: "must not hold a NUL character" });
        }
        Ok(Self(text))
    }

    /// The empty object.
    #[must_use]
    pub fn empty() -> Self {
        Self("{}".to_owned())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a value.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn json_has_one_spelling_and_no_nul() {
        let json = Json::parse("config", " { \"b\": 1, \"a\" : [true] } ").unwrap();
        assert_eq!(json.as_str(), r#"{"a":[true],"b":1}"#);
        assert!(Json::parse("config", "{").is_err());
        assert!(Json::parse("config", r#"{"a\u0000":1}"#).is_err());
        assert!(Json::parse("config", r#"["\\u0000"]"#).is_ok(), "six characters, none of them a NUL");
    }
}
