//! OpenAPI 3.0 and 3.1 documents as entries of HTTP APIs.
//!
//! `info` and `servers` are the head, security schemes the ways to prove oneself, operations the tools. What
//! has no place in our grammar is left out and reported; an operation that cannot be called without it is left
//! out as a whole. Nothing outside of the document is looked at.

mod argument;
mod body;
mod errors;
mod merge;
mod operation;
mod paging;
mod parameters;
mod schema;
mod security;
mod servers;
mod tool;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::document::{Document, parse};
use super::names::{Taken, cut, line};
use super::report::Report;
use super::write::Tree;
use super::{Imported, Options, Refused, checked, is_link, refused, slug_of, text};
use crate::entry::API_CONNECTION_KEYS;
use operation::Operation;
use tool::Tool;

/// How many operations become tools where nobody picks.
const TOOLS_USUAL: usize = 100;
/// How many can be picked.
const TOOLS_MAX: usize = 500;
/// How much of a manifest its tools may be, in bytes.
const TOOLS_BYTES_MAX: usize = 440 * 1024;
/// Where the format itself is described: the source of last resort.
const FORMAT: &str = "https://spec.openapis.org/oas/latest.html";

/// A document that is being read.
pub(super) struct Reading<'d> {
    document: &'d Document,
    report: Report,
    /// Settings that users fill in.
    settings: Map<String, Value>,
    /// Those of them that nothing works without.
    required: Vec<String>,
    taken: Taken,
}

/// Makes an entry of an OpenAPI document, JSON or YAML.
///
/// # Errors
/// When it is none, or has no operation that can be called.
pub fn openapi(document: &str, options: &Options) -> Result<Imported, Refused> {
    let document = Document { root: parse(document)? };
    let root = &document.root;
    match text(root, "openapi").as_deref() {
        Some(version) if version.starts_with("3.0") || version.starts_with("3.1") => {}
        Some(version) => {
            return refused(format!("is OpenAPI {}; 3.0 and 3.1 are read", line(cut(version, 40))));
        }
        None if root.get("swagger").is_some() => {
            return refused("is OpenAPI 2 (Swagger); convert it to 3.0 or 3.1 first");
        }
        None => return refused("is no OpenAPI document: it has no `openapi`"),
    }
    let mut reading = Reading {
        document: &document,
        report: Report::default(),
        settings: Map::new(),
        required: Vec::new(),
        taken: Taken::default(),
    };
    // Settings with these names would be the hub's own.
    API_CONNECTION_KEYS.iter().for_each(|key| reading.taken.take(key));
    let base = servers::base(&mut reading);
    let operations = operation::picked(options, &base, &mut reading)?;
    let tools = tools(&operations, &mut reading);
    if tools.is_empty() {
        return refused(told("has no operation that could become a tool", reading.report));
    }
    let test = test(&tools, &mut reading)?;
    let auth = security::auth(&operations, &base, &mut reading);
    let errors = errors::errors(&operations, &mut reading);
    let unread = [("webhooks", "webhooks are not taken over"), ("x-webhooks", "webhooks are not taken over")];
    for (key, what) in unread.iter().filter(|(key, _)| root.get(key).is_some()) {
        reading.report.add(key, what);
    }
    head(options, &base, tools, test, auth, errors, reading)
}

/// Why nothing was made, with the first of what did not map.
fn told(what: &str, report: Report) -> String {
    let notes = report.into_notes();
    let first: Vec<String> =
        notes.iter().take(5).map(|note| format!("{}: {}", note.place, note.what)).collect();
    if first.is_empty() { what.to_owned() } else { format!("{what}; {}", first.join("; ")) }
}

/// The tools, as many as a manifest may hold.
fn tools<'d>(operations: &[Operation<'d>], reading: &mut Reading<'d>) -> Vec<Tool> {
    let (mut names, mut out, mut size) = (Taken::default(), Vec::new(), 0);
    let mut too_many = Vec::new();
    for operation in operations {
        let made = match tool::tool(operation, &mut names, reading) {
            Ok(made) => made,
            Err(why) => {
                reading.report.add(&operation.place, format!("is left out: {why}"));
                continue;
            }
        };
        size += made.tree.yaml().len();
        if size > TOOLS_BYTES_MAX {
            size -= made.tree.yaml().len();
            too_many.push(operation.label.as_str());
        } else {
            out.push(made);
        }
    }
    if !too_many.is_empty() {
        let what = format!(
            "the manifest would be too large; pick fewer operations. Left out: {}",
            too_many.join(", ")
        );
        reading.report.add("paths", what);
    }
    out
}

