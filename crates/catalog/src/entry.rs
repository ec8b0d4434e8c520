//! One entry, and what it makes of a user's settings.

use std::borrow::Cow;
use std::sync::OnceLock;

use jsonschema::Validator;
use model::{AuthMethod, Category, IntegrationKind};
use serde_json::{Map, Value};

use crate::api::Api;
use crate::problem::{Problem, Problems};
use crate::schema;
use crate::template::{Arg, Template};

/// How many mistakes of one configuration are told at once.
const PROBLEMS_MAX: usize = 5;

/// An entry of the catalogue.
#[derive(Debug)]
pub struct Entry {
    /// What it is called in requests, and its folder.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// What kind of thing it connects.
    pub kind: IntegrationKind,
    /// Where it stands.
    pub category: Category,
    /// What it is, in a sentence or two.
    pub description: String,
    /// Where its documentation is; empty for nowhere.
    pub docs_url: String,
    /// The version of this manifest, which connections pin.
    pub version: String,
    /// Where its facts are from.
    pub sources: Vec<String>,
    /// JSON Schema of what a user fills in.
    pub config_schema: Value,
    /// What goes under it, for an MCP server.
    pub preset: Preset,
    /// Which secrets it takes, for an MCP server.
    pub credentials: Vec<Credential>,
    /// How to know that it works, for an MCP server.
    pub test: InventoryTest,
    /// The HTTP API, where it is one.
    pub api: Option<Api>,
    /// A connector of its own, where it is neither an MCP server nor an HTTP API.
    pub native: Option<Native>,
    /// Files with recorded exchanges that prove it: where each stands, and its text. Read when they are replayed.
    pub fixture_files: Vec<(String, Cow<'static, str>)>,
    /// How often to look whether it is well, in seconds; `None` = as the hub does.
    pub health_interval_s: Option<u64>,
    /// The manifest as it was written.
    pub manifest: String,
    /// Its icon, an SVG.
    pub icon: String,
    /// Made when it is first needed: most entries are never connected.
    pub(crate) validator: OnceLock<Validator>,
}

/// Members of a connection that the entry brings.
#[derive(Debug, Default)]
pub struct Preset {
    pub(crate) texts: Vec<(String, Template)>,
    pub(crate) maps: Vec<(String, Vec<(String, Template)>)>,
    pub(crate) fixed: Vec<(String, Value)>,
    pub(crate) args: Vec<Arg>,
}

/// What a system that is spoken to in a protocol of its own is connected with.
#[derive(Debug)]
pub struct Native {
    /// The connector, one of [`CONNECTORS`]. Whether the hub has it, the hub knows.
    pub connector: &'static str,
    /// The ways to prove oneself.
    pub ways: Vec<Way>,
}

/// One way to prove oneself to such a system.
#[derive(Debug)]
pub struct Way {
    /// The word for it.
    pub method: AuthMethod,
    /// What people call it.
    pub title: String,
    /// The secrets that it takes.
    pub fields: Vec<crate::api::Field>,
}

/// A secret that a connection of the entry takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// `auth.credentials.NAME`, `headers.NAME` or `env.NAME`.
    pub field: String,
    /// What people call it.
    pub title: String,
    /// Where to get it.
    pub help: String,
    /// Whether nothing works without it.
    pub required: bool,
}

/// What a connection with an API says.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The settings of the entry's schema, defaults included.
    pub config: Map<String, Value>,
    /// What is the hub's: `endpoint`, `timeout` and the like.
    pub hubs: Map<String, Value>,
}

/// It works when it connects and lists so many tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InventoryTest {
    /// The fewest tools that it has.
    pub min_tools: usize,
}

/// What a connection with an API may say beside its settings.
pub const API_CONNECTION_KEYS: &[&str] =
    &["endpoint", "grant", "timeout", "retry_count", "concurrency", "tools", "record", "egress"];

/// What `connector` may say.
pub const CONNECTORS: &[&str] = &[
    "sftp",
    "websocket",
    "postgresql",
    "mysql",
    "sqlite",
    "mongodb",
    "redis",
    "rabbitmq",
    "nats",
    "kafka",
    "mqtt",
    "s3",
];

fn object(config: &Value) -> Result<&Map<String, Value>, Problems> {
    config
        .as_object()
        .ok_or_else(|| Problems(vec![Problem::new("connection_config", "is not an object", "")]))
}

// === impl Entry ===

impl Entry {
    /// What a connection says whose user filled in `config`: the preset, with the user's own members over it.
    /// What went into a template is not a member any more.
    ///
    /// # Errors
    /// What does not fit the schema, or has no place in a template.
    pub fn resolve(&self, config: &Value) -> Result<Value, Problems> {
        let given = object(config)?;
        self.validate(config)?;
        let config = schema::with_defaults(&self.config_schema, given);
        self.merge(&config).map_err(|mut problem| {
            let dot = if problem.key.is_empty() { "" } else { "." };
            problem.key = format!("connection_config{dot}{}", problem.key);
            Problems(vec![problem])
        })
    }

