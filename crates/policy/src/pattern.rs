//! Patterns over names: `*` stands for any run of characters, everything else for itself.

use std::fmt;

use thiserror::Error;

/// A checked pattern, such as `github__*` or `*__delete_*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadPattern {
    /// Matches nothing that exists, so it is a mistake.
    #[error("an empty pattern matches nothing; use `*` for everything")]
    Empty,
    /// Longer than any name.
    #[error("the pattern is longer than {} characters", Pattern::LEN_MAX)]
    TooLong,
    /// Names hold neither white space nor control characters, so the pattern could never match.
    #[error("the pattern `{0}` has white space or control characters in it")]
    Unmatchable(String),
}

// === impl Pattern ===

impl Pattern {
    /// The longest pattern, in bytes.
    pub const LEN_MAX: usize = 256;

    /// Checks a pattern as the configuration or a new key spells it.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn compile(text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() {
            return Err(BadPattern::Empty);
        }
        if text.len() > Self::LEN_MAX {
            return Err(BadPattern::TooLong);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(BadPattern::Unmatchable(text.escape_debug().to_string()));
        }
        Ok(Self(text.into()))
    }

    /// Whether the pattern covers the whole of `name`. Case matters.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first and last parts are anchored; each part between two stars is found as early as possible,
/// which is enough because a star takes anything (greedy leftmost matching, no backtracking).
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    let (middle, tail) = rest.rsplit_once('*').map_or((None, rest), |(middle, tail)| (Some(middle), tail));
    for part in middle.unwrap_or_default().split('*').filter(|part| !part.is_empty()) {
        let Some((_, behind)) = name.split_once(part) else {
            return false;
        };
        name = behind;
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BadPattern, Pattern, matches};

    /// The definition, written the slow way: a star takes nothing, or one character and stays.
    fn by_definition(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), None) => by_definition(rest, name),
            (Some(('*', rest)), Some((_, behind))) => {
                by_definition(rest, name) || by_definition(pattern, behind)
            }
            (Some((p, rest)), Some((n, behind))) => p == n && by_definition(rest, behind),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_its_definition_says(pattern in "[ab_é*]{0,8}", name in "[ab_é]{0,10}") {
            let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
            prop_assert_eq!(matches(&pattern, &name), by_definition(&p, &n), "{} {}", pattern, name);
        }

        #[test]
        fn a_name_matches_itself_and_everything_and_its_own_prefix(name in "[a-z_-]{1,40}", cut in 0_usize..40) {
            let prefix = &name[..cut.min(name.len())];
            for pattern in [name.clone(), "*".to_owned(), format!("{prefix}*")] {
                prop_assert!(Pattern::compile(&pattern).unwrap().matches(&name));
            }
        }

        #[test]
        fn compiling_never_fails_for_a_printable_pattern(text in "[!-~]{1,256}") {
            let pattern = Pattern::compile(&text).unwrap();
            prop_assert_eq!(pattern.as_str(), text);
        }
    }

    #[test]
    fn anchors_hold_at_both_ends() {
        assert!(matches("github__*", "github__create_issue"));
        assert!(!matches("github__*", "my-github__create_issue"));
        assert!(matches("*__delete_*", "files__delete_all"));
        assert!(!matches("files__read", "files__read_file"));
        assert!(!matches("a*a", "a"), "head and tail may not overlap");
        assert!(!matches("Files__*", "files__read"), "case matters");
    }

    #[test]
    fn what_can_never_match_is_refused() {
        assert_eq!(Pattern::compile(""), Err(BadPattern::Empty));
        assert_eq!(Pattern::compile(&"x".repeat(257)), Err(BadPattern::TooLong));
        assert!(matches!(Pattern::compile("a b"), Err(BadPattern::Unmatchable(_))));
        assert!(matches!(Pattern::compile("a\0"), Err(BadPattern::Unmatchable(_))));
    }
}
