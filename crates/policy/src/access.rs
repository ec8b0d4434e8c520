//! Allow and deny: what a caller may use, and what a connection offers at all. Deny wins.

use model::Access;

use crate::pattern::matches;

/// The answer to "may this be used?", with the rule that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The answer.
    pub allowed: bool,
    /// What decided; `None` when nothing spoke about it, which refuses unless all is allowed anyway.
    pub rule: Option<Rule<'a>>,
}

/// A rule that decided, as its owner wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule<'a> {
    /// An `allow` pattern.
    Allow(&'a str),
    /// A `deny` pattern.
    Deny(&'a str),
}

/// What a connection offers at all: patterns over its own tool names (without the connection's key).
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolLists {
    /// `None` offers everything; an empty list offers nothing.
    #[serde(default)]
    pub allow: Option<Vec<String>>,
    /// Never offered, whatever `allow` says.
    #[serde(default)]
    pub deny: Vec<String>,
}

/// Whether a caller with `access` may see and use `connection_tool` (`key__tool`).
#[must_use]
pub fn may_use<'a>(access: &'a Access, connection_tool: &str) -> Decision<'a> {
    decide(Some(&access.allow), &access.deny, connection_tool)
}

// === impl ToolLists ===

impl ToolLists {
    /// Whether the connection offers `tool` (its original name).
    #[must_use]
    pub fn may_use(&self, tool: &str) -> Decision<'_> {
        decide(self.allow.as_deref(), &self.deny, tool)
    }
}

// === impl Decision ===

impl std::fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.rule, self.allowed) {
            (Some(Rule::Allow(pattern)), _) => write!(f, "allowed by `{pattern}`"),
            (Some(Rule::Deny(pattern)), _) => write!(f, "refused by deny `{pattern}`"),
            (None, true) => f.write_str("allowed: nothing is refused"),
            (None, false) => f.write_str("refused: no allow pattern covers it"),
        }
    }
}

fn decide<'a>(allow: Option<&'a [String]>, deny: &'a [String], name: &str) -> Decision<'a> {
    if let Some(pattern) = deny.iter().find(|pattern| matches(pattern, name)) {
        return Decision { allowed: false, rule: Some(Rule::Deny(pattern)) };
    }
    let Some(allow) = allow else {
        return Decision { allowed: true, rule: None };
    };
    let rule = allow.iter().find(|pattern| matches(pattern, name)).map(|pattern| Rule::Allow(pattern));
    Decision { allowed: rule.is_some(), rule }
}

#[cfg(test)]
mod tests {
    use model::Access;
    use proptest::prelude::*;

    use super::{Rule, ToolLists, may_use};

    fn access(allow: &[&str], deny: &[&str]) -> Access {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Access { allow: own(allow), deny: own(deny), manage: false }
    }

    #[test]
    fn deny_wins_and_the_rule_is_named() {
        let access = access(&["files__*", "search__query"], &["*__delete_*"]);
        let read = may_use(&access, "files__read");
        assert!(read.allowed);
        assert_eq!(read.rule, Some(Rule::Allow("files__*")));
        let delete = may_use(&access, "files__delete_all");
        assert!(!delete.allowed);
        assert_eq!(delete.to_string(), "refused by deny `*__delete_*`");
        let other = may_use(&access, "mail__send");
        assert_eq!((other.allowed, other.rule), (false, None));
    }

    #[test]
    fn a_connection_without_lists_offers_everything_and_an_empty_allow_nothing() {
        assert!(ToolLists::default().may_use("anything").allowed);
        let closed = ToolLists { allow: Some(Vec::new()), deny: Vec::new() };
        assert!(!closed.may_use("anything").allowed);
        let without = ToolLists { allow: None, deny: vec!["write_*".to_owned()] };
        assert!(without.may_use("read_file").allowed && !without.may_use("write_file").allowed);
    }

    fn patterns() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[ab_*]{0,5}", 0..4)
    }

    proptest! {
        #[test]
        fn one_more_deny_never_allows_and_one_more_allow_never_refuses(
            allow in patterns(), deny in patterns(), more in "[ab_*]{0,5}", name in "[ab_]{0,6}",
        ) {
            let base = Access { allow: allow.clone(), deny: deny.clone(), manage: false };
            let mut denied = base.clone();
            denied.deny.push(more.clone());
            let mut allowed = base.clone();
            allowed.allow.push(more);
            prop_assert!(!may_use(&denied, &name).allowed || may_use(&base, &name).allowed);
            prop_assert!(!may_use(&base, &name).allowed || may_use(&allowed, &name).allowed);
        }

        #[test]
        fn what_a_deny_covers_is_refused_whoever_asks(allow in patterns(), name in "[ab_]{1,6}") {
            let access = Access { allow, deny: vec![name.clone()], manage: true };
            prop_assert!(!may_use(&access, &name).allowed);
        }

        #[test]
        fn an_empty_allow_list_allows_nothing(deny in patterns(), name in "[ab_]{0,6}") {
            let access = Access { allow: Vec::new(), deny, manage: false };
            prop_assert!(!may_use(&access, &name).allowed);
        }
    }
}