/// The call that shows that a connection works: the first one that only reads and needs nothing.
fn test(tools: &[Tool], reading: &mut Reading<'_>) -> Result<Tree, Refused> {
    let call = |tool: &Tool, arguments: Option<Value>| {
        let mut members = vec![("kind", Tree::text("call")), ("tool", Tree::text(&tool.name))];
        members.extend(arguments.map(|arguments| ("arguments", Tree::Value(arguments))));
        Tree::map(members).line()
    };
    let reads = || tools.iter().filter(|tool| tool.is_read);
    if let Some(tool) = reads().find(|tool| tool.required.is_empty()) {
        return Ok(call(tool, None));
    }
    let with_examples = |tool: &&Tool| tool.required.iter().all(|name| tool.examples.contains_key(name));
    let Some(tool) = reads().find(with_examples).or_else(|| reads().next()) else {
        return refused(
            "none of its operations only reads (GET), and an entry needs one for its test; pick one more, or describe the API by hand",
        );
    };
    let known: BTreeMap<&String, &Value> =
        tool.required.iter().filter_map(|name| tool.examples.get_key_value(name)).collect();
    let what = if known.len() == tool.required.len() {
        format!(
            "`{}` is called with the examples of the document; say others where those do not exist",
            tool.name
        )
    } else {
        format!(
            "every operation that only reads needs arguments: say in `test.arguments` what `{}` is called with",
            tool.name
        )
    };
    reading.report.add("test", what);
    Ok(call(tool, Some(json!(known))))
}

/// The whole manifest.
fn head(
    options: &Options,
    base: &servers::Base,
    tools: Vec<Tool>,
    test: Tree,
    auth: Tree,
    errors: Option<Tree>,
    mut reading: Reading<'_>,
) -> Result<Imported, Refused> {
    let root = &reading.document.root;
    let info = root.get("info").unwrap_or(&Value::Null);
    let title = text(info, "title").map(|title| line(&title)).filter(|title| !title.is_empty());
    let slug = slug_of(options, &[title.as_deref().unwrap_or_default(), &base.shown])?;
    let title = title.unwrap_or_else(|| slug.clone());
    let words = text(info, "description").or_else(|| text(info, "summary"));
    let words = words.map_or_else(
        || format!("{title}, as its OpenAPI document describes it."),
        |words| words.trim().to_owned(),
    );
    if words.len() > 4_000 {
        reading.report.add("info.description", "is longer than 4000 bytes; its beginning is kept");
    }
    let version =
        text(info, "version").map(|version| line(cut(&version, 64))).filter(|version| !version.is_empty());
    let docs = root.get("externalDocs").and_then(|docs| text(docs, "url")).filter(|url| is_link(url));
    let links = ["contact", "license"].iter().filter_map(|key| info.get(key)?.get("url")?.as_str());
    let mut sources: Vec<String> = docs
        .iter()
        .map(|docs| docs.to_string())
        .chain(links.filter(|url| is_link(url)).map(str::to_owned))
        .collect();
    if sources.is_empty() {
        reading.report.add("sources", "the document names no https:// link; say where you have it from");
        sources.push(FORMAT.to_owned());
    }
    let mut schema =
        vec![("type", Tree::text("object")), ("additionalProperties", Tree::Value(json!(false)))];
    if !reading.required.is_empty() {
        schema.push(("required", Tree::texts(reading.required.clone())));
    }
    let settings = reading.settings.into_iter().chain(servers::hubs(base));
    let settings = settings.map(|(name, value)| (name, Tree::Value(value).line()));
    schema.push(("properties", Tree::Map(settings.collect())));
    let mut api = vec![("base_url", Tree::text(&base.template))];
    api.extend(errors.map(|errors| ("errors", errors)));
    let mut top = vec![
        ("slug", Tree::text(&slug)),
        ("name", Tree::text(cut(&title, 250))),
        ("type", Tree::text("custom")),
        ("category", Tree::text("other")),
        ("description", Tree::text(cut(&words, 4_000))),
    ];
    top.extend(docs.map(|docs| ("docs_url", Tree::text(docs))));
    top.extend([
        ("version", Tree::text(version.unwrap_or_else(|| "1.0.0".to_owned()))),
        ("sources", Tree::List(sources.into_iter().map(Tree::text).collect())),
        ("config_schema", Tree::map(schema)),
        ("api", Tree::map(api)),
        ("auth", auth),
        ("test", test),
        ("tools", Tree::List(tools.into_iter().map(|tool| tool.tree).collect())),
    ]);
    checked(slug, Tree::map(top).yaml(), reading.report)
}
