//! The fences that show in manifests: which room may know which library, which rooms stay pure, and what
//! must never be in the binary.

use std::collections::BTreeSet;

use super::Finding;
use super::cargo_facts::{Facts, Room};
use super::imports::{SHEDS, line_of};
use super::tree::Tree;

/// Libraries that only some rooms may name, so that a protocol, a database or a cipher can be replaced
/// in one place. Tests and sheds may use what they like.
const OWNED: &[(&str, &[&str])] = &[
    ("rusqlite", &["store-sqlite"]),
    ("sqlx", &["store-postgres"]),
    ("axum", &["api", "trunkline"]),
    ("hyper", &["mcp-door", "api", "trunkline"]),
    ("hyper-util", &["mcp-door", "api", "trunkline"]),
    ("rustls", &["outbound", "trunkline"]),
    ("tokio-rustls", &["outbound", "trunkline"]),
    ("rustls-native-certs", &["outbound"]),
    // Keys are in `credential`; `outbound` hashes the nonce of the WebSocket handshake (RFC 6455 §4.2.2).
    ("aws-lc-rs", &["credential", "outbound"]),
    ("clap", &["trunkline"]),
    ("anyhow", &["trunkline"]),
    ("notify", &["trunkline"]),
    ("rmcp", &[]),
    ("reqwest", &[]),
];

/// Two doors must not know each other: what they share belongs behind them.
const DOORS: &[&str] = &["mcp-door", "api"];

/// Rooms without IO, and libraries that would bring it in, however far away.
const PURE_ROOMS: &[&str] = &["model", "wire", "policy"];
const IO_LIBRARIES: &[&str] = &[
    "tokio",
    "hyper",
    "hyper-util",
    "axum",
    "reqwest",
    "rusqlite",
    "sqlx",
    "socket2",
    "mio",
    "rustix",
    "notify",
    "async-std",
    "smol",
    "tempfile",
];

/// What the binary is never built from: other TLS stacks and ciphers than the one we chose.
const BANNED: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls", "rustls-openssl"];

/// Room by room: libraries that another room owns, and doors that import doors.
pub(super) fn check_owned(tree: &Tree, rooms: &[Room]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for room in rooms.iter().filter(|room| !SHEDS.contains(&room.name.as_str())) {
        for library in &room.normal {
            let line = line_of(tree, &room.manifest, library);
            let owners = OWNED.iter().find(|(name, _)| name == library).map(|(_, owners)| *owners);
            if let Some(owners) = owners.filter(|owners| !owners.contains(&room.name.as_str())) {
                let whose =
                    if owners.is_empty() { "tests".to_owned() } else { format!("`{}`", owners.join("`, `")) };
                let what = format!("`{library}` is for {whose} only: ask that room for what you need");
                findings.push(Finding::new(&room.manifest, line, what));
            }
            if DOORS.contains(&room.name.as_str()) && DOORS.contains(&library.as_str()) {
                let what = format!("a door imports the door `{library}`: move what both need behind them");
                findings.push(Finding::new(&room.manifest, line, what));
            }
        }
    }
    findings
}

/// Follows the resolved graph from each pure room.
pub(super) fn check_pure(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for room in facts.rooms.iter().filter(|room| PURE_ROOMS.contains(&room.name.as_str())) {
        let (mut seen, mut next) = (BTreeSet::new(), vec![room.name.as_str()]);
        while let Some(name) = next.pop() {
            if seen.insert(name) {
                next.extend(facts.edges.get(name).into_iter().flatten().map(String::as_str));
            }
        }
        for library in IO_LIBRARIES.iter().filter(|library| seen.contains(**library)) {
            let what =
                format!("`{}` does no IO, but is built with `{library}`: drop the dependency", room.name);
            findings.push(Finding::new(&room.manifest, 1, what));
        }
    }
    findings
}

/// Looks through `cargo tree`'s list of what the binary is built from, one `name vX` per line.
pub(super) fn check_banned(graph: &str) -> Vec<Finding> {
    let names: BTreeSet<&str> = graph.lines().filter_map(|line| line.split_whitespace().next()).collect();
    if !names.contains("trunkline") {
        return vec![Finding::new(
            "crates/trunkline/Cargo.toml",
            1,
            "cargo tree did not list the binary itself",
        )];
    }
    let banned = BANNED.iter().filter(|name| names.contains(**name));
    let what = |name: &&str| {
        format!(
            "the binary is built with `{name}`: find who asks for it (`cargo tree -p trunkline -i {name}`) and switch that off"
        )
    };
    banned.map(|name| Finding::new("crates/trunkline/Cargo.toml", 1, what(name))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::cargo_facts::{Facts, Room};
    use super::super::tree::Tree;
    use super::{check_banned, check_owned, check_pure};

    fn room(name: &str, normal: &[&str]) -> Room {
        let normal = normal.iter().map(|s| (*s).to_owned()).collect();
        Room {
            name: name.into(),
            manifest: format!("crates/{name}/Cargo.toml"),
            normal,
            dev: vec!["rmcp".into()],
        }
    }

    #[test]
    fn a_library_is_named_by_its_owner_only() {
        let tree = Tree::of(&[(
            "crates/ledger/Cargo.toml",
            "[dependencies]\nserde = \"1\"\nrusqlite.workspace = true\n",
        )]);
        let rooms = [
            room("store-sqlite", &["rusqlite"]),
            room("ledger", &["rusqlite"]),
            room("mcp-door", &["axum"]),
            room("call", &["rmcp"]),
            room("testkit", &["rmcp", "axum"]),
        ];
        let found: Vec<String> = check_owned(&tree, &rooms).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].starts_with("crates/ledger/Cargo.toml:3: `rusqlite` is for `store-sqlite` only"),
            "{found:?}"
        );
    }

    #[test]
    fn doors_do_not_import_doors() {
        let found = check_owned(&Tree::default(), &[room("mcp-door", &["api"]), room("api", &["call"])]);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn io_is_found_behind_a_pure_room_however_far() {
        let edges = |list: &[(&str, &[&str])]| -> BTreeMap<String, Vec<String>> {
            list.iter().map(|(a, b)| ((*a).into(), b.iter().map(|s| (*s).to_owned()).collect())).collect()
        };
        let rooms = || vec![room("wire", &[]), room("call", &[])];
        let clean = Facts {
            rooms: rooms(),
            edges: edges(&[("wire", &["serde"]), ("call", &["tokio"])]),
            packages: vec![],
        };
        assert!(check_pure(&clean).is_empty());
        let deep = edges(&[("wire", &["helper"]), ("helper", &["deeper"]), ("deeper", &["tokio", "wire"])]);
        assert_eq!(check_pure(&Facts { rooms: rooms(), edges: deep, packages: vec![] }).len(), 1);
    }

    #[test]
    fn other_tls_stacks_are_caught_and_look_alikes_are_not() {
        assert!(check_banned("trunkline v0.1.0\nopenssl-probe v0.2.2\nring-buffer v1.0.0\n").is_empty());
        assert_eq!(check_banned("trunkline v0.1.0\nring v0.17.14\nnative-tls v0.2.1\n").len(), 2);
        assert_eq!(check_banned("").len(), 1, "an empty answer is no proof");
    }
}
