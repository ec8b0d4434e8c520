//! `fixtures/*.yaml`: recorded exchanges.

use serde_json::{Map, Value as Json};

use super::fields::{Fields, Reading, json};
use crate::Entry;
use crate::fixture::{Exchange, Expect, Fixture};
use crate::problem::Problems;
use crate::yaml::{self, Node, Value};

impl Entry {
    /// Its recorded exchanges.
    ///
    /// # Errors
    /// Every mistake of the first file that has some, with its line.
    pub fn fixtures(&self) -> Result<Vec<Fixture>, Problems> {
        let mut out = Vec::new();
        for (file, text) in &self.fixture_files {
            self.read_fixtures(file, text, &mut out)?;
        }
        Ok(out)
    }

    fn read_fixtures(&self, file: &str, text: &str, out: &mut Vec<Fixture>) -> Result<(), Problems> {
        let mut reading = Reading::new(file);
        match yaml::parse(text) {
            Err(error) => reading.error(error.at.line, "", error.what, ""),
            Ok(Node { value: Value::List(items), .. }) => {
                for item in &items {
                    let Some(fixture) = read(item, file, &mut reading) else { continue };
                    if self.api.as_ref().is_none_or(|api| api.tool(&fixture.tool).is_none()) {
                        reading.error(
                            item.at.line,
                            "tool",
                            format!("there is no tool `{}`", fixture.tool),
                            "",
                        );
                    }
                    out.push(fixture);
                }
            }
            Ok(node) => reading.error(node.at.line, "", "expected a list of calls", ""),
        }
        if reading.problems.is_empty() { Ok(()) } else { Err(Problems(reading.problems)) }
    }

    /// The names of its tools that none of `fixtures` shows.
    #[must_use]
    pub fn unproved(&self, fixtures: &[Fixture]) -> Vec<&str> {
        let tools = self.api.iter().flat_map(|api| &api.tools).map(|tool| tool.name.as_str());
        tools.filter(|name| !fixtures.iter().any(|one| one.tool == *name)).collect()
    }
}

fn read(node: &Node, file: &str, reading: &mut Reading) -> Option<Fixture> {
    let mut fields = Fields::open(node, "", reading)?;
    let name = fields.required_text("name", 256, reading);
    let tool = fields.required_text("tool", 64, reading);
    let arguments = fields.node("arguments").map_or_else(|| Json::Object(Map::new()), json);
    let config = match fields.node("config").map(json) {
        Some(Json::Object(members)) => members,
        _ => Map::new(),
    };
    let mut exchanges = Vec::new();
    for node in fields.list("exchanges", reading) {
        exchanges.extend(exchange(node, reading));
    }
    if fields.node("exchanges").is_none() {
        reading.error(
            fields.at,
            "exchanges",
            "missing",
            "requests with their responses; `[]` where none is sent",
        );
    }
    let result = fields.node("result").map(json);
    let error = fields.text("error", 4_096, reading);
    let expect = match (result, error) {
        (Some(result), None) => Some(Expect::Result(result)),
        (None, Some(error)) => Some(Expect::Error(error)),
        _ => {
            reading.error(fields.at, "result", "either `result` or `error` says what the caller gets", "");
            None
        }
    };
    fields.finish(reading);
    let place = format!("{file}:{}", node.at.line);
    Some(Fixture { place, name: name?, tool: tool?, arguments, config, exchanges, expect: expect? })
}

fn exchange(node: &Node, reading: &mut Reading) -> Option<Exchange> {
    let mut fields = Fields::open(node, "exchanges.", reading)?;
    let mut request = fields.map("request", "exchanges.request.", reading)?;
    let method = request.required_text("method", 16, reading);
    let url = request.required_text("url", 8_192, reading);
    let headers = headers(&mut request, reading);
    let body = request.node("body").map(json);
    request.finish(reading);
    let mut response = fields.map("response", "exchanges.response.", reading)?;
    let status = response.count("status", 100, 599, reading).unwrap_or(200);
    let answer_headers = self::headers(&mut response, reading);
    let answer = response.node("body").map_or(Json::Null, json);
    response.finish(reading);
    fields.finish(reading);
    let status = u16::try_from(status).unwrap_or(200);
    Some(Exchange { method: method?, url: url?, headers, body, status, answer_headers, answer })
}

fn headers(fields: &mut Fields<'_>, reading: &mut Reading) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (word, node) in fields.members("headers", reading) {
        match node.value.as_text() {
            Some(text) => out.push((word.text.to_ascii_lowercase(), text.to_owned())),
            None => reading.error(node.at.line, "headers", "expected a text", ""),
        }
    }
    out
}