    /// What a connection with the API says whose user filled in `config`: the settings that templates use, and
    /// what is the hub's (`endpoint`, `timeout`, ...).
    ///
    /// # Errors
    /// What does not fit the schema.
    pub fn settle(&self, config: &Value) -> Result<Settled, Problems> {
        let given = object(config)?;
        let declared: Vec<&String> = schema::properties(&self.config_schema).map(|(name, _)| name).collect();
        let is_hubs = |name: &String| API_CONNECTION_KEYS.contains(&name.as_str());
        // A key of the hub's that the entry describes is checked by the entry too.
        let checked = given.iter().filter(|(name, _)| !is_hubs(name) || declared.contains(name));
        self.validate(&Value::Object(checked.map(|(name, value)| (name.clone(), value.clone())).collect()))?;
        let (hubs, own): (Map<_, _>, Map<_, _>) =
            given.clone().into_iter().partition(|(name, _)| is_hubs(name));
        Ok(Settled { config: schema::with_defaults(&self.config_schema, &own), hubs })
    }

    fn validate(&self, config: &Value) -> Result<(), Problems> {
        let wrong: Vec<Problem> = self
            .validator()?
            .iter_errors(config)
            .take(PROBLEMS_MAX)
            .map(|error| {
                let path = error.instance_path().to_string().replace('/', ".");
                Problem::new(format!("connection_config{path}"), error.masked().to_string(), "")
            })
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(Problems(wrong)) }
    }

    fn validator(&self) -> Result<&Validator, Problems> {
        if let Some(made) = self.validator.get() {
            return Ok(made);
        }
        // Was compiled when it was read, or by the tests; so this does not fail.
        let made = schema::compile(&self.config_schema)
            .map_err(|what| Problems(vec![Problem::new("config_schema", what, "")]))?;
        Ok(self.validator.get_or_init(|| made))
    }

    fn merge(&self, config: &Map<String, Value>) -> Result<Value, Problem> {
        let mut out = Map::new();
        for (name, value) in &self.preset.fixed {
            out.insert(name.clone(), value.clone());
        }
        for (name, template) in &self.preset.texts {
            if let Some(text) = template.text(config)? {
                out.insert(name.clone(), text.into());
            }
        }
        for (name, members) in &self.preset.maps {
            let mut map = Map::new();
            for (member, template) in members {
                if let Some(text) = template.text(config)? {
                    map.insert(member.clone(), text.into());
                }
            }
            out.insert(name.clone(), map.into());
        }
        if !self.preset.args.is_empty() {
            let mut args = Vec::new();
            for arg in &self.preset.args {
                arg.expand(config, &mut args)?;
            }
            out.insert("args".to_owned(), args.into());
        }
        let used = self.preset.names();
        for (name, value) in config.iter().filter(|(name, _)| !used.contains(&name.as_str())) {
            match (out.get_mut(name), value) {
                (Some(Value::Object(under)), Value::Object(over)) => {
                    under.extend(over.iter().map(|(name, value)| (name.clone(), value.clone())));
                }
                _ => {
                    out.insert(name.clone(), value.clone());
                }
            }
        }
        Ok(out.into())
    }

    /// Settings as the schema's examples have them.
    #[must_use]
    pub fn example(&self) -> Value {
        schema::example(&self.config_schema)
    }

    /// The secrets of a connection that proves itself in this way.
    #[must_use]
    pub fn credentials_of(&self, method: AuthMethod) -> Vec<Credential> {
        let fields = match (&self.api, &self.native) {
            (Some(api), _) => api.auth_of(method).map_or(&[][..], |auth| &auth.fields),
            (None, Some(native)) => {
                let way = native.ways.iter().find(|way| way.method == method);
                way.map_or(&[][..], |way| &way.fields)
            }
            (None, None) => return self.credentials.clone(),
        };
        let credential = |field: &crate::api::Field| Credential {
            field: field.place(),
            title: field.title.clone(),
            help: field.help.clone(),
            required: field.is_required,
        };
        fields.iter().map(credential).collect()
    }

    /// The first required credential that is not among those that it `has`.
    pub fn missing_credential(&self, method: AuthMethod, has: impl Fn(&str) -> bool) -> Option<Credential> {
        self.credentials_of(method).into_iter().find(|one| one.required && !has(&one.field))
    }
}

// === impl Preset ===

impl Preset {
    /// The settings that its templates ask for.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let texts = self.texts.iter().flat_map(|(_, template)| template.names());
        let maps = self.maps.iter().flat_map(|(_, all)| all.iter().flat_map(|(_, one)| one.names()));
        texts.chain(maps).chain(self.args.iter().flat_map(Arg::names)).collect()
    }
}
