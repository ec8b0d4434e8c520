//! A token with what belongs to it, as it is kept.

use std::collections::BTreeMap;

use model::{Secret, Timestamp};
use serde_json::{Value, json};

/// A token with what belongs to it.
#[derive(Debug, Clone)]
pub struct TokenSet {
    /// What is sent.
    pub access: Secret,
    /// What renews it.
    pub refresh: Option<Secret>,
    /// When it was got.
    pub issued_at: Timestamp,
    /// Until when it is good; `None` = until it is refused.
    pub expires_at: Option<Timestamp>,
    /// What leave it was given for, as the provider tells it.
    pub scope: Option<String>,
    /// Members of the answer that are settings: `instance_url`.
    pub kept: BTreeMap<String, String>,
    /// Leave that was found to be wanting: asked for the next time.
    pub wanted: Option<String>,
    /// A renewal was begun then and has not ended: who finds this after a crash knows that the provider may have
    /// answered it.
    pub renewing_since: Option<Timestamp>,
    /// Why it will never be renewed: somebody has to give leave again.
    pub dead: Option<String>,
}

// === impl TokenSet ===

impl TokenSet {
    /// As the one secret that it is stored as.
    #[must_use]
    pub fn to_secret(&self) -> Secret {
        let refresh = self.refresh.as_ref().map(Secret::expose);
        let value = json!({
            "access_token": self.access.expose(), "refresh_token": refresh, "issued_at": self.issued_at, "expires_at": self.expires_at,
            "scope": self.scope, "kept": self.kept, "wanted": self.wanted, "renewing_since": self.renewing_since, "dead": self.dead,
        });
        Secret::new(value.to_string())
    }

    /// The other way round.
    #[must_use]
    pub fn from_secret(secret: &Secret) -> Option<Self> {
        let value: Value = serde_json::from_str(secret.expose()).ok()?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let time = |name: &str| value.get(name).and_then(Value::as_i64).map(Timestamp);
        let kept = value.get("kept").cloned().map(serde_json::from_value).transpose().ok()?;
        Some(Self {
            access: Secret::new(text("access_token")?),
            refresh: text("refresh_token").map(Secret::new),
            issued_at: time("issued_at").unwrap_or_default(),
            expires_at: time("expires_at"),
            scope: text("scope"),
            kept: kept.unwrap_or_default(),
            wanted: text("wanted"),
            renewing_since: time("renewing_since"),
            dead: text("dead"),
        })
    }
}

#[cfg(test)]
mod tests {
    use model::{Secret, Timestamp};

    use super::TokenSet;

    #[test]
    fn it_is_stored_whole_and_prints_nothing() {
        let set = TokenSet {
            access: Secret::new("at".to_owned()),
            refresh: Some(Secret::new("rt".to_owned())),
            issued_at: Timestamp(1),
            expires_at: Some(Timestamp(5)),
            scope: Some("a b".to_owned()),
            kept: [("instance_url".to_owned(), "x".to_owned())].into(),
            wanted: None,
            renewing_since: None,
            dead: None,
        };
        let back = TokenSet::from_secret(&set.to_secret()).unwrap();
        assert_eq!(format!("{set:?}"), format!("{back:?}"));
        assert_eq!((back.access.expose(), back.refresh.unwrap().expose()), ("at", "rt"));
        assert!(!format!("{set:?}").contains("at\""));
        assert!(TokenSet::from_secret(&Secret::new("{}".to_owned())).is_none());
    }
}
