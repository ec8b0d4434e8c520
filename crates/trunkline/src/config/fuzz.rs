//! Fuzz target of the configuration file: any text at all.

use ::fuzz::target;

use super::entry::{Later, Shape};
use super::problem::{Problem, Scope, Severity};
use super::tree::{Node, Value};
use super::{Config, emit, parse, redact, tree};

/// Written where secrets stand in the seeds.
const CANARY: &str = "hunter2-canary";

/// Reading goes down the stack once per level: this is the stack that the hub itself begins with, where that of
/// a test is too small for an unoptimised build.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// What the references stand for. The number is a large one with a fraction, so most settings refuse it, and no
/// place in a file looks like it.
const VALUES: [(&str, &str); 2] = [("TOKEN", "s3cr3t-value"), ("NUMBER", "98765432.125")];
/// The beginnings of the values, by which they are found also where only a part of them is told.
const MARKS: [&str; 2] = ["s3cr3t", "98765432"];

fn env(name: &str) -> Option<String> {
    VALUES.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

/// False when what is written of it cannot be read again: numbers without an end.
fn is_plain(node: &Node) -> bool {
    match &node.value {
        Value::List(items) => items.iter().all(is_plain),
        Value::Map(entries) => entries.iter().all(|(_, node)| is_plain(node)),
        Value::Number(number, _) => number.is_finite(),
        _ => true,
    }
}

/// True when the file itself says `mark`: then a problem may repeat it.
fn says(node: &Node, mark: &str) -> bool {
    match &node.value {
        Value::List(items) => items.iter().any(|item| says(item, mark)),
        Value::Map(entries) => entries.iter().any(|(word, node)| has(&word.text, mark) || says(node, mark)),
        value => value.as_text().is_some_and(|text| has(text, mark)),
    }
}

fn has(text: &str, mark: &str) -> bool {
    text.to_lowercase().contains(mark)
}

/// No value of a reference is told, in whatever setting it stands.
fn told_no_value(config: &Config, read: &Node) {
    for mark in MARKS.into_iter().filter(|mark| !says(read, mark)) {
        for problem in &config.problems {
            assert!(!has(&problem.to_string(), mark) && !has(&problem.json().to_string(), mark), "{problem}");
        }
        for entry in &config.entries {
            let (Shape::Broken(reason) | Shape::Later(Later { reason })) = &entry.shape else { continue };
            assert!(!has(reason, mark), "{reason}");
        }
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
    }
    let read = match tree::parse(&text) {
        Err(error) => {
            assert!(config.is_fatal() && config.entries.is_empty() && config.toolsets.is_empty());
            assert!(error.at.line <= lines && !error.what.is_empty());
            return;
        }
        Ok(read) => read,
    };
    told_no_value(&config, &read);
    for entry in &config.entries {
        assert!((1..=lines).contains(&entry.line));
        let is_broken = matches!(entry.shape, Shape::Broken(_));
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
    /// Reading never fails: whatever is wrong is said, with a place in the file and without the value of any
    /// reference, and a text that is not YAML at all never starts a hub. What is read can be written
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
