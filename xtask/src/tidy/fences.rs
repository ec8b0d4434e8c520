//! The fences between rooms that show in the source text: SQL, client sockets, child processes, HTTP
//! servers, and IO in the pure rooms. The lints in clippy.toml say the same where a lint can.

use super::Finding;
use super::rust;
use super::tree::{File, Tree};

/// Words in code that only some rooms may use.
struct Fence {
    words: &'static [&'static str],
    /// Rooms on the inside; a name that ends with `-` stands for every room that begins so.
    inside: &'static [&'static str],
    remedy: &'static str,
}

const FENCES: &[Fence] = &[
    Fence {
        words: &["TcpStream::connect", "UnixStream::connect", "UnixDatagram::connect", "UdpSocket::connect"],
        inside: &["outbound"],
        remedy: "client sockets open in `outbound` only, behind the egress guard: ask it for one",
    },
    Fence {
        words: &["hyper::client", "hyper_util::client", "client::conn::http", "reqwest::"],
        inside: &["outbound"],
        remedy: "HTTP clients live in `outbound` only: use what it hands out",
    },
    Fence {
        // `process` has a `Command` of its own, so the word alone proves nothing; the lint in clippy.toml
        // knows the types.
        words: &[
            "std::process::Command",
            "std::process::{Command",
            "std::process::{self, Command",
            "tokio::process::Command",
        ],
        inside: &["process"],
        remedy: "child processes start in `process` only, with its limits and its group: ask it for one",
    },
    Fence {
        words: &["hyper::server", "hyper_util::server", "server::conn::http", "server::conn::auto"],
        inside: &["mcp-door", "api", "trunkline"],
        remedy: "HTTP is served by the doors and the binary only",
    },
    Fence {
        words: &["axum::"],
        inside: &["api", "trunkline"],
        remedy: "the web framework stays in `api` and the binary: answer with your own types",
    },
];

/// Rooms without IO, and what would be IO in them.
const PURE_ROOMS: &[&str] = &["model", "wire", "policy"];
const IO_WORDS: &[&str] = &[
    "std::fs",
    "std::process",
    "std::thread",
    "std::env",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "tokio::",
    "async fn",
    ".await",
];

/// How SQL begins. Capital letters, as we write it; prose does not begin a literal so.
const SQL_STARTS: &[&str] = &[
    "SELECT ",
    "INSERT INTO ",
    "INSERT OR ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "CREATE INDEX ",
    "CREATE UNIQUE ",
    "ALTER TABLE ",
    "DROP TABLE ",
    "PRAGMA ",
    "BEGIN IMMEDIATE",
    "WITH RECURSIVE ",
];
const SQL_ROOMS: &[&str] = &["store-"];

/// Folders whose code never ships: they may reach anything.
const SHED_FOLDERS: &[&str] = &["bench/", "tests/", "xtask/", "fuzz/", "crates/testkit/"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        if file.is("sql") && !is_inside(file.room(), SQL_ROOMS) {
            findings.push(Finding::new(
                &file.path,
                1,
                "SQL outside `store-*`: move it to the backend that runs it",
            ));
        }
        if file.is("rs") && !is_for_tests(file) {
            check_source(file, &mut findings);
        }
    }
    findings
}

fn check_source(file: &File, findings: &mut Vec<Finding>) {
    let parts = rust::split(&file.text);
    let test_lines = parts.test_lines();
    let ships = |line: usize| !test_lines.iter().any(|lines| lines.contains(&line));
    let room = file.room();
    for (line, code) in
        parts.code.lines().enumerate().map(|(i, code)| (i + 1, code)).filter(|(line, _)| ships(*line))
    {
        for fence in FENCES.iter().filter(|fence| !is_inside(room, fence.inside)) {
            for word in fence.words.iter().filter(|word| code.contains(**word)) {
                findings.push(Finding::new(&file.path, line, format!("`{word}`: {}", fence.remedy)));
            }
        }
        if PURE_ROOMS.contains(&room) {
            for word in IO_WORDS.iter().filter(|word| code.contains(**word)) {
                let what = format!("`{word}` in `{room}`, which does no IO: take the value as an argument");
                findings.push(Finding::new(&file.path, line, what));
            }
        }
    }
    let is_sql = |text: &str| {
        let text = text.trim_start();
        let is_update = text.starts_with("UPDATE ") && text.contains(" SET ");
        is_update || SQL_STARTS.iter().any(|start| text.starts_with(start))
    };
    if !is_inside(room, SQL_ROOMS) {
        for (line, _) in parts.strings.iter().filter(|(line, text)| ships(*line) && is_sql(text)) {
            let what = "SQL outside `store-*`: ask through a trait of `store`, and write it in each backend";
            findings.push(Finding::new(&file.path, *line, what));
        }
    }
}

