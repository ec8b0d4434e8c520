//! `tools`: the operations of an API.

use serde_json::value::to_raw_value;

use super::super::fields::{Fields, Reading, json};
use super::{ENCODINGS, Names, job, paging, parameters};
use crate::api::{Effect, Encoding, Form, Parameter, Part, Path, Place, Tool};
use crate::schema;
use crate::template::{Scope, Template};
use crate::yaml::{Node, Value};

const EFFECTS: &[(&str, Effect)] =
    &[("read", Effect::Read), ("write", Effect::Write), ("delete", Effect::Delete)];
/// What a tool's templates may hold.
const SCOPES: &[Scope] = &[Scope::Config, Scope::Input];
/// The most tools of one entry.
const TOOLS_MAX: usize = 500;
/// The most levels of a body.
const DEPTH_MAX: usize = 16;

pub(super) fn read(
    top: &mut Fields<'_>,
    names: &Names,
    encoding: Encoding,
    reading: &mut Reading,
) -> Vec<Tool> {
    let nodes = top.list("tools", reading);
    if nodes.is_empty() {
        reading.error(top.line("tools"), "tools", "missing", "an API has at least one");
    }
    if nodes.len() > TOOLS_MAX {
        reading.error(top.line("tools"), "tools", format!("are more than {TOOLS_MAX}"), "");
        return Vec::new();
    }
    let mut out: Vec<Tool> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let Some(tool) = one(node, names, encoding, reading) else { continue };
        if out.iter().any(|other| other.name == tool.name) {
            reading.error(node.at.line, "tools.name", format!("`{}` is there twice", tool.name), "");
        }
        out.push(tool);
    }
    out
}

fn one(node: &Node, names: &Names, usual: Encoding, reading: &mut Reading) -> Option<Tool> {
    let mut fields = Fields::open(node, "tools.", reading)?;
    let name = fields.required_text("name", 64, reading);
    if let Some(name) = &name
        && !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    {
        reading.error(fields.line("name"), "tools.name", "may have a-z, 0-9 and `_` only", "");
    }
    let title = fields.required_text("title", 256, reading);
    let description = fields.required_text("description", 4_096, reading);
    let graphql = fields.text("graphql", 64 * 1024, reading);
    let method = names.one(&mut fields, "method", SCOPES, reading);
    let method = match (method, &graphql) {
        (Some(method), _) => Some(method),
        (None, Some(_)) => Template::parse("POST").ok(),
        (None, None) => {
            reading.error(node.at.line, "tools.method", "missing", "GET, POST, PUT, PATCH or DELETE");
            None
        }
    };
    let word = method.as_ref().and_then(|method| method.fill(|_| Ok::<_, ()>(None)).ok().flatten());
    if let Some(word) = word.as_deref().filter(|word| !METHODS.contains(word)) {
        reading.unknown(fields.line("method"), "tools.method", word, METHODS);
    }
    let is_get = word.as_deref() == Some("GET");
    let effect = fields.choice("effect", EFFECTS, reading).unwrap_or(match word.as_deref() {
        Some("GET" | "HEAD") => Effect::Read,
        Some("DELETE") => Effect::Delete,
        _ => Effect::Write,
    });
    let is_idempotent = fields
        .flag("idempotent", reading)
        .unwrap_or(effect == Effect::Read || matches!(word.as_deref(), Some("PUT" | "DELETE")));
    let path = match names.one(&mut fields, "path", SCOPES, reading) {
        Some(path) => Some(path),
        None if graphql.is_some() => Template::parse("").ok(),
        None => {
            reading.error(node.at.line, "tools.path", "missing", "what goes behind `base_url`");
            None
        }
    };
    let headers = names.map(&mut fields, "headers", SCOPES, reading);
    let query = names.map(&mut fields, "query", SCOPES, reading);
    let body = fields.node("body").and_then(|node| part(node, "tools.body", names, 0, reading));
    let encoding = fields.choice("encoding", ENCODINGS, reading).unwrap_or(usual);
    let pagination = paging::read(&mut fields, reading);
    let job = job::read(&mut fields, reading);
    if job.is_some() && pagination.is_some() {
        reading.error(
            fields.line("job"),
            "tools.job",
            "cannot go with `pagination`",
            "a job's result is read whole",
        );
    }
    let usual_place = match (&graphql, is_get || effect == Effect::Read && word.as_deref() != Some("POST")) {
        (Some(_), _) => Place::Variable,
        (None, true) => Place::Query,
        (None, false) => Place::Body,
    };
    let members = fields.members("parameters", reading);
    let (list, properties) = parameters::read(members, usual_place, pagination.is_some(), reading);
    let scopes = fields.texts("scopes", reading).into_iter().map(|(_, scope)| scope).collect();
    let (from, output) = output(&mut fields, reading);
    fields.finish(reading);
    let input = parameters::input_schema(&list, properties, pagination.as_ref());
    if let Some(Err(what)) = (!reading.is_own).then(|| schema::compile(&input)) {
        reading.error(node.at.line, "tools.parameters", what, "");
    }
    let tool = Tool {
        name: name?,
        title: title?,
        description: description?,
        effect,
        is_idempotent,
        method: method?,
        path: path?,
        graphql,
        headers,
        query,
        body,
        encoding,
        parameters: list,
        scopes,
        pagination,
        job,
        from,
        output: output.as_ref().and_then(|output| to_raw_value(output).ok()),
        input: to_raw_value(&input).ok()?,
    };
    check_holes(node.at.line, &tool, reading);
    Some(tool)
}

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "QUERY"];

