//! Versions below which a library has a known hole. The floor holds for whatever Cargo.lock contains,
//! also where only a tool or a test uses it.

use cargo_metadata::semver::Version;

use super::Finding;
use super::tree::Tree;

const LOCK: &str = "Cargo.lock";

/// Library and lowest good version. SQLite's own floor is 3.51.3 (its WAL reset could corrupt a database
/// with pooled writers), which libsqlite3-sys 0.37.0 bundles.
const FLOORS: &[(&str, Version)] = &[
    ("libsqlite3-sys", Version::new(0, 37, 0)),
    ("h2", Version::new(0, 4, 16)),
    ("hyper", Version::new(1, 11, 0)),
    ("rustls-webpki", Version::new(0, 103, 13)),
    ("rmcp", Version::new(1, 4, 0)),
    ("jsonwebtoken", Version::new(10, 3, 0)),
    ("quinn-proto", Version::new(0, 11, 15)),
    ("pingora-core", Version::new(0, 8, 0)),
    ("postgres-protocol", Version::new(0, 6, 12)),
    ("hickory-proto", Version::new(0, 26, 1)),
    ("ammonia", Version::new(4, 1, 4)),
    // RUSTSEC-2024-0363.
    ("sqlx-core", Version::new(0, 8, 1)),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(lock) = tree.find(LOCK) else {
        return vec![Finding::new(LOCK, 1, "missing: commit the lock file")];
    };
    let mut name = "";
    for (line, text) in lock.lines() {
        if let Some(value) = text.strip_prefix("name = ") {
            name = value.trim_matches('"');
        } else if let Some(value) = text.strip_prefix("version = ") {
            let floor = FLOORS.iter().find(|(library, _)| *library == name);
            let Ok(version) = Version::parse(value.trim_matches('"')) else { continue };
            if let Some((_, lowest)) = floor.filter(|(_, lowest)| version < *lowest) {
                let what = format!("{name} {version} has known security faults: take {lowest} or newer");
                findings.push(Finding::new(LOCK, line, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    fn findings(name: &str, version: &str) -> Vec<String> {
        let lock = format!("version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
        check(&Tree::of(&[("Cargo.lock", &lock)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn versions_from_the_floor_up_are_silent() {
        for (name, version) in [("h2", "0.4.16"), ("h2", "0.4.20"), ("hyper", "1.12.0"), ("serde", "0.0.1")] {
            assert_eq!(findings(name, version), Vec::<String>::new(), "{name} {version}");
        }
    }

    #[test]
    fn versions_below_are_caught_by_number_not_by_spelling() {
        for (name, version) in [("h2", "0.4.9"), ("libsqlite3-sys", "0.36.0"), ("rustls-webpki", "0.103.12")]
        {
            let found = findings(name, version);
            assert!(found[0].starts_with("Cargo.lock:5: ") && found[0].contains(version), "{found:?}");
        }
    }

    #[test]
    fn a_missing_lock_file_is_caught() {
        assert_eq!(check(&Tree::default()).len(), 1);
    }
}
