//! An entry of an MCP server while it is put together: what is preset, what users fill in, which secrets.

use serde_json::{Map, Value, json};

use super::names::{Taken, argument, cut, line};
use super::report::Report;
use super::write::Tree;
use super::{Imported, Refused, checked, is_link};

/// The head of an entry.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) docs_url: Option<String>,
    pub(super) version: Option<String>,
    /// Links that its facts are from.
    pub(super) sources: Vec<String>,
    pub(super) min_tools: usize,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Launch {
    /// `protocol`, `command`, `url`: templates.
    pub(super) texts: Vec<(&'static str, String)>,
    pub(super) args: Vec<Tree>,
    env: Vec<(String, Tree)>,
    headers: Vec<(String, Tree)>,
    settings: Vec<(String, Tree)>,
    required: Vec<String>,
    credentials: Vec<(String, Tree)>,
    taken: Taken,
}

/// The two places of named values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// The variables of a program.
    Env,
    /// The headers of requests.
    Headers,
}

// === impl Named ===

impl Named {
    /// The word of the manifest.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Headers => "headers",
        }
    }

    /// Whether a name can stand there.
    pub(super) fn takes(self, name: &str) -> bool {
        let is_fit = |b: u8| match self {
            Self::Env => b.is_ascii_alphanumeric() || b == b'_',
            Self::Headers => b.is_ascii_alphanumeric() || b"-_".contains(&b),
        };
        (1..=100).contains(&name.len()) && name.bytes().all(is_fit)
    }
}

// === impl Launch ===

impl Launch {
    pub(super) fn new() -> Self {
        let mut launch = Self::default();
        launch.taken.take("timeout");
        launch
    }

    /// Adds a setting; answers the name that templates have for it.
    pub(super) fn setting(
        &mut self,
        name: &str,
        mut schema: Map<String, Value>,
        is_required: bool,
    ) -> String {
        let own = self.taken.free(&argument(cut(name, 60)).to_ascii_lowercase(), 64);
        schema.insert("x-order".to_owned(), json!(self.settings.len() + 1));
        if is_required && !schema.contains_key("default") {
            self.required.push(own.clone());
        }
        self.settings.push((own.clone(), Tree::Value(Value::Object(schema)).line()));
        own
    }

    /// Adds a secret.
    pub(super) fn credential(
        &mut self,
        named: Named,
        name: &str,
        title: &str,
        help: &str,
        is_required: bool,
    ) {
        let field = format!("{}.{name}", named.word());
        if self.credentials.iter().any(|(known, _)| *known == field) {
            return;
        }
        let title = line(title);
        let mut said = vec![
            ("field", Tree::text(&field)),
            ("title", Tree::text(if title.is_empty() { name } else { cut(&title, 200) })),
        ];
        if !help.trim().is_empty() {
            said.push(("help", Tree::text(cut(help.trim(), 2_000).replace('\0', ""))));
        }
        said.push(("required", Tree::Value(json!(is_required))));
        self.credentials.push((field, Tree::map(said)));
    }

    /// Adds a variable or a header; `value` is a template.
    pub(super) fn put(&mut self, named: Named, name: &str, value: String) {
        let all = if named == Named::Env { &mut self.env } else { &mut self.headers };
        all.retain(|(known, _)| known != name);
        all.push((name.to_owned(), Tree::text(value)));
    }

    /// The whole manifest.
    pub(super) fn finish(mut self, head: Head, mut report: Report) -> Result<Imported, Refused> {
        let timeout = json!({ "title": "Seconds a call may take", "type": "number", "exclusiveMinimum": 0, "maximum": 86_400, "x-order": 90 });
        self.settings.push(("timeout".to_owned(), Tree::Value(timeout).line()));
        let mut schema =
            vec![("type", Tree::text("object")), ("additionalProperties", Tree::Value(json!(false)))];
        if !self.required.is_empty() {
            schema.push(("required", Tree::texts(self.required)));
        }
        schema.push(("properties", Tree::Map(self.settings)));
        let mut preset: Vec<(&str, Tree)> =
            self.texts.into_iter().map(|(key, text)| (key, Tree::text(text))).collect();
        if !self.args.is_empty() {
            preset.push(("args", Tree::List(self.args).line()));
        }
        for (key, all) in [("env", self.env), ("headers", self.headers)] {
            if !all.is_empty() {
                preset.push((key, Tree::Map(all)));
            }
        }
        let mut sources: Vec<String> = Vec::new();
        for link in head.sources.into_iter().filter(|link| is_link(link)) {
            if !sources.contains(&link) {
                sources.push(link);
            }
        }
        if sources.is_empty() {
            report.add("sources", "the document names no https:// link; say where you have it from");
            sources.push("https://modelcontextprotocol.io/docs".to_owned());
        }
        let name = line(&head.name);
        let description = head.description.trim().replace('\0', "");
        let description =
            if description.is_empty() { format!("{name}, an MCP server.") } else { description };
        let version = head.version.map(|version| line(cut(&version, 64))).filter(|text| !text.is_empty());
        let mut top = vec![
            ("slug", Tree::text(&head.slug)),
            ("name", Tree::text(if name.is_empty() { &head.slug } else { cut(&name, 250) })),
            ("type", Tree::text("mcp")),
            ("category", Tree::text("other")),
            ("description", Tree::text(cut(&description, 4_000))),
        ];
        top.extend(head.docs_url.filter(|url| is_link(url)).map(|url| ("docs_url", Tree::text(url))));
        top.extend([
            ("version", Tree::text(version.unwrap_or_else(|| "1.0.0".to_owned()))),
            ("sources", Tree::List(sources.into_iter().map(Tree::text).collect())),
            ("config_schema", Tree::map(schema)),
            ("preset", Tree::map(preset)),
        ]);
        if !self.credentials.is_empty() {
            let all = self.credentials.into_iter().map(|(_, tree)| tree).collect();
            top.push(("credentials", Tree::List(all)));
        }
        let test = vec![("kind", Tree::text("inventory")), ("min_tools", Tree::Value(json!(head.min_tools)))];
        top.push(("test", Tree::map(test).line()));
        checked(head.slug, Tree::map(top).yaml(), report)
    }
}

/// A text that is no template.
pub(super) fn escaped(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}").replace('\0', "")
}