fn output(fields: &mut Fields<'_>, reading: &mut Reading) -> (Path, Option<serde_json::Value>) {
    let Some(mut output) = fields.map("output", "tools.output.", reading) else {
        return (Path::default(), None);
    };
    let from = Path::parse(&output.text("from", 256, reading).unwrap_or_default());
    let schema = output.node("schema").map(json);
    if let Some(Err(what)) = schema.as_ref().map(schema::compile) {
        reading.error(output.line("schema"), "tools.output.schema", what, "");
    }
    output.finish(reading);
    (from, schema)
}

/// Every hole has its argument, every argument of the path its hole.
fn check_holes(line: u32, tool: &Tool, reading: &mut Reading) {
    let known: Vec<&str> = tool.parameters.iter().map(|one| one.name.as_str()).collect();
    let mut templates: Vec<&Template> = vec![&tool.method, &tool.path];
    templates.extend(tool.headers.iter().chain(&tool.query).map(|(_, template)| template));
    if let Some(body) = &tool.body {
        body.templates(&mut templates);
    }
    let holes: Vec<&str> = templates
        .iter()
        .flat_map(|template| template.holes())
        .filter(|hole| hole.scope == Scope::Input)
        .map(|hole| hole.name.as_str())
        .collect();
    for hole in holes.iter().filter(|hole| !known.contains(hole)) {
        reading.unknown(line, &format!("tools.{}", tool.name), hole, &known);
    }
    for one in &tool.parameters {
        let key = format!("tools.{}.parameters.{}", tool.name, one.name);
        match one.place {
            Place::Path if !holds(&tool.path, one) => {
                reading.error(
                    line,
                    &key,
                    format!("goes into the path, which has no `{{input.{}}}`", one.name),
                    "",
                );
            }
            Place::Template if !holes.contains(&one.name.as_str()) && !is_of_window(tool, one) => {
                reading.error(line, &key, "is used by no template: it would do nothing", "");
            }
            Place::Variable if tool.graphql.is_none() => {
                reading.error(line, &key, "is a variable of a GraphQL document, and there is none", "");
            }
            _ => {}
        }
    }
    let holes = tool.path.holes().filter(|hole| hole.scope == Scope::Input);
    for hole in
        holes.filter(|hole| tool.parameters.iter().any(|one| one.name == hole.name && !one.is_required))
    {
        let key = format!("tools.{}.parameters.{}", tool.name, hole.name);
        reading.error(line, &key, "stands in the path and is not required", "");
    }
}

fn is_of_window(tool: &Tool, parameter: &Parameter) -> bool {
    tool.pagination.as_ref().is_some_and(|paging| match &paging.form {
        Form::Window { since, until, .. } => [since, until].contains(&&parameter.name),
        _ => false,
    })
}

fn holds(path: &Template, parameter: &Parameter) -> bool {
    path.holes().any(|hole| hole.scope == Scope::Input && hole.name == parameter.name)
}

fn part(node: &Node, key: &str, names: &Names, depth: usize, reading: &mut Reading) -> Option<Part> {
    if depth > DEPTH_MAX {
        reading.error(node.at.line, key, format!("has more than {DEPTH_MAX} levels"), "");
        return None;
    }
    match &node.value {
        Value::Text(_) => names.template(node, key, SCOPES, reading).map(|template| {
            if template.holes().next().is_none() {
                let text = template.fill(|_| Ok::<_, ()>(None)).ok().flatten().unwrap_or_default();
                return Part::Fixed(text.into());
            }
            Part::Template(template)
        }),
        Value::List(items) => {
            let items = items.iter().filter_map(|item| part(item, key, names, depth + 1, reading));
            Some(Part::List(items.collect()))
        }
        Value::Map(members) => {
            let mut out = Vec::with_capacity(members.len());
            for (word, node) in members {
                let key = format!("{key}.{}", word.text);
                out.extend(part(node, &key, names, depth + 1, reading).map(|part| (word.text.clone(), part)));
            }
            Some(Part::Map(out))
        }
        _ => Some(Part::Fixed(json(node))),
    }
}

// === impl Part ===

impl Part {
    fn templates<'p>(&'p self, out: &mut Vec<&'p Template>) {
        match self {
            Self::Fixed(_) => {}
            Self::Template(template) => out.push(template),
            Self::List(items) => items.iter().for_each(|item| item.templates(out)),
            Self::Map(members) => members.iter().for_each(|(_, item)| item.templates(out)),
        }
    }
}
