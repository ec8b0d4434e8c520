//! From a tool, a connection's settings and a call's arguments to a request, before it is signed. A function of
//! values: where a value goes decides how it is written, so that none becomes more than itself.

use catalog::api::{Api, Encoding, Part, Path, Place, Spot, Style, Tool};
use catalog::template::{Hole, Scope, Template};
use model::{Code, Fault};
use serde_json::{Map, Value};

use crate::flat::{encoded, pairs, set, spread, text, xml};

/// A request that is not signed yet.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) method: String,
    pub(crate) origin: String,
    /// Encoded.
    pub(crate) path: String,
    /// Not encoded.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Content>,
}

/// A body.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Json(Value),
    Form(Value),
    Text(String),
}

/// What a call is made of.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) config: &'a Map<String, Value>,
    pub(crate) arguments: &'a Map<String, Value>,
}

/// Header names that a caller cannot say, whatever the manifest lets through.
const HEADERS_REFUSED: &[&str] =
    &["authorization", "proxy-authorization", "cookie", "host", "content-length"];

/// The base URL of a connection, without a `/` at its end: origin and path.
///
/// # Errors
/// A setting that is missing, or would lead to another host than the manifest means.
pub(crate) fn base(template: &Template, config: &Map<String, Value>) -> Result<(String, String), Fault> {
    // A URL that is a setting as a whole is its owner's to say; a setting inside of one is a word.
    let is_word = template.only_hole().is_none();
    let url = template.fill(|hole| {
        let value = config.get(&hole.name).and_then(text);
        match &value {
            Some(word) if is_word && !is_host_word(word) => Err(bad(
                &format!("connection_config.{}", hole.name),
                "is part of a URL, and may have letters, digits, `-`, `_` and `.` only",
            )),
            _ => Ok(value),
        }
    })?;
    let url = url.ok_or_else(|| bad("connection_config", "lacks a setting that the base URL is made of"))?;
    split(&url)
}

/// Origin and path of a URL.
///
/// # Errors
/// When it is none of HTTP.
pub(crate) fn split(url: &str) -> Result<(String, String), Fault> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.contains(['?', '#', ' '])) else {
        return Err(bad("endpoint", "is no http:// or https:// URL without a query"));
    };
    let scheme = &url.get(..url.len() - rest.len()).unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    Ok((format!("{scheme}{authority}"), path.trim_end_matches('/').to_owned()))
}

fn is_host_word(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !word.split('.').any(str::is_empty)
}

fn bad(field: &str, what: &str) -> Fault {
    Fault::new(Code::BAD_ARGUMENTS, format!("{field}: {what}"))
}

