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

/// Stands for a star when a pattern is looked at as a name: no pattern that was checked has it.
const ANYTHING: char = '\0';

/// Whether every name that `narrow` covers is covered by `wide`. Exact: it is so when `wide` matches the text
/// of `narrow` with something in the place of its stars that only a star can match.
pub(crate) fn covers(wide: &str, narrow: &str) -> bool {
    // Such a text was never checked: nothing is known of it.
    if wide.contains(ANYTHING) || narrow.contains(ANYTHING) {
        return false;
    }
    matches(wide, &narrow.replace('*', &ANYTHING.to_string()))
}

/// Whether some name is covered by both. Exact: between two beginnings and two ends that agree, stars take
/// whatever the other pattern has there.
pub(crate) fn overlaps(one: &str, other: &str) -> bool {
    let (Some((one_head, one_rest)), Some((other_head, other_rest))) =
        (one.split_once('*'), other.split_once('*'))
    else {
        return if one.contains('*') { matches(one, other) } else { matches(other, one) };
    };
    let (one_tail, other_tail) = (last_part(one_rest), last_part(other_rest));
    (one_head.starts_with(other_head) || other_head.starts_with(one_head))
        && (one_tail.ends_with(other_tail) || other_tail.ends_with(one_tail))
}

fn last_part(text: &str) -> &str {
    text.rsplit_once('*').map_or(text, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BadPattern, Pattern, covers, matches, overlaps};

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
        fn covering_means_that_no_name_is_left_out(wide in "[ab*]{0,6}", narrow in "[ab*]{0,6}", name in "[abc]{0,8}") {
            if covers(&wide, &narrow) {
                prop_assert!(!matches(&narrow, &name) || matches(&wide, &name), "{} {} {}", wide, narrow, name);
            } else {
                // A name that shows it: no pattern here has a `z`.
                let name = narrow.replace('*', "z");
                prop_assert!(matches(&narrow, &name) && !matches(&wide, &name), "{} {} {}", wide, narrow, name);
            }
        }

        #[test]
        fn patterns_that_do_not_overlap_have_no_name_in_common(one in "[ab*]{0,6}", other in "[ab*]{0,6}", name in "[ab]{0,8}") {
            prop_assert_eq!(overlaps(&one, &other), overlaps(&other, &one));
            prop_assert!(overlaps(&one, &other) || !(matches(&one, &name) && matches(&other, &name)), "{} {} {}", one, other, name);
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
    fn patterns_overlap_when_their_ends_agree() {
        for (one, other, wanted) in [
            ("files__*", "*__delete_*", true),
            ("files__*", "mail__*", false),
            ("*_read", "*_write", false),
            ("files__read", "*__delete_*", false),
            ("files__delete_x", "*__delete_*", true),
            ("a*b*c", "ab*bc", true),
            ("a", "a", true),
            ("a", "b", false),
            ("*", "x", true),
        ] {
            assert_eq!(overlaps(one, other), wanted, "{one} {other}");
        }
    }

    #[test]
    fn what_was_never_checked_covers_nothing() {
        assert!(covers("a*", "a*") && !covers("a\0", "a*") && !covers("*", "a\0"));
    }

    #[test]
    fn what_can_never_match_is_refused() {
        assert_eq!(Pattern::compile(""), Err(BadPattern::Empty));
        assert_eq!(Pattern::compile(&"x".repeat(257)), Err(BadPattern::TooLong));
        assert!(matches!(Pattern::compile("a b"), Err(BadPattern::Unmatchable(_))));
        assert!(matches!(Pattern::compile("a\0"), Err(BadPattern::Unmatchable(_))));
    }
}
