//! A foreign document: JSON or YAML, and its references to its own parts. Nothing outside of it is looked at.

use serde_json::Value;

use super::report::Report;
use super::{Refused, TEXT_BYTES_MAX, refused};
use crate::{read, yaml};

/// How many references are followed one after another.
const REFERENCES_MAX: usize = 16;

/// A document whose references can be followed.
#[derive(Debug)]
pub(super) struct Document {
    /// All of it.
    pub(super) root: Value,
}

/// Reads JSON where the text begins as such, else YAML.
pub(super) fn parse(text: &str) -> Result<Value, Refused> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > TEXT_BYTES_MAX {
        return refused(format!("has {} bytes, at most {TEXT_BYTES_MAX} are read", text.len()));
    }
    if text.trim_start().starts_with(['{', '[']) {
        return serde_json::from_str(text).or_else(|error| refused(format!("is no JSON: {error}")));
    }
    match yaml::parse(text) {
        Ok(tree) => Ok(read::json(&tree)),
        Err(error) if text.len() > yaml::FILE_BYTES_MAX => {
            refused(format!("{}; of JSON, {TEXT_BYTES_MAX}", error.what))
        }
        Err(error) => refused(format!("is no YAML: line {}: {}", error.at.line, error.what)),
    }
}

// === impl Document ===

impl Document {
    /// What stands behind a value: itself, or the part of the document that its `$ref` names.
    pub(super) fn resolve<'d>(
        &'d self,
        value: &'d Value,
        place: &str,
        report: &mut Report,
    ) -> Option<&'d Value> {
        let mut at = value;
        for _ in 0..REFERENCES_MAX {
            let Some(reference) = at.get("$ref").and_then(Value::as_str) else { return Some(at) };
            match self.find(reference) {
                Ok(found) => at = found,
                Err(why) => {
                    report.add(place, format!("{why}; it is left out"));
                    return None;
                }
            }
        }
        report.add(place, "refers to a reference that refers on and on; it is left out");
        None
    }

    /// The part of this document that a reference names.
    pub(super) fn find(&self, reference: &str) -> Result<&Value, String> {
        let shown: String = reference.chars().take(120).collect();
        let Some(pointer) = reference.strip_prefix('#') else {
            return Err(format!("refers to `{shown}` outside of the document, which is never fetched"));
        };
        let pointer = percent_decoded(pointer);
        self.root.pointer(&pointer).ok_or_else(|| format!("refers to `{shown}`, which is not there"))
    }
}

/// A fragment as the text that it stands for.
fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