/// The first request of a call.
///
/// # Errors
/// An argument that cannot stand where it goes.
pub(crate) fn build(
    api: &Api,
    tool: &Tool,
    (origin, base_path): (&str, &str),
    inputs: Inputs<'_>,
) -> Result<Draft, Fault> {
    let method = required(&tool.method, "method", |hole| Ok(inputs.text(hole)))?;
    if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(bad("method", "is no HTTP method"));
    }
    let path = required(&tool.path, "path", |hole| inputs.segment(hole))?;
    let path = format!("{base_path}{path}");
    let (path, fixed) = path.split_once('?').unwrap_or((&path, ""));
    let mut draft = Draft {
        method,
        origin: origin.to_owned(),
        path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
    };
    for pair in fixed.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        draft.query.push((name.to_owned(), decoded(value)));
    }
    for (name, template) in api.query.iter().chain(&tool.query) {
        draft.query.extend(inputs.filled(template)?.map(|value| (name.clone(), value)));
    }
    for (name, template) in api.headers.iter().chain(&tool.headers) {
        if let Some(value) = inputs.filled(template)? {
            draft.put_header(name, value);
        }
    }
    let mut body = match &tool.body {
        Some(Part::Template(template)) if tool.encoding == Encoding::Xml => {
            // A hole with `...` takes XML as it is; any other takes a text.
            let filled = template.fill(|hole| {
                let text = inputs.text(hole).unwrap_or_default();
                Ok::<_, Fault>(Some(if hole.is_rest { text } else { xml(&text) }))
            })?;
            filled.map(Value::String)
        }
        Some(part) => inputs.part(part)?,
        None => None,
    };
    if let Some(document) = &tool.graphql {
        set(
            body.get_or_insert_with(|| Value::Object(Map::new())),
            &Path(vec!["query".to_owned()]),
            document.as_str().into(),
        );
    }
    let mut fields = Vec::new();
    for parameter in &tool.parameters {
        let said = inputs.arguments.get(&parameter.name);
        // Null is a value in JSON alone, where it takes one away.
        let is_json = tool.encoding == Encoding::Json;
        let is_member = matches!(parameter.place, Place::Body | Place::Variable) && is_json;
        let Some(value) = said.filter(|value| is_member || !value.is_null()) else { continue };
        match parameter.place {
            Place::Path | Place::Template => {}
            Place::Query if parameter.wire == "*" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    spread(name, value, parameter.style.unwrap_or(Style::Repeat), &mut draft.query);
                }
            }
            Place::Query => {
                spread(&parameter.wire, value, parameter.style.unwrap_or(Style::Comma), &mut draft.query)
            }
            Place::Header if parameter.wire == "*" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    draft.put_callers_header(name, value)?;
                }
            }
            Place::Header => draft.put_callers_header(&parameter.wire, value)?,
            Place::Body if parameter.wire == "." => body = Some(value.clone()),
            Place::Body if tool.encoding == Encoding::Form && parameter.style.is_some() => {
                spread(&parameter.wire, value, parameter.style.unwrap_or(Style::Brackets), &mut fields);
            }
            Place::Body => {
                let body = body.get_or_insert_with(|| Value::Object(Map::new()));
                set(body, &wire_path(tool, &parameter.wire), value.clone());
            }
            Place::Variable => {
                let path = Path(vec!["variables".to_owned(), parameter.wire.clone()]);
                set(body.get_or_insert_with(|| Value::Object(Map::new())), &path, value.clone());
            }
        }
    }
    if !fields.is_empty() {
        let body = body.get_or_insert_with(|| Value::Object(Map::new()));
        draft.body = Some(Content::Form(body.clone()));
        draft.add_fields(fields);
    } else {
        draft.body = body.map(|body| match (tool.encoding, body) {
            (Encoding::Form, body) => Content::Form(body),
            (Encoding::Xml, Value::String(text)) => Content::Text(text),
            (_, body) => Content::Json(body),
        });
    }
    Ok(draft)
}

/// Where a parameter goes in a body; a form's names are not paths.
fn wire_path(tool: &Tool, wire: &str) -> Path {
    if tool.encoding == Encoding::Form {
        return Path(vec![wire.to_owned()]);
    }
    Path::parse(wire)
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn required(
    template: &Template,
    what: &str,
    value: impl FnMut(&Hole) -> Result<Option<String>, Fault>,
) -> Result<String, Fault> {
    template.fill(value)?.ok_or_else(|| bad(what, "lacks an argument that it is made of"))
}

// === impl Inputs ===

impl Inputs<'_> {
    fn value(&self, hole: &Hole) -> Option<&Value> {
        let from = if hole.scope == Scope::Input { self.arguments } else { self.config };
        from.get(&hole.name).filter(|value| !value.is_null())
    }

    fn text(&self, hole: &Hole) -> Option<String> {
        self.value(hole).and_then(text)
    }

    fn filled(&self, template: &Template) -> Result<Option<String>, Fault> {
        template.fill(|hole| Ok(self.text(hole)))
    }

    /// A value as one segment of a path, or as several where the hole says so. Segments that mean another place
    /// are refused: they would lead out of the operation that was allowed.
    fn segment(&self, hole: &Hole) -> Result<Option<String>, Fault> {
        let Some(value) = self.text(hole) else { return Ok(None) };
        let is_elsewhere = |segment: &str| matches!(segment, "." | "..");
        if hole.is_rest {
            let segments: Vec<&str> = value.trim_start_matches('/').split('/').collect();
            if segments.iter().any(|segment| is_elsewhere(&decoded(segment))) {
                return Err(bad(&hole.name, "has a segment `.` or `..`, which would lead elsewhere"));
            }
            return Ok(Some(
                segments.iter().map(|segment| encoded(&decoded(segment))).collect::<Vec<_>>().join("/"),
            ));
        }
        if value.is_empty() || is_elsewhere(&value) {
            return Err(bad(&hole.name, "is empty, `.` or `..`, which no segment of a path can be"));
        }
        Ok(Some(encoded(&value)))
    }

    fn part(&self, part: &Part) -> Result<Option<Value>, Fault> {
        Ok(match part {
            Part::Fixed(value) => Some(value.clone()),
            Part::Template(template) => match template.only_hole() {
                Some(hole) => self.value(hole).cloned(),
                None => self.filled(template)?.map(Value::String),
            },
            Part::List(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    out.extend(self.part(item)?);
                }
                Some(Value::Array(out))
            }
            Part::Map(members) => {
                let mut out = Map::with_capacity(members.len());
                for (name, item) in members {
                    if let Some(value) = self.part(item)? {
                        out.insert(name.clone(), value);
                    }
                }
                Some(Value::Object(out))
            }
        })
    }
}

