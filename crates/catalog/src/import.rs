//! Importers: what somebody else has described, as a manifest of our grammar and a report of what did not map.
//!
//! Functions of texts: nothing is fetched, unpacked or run, and a document that is too large, too deep or goes
//! round in circles costs no more than its limits allow. What comes out is read by [`crate::Entry::read`]
//! before it is handed over. Start reading at [`read`].

mod document;
mod inputs;
mod launch;
mod mcpb;
mod names;
mod openapi;
mod report;
mod server_json;
mod template;
mod write;

use std::fmt;

use serde_json::Value;

use crate::Entry;

pub use mcpb::mcpb;
pub use openapi::openapi;
pub use report::Note;
pub use server_json::server_json;
pub use template::{About, is_template, template};

/// A plain picture for entries that bring none of their own.
pub const NEUTRAL_ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 24 24\">\
<rect x=\"2\" y=\"2\" width=\"20\" height=\"20\" rx=\"5\" fill=\"#64748b\"/>\
<path d=\"M8 12h8M12 8v8\" stroke=\"#ffffff\" stroke-width=\"2\" stroke-linecap=\"round\"/></svg>\n";

/// The largest text that is read, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest bundle that is looked into, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How every zip file begins that has something in it.
const ZIP: &[u8] = b"PK\x03\x04";

/// What whoever imports says beside the document.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What the entry is to be called; made of the document's own name where it is `None`.
    pub slug: Option<String>,
    /// Which operations of an API: operationIds, or `METHOD /path`. All of them when empty, up to a limit.
    pub operations: Vec<String>,
}

/// An entry that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What it is called, and its folder.
    pub slug: String,
    /// Its manifest, YAML.
    pub manifest: String,
    /// What did not map, or only nearly, and where it stands in the document.
    pub report: Vec<Note>,
}

/// Why nothing could be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OpenAPI 3.0 or 3.1.
    OpenApi,
    /// `server.json` of the MCP registry.
    ServerJson,
    /// An MCP bundle, or the `manifest.json` of one.
    Mcpb,
}

/// Tells by its content what a document is.
///
/// # Errors
/// When it is none of those that can be imported.
pub fn kind(bytes: &[u8]) -> Result<Kind, Refused> {
    if bytes.starts_with(ZIP) {
        return Ok(Kind::Mcpb);
    }
    let root = document::parse(text_of(bytes)?)?;
    let has = |name: &str| root.get(name).is_some();
    if has("openapi") || has("swagger") {
        return Ok(Kind::OpenApi);
    }
    if has("manifest_version") || has("dxt_version") {
        return Ok(Kind::Mcpb);
    }
    let server = root.get("server").filter(|server| server.is_object()).unwrap_or(&root);
    if server.get("name").is_some() && ["packages", "remotes"].iter().any(|key| server.get(key).is_some()) {
        return Ok(Kind::ServerJson);
    }
    if has("mcpServers") {
        return refused("is the settings file of a client: `trunkline import` takes it over");
    }
    refused("is no OpenAPI document, no server.json of the MCP registry and no MCP bundle")
}

/// Makes an entry of whatever the document is.
///
/// # Errors
/// When nothing can be made of it.
pub fn read(bytes: &[u8], options: &Options) -> Result<Imported, Refused> {
    match kind(bytes)? {
        Kind::OpenApi => openapi(text_of(bytes)?, options),
        Kind::ServerJson => server_json(text_of(bytes)?, options),
        Kind::Mcpb => mcpb(bytes, options),
    }
}

fn text_of(bytes: &[u8]) -> Result<&str, Refused> {
    if bytes.len() > TEXT_BYTES_MAX {
        return refused(format!("has {} bytes, at most {TEXT_BYTES_MAX} are read", bytes.len()));
    }
    std::str::from_utf8(bytes).or_else(|_| refused("is no text in UTF-8"))
}

fn refused<T>(what: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(what.into()))
}

/// The slug that was asked for, or one made of the first of `names` that has something to make it of.
fn slug_of(options: &Options, names: &[&str]) -> Result<String, Refused> {
    let Some(said) = &options.slug else {
        let made = names.iter().find_map(|name| names::slug(name));
        return Ok(made.unwrap_or_else(|| "imported".to_owned()));
    };
    let is_fit = (1..=64).contains(&said.len())
        && said.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if is_fit { Ok(said.clone()) } else { refused("the slug may have a-z, 0-9 and `-` only, at most 64") }
}

/// The last look: what the hub would say about the manifest.
fn checked(slug: String, manifest: String, report: report::Report) -> Result<Imported, Refused> {
    match Entry::read(&slug, crate::MANIFEST, &manifest, NEUTRAL_ICON) {
        Ok(_) => Ok(Imported { slug, manifest, report: report.into_notes() }),
        Err(problems) => refused(format!("no entry can be made of it: {problems}")),
    }
}

/// A text member; numbers as they are written, because YAML reads `version: 1.0` as one.
fn text<'v>(value: &'v Value, key: &str) -> Option<std::borrow::Cow<'v, str>> {
    let text: std::borrow::Cow<'v, str> = match value.get(key)? {
        Value::String(text) => text.trim().into(),
        Value::Number(number) => number.to_string().into(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// The members of a map; none where it is absent or no map.
fn members<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// The elements of a list; none where it is absent or no list.
fn items<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_link(text: &str) -> bool {
    text.starts_with("https://")
        && text.len() <= 4_096
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests;
