//! Whether one access goes beyond another: what keeps a key from making a wider one.
//!
//! Decided from the patterns alone, for every name there may ever be. Conservative: where several patterns
//! would have to be taken together to cover one, the answer is that it is not covered.

use std::fmt;

use model::Access;

use crate::pattern::{covers, overlaps};

/// In what an access goes beyond another, as its owner wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond<'a> {
    /// This `allow` pattern is not within one of the other's.
    Allow(&'a str),
    /// This `allow` pattern reaches into what the other's `deny` pattern refuses.
    Deny {
        /// The one's.
        allow: &'a str,
        /// The other's.
        deny: &'a str,
    },
    /// The management API.
    Manage,
}

/// The first thing in which `inner` goes beyond `outer`; `None` when whatever `inner` may use, `outer` may
/// too. The time it takes grows with the product of their pattern counts, which the caller bounds.
#[must_use]
pub fn beyond<'a>(inner: &'a Access, outer: &'a Access) -> Option<Beyond<'a>> {
    if inner.manage && !outer.manage {
        return Some(Beyond::Manage);
    }
    let is_refused_by_inner = |pattern: &str| inner.deny.iter().any(|deny| covers(deny, pattern));
    // What the outer refuses and the inner does not refuse by itself, as a whole.
    let open: Vec<&String> = outer.deny.iter().filter(|deny| !is_refused_by_inner(deny)).collect();
    for allow in &inner.allow {
        if is_refused_by_inner(allow) {
            continue;
        }
        if !outer.allow.iter().any(|wide| covers(wide, allow)) {
            return Some(Beyond::Allow(allow));
        }
        if let Some(deny) = open.iter().find(|deny| overlaps(deny, allow)) {
            return Some(Beyond::Deny { allow, deny });
        }
    }
    None
}

impl fmt::Display for Beyond<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(allow) => write!(f, "allow `{allow}` is not within one of its allow patterns"),
            Self::Deny { allow, deny } => {
                write!(f, "allow `{allow}` reaches what its deny `{deny}` refuses, and does not deny it too")
            }
            Self::Manage => f.write_str("`manage` is more than it has"),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Access;
    use proptest::prelude::*;

    use super::{Beyond, beyond};
    use crate::may_use;

    fn access(allow: &[&str], deny: &[&str]) -> Access {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Access { allow: own(allow), deny: own(deny), manage: false }
    }

    #[test]
    fn a_part_is_within_and_more_is_not() {
        let maker = access(&["files__*", "search__query"], &["*__delete_*"]);
        for (allow, deny, wanted) in [
            (&["files__read"][..], &[][..], None),
            (&["search__query"], &[], None),
            (&[], &[], None),
            (&["files__*"], &["*__delete_*"], None),
            (&["files__*"], &["*delete*"], None),
            (&["*"], &["*"], None),
            (&["files__read", "mail__send"], &[], Some(Beyond::Allow("mail__send"))),
            (&["*"], &[], Some(Beyond::Allow("*"))),
            (&["files_*"], &["*__delete_*"], Some(Beyond::Allow("files_*"))),
            (
                &["files__delete_all"],
                &[],
                Some(Beyond::Deny { allow: "files__delete_all", deny: "*__delete_*" }),
            ),
            (
                &["files__*"],
                &["*__delete_all"],
                Some(Beyond::Deny { allow: "files__*", deny: "*__delete_*" }),
            ),
        ] {
            assert_eq!(beyond(&access(allow, deny), &maker), wanted, "{allow:?} {deny:?}");
        }
    }

    #[test]
    fn managing_is_passed_on_only_by_who_may() {
        let (plain, manager) = (access(&["*"], &[]), Access::everything());
        assert_eq!(beyond(&manager, &plain), Some(Beyond::Manage));
        assert_eq!(beyond(&plain, &manager), None);
        assert_eq!(beyond(&manager, &manager), None);
    }

    #[test]
    fn what_two_patterns_cover_only_together_counts_as_beyond() {
        // Nothing that the maker may not use is left, but nobody looks at two patterns at once.
        let (maker, made) = (access(&["*"], &["*drop*"]), access(&["a*"], &["a*drop*"]));
        assert_eq!(beyond(&made, &maker), Some(Beyond::Deny { allow: "a*", deny: "*drop*" }));
        assert_eq!(beyond(&access(&["a*"], &["a*drop*", "*drop*"]), &maker), None);
    }

    fn patterns(most: usize) -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[ab*]{1,4}", 0..=most)
    }

    fn accesses() -> impl Strategy<Value = Access> {
        (patterns(3), patterns(2), any::<bool>()).prop_map(|(allow, deny, manage)| Access {
            allow,
            deny,
            manage,
        })
    }

    /// All names of up to five characters of which the third stands in no pattern.
    fn names() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..5 {
            last = last.iter().flat_map(|name| ["a", "b", "c"].map(|more| format!("{name}{more}"))).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    proptest! {
        #[test]
        fn whatever_a_made_key_may_use_its_maker_may_use(made in accesses(), maker in accesses()) {
            if beyond(&made, &maker).is_none() {
                prop_assert!(!made.manage || maker.manage);
                for name in names() {
                    prop_assert!(
                        !may_use(&made, &name).allowed || may_use(&maker, &name).allowed,
                        "{} {:?} {:?}", name, made, maker
                    );
                }
            }
        }

        #[test]
        fn a_key_is_within_itself_and_stays_so_with_less(
            key in accesses(), more_deny in patterns(3), keep in 0_usize..4,
        ) {
            prop_assert_eq!(beyond(&key, &key), None);
            let mut less = key.clone();
            less.allow.truncate(keep);
            less.deny.extend(more_deny);
            less.manage = false;
            prop_assert_eq!(beyond(&less, &key), None);
        }
    }
}
