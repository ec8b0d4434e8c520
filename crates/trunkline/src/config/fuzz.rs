//! Fuzz target of the configuration file: any text at all.

use ::fuzz::target;

use super::problem::{Problem, Scope, Severity};
use super::tree::{Node, Value};
use super::{emit, parse, redact, tree};

/// Written where secrets stand in the seeds.
const CANARY: &str = "hunter2-canary";

/// Reading goes down the stack once per level: this is the stack that the hub itself begins with, where that of
/// a test is too small for an unoptimised build.
const STACK_BYTES: usize = 8 * 1024 * 1024;

fn env(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| "s3cr3t-value".to_owned())
}

/// A character that the parser takes only as an escape, and that is written out as it is.
pub(crate) fn is_unwritable(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// False when what is written of it cannot be read again: numbers without an end, and characters as above.
fn is_plain(node: &Node) -> bool {
    match &node.value {
        Value::List(items) => items.iter().all(is_plain),
        Value::Map(entries) => {
            entries.iter().all(|(word, node)| !word.text.contains(is_unwritable) && is_plain(node))
        }
        Value::Text(text) => !text.contains(is_unwritable),
        Value::Number(number, _) => number.is_finite(),
        _ => true,
    }
}

fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let config = parse(None, &text, &env);
    // YAML ends lines at a carriage return too.
    let lines = u32::try_from(text.split(['\n', '\r']).count()).unwrap();
    for problem in &config.problems {
        assert!(problem.at.line <= lines, "line {} of {lines}", problem.at.line);
        assert!(!problem.what.is_empty());
        let is_for_secrets =
            ["auth", "credentials", "env", "headers"].iter().any(|part| problem.key.contains(part));
        assert!(!is_for_secrets || !problem.to_string().contains("s3cr3t-value"), "{problem}");
    }
    let read = match tree::parse(&text) {
        Err(error) => {
            assert!(config.is_fatal() && config.entries.is_empty() && config.toolsets.is_empty());
            assert!(error.at.line <= lines && !error.what.is_empty());
            return;
        }
        Ok(read) => read,
    };
    for entry in &config.entries {
        assert!((1..=lines).contains(&entry.line));
        let is_broken = matches!(entry.shape, super::entry::Shape::Broken(_));
        let says_so = |problem: &Problem| {
            problem.scope == Scope::Entry(entry.name.clone()) && problem.severity == Severity::Error
        };
        assert_eq!(is_broken, config.problems.iter().any(says_so), "{}", entry.name);
    }
    let shown = emit::json(&redact::redact(&read, &|_| "****".to_owned())).to_string();
    let secret = format!("\"client_secret\":\"{CANARY}\"");
    assert!(!shown.contains(&secret) && !shown.contains(&format!("\"password\":\"{CANARY}\"")), "{shown}");
    if matches!(read.value, Value::Map(_)) && is_plain(&read) {
        let written = emit::yaml(&read, 0);
        let again = tree::parse(&written).map_err(|error| error.what);
        assert_eq!(again.map(|again| emit::json(&again)), Ok(emit::json(&read)), "{written}");
    }
}

target!(
    /// Reading never fails: whatever is wrong is said, with a place in the file and without the value of a
    /// field for secrets, and a text that is not YAML at all never starts a hub. What is read can be written
    /// and read again.
    files,
    |input: &[u8]| {
        std::thread::scope(|scope| {
            let reader = std::thread::Builder::new().stack_size(STACK_BYTES);
            let checked = reader.spawn_scoped(scope, || check(input)).unwrap().join();
            checked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    },
    1000
);
