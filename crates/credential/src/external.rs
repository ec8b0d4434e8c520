//! References to secrets that another system keeps: `${vault:PATH#FIELD}` and `${aws-sm:NAME#FIELD}`.
//! Here is how they are written; what reads them is `connector::sources`.

use std::fmt;

/// Which system keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeper {
    /// `HashiCorp` Vault or `OpenBao`, a KV version 2 engine.
    Vault,
    /// AWS Secrets Manager.
    AwsSecretsManager,
}

/// One secret there, with all its fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Which system.
    pub keeper: Keeper,
    /// Its path (Vault), its name or ARN (AWS).
    pub path: String,
    /// Which version (Vault); the newest where nothing is said.
    pub version: Option<u64>,
}

/// What one reference names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct External {
    /// The secret.
    pub location: Location,
    /// Its field; the whole text where nothing is said (AWS only).
    pub field: Option<String>,
}

/// What an [`External`] reference stands for at the moment.
#[derive(Debug)]
pub enum Looked {
    /// This.
    Value(model::Secret),
    /// Nothing: why, and what to do.
    Failed {
        /// Why. Names no value.
        why: String,
        /// What to do.
        hint: String,
        /// There was a value, which is too old to be used.
        is_expired: bool,
    },
    /// Nobody has looked: the text is read for its form only.
    Unread,
}

impl Keeper {
    /// The word in front of the colon.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::AwsSecretsManager => "aws-sm",
        }
    }

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vault => "Vault",
            Self::AwsSecretsManager => "AWS Secrets Manager",
        }
    }
}

impl External {
    /// Reads what stands between `${` and `}`; `None` when it begins with no keeper's word, `Some(None)` when it
    /// does and is not well formed.
    pub(crate) fn read(inner: &str) -> Option<Option<Self>> {
        let (scheme, rest) = inner.split_once(':')?;
        let keeper = [Keeper::Vault, Keeper::AwsSecretsManager].into_iter().find(|k| k.scheme() == scheme)?;
        // `:-` begins a default, also behind a variable that happens to be called `vault`.
        if keeper == Keeper::Vault && rest.starts_with('-') {
            return None;
        }
        Some(Self::of(keeper, rest))
    }

    /// Reads a reference that stands by itself, without braces: `vault:apps/search#key`. `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text).flatten()
    }

    /// The same as [`External::parse`] reads it.
    #[must_use]
    pub fn name(&self) -> String {
        let field = self.field.as_ref().map(|field| format!("#{field}")).unwrap_or_default();
        format!("{}{field}", self.location)
    }

    fn of(keeper: Keeper, rest: &str) -> Option<Self> {
        let (path, field) = rest.rsplit_once('#').map_or((rest, None), |(path, field)| (path, Some(field)));
        let (path, version) = match path.split_once('?') {
            Some((path, query)) if keeper == Keeper::Vault => {
                (path, Some(query.strip_prefix("version=")?.parse::<u64>().ok().filter(|n| *n > 0)?))
            }
            _ => (path, None),
        };
        let is_whole = !path.is_empty()
            && field.is_none_or(|field| !field.is_empty())
            && !path.chars().any(|c| c.is_control() || c.is_whitespace());
        let is_vault_path = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !is_whole || (keeper == Keeper::Vault && (field.is_none() || !is_vault_path)) {
            return None;
        }
        let location = Location { keeper, path: path.to_owned(), version };
        Some(Self { location, field: field.map(str::to_owned) })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.keeper.scheme(), self.path)?;
        self.version.map_or(Ok(()), |version| write!(f, "?version={version}"))
    }
}

impl fmt::Display for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${{{}}}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::External;

    #[test]
    fn references_read_as_they_are_written() {
        for text in [
            "vault:secret/data/apps/search#key",
            "vault:apps/search?version=3#key",
            "aws-sm:prod/search#key",
            "aws-sm:prod/search",
            "aws-sm:arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/search-AbCdEf#key",
        ] {
            let read = External::read(text).unwrap().unwrap();
            assert_eq!(read.to_string(), format!("${{{text}}}"));
            assert_eq!((External::parse(text), read.name()), (Some(read), text.to_owned()));
        }
        for text in [
            "vault:x",
            "vault:#key",
            "vault:a//b#key",
            "vault:a/../b#key",
            "vault:a?version=0#k",
            "aws-sm:",
            "aws-sm:x#",
        ] {
            assert!(External::read(text).unwrap().is_none(), "{text}");
        }
        assert!(External::read("vault:-default").is_none() && External::read("NAME").is_none());
    }
}
