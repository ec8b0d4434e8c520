//! Templates: texts with holes such as `{config.NAME}` in them, parsed once, filled in per connection or call.
//!
//! A value never becomes more than its text: nothing is quoted, split or read again, so that what a user
//! fills in stays one argument. `{{` and `}}` stand for the braces themselves.

use serde_json::{Map, Value};

use crate::problem::Problem;

/// A text with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Hole),
}

/// A place for a value: `{config.NAME}`, or `{input.NAME...}` for one of several segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Where the value is from.
    pub scope: Scope,
    /// Which one.
    pub name: String,
    /// It may be more than one segment of a path.
    pub is_rest: bool,
}

/// Where the value of a hole is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What the connection's user filled in.
    Config,
    /// The arguments of a call.
    Input,
    /// The connection's secrets.
    Secret,
    /// What a signature is made over: `method`, `path`, `query`, `body`, `time`, `nonce`.
    Sign,
}

/// One element of `args`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arg {
    /// One argument, or one for each element of a list.
    One(Template),
    /// Arguments that belong together (an option and its value): all of them, or none.
    Group(Vec<Template>),
    /// An argument that is there when a setting is true.
    Flag {
        /// The argument.
        text: String,
        /// The setting.
        when: String,
    },
}

// === impl Template ===

impl Template {
    /// Reads a text whose holes are settings.
    ///
    /// # Errors
    /// What is wrong with its braces.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_in(text, &[Scope::Config])
    }

    /// Reads a text whose holes are of these scopes.
    ///
    /// # Errors
    /// What is wrong with its braces.
    pub(crate) fn parse_in(text: &str, scopes: &[Scope]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let hole = from.strip_prefix('{').and_then(|after| after.split_once('}'));
                let Some((hole, after)) =
                    hole.and_then(|(hole, after)| Some((Hole::read(hole, scopes)?, after)))
                else {
                    let known: Vec<String> =
                        scopes.iter().map(|scope| format!("`{{{}.NAME}}`", scope.word())).collect();
                    let text: String = text.chars().take(80).collect();
                    return Err(format!(
                        "`{text}` has a brace that is no {}; write `{{{{` or `}}}}` for a brace itself",
                        known.join(" or ")
                    ));
                };
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Hole(hole));
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The settings that it asks for.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.holes().filter(|hole| hole.scope == Scope::Config).map(|hole| hole.name.as_str())
    }

    /// Its holes, in order.
    pub fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.0.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(hole),
            Part::Text(_) => None,
        })
    }

    /// The one hole that it is, where it is nothing else: its value stays what it is, a number or a list.
    #[must_use]
    pub fn only_hole(&self) -> Option<&Hole> {
        match self.0.as_slice() {
            [Part::Hole(hole)] => Some(hole),
            _ => None,
        }
    }

    /// The text with what `value` says for each hole; `None` as soon as one has no value.
    ///
    /// # Errors
    /// Those of `value`.
    pub fn fill<E>(
        &self,
        mut value: impl FnMut(&Hole) -> Result<Option<String>, E>,
    ) -> Result<Option<String>, E> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Hole(hole) => match value(hole)? {
                    Some(text) => out.push_str(&text),
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(out))
    }

    /// The texts that it becomes: none where a setting is missing, several where one is a list.
    fn texts(&self, config: &Map<String, Value>) -> Result<Vec<String>, Problem> {
        let mut out = vec![String::new()];
        for part in &self.0 {
            let values = match part {
                Part::Text(text) => vec![text.clone()],
                Part::Hole(Hole { name, .. }) => match config.get(name) {
                    None | Some(Value::Null) => return Ok(Vec::new()),
                    Some(Value::Array(items)) => {
                        items.iter().map(|item| text_of(name, item)).collect::<Result<_, _>>()?
                    }
                    Some(one) => vec![text_of(name, one)?],
                },
            };
            if out.len().saturating_mul(values.len()) > ARGS_MAX {
                return Err(Problem::new("", format!("becomes more than {ARGS_MAX} arguments"), ""));
            }
            out = out
                .iter()
                .flat_map(|before| values.iter().map(move |value| format!("{before}{value}")))
                .collect();
        }
        Ok(out)
    }

    /// The one text that it becomes; `None` where a setting is missing.
    pub(crate) fn text(&self, config: &Map<String, Value>) -> Result<Option<String>, Problem> {
        let listed = self.names().find(|name| config.get(*name).is_some_and(Value::is_array));
        if let Some(name) = listed {
            return Err(Problem::new(name, "a list stands where one value has to", ""));
        }
        Ok(self.texts(config)?.pop())
    }

    /// A user's value at the beginning of an argument must not become an option of the program.
    fn refuse_options(&self, texts: &[String]) -> Result<(), Problem> {
        let Some(Part::Hole(Hole { name, .. })) = self.0.first() else { return Ok(()) };
        if texts.iter().any(|text| text.starts_with('-')) {
            let what = "begins with `-`, which the program would take for an option";
            return Err(Problem::new(name, what, "for a path, write it with `./` or whole"));
        }
        Ok(())
    }
}