fn is_inside(room: &str, inside: &[&str]) -> bool {
    inside.iter().any(|name| if name.ends_with('-') { room.starts_with(name) } else { room == *name })
}

/// Code that never ships: sheds, and the test files of rooms (`tests/`, `tests.rs`).
fn is_for_tests(file: &File) -> bool {
    SHED_FOLDERS.iter().any(|folder| file.path.starts_with(folder))
        || file.path.contains("/tests/")
        || file.path.ends_with("/tests.rs")
        || file.path.contains("/fuzz/")
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_fence_catches_who_climbs_it_and_lets_the_owner_be() {
        for (outside, inside, line) in [
            ("mcp-upstream", "outbound", "let s = tokio::net::TcpStream::connect(a).await;"),
            ("mcp-upstream", "outbound", "let s = UnixStream::connect(p).await;"),
            ("mcp-upstream", "outbound", "use hyper::client::conn::http1::handshake;"),
            ("trunkline", "process", "let c = std::process::Command::new(name);"),
            ("call", "mcp-door", "use hyper::server::conn::http1;"),
            ("mcp-door", "api", "use axum::Router;"),
            ("ledger", "store-sqlite", "let q = \"SELECT id FROM calls\";"),
            ("ledger", "store-postgres", "let q = r#\"\n  INSERT INTO calls VALUES (1)\"#;"),
            ("trunkline", "store-sqlite", "let q = \"UPDATE calls SET a = 1\";"),
            ("wire", "process", "let t = std::fs::read(path);"),
            ("policy", "call", "async fn decide() {}"),
        ] {
            let found = findings(&format!("crates/{outside}/src/lib.rs"), &format!("//! x\n{line}\n"));
            assert!(
                found.iter().any(|f| f.starts_with(&format!("crates/{outside}/src/lib.rs:2: "))),
                "{line} {found:?}"
            );
            let own = findings(&format!("crates/{inside}/src/lib.rs"), &format!("//! x\n{line}\n"));
            assert_eq!(own, Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn comments_tests_prose_and_sheds_are_left_alone() {
        for (path, text) in [
            ("crates/call/src/lib.rs", "// Never TcpStream::connect here; SELECT nothing.\n"),
            ("crates/call/src/lib.rs", "let s = \"SELECTED one\"; let t = \"please SELECT one\";\n"),
            (
                "crates/call/src/lib.rs",
                "#[cfg(test)]\nmod tests {\n    fn f() { TcpStream::connect(a); }\n}\n",
            ),
            ("crates/call/src/stage/tests.rs", "fn f() { TcpStream::connect(a); }\n"),
            ("crates/call/tests/it/main.rs", "fn f() { Command::new(\"x\"); }\n"),
            ("crates/testkit/src/lib.rs", "fn f() { Command::new(\"x\"); }\n"),
            ("bench/src/main.rs", "fn f() { TcpStream::connect(a); }\n"),
            ("crates/trunkline/src/cli.rs", "fn f() { process::Command::new(\"x\", \"y\"); }\n"),
        ] {
            assert_eq!(findings(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn code_after_a_test_module_is_looked_at_again() {
        let text = "#[cfg(test)]\nmod tests {\n}\nfn f() { TcpStream::connect(a); }\n";
        assert_eq!(findings("crates/call/src/lib.rs", text).len(), 1);
    }

    #[test]
    fn migrations_live_with_their_backend() {
        assert!(findings("crates/store-sqlite/migrations/0001.sql", "SELECT 1;\n").is_empty());
        assert_eq!(findings("crates/store/migrations/0001.sql", "SELECT 1;\n").len(), 1);
    }
}
