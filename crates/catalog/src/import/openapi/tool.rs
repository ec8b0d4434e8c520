//! One operation as a tool.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::document::Document;
use super::super::names::{Taken, argument, cut, line, snake, spoken};
use super::super::write::Tree;
use super::super::{items, members, text};
use super::argument::Argument;
use super::operation::Operation;
use super::{Reading, body, paging, parameters, security};
use crate::Entry;

/// The longest name of a tool.
const NAME_MAX: usize = 64;
/// The longest name of an argument.
const ARGUMENT_MAX: usize = 64;

/// A tool of the manifest.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    /// It only reads.
    pub(super) is_read: bool,
    /// What it is not called without.
    pub(super) required: Vec<String>,
    /// Values of arguments that the document shows.
    pub(super) examples: BTreeMap<String, Value>,
    pub(super) tree: Tree,
}

/// Makes the tool, and reads it as the hub would.
pub(super) fn tool<'d>(
    operation: &Operation<'d>,
    names: &mut Taken,
    reading: &mut Reading<'d>,
) -> Result<Tool, String> {
    let shown = examples(operation, reading.document);
    let mut arguments = parameters::arguments(operation, reading)?;
    let body = body::body(operation, reading)?;
    let paging = paging::pagination(operation, &mut arguments, reading);
    arguments.extend(body.arguments);
    let holes = rename(&mut arguments, paging.is_some());
    let path = path(operation, &holes, &mut arguments, reading)?;
    let usual = if matches!(operation.method.as_str(), "GET" | "HEAD") { "query" } else { "body" };
    let required: Vec<String> = arguments
        .iter()
        .filter(|one| one.is_required || one.place == "path")
        .map(|one| one.name.clone())
        .collect();
    let examples = arguments
        .iter()
        .filter_map(|one| {
            Some((one.name.clone(), shown.get(&(one.place.to_owned(), one.wire.clone()))?.clone()))
        })
        .collect();

    let base = operation.id.as_deref().and_then(snake);
    let by_path =
        || snake(&format!("{} {}", operation.method, operation.path)).unwrap_or_else(|| "call".to_owned());
    let wanted = base.unwrap_or_else(by_path);
    let name = names.free(&wanted, NAME_MAX);
    if operation.id.is_some() && name != cut(&wanted, NAME_MAX) {
        reading
            .report
            .add(&operation.place, format!("its operationId is there twice; it is called `{name}`"));
    }
    if operation.own.get("callbacks").is_some() {
        reading.report.add(&operation.place, "its `callbacks` are not taken over");
    }
    let (title, description) = words(operation, &wanted, reading);
    let mut tree = vec![
        ("name", Tree::text(&name)),
        ("title", Tree::text(title)),
        ("description", Tree::text(description)),
        ("method", Tree::text(&operation.method)),
        ("path", Tree::text(path)),
    ];
    if body.is_form {
        tree.push(("encoding", Tree::text("form")));
    }
    if !arguments.is_empty() {
        let all = arguments.into_iter().map(|one| {
            let place = format!("{} {}", operation.place, one.name);
            one.tree(usual, &place, &mut reading.report)
        });
        tree.push(("parameters", Tree::Map(all.collect())));
    }
    tree.extend(paging.map(|paging| ("pagination", paging.line())));
    let scopes = security::scopes(operation, reading);
    if !scopes.is_empty() {
        tree.push(("scopes", Tree::texts(scopes)));
    }
    let tree = Tree::map(tree);
    proved(&tree, &name)?;
    Ok(Tool { name, is_read: usual == "query", required, examples, tree })
}

/// What is wrong with a tool, by the grammar itself.
fn proved(tool: &Tree, name: &str) -> Result<(), String> {
    let text = |text: &str| Tree::text(text);
    let manifest = Tree::map(vec![
        ("slug", text("a")),
        ("name", text("a")),
        ("type", text("custom")),
        ("category", text("other")),
        ("description", text("a")),
        ("version", text("1")),
        ("sources", Tree::texts(["https://a.example"])),
        ("config_schema", Tree::map(vec![("type", text("object"))])),
        ("api", Tree::map(vec![("base_url", text("https://a.example"))])),
        ("auth", Tree::List(vec![Tree::map(vec![("type", text("none"))])])),
        ("test", Tree::map(vec![("kind", text("call")), ("tool", text(name))])),
        ("tools", Tree::List(vec![tool.clone()])),
    ]);
    let Err(problems) = Entry::read("a", "", &manifest.yaml(), "<svg/>") else { return Ok(()) };
    // That it changes something is a problem of the test alone.
    let first = problems.0.into_iter().find(|problem| problem.key != "test.tool");
    first.map_or(Ok(()), |problem| Err(format!("{}: {}", problem.key, problem.what)))
}

