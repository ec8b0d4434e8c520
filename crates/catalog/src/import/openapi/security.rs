//! Security schemes as ways to prove oneself.

mod oauth;

use serde_json::{Map, Value};

use super::super::names::{argument, cut, line, spoken};
use super::super::write::Tree;
use super::super::{items, members, text};
use super::Reading;
use super::operation::Operation;
use super::servers::Base;

/// The most ways together that are looked at.
const REQUIREMENTS_MAX: usize = 200;
/// The most scopes of one way.
const SCOPES_MAX: usize = 100;

/// A scheme and the scopes that are asked of it.
type Needed<'d> = Vec<(&'d str, Vec<&'d str>)>;

/// `auth`: the ways that the operations need, those of the whole document first.
pub(super) fn auth(operations: &[Operation<'_>], base: &Base, reading: &mut Reading<'_>) -> Tree {
    let document = reading.document;
    let schemes: Vec<(&str, &Value)> = document
        .root
        .get("components")
        .into_iter()
        .flat_map(|components| members(components, "securitySchemes"))
        .filter_map(|(name, scheme)| {
            let place = format!("components.securitySchemes.{}", line(name));
            Some((name.as_str(), document.resolve(scheme, &place, &mut reading.report)?))
        })
        .collect();
    let mut needed = needed(operations, reading);
    if needed.is_empty() {
        // Nobody says which are needed: each alone.
        needed = schemes.iter().map(|(name, _)| vec![(*name, Vec::new())]).collect();
    }
    let mut ways: Vec<(&'static str, Tree)> = Vec::new();
    for way in &needed {
        let known: Vec<(&str, &Value)> = way
            .iter()
            .filter_map(|(name, _)| schemes.iter().find(|(known, _)| known == name).copied())
            .collect();
        for (name, _) in way.iter().filter(|(name, _)| !schemes.iter().any(|(known, _)| known == name)) {
            reading.report.add("security", format!("names the scheme `{}`, which is not there", line(name)));
        }
        let made = match known.as_slice() {
            [] if way.is_empty() => Some(("none", Tree::map(vec![("type", Tree::text("none"))]))),
            [] => None,
            [(name, scheme)] => one(name, scheme, &scopes_of(&needed, name), base, reading),
            several => together(several, reading),
        };
        let Some((word, tree)) = made else { continue };
        if ways.iter().any(|(known, _)| *known == word) {
            if !known.is_empty() && !is_same(&ways, &tree) {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                let what = "is left out: a connection already has a way of that kind, and knows one of each";
                reading.report.add(format!("components.securitySchemes.{}", line(&names.join("+"))), what);
            }
            continue;
        }
        ways.push((word, tree));
    }
    for (name, _) in
        schemes.iter().filter(|(name, _)| !needed.iter().flatten().any(|(known, _)| known == name))
    {
        let place = format!("components.securitySchemes.{}", line(name));
        reading.report.add(place, "is left out: no operation that became a tool names it");
    }
    // Without proof is the last resort of an API that also takes one.
    ways.sort_by_key(|(word, _)| *word == "none");
    if ways.is_empty() {
        if !schemes.is_empty() {
            reading.report.add(
                "auth",
                "none of its ways to prove oneself maps; the entry has `none`, with which it may not work",
            );
        }
        ways.push(("none", Tree::map(vec![("type", Tree::text("none"))])));
    }
    Tree::List(ways.into_iter().map(|(_, tree)| tree).collect())
}

fn is_same(ways: &[(&'static str, Tree)], tree: &Tree) -> bool {
    let text = tree.yaml();
    ways.iter().any(|(_, known)| known.yaml() == text)
}

/// What the document and its operations need, each once.
fn needed<'d>(operations: &[Operation<'d>], reading: &Reading<'d>) -> Vec<Needed<'d>> {
    let root = &reading.document.root;
    let lists = std::iter::once(root).chain(operations.iter().map(|one| one.own));
    let mut out: Vec<Needed<'d>> = Vec::new();
    for requirement in lists.flat_map(|value| items(value, "security")) {
        let Some(schemes) = requirement.as_object() else { continue };
        let way: Needed<'d> = schemes
            .iter()
            .map(|(name, scopes)| {
                let scopes = scopes.as_array().into_iter().flatten().filter_map(Value::as_str);
                (name.as_str(), scopes.collect())
            })
            .collect();
        if out.len() < REQUIREMENTS_MAX && !out.contains(&way) {
            out.push(way);
        }
    }
    out
}

/// Every scope that is asked of a scheme.
fn scopes_of<'d>(needed: &[Needed<'d>], scheme: &str) -> Vec<&'d str> {
    let mut out: Vec<&str> = Vec::new();
    for scope in needed.iter().flatten().filter(|(name, _)| *name == scheme).flat_map(|(_, scopes)| scopes) {
        if out.len() < SCOPES_MAX && !out.contains(scope) {
            out.push(scope);
        }
    }
    out
}

/// The scopes that one operation needs.
pub(super) fn scopes(operation: &Operation<'_>, reading: &Reading<'_>) -> Vec<String> {
    let root = &reading.document.root;
    let own = operation
        .own
        .get("security")
        .map_or_else(|| items(root, "security"), |_| items(operation.own, "security"));
    let scopes = own.iter().filter_map(Value::as_object).flat_map(Map::values);
    let mut out: Vec<String> = Vec::new();
    for scope in scopes.filter_map(Value::as_array).flatten().filter_map(Value::as_str) {
        if out.len() < SCOPES_MAX && !out.iter().any(|known| known == scope) {
            out.push(scope.to_owned());
        }
    }
    out
}

