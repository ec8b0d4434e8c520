//! What a manifest says about an HTTP API: where it is, how one proves oneself, and its tools. Data only; what
//! it becomes on the wire is the business of the connector.

mod auth;
mod job;
mod paging;
mod webhook;

use model::AuthMethod;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::template::Template;

pub use auth::{
    Assertion, Auth, ClientProof, Field, Grant, HashName, Hmac, JwtAlgorithm, OAuth, Scheme, SigV4,
    TokenResponse,
};
pub use job::{Job, Lead, State};
pub use paging::{Form, Pagination, Size, Source, Spot};
pub use webhook::{Challenge, SecretForm, Webhook, WebhookProof};

/// An HTTP API.
#[derive(Debug)]
pub struct Api {
    /// What paths go behind.
    pub base_url: Template,
    /// Headers of each request.
    pub headers: Vec<(String, Template)>,
    /// Query parameters of each request.
    pub query: Vec<(String, Template)>,
    /// How bodies are written, where a tool says nothing else.
    pub encoding: Encoding,
    /// How it says that something went wrong.
    pub errors: Errors,
    /// How much it takes, and how it says so.
    pub rate: Rate,
    /// The ways to prove oneself; the first is the usual one. Never empty.
    pub auth: Vec<Auth>,
    /// What it can do.
    pub tools: Vec<Tool>,
    /// The call that shows that a connection works.
    pub test: TestCall,
    /// How its webhooks are told from forgeries, where it sends any.
    pub webhook: Option<Webhook>,
    /// How its secrets are changed.
    pub rotation: Option<Rotation>,
}

/// How the secrets of a connection are changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// What people have to do at the vendor.
    pub help: String,
    /// Whether old and new work beside each other for a while.
    pub overlaps: bool,
    /// How often it is due, where the vendor says so.
    pub every_days: Option<u32>,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`; members of members as `a[b]`.
    Form,
    /// As it is: `text/xml` and the like, with what is filled in escaped for XML.
    Xml,
}

/// How an API says that something went wrong, beside the status.
#[derive(Debug, Default)]
pub struct Errors {
    /// An answer with status 2xx that is a failure all the same: where to look, and the value that means it.
    pub failed_when: Option<(Path, Value)>,
    /// Where its words are; the first that is a text.
    pub message: Vec<Path>,
    /// Where its code is; the first that is a text or a number.
    pub code: Vec<Path>,
    /// Codes of `failed_when` answers that mean what a status means: `invalid_auth` is 401.
    pub statuses: Vec<(String, u16)>,
}

/// How much an API takes, and how it says so.
#[derive(Debug, Default)]
pub struct Rate {
    /// Requests in so many seconds, as documented.
    pub limit: Option<(u32, u32)>,
    /// The header with how many are left.
    pub remaining: Option<String>,
    /// The header with when it begins anew.
    pub reset: Option<(String, Reset)>,
    /// The header with how long to wait.
    pub retry_after: String,
}

/// What a reset header holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Seconds from now.
    Seconds,
    /// Seconds since 1970.
    Epoch,
    /// Milliseconds since 1970.
    EpochMs,
}

/// The call that shows that a connection works.
#[derive(Debug)]
pub struct TestCall {
    /// Which tool; one that only reads.
    pub tool: String,
    /// With which arguments.
    pub arguments: Value,
}

/// One operation.
#[derive(Debug)]
pub struct Tool {
    /// What it is called.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What it does, for people and models.
    pub description: String,
    /// What it does to the world.
    pub effect: Effect,
    /// Doing it twice is doing it once.
    pub is_idempotent: bool,
    /// The method.
    pub method: Template,
    /// The path, behind the base URL.
    pub path: Template,
    /// A GraphQL document; the arguments are its variables.
    pub graphql: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, Template)>,
    /// Further query parameters.
    pub query: Vec<(String, Template)>,
    /// The body that arguments are put into.
    pub body: Option<Part>,
    /// How the body is written.
    pub encoding: Encoding,
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// OAuth scopes that it needs, where they are known: one of these.
    pub scopes: Vec<String>,
    /// How long lists are read.
    pub pagination: Option<Pagination>,
    /// How its result is waited for, where the first answer is not yet it.
    pub job: Option<Job>,
    /// Where in the answer the result is.
    pub from: Path,
    /// JSON Schema of the result, where it is known; as text, a third of what it takes as a tree.
    pub output: Option<Box<RawValue>>,
    /// JSON Schema of its arguments, made of its parameters.
    pub input: Box<RawValue>,
}

/// What a tool does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Read,
    /// It adds or changes.
    Write,
    /// It takes away, or cannot be taken back.
    Delete,
}

/// One argument of a tool.
#[derive(Debug)]
pub struct Parameter {
    /// What callers call it.
    pub name: String,
    /// Where it goes.
    pub place: Place,
    /// What the API calls it: a name, or the path of a member of the body.
    pub wire: String,
    /// Whether nothing works without it.
    pub is_required: bool,
    /// How a list is written outside of a JSON body; as its place has it where this says nothing.
    pub style: Option<Style>,
    /// What is sent where a caller says nothing.
    pub default: Option<Value>,
}

/// Where an argument goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Into the path, where its hole is.
    Path,
    /// A query parameter; `*` spreads a map.
    Query,
    /// A header; `*` spreads a map.
    Header,
    /// A member of the body; `.` is the whole of it.
    Body,
    /// A variable of the GraphQL document.
    Variable,
    /// Wherever a template names it.
    Template,
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `a=1,2`
    Comma,
    /// `a=1&a=2`
    Repeat,
    /// `a[]=1&a[]=2`
    Brackets,
    /// `a=1 2`
    Space,
    /// As JSON.
    Json,
}

/// Part of a body, with templates where it has texts.
#[derive(Debug)]
pub enum Part {
    /// A value as it is.
    Fixed(Value),
    /// A text, or any value where it is one hole.
    Template(Template),
    /// A list.
    List(Vec<Part>),
    /// A map.
    Map(Vec<(String, Part)>),
}

/// Where something is in a JSON value: member names and list places, `data.0.id`; empty for the whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path(pub Vec<String>);

// === impl Path ===

impl Path {
    /// Reads `a.b.0`; `\.` is a point in a name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        let mut step = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => step.extend(chars.next()),
                '.' => steps.push(std::mem::take(&mut step)),
                other => step.push(other),
            }
        }
        steps.push(step);
        steps.retain(|step| !step.is_empty());
        Self(steps)
    }

    /// What is there.
    #[must_use]
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, step| match value {
            Value::Object(members) => members.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

// === impl Api ===

impl Api {
    /// The way to prove oneself that goes by this word; the usual one where it is none of the entry's.
    #[must_use]
    pub fn auth_of(&self, method: AuthMethod) -> Option<&Auth> {
        self.auth.iter().find(|auth| auth.method == method)
    }

    /// A tool by its name.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Path;

    #[test]
    fn a_path_finds_members_and_places_and_nothing_else() {
        let value = json!({ "a": [{ "b.c": 1 }], "e": null });
        assert_eq!(Path::parse(r"a.0.b\.c").find(&value), Some(&json!(1)));
        assert_eq!(Path::parse("").find(&value), Some(&value));
        for nowhere in ["a.1", "a.b", "a.0.b.c", "e.f", "a.-1"] {
            assert_eq!(Path::parse(nowhere).find(&value), None, "{nowhere}");
        }
    }
}