/// Title and description, for people and models.
fn words(operation: &Operation<'_>, name: &str, reading: &mut Reading<'_>) -> (String, String) {
    let summary =
        text(operation.own, "summary").or_else(|| text(operation.item, "summary")).map(|text| line(&text));
    let title = summary.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| spoken(name));
    let long = text(operation.own, "description").or_else(|| text(operation.item, "description"));
    let mut words = long.map_or_else(|| title.clone(), |long| long.trim().to_owned());
    if operation.own.get("deprecated") == Some(&json!(true)) {
        words = format!("Deprecated. {words}");
    }
    if words.len() > 3_000 {
        reading
            .report
            .add(&operation.place, "its description is longer than 3000 bytes; its beginning is kept");
        words = format!("{}…", cut(&words, 3_000));
    }
    (cut(&title, 200).to_owned(), words.replace('\0', ""))
}

/// Gives each argument a name of its own. Answers the names of those of the path by what the API calls them.
fn rename(arguments: &mut [Argument], is_paged: bool) -> Map<String, Value> {
    let mut taken = Taken::default();
    if is_paged {
        ["cursor", "max_items"].iter().for_each(|name| taken.take(name));
    }
    let mut holes = Map::new();
    for one in arguments {
        one.name = taken.free(&one.name, ARGUMENT_MAX);
        if one.place == "path" {
            holes.insert(one.wire.clone(), json!(one.name));
            // Its place is the hole; a name on the wire it has none.
            one.wire.clone_from(&one.name);
        }
    }
    holes
}

/// The path as a template. Arguments that have no hole are left out, holes without an argument get one.
fn path(
    operation: &Operation<'_>,
    holes: &Map<String, Value>,
    arguments: &mut Vec<Argument>,
    reading: &mut Reading<'_>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = operation.path;
    if !rest.starts_with('/') {
        reading.report.add(&operation.place, "its path has no `/` at its beginning; it gets one");
        out.push('/');
    }
    if rest.len() > 2_000 {
        return Err("its path is longer than 2000 bytes".to_owned());
    }
    let mut used = Vec::new();
    while let Some((before, after)) = rest.split_once('{') {
        literal(before, &mut out)?;
        let (wire, after) = after.split_once('}').ok_or("its path has a brace that is not closed")?;
        rest = after;
        let name = match holes.get(wire).and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => {
                let known = |name: &str| arguments.iter().any(|one| one.name == name);
                let name = argument(cut(wire, 60));
                if known(&name) && !used.contains(&name) {
                    return Err(format!(
                        "`{}` stands in its path, and no parameter of the path has that name",
                        line(wire)
                    ));
                }
                if !known(&name) {
                    reading.report.add(
                        &operation.place,
                        format!("`{}` stands in its path without a parameter; it takes a text", line(wire)),
                    );
                    let schema = Map::from_iter([("type".to_owned(), json!("string"))]);
                    let mut made =
                        Argument::new(&name, "path", schema).ok_or("its path has a part without a name")?;
                    made.is_required = true;
                    arguments.push(made);
                }
                name
            }
        };
        out.push_str(&format!("{{input.{name}}}"));
        used.push(name);
    }
    literal(rest, &mut out)?;
    arguments.retain(|one| one.place != "path" || used.contains(&one.name));
    Ok(out)
}

/// The fixed part of a path: what no URL holds is percent-encoded.
fn literal(text: &str, out: &mut String) -> Result<(), String> {
    if text.contains('}') {
        return Err("its path has a brace that is not opened".to_owned());
    }
    if text.contains('#') {
        return Err("its path has a `#`, behind which nothing is sent".to_owned());
    }
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`|".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(())
}

/// The values that parameters show, by place and name.
fn examples(operation: &Operation<'_>, document: &Document) -> BTreeMap<(String, String), Value> {
    let mut out = BTreeMap::new();
    let mut silent = super::super::report::Report::default();
    for raw in items(operation.item, "parameters").iter().chain(items(operation.own, "parameters")) {
        let Some(raw) = document.resolve(raw, "", &mut silent) else { continue };
        let schema = raw.get("schema").and_then(|schema| document.resolve(schema, "", &mut silent));
        let first = members(raw, "examples").find_map(|(_, one)| one.get("value"));
        let of_schema = |schema: &Value| {
            let first = |key: &str| items(schema, key).first().cloned();
            schema
                .get("example")
                .cloned()
                .or_else(|| first("examples"))
                .or_else(|| schema.get("default").cloned())
                .or_else(|| first("enum"))
        };
        let found =
            raw.get("example").cloned().or_else(|| first.cloned()).or_else(|| schema.and_then(of_schema));
        if let (Some(found), Some(place), Some(name)) = (found, text(raw, "in"), text(raw, "name")) {
            let name = if place == "path" { argument(cut(&name, 64)) } else { name.into_owned() };
            out.insert((place.into_owned(), name), found);
        }
    }
    out
}