/// One scheme alone, with the word that connections have for it.
fn one(
    name: &str,
    scheme: &Value,
    scopes: &[&str],
    base: &Base,
    reading: &mut Reading<'_>,
) -> Option<(&'static str, Tree)> {
    let place = format!("components.securitySchemes.{}", line(name));
    let help = text(scheme, "description")
        .map(|help| cut(&help, 2_000).trim().replace('\0', ""))
        .unwrap_or_default();
    let title = cut(&spoken(name), 200).to_owned();
    let title = if title.is_empty() { "Secret".to_owned() } else { title };
    let secret = |field: &str, words: &str| {
        let mut said = vec![("title", Tree::text(words))];
        if !help.is_empty() {
            said.push(("help", Tree::text(&help)));
        }
        ("fields", Tree::map(vec![(field, Tree::map(said).line())]))
    };
    let kind = text(scheme, "type").unwrap_or_default();
    let http = text(scheme, "scheme").unwrap_or_default().to_ascii_lowercase();
    Some(match (kind.as_ref(), http.as_str()) {
        ("apiKey", _) => {
            let spot = spot(scheme, &place, reading)?;
            if spot.eq_ignore_ascii_case("header.authorization") {
                reading.report.add(
                    &place,
                    "the key is the whole of the `Authorization` header, with its prefix if it has one",
                );
            }
            let put = ("put", Tree::Map(vec![(spot, Tree::text("{secret.key}"))]).line());
            (
                "api_key",
                Tree::map(vec![
                    ("type", Tree::text("api_key")),
                    ("title", Tree::text(title)),
                    secret("key", "API key"),
                    put,
                ]),
            )
        }
        ("http", "bearer") => (
            "api_key",
            Tree::map(vec![
                ("type", Tree::text("bearer")),
                ("title", Tree::text(title)),
                secret("token", "Access token"),
            ]),
        ),
        ("http", "basic") => {
            ("basic", Tree::map(vec![("type", Tree::text("basic")), ("title", Tree::text(title))]))
        }
        ("mutualTLS", _) => (
            "certificate",
            Tree::map(vec![("type", Tree::text("certificate")), ("title", Tree::text(title))]),
        ),
        ("oauth2", _) => ("oauth", oauth::oauth(scheme, &title, scopes, base, &place, reading)?),
        ("http", other) => {
            reading.report.add(place, format!("is left out: HTTP's `{}` is not spoken", line(other)));
            return None;
        }
        ("openIdConnect", _) => {
            reading.report.add(place, "is left out: nothing is fetched, so its addresses are not known; describe it as oauth2 by hand");
            return None;
        }
        (other, _) => {
            reading.report.add(place, format!("is left out: `{}` is no kind that is known", line(other)));
            return None;
        }
    })
}

/// `header.NAME` or `query.NAME`.
fn spot(scheme: &Value, place: &str, reading: &mut Reading<'_>) -> Option<String> {
    let (name, at) = (text(scheme, "name").unwrap_or_default(), text(scheme, "in").unwrap_or_default());
    let is_header = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    match at.as_ref() {
        "header" if !name.is_empty() && is_header(&name) => {
            Some(format!("header.{}", name.to_ascii_lowercase()))
        }
        "query" if !name.is_empty() && !name.contains(['{', '}']) && !name.contains(char::is_control) => {
            Some(format!("query.{name}"))
        }
        other => {
            let what =
                format!("is left out: a key in `{}` called `{}` cannot be put", line(other), line(&name));
            reading.report.add(place, what);
            None
        }
    }
}

/// Several schemes that are needed at once: keys go together, anything else does not.
fn together(several: &[(&str, &Value)], reading: &mut Reading<'_>) -> Option<(&'static str, Tree)> {
    let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
    let place = format!("security {}", line(&names.join("+")));
    let mut fields: Vec<(String, Tree)> = vec![("key".to_owned(), Tree::Value(Value::Null))];
    let mut put = Vec::new();
    for (name, scheme) in several {
        let kind = text(scheme, "type").unwrap_or_default();
        let field = argument(cut(name, 60)).to_ascii_lowercase();
        let field = if field == "key" { "api_key".to_owned() } else { field };
        let is_bearer =
            kind == "http" && text(scheme, "scheme").is_some_and(|word| word.eq_ignore_ascii_case("bearer"));
        let (spot, value) = match kind.as_ref() {
            "apiKey" => (spot(scheme, &place, reading)?, format!("{{secret.{field}}}")),
            "http" if is_bearer => ("header.authorization".to_owned(), format!("Bearer {{secret.{field}}}")),
            _ => {
                reading
                    .report
                    .add(place, "is left out: these are needed at once, and only keys can be put together");
                return None;
            }
        };
        let mut said = vec![("title", Tree::text(cut(&spoken(name), 200)))];
        if let Some(help) = text(scheme, "description") {
            said.push(("help", Tree::text(cut(&help, 2_000).trim())));
        }
        fields.push((field, Tree::map(said).line()));
        put.push((spot, Tree::text(value)));
    }
    let tree = Tree::map(vec![
        ("type", Tree::text("api_key")),
        (
            "title",
            Tree::text(cut(&names.iter().map(|name| spoken(name)).collect::<Vec<_>>().join(" and "), 200)),
        ),
        ("fields", Tree::Map(fields)),
        ("put", Tree::Map(put).line()),
    ]);
    Some(("api_key", tree))
}