// === impl Draft ===

impl Draft {
    /// A header in the place of another of the same name.
    pub(crate) fn put_header(&mut self, name: &str, value: String) {
        let name = name.to_ascii_lowercase();
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value));
    }

    fn put_callers_header(&mut self, name: &str, value: &Value) -> Result<(), Fault> {
        if HEADERS_REFUSED.iter().any(|refused| name.eq_ignore_ascii_case(refused)) {
            return Err(bad(name, "is a header that the connection itself says"));
        }
        if let Some(value) = text(value) {
            self.put_header(name, value);
        }
        Ok(())
    }

    /// A query parameter in the place of others of the same name.
    pub(crate) fn put_query(&mut self, name: &str, value: String) {
        self.query.retain(|(known, _)| known != name);
        self.query.push((name.to_owned(), value));
    }

    /// Puts a value where a manifest says.
    pub(crate) fn put(&mut self, spot: &Spot, value: Value) {
        match spot {
            Spot::Query(name) => self.put_query(name, text(&value).unwrap_or_default()),
            Spot::Header(name) => self.put_header(name, text(&value).unwrap_or_default()),
            Spot::Body(path) => match &mut self.body {
                Some(Content::Json(body) | Content::Form(body)) => set(body, path, value),
                other => {
                    let mut body = Value::Object(Map::new());
                    set(&mut body, path, value);
                    *other = Some(Content::Json(body));
                }
            },
        }
    }

    /// Fields of a form whose lists have a style of their own: kept as the pairs that they are.
    fn add_fields(&mut self, fields: Vec<(String, String)>) {
        let Some(Content::Form(body)) = &self.body else { return };
        let mut all = Vec::new();
        for (name, value) in body.as_object().into_iter().flatten() {
            spread(name, value, Style::Brackets, &mut all);
        }
        all.extend(fields);
        self.body = Some(Content::Text(pairs(&all)));
        self.put_header("content-type", FORM.to_owned());
    }

    /// The query, encoded, without `?`.
    pub(crate) fn query_text(&self) -> String {
        pairs(&self.query)
    }

    /// The bytes of the body, and its type where the headers have none.
    pub(crate) fn body_bytes(&self) -> (Vec<u8>, Option<&'static str>) {
        match &self.body {
            None => (Vec::new(), None),
            Some(Content::Json(value)) => (value.to_string().into_bytes(), Some("application/json")),
            Some(Content::Form(value)) => {
                let mut all = Vec::new();
                for (name, value) in value.as_object().into_iter().flatten() {
                    spread(name, value, Style::Brackets, &mut all);
                }
                (pairs(&all).into_bytes(), Some(FORM))
            }
            Some(Content::Text(text)) => (text.clone().into_bytes(), Some("text/xml; charset=utf-8")),
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
