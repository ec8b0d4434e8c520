//! The closed vocabularies of integrations: what kind of thing, in which category, how it is opened.
//! One word each, the same in columns, JSON, URLs and the configuration.

use thiserror::Error;

/// A text that is not in a closed vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no {what}; it is one of {allowed}")]
pub struct BadWord {
    /// The text, cut short.
    pub text: String,
    /// Which vocabulary.
    pub what: &'static str,
    /// Its words.
    pub allowed: String,
}

/// An enum whose variants are words: `ALL`, `as_str`, `FromStr`, `Display` and serde by the same word.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every one there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::integration::BadWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text).ok_or_else(|| {
                    let allowed: Vec<&str> = Self::ALL.iter().map(|one| one.as_str()).collect();
                    $crate::integration::BadWord {
                        text: text.chars().take(64).collect(),
                        what: $what,
                        allowed: allowed.join(", "),
                    }
                })
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What kind of thing an integration connects.
    IntegrationKind, "type of integration" {
        /// An MCP server.
        Mcp = "mcp",
        /// A vendor's API.
        Vendor = "vendor",
        /// Anything else that somebody described.
        Custom = "custom",
    }
}

words! {
    /// Where an integration stands in the catalogue.
    Category, "category" {
        /// Chat and messages.
        Messaging = "messaging",
        /// Calendars.
        Calendar = "calendar",
        /// Mail.
        Email = "email",
        /// Customer relations.
        Crm = "crm",
        /// Automation.
        Automation = "automation",
        /// Shops.
        Ecommerce = "ecommerce",
        /// Payments.
        Payment = "payment",
        /// Projects and issues.
        Project = "project",
        /// Files and objects.
        Storage = "storage",
        /// Documents, notes, tasks.
        Productivity = "productivity",
        /// Numbers and reports.
        Analytics = "analytics",
        /// None of these.
        Other = "other",
    }
}

words! {
    /// How a connection proves itself to the system behind it.
    AuthMethod, "authentication method" {
        /// A key in a header or query.
        ApiKey = "api_key",
        /// OAuth 2: tokens that are refreshed.
        Oauth = "oauth",
        /// A signed JSON Web Token.
        Jwt = "jwt",
        /// User name and password.
        Basic = "basic",
        /// A client certificate.
        Certificate = "certificate",
        /// An SSH key.
        SshKey = "ssh_key",
        /// Nothing.
        None = "none",
    }
}

#[cfg(test)]
mod tests {
    use super::{AuthMethod, Category, IntegrationKind};
    use crate::ConnectionStatus;

    #[test]
    fn words_read_back_as_they_are_written_and_nothing_else_is_a_word() {
        assert_eq!((IntegrationKind::ALL.len(), Category::ALL.len(), AuthMethod::ALL.len()), (3, 12, 7));
        for word in AuthMethod::ALL {
            assert_eq!(word.as_str().parse::<AuthMethod>().unwrap(), *word);
            assert_eq!(serde_json::to_string(word).unwrap(), format!("\"{word}\""));
        }
        assert_eq!("testing".parse::<ConnectionStatus>().unwrap(), ConnectionStatus::Testing);
        let error = "MCP".parse::<IntegrationKind>().unwrap_err();
        assert_eq!(error.to_string(), "`MCP` is no type of integration; it is one of mcp, vendor, custom");
    }
}
