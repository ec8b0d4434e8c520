//! Licences and sources of everything we build with, by the lists of deny.toml. `cargo deny check` reads
//! the same file where it is installed; this check needs nothing.

use super::Finding;
use super::cargo_facts::Package;
use super::tree::Tree;

const POLICY: &str = "deny.toml";
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let allowed = allowed(tree);
    if allowed.is_empty() {
        return vec![Finding::new(POLICY, 1, "no `allow = [` list under [licenses]: write one")];
    }
    let mut findings = Vec::new();
    for package in packages {
        let licence = package.licence.as_deref().unwrap_or_default();
        if !Expression::new(licence).allows(&allowed) {
            let what = format!(
                "`{}` has the licence `{licence}`, which is not allowed: replace the package",
                package.name
            );
            findings.push(Finding::new("Cargo.lock", 1, what));
        }
        if let Some(source) = package.source.as_deref().filter(|source| *source != REGISTRY) {
            let what = format!("`{}` comes from {source}: take published versions only", package.name);
            findings.push(Finding::new("Cargo.lock", 1, what));
        }
    }
    findings
}

/// The texts between quotes in the `allow = [...]` list under `[licenses]`.
fn allowed(tree: &Tree) -> Vec<&str> {
    let lines = tree.find(POLICY).into_iter().flat_map(|file| file.text.lines());
    let section = lines.skip_while(|line| line.trim() != "[licenses]");
    let list =
        section.skip_while(|line| !line.starts_with("allow = [")).take_while(|line| !line.starts_with(']'));
    list.filter_map(|line| line.trim().strip_prefix('"')?.split('"').next()).collect()
}

/// An SPDX expression (SPDX 2.3, annex D), and the older `A/B` of crates for `A OR B`.
struct Expression {
    words: std::iter::Peekable<std::vec::IntoIter<String>>,
}

impl Expression {
    fn new(text: &str) -> Self {
        let spaced = text.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
        Self { words: words.into_iter().peekable() }
    }

    fn allows(mut self, allowed: &[&str]) -> bool {
        let verdict = self.any(allowed);
        // What could not be read to its end was not understood, and is not allowed.
        verdict && self.words.next().is_none()
    }

    fn any(&mut self, allowed: &[&str]) -> bool {
        let mut verdict = self.all(allowed);
        while self.words.next_if(|word| word == "OR").is_some() {
            verdict |= self.all(allowed);
        }
        verdict
    }

    fn all(&mut self, allowed: &[&str]) -> bool {
        let mut verdict = self.one(allowed);
        while self.words.next_if(|word| word == "AND").is_some() {
            verdict &= self.one(allowed);
        }
        verdict
    }

    fn one(&mut self, allowed: &[&str]) -> bool {
        if self.words.next_if(|word| word == "(").is_some() {
            let verdict = self.any(allowed);
            return self.words.next_if(|word| word == ")").is_some() && verdict;
        }
        let Some(mut name) = self.words.next() else { return false };
        if self.words.next_if(|word| word == "WITH").is_some() {
            name = format!("{name} WITH {}", self.words.next().unwrap_or_default());
        }
        allowed.contains(&name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::super::cargo_facts::Package;
    use super::super::tree::Tree;
    use super::{REGISTRY, check};

    const DENY: &str =
        "[licenses]\nallow = [\n    \"MIT\", # why\n    \"Apache-2.0\",\n    \"ISC\",\n]\n[bans]\n";

    fn findings(licence: Option<&str>, source: &str) -> usize {
        let licence = licence.map(str::to_owned);
        let package = Package { name: "x".into(), licence, source: Some(source.to_owned()) };
        check(&Tree::of(&[("deny.toml", DENY)]), &[package]).len()
    }

    #[test]
    fn what_the_list_allows_is_silent() {
        for licence in [
            "MIT",
            "MIT OR GPL-3.0",
            "MIT/Apache-2.0",
            "ISC AND (MIT OR GPL-3.0)",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert_eq!(findings(Some(licence), REGISTRY), 0, "{licence}");
        }
    }

    #[test]
    fn what_it_does_not_allow_is_caught() {
        for licence in [
            Some("GPL-3.0"),
            Some("MIT AND GPL-3.0"),
            Some("ISC AND (MIT AND GPL-3.0)"),
            Some("MIT )"),
            Some(""),
            None,
            Some("Apache-2.0 WITH Strange-exception"),
        ] {
            assert_eq!(findings(licence, REGISTRY), 1, "{licence:?}");
        }
    }

    #[test]
    fn foreign_sources_and_a_missing_list_are_caught() {
        assert_eq!(findings(Some("MIT"), "git+https://example.com/x"), 1);
        assert_eq!(check(&Tree::default(), &[]).len(), 1);
    }
}
