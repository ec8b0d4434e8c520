//! Recorded exchanges of an entry: what a tool sends for which arguments, what comes back, and what its caller
//! gets. They are replayed by `trunkline catalog verify`, and prove an entry without its vendor.

use serde_json::{Map, Value};

/// One call with its exchanges.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// Where it stands: `fixtures/charges.yaml:3`.
    pub place: String,
    /// What it shows.
    pub name: String,
    /// Which tool.
    pub tool: String,
    /// With which arguments.
    pub arguments: Value,
    /// Settings over the schema's examples.
    pub config: Map<String, Value>,
    /// What goes back and forth, in order; at least one.
    pub exchanges: Vec<Exchange>,
    /// What the caller gets.
    pub expect: Expect,
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Headers that have to be there; others may be there too.
    pub headers: Vec<(String, String)>,
    /// The body: a JSON value for JSON, a map of texts for a form, a text for anything else.
    pub body: Option<Value>,
    /// The status of the answer.
    pub status: u16,
    /// The headers of the answer.
    pub answer_headers: Vec<(String, String)>,
    /// Its body: a text as it is, anything else as JSON.
    pub answer: Value,
}

/// What the caller gets.
#[derive(Debug, Clone)]
pub enum Expect {
    /// This result, whole.
    Result(Value),
    /// A failure whose words hold this.
    Error(String),
}
