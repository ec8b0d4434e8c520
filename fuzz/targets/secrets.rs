//! `${...}` in configuration texts: references are replaced, literals stay, and nothing is half done.

use credential::{ReferenceError, has_reference, resolve_reference};
use fuzz::target;

fn env(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("s3cr3t".to_owned()),
        // A value that looks like a reference is not read a second time.
        "NESTED" => Some("${TOKEN}".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// One character at a time. `None` where it is an error.
fn by_definition(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("$${") {
            // A dollar before these three is one of its own: `$$${` is `$` and a literal `${`.
            out.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let end = after.find('}')?;
            out.push_str(&one(&after[..end])?);
            rest = &after[end + 1..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    Some(out)
}

fn one(inner: &str) -> Option<String> {
    let (name, default) = match inner.find(":-") {
        Some(at) => (&inner[..at], Some(&inner[at + 2..])),
        None => (inner, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name || default.is_some_and(|default| default.contains("${")) {
        return None;
    }
    env(name).filter(|value| !value.is_empty()).or_else(|| default.map(str::to_owned))
}

target!(
    /// Texts resolve as defined, and no error tells a value.
    references,
    |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        // Files are read for real: only one that is not there is tried.
        if text.replace("${file:/nowhere}", "").contains("file:/") {
            return;
        }
        let resolved = resolve_reference(&text, &env);
        match (&resolved, by_definition(&text)) {
            (Ok(secret), wanted) => assert_eq!(Some(secret.expose()), wanted.as_deref()),
            (Err(_), None) => {}
            (Err(error), Some(wanted)) => panic!("{error} instead of {wanted:?}"),
        }
        if let Err(error) = &resolved {
            let fault = error.fault();
            let told = format!("{fault} {} {error:?}", fault.hint);
            assert!(!told.contains("s3cr3t") || text.contains("s3cr3t"), "{told}");
            assert!(!matches!(error, ReferenceError::Unset { name } if name.is_empty()));
        }
        if !has_reference(&text) {
            assert_eq!(resolved.unwrap().expose(), text.replace("$${", "${"));
        }
    }
);