/// The most arguments that a preset becomes.
const ARGS_MAX: usize = 1_024;

// === impl Arg ===

impl Arg {
    /// The settings that it asks for.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::One(template) => template.names().collect(),
            Self::Group(templates) => templates.iter().flat_map(Template::names).collect(),
            Self::Flag { when, .. } => vec![when],
        }
    }

    /// Adds the arguments that it becomes.
    pub(crate) fn expand(&self, config: &Map<String, Value>, out: &mut Vec<Value>) -> Result<(), Problem> {
        match self {
            Self::One(template) => {
                let texts = template.texts(config)?;
                template.refuse_options(&texts)?;
                out.extend(texts.into_iter().map(Value::from));
            }
            Self::Group(templates) => {
                let mut columns = Vec::with_capacity(templates.len());
                for template in templates {
                    let texts = template.texts(config)?;
                    template.refuse_options(&texts)?;
                    columns.push(texts);
                }
                if columns.iter().any(Vec::is_empty) {
                    return Ok(());
                }
                // An option with a list is repeated, once for each element.
                for row in 0..columns.iter().map(Vec::len).max().unwrap_or(0) {
                    let cells = columns.iter().filter_map(|texts| texts.get(row).or_else(|| texts.last()));
                    out.extend(cells.map(|text| Value::from(text.as_str())));
                }
            }
            Self::Flag { text, when } => {
                if config.get(when) == Some(&Value::Bool(true)) {
                    out.push(text.as_str().into());
                }
            }
        }
        if out.len() > ARGS_MAX {
            return Err(Problem::new("", format!("becomes more than {ARGS_MAX} arguments"), ""));
        }
        Ok(())
    }
}

// === impl Hole, Scope ===

impl Hole {
    fn read(text: &str, scopes: &[Scope]) -> Option<Self> {
        let (scope, name) = text.split_once('.')?;
        let scope = scopes.iter().copied().find(|one| one.word() == scope)?;
        let (name, is_rest) = match name.strip_suffix("...") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let is_fit = is_name(name) && (!is_rest || matches!(scope, Scope::Input | Scope::Config));
        is_fit.then(|| Self { scope, name: name.to_owned(), is_rest })
    }
}

impl Scope {
    /// The word in a template.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Input => "input",
            Self::Secret => "secret",
            Self::Sign => "sign",
        }
    }
}

fn text_of(name: &str, value: &Value) -> Result<String, Problem> {
    match value {
        Value::String(text) if text.contains('\0') => Err(Problem::new(name, "holds a NUL character", "")),
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(Problem::new(name, "is neither a text, a number nor a boolean", "")),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
#[path = "template/tests.rs"]
mod tests;
