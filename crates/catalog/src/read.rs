//! The grammar of `integration.yaml`. Strict: what is unknown, missing or of the wrong type is told with its
//! line, and reading goes on, so that one look shows every mistake.

mod api;
mod fields;
pub(crate) mod fixtures;
mod native;
mod preset;

use std::sync::OnceLock;

use model::IntegrationKind;
use serde_json::Value as Json;

use crate::entry::{API_CONNECTION_KEYS, Credential, Entry, InventoryTest, Preset};
use crate::icon::check_icon;
use crate::problem::{Problem, Problems};
use crate::{ICON, schema, yaml};
pub(crate) use fields::json;
use fields::{Fields, Reading};
use preset::CONNECTION_KEYS;

/// The largest manifest, in bytes.
const MANIFEST_BYTES_MAX: usize = 512 * 1024;

impl Entry {
    /// Reads a manifest and its icon. `folder` is the name of the folder that they are in, `file` the name
    /// that mistakes are told with.
    ///
    /// # Errors
    /// Every mistake, with its line.
    pub fn read(folder: &str, file: &str, manifest: &str, icon: &str) -> Result<Self, Problems> {
        Self::read_in(Reading::new(file), folder, file, manifest, icon)
    }

    /// Reads one that is compiled in, and was read whole by the tests.
    pub(crate) fn read_own(slug: &str, file: &str, manifest: &str, icon: &str) -> Result<Self, Problems> {
        let mut reading = Reading::new(file);
        reading.is_own = true;
        Self::read_in(reading, slug, file, manifest, icon)
    }

    fn read_in(
        mut reading: Reading,
        folder: &str,
        file: &str,
        manifest: &str,
        icon: &str,
    ) -> Result<Self, Problems> {
        if let Err(what) = check_icon(icon) {
            reading
                .problems
                .push(Problem { file: file.replace(crate::MANIFEST, ICON), ..Problem::new("", what, "") });
        }
        let entry = read(folder, manifest, icon, &mut reading);
        match (entry, reading.problems.is_empty()) {
            (Some(entry), true) => Ok(entry),
            (_, false) => Err(Problems(reading.problems)),
            (None, true) => Err(Problems(vec![Problem::new("", "cannot be read", "")])),
        }
    }

    /// Reads a manifest that was read before, and stored without its icon.
    ///
    /// # Errors
    /// As [`Entry::read`].
    pub fn read_stored(slug: &str, manifest: &str) -> Result<Self, Problems> {
        Self::read(slug, "", manifest, "<svg/>")
    }
}

/// The slug that a manifest says, whatever else is wrong with it.
#[must_use]
pub fn slug_of(manifest: &str) -> Option<String> {
    let tree = yaml::parse(manifest).ok()?;
    json(&tree).get("slug")?.as_str().map(str::to_owned)
}

fn read(folder: &str, manifest: &str, icon: &str, reading: &mut Reading) -> Option<Entry> {
    if manifest.len() > MANIFEST_BYTES_MAX {
        let what = format!("has {} bytes, at most {MANIFEST_BYTES_MAX} are read", manifest.len());
        reading.error(0, "", what, "");
        return None;
    }
    let tree = match yaml::parse(manifest) {
        Ok(tree) => tree,
        Err(error) => {
            reading.error(error.at.line, "", error.what, "");
            return None;
        }
    };
    let mut top = Fields::open(&tree, "", reading)?;
    let slug = top.required_text("slug", 64, reading);
    if let Some(slug) = &slug {
        let line = top.line("slug");
        if !slug.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            reading.error(line, "slug", "may have a-z, 0-9 and `-` only", "");
        } else if slug != folder {
            reading.error(
                line,
                "slug",
                format!("`{slug}` is called `{folder}` where it stands"),
                "rename one of them",
            );
        }
    }
    let name = top.required_text("name", 256, reading);
    let kind = top.word("type", reading);
    let category = top.word("category", reading);
    let description = top.required_text("description", 4_096, reading);
    let docs_url = top.text("docs_url", 4_096, reading).unwrap_or_default();
    if !docs_url.is_empty() {
        check_link(top.line("docs_url"), "docs_url", &docs_url, reading);
    }
    let version = top.required_text("version", 64, reading);
    let sources = sources(&mut top, reading);
    let schema_line = top.line("config_schema");
    let config_schema = top.node("config_schema").map(json);
    match &config_schema {
        None => reading.error(top.at, "config_schema", "missing", "a JSON Schema of what a user fills in"),
        Some(_) if reading.is_own => {}
        Some(schema) => {
            if let Err(what) = schema::compile(schema) {
                reading.error(schema_line, "config_schema", what, "");
            }
        }
    }
    let config_schema = config_schema.unwrap_or_default();
    check_visibility(schema_line, &config_schema, reading);
    let is_api = top.node("api").is_some();
    let (mut preset, mut secrets, mut tested) =
        (Preset::default(), Vec::new(), InventoryTest { min_tools: 0 });
    let (mut http, mut own) = (None, None);
    if top.node("connector").is_some() {
        own = native::read(&mut top, reading);
    } else if is_api {
        if let Some((api, used)) = api::read(&mut top, &config_schema, reading) {
            let used: Vec<&str> = used.iter().map(String::as_str).collect();
            check_reach(schema_line, &config_schema, &used, API_CONNECTION_KEYS, reading);
            http = Some(api);
        }
        for other in ["preset", "credentials"] {
            if top.node(other).is_some() {
                let hint = "an API's are in `api` and `auth`";
                reading.error(top.line(other), other, "is for MCP servers", hint);
            }
        }
    } else {
        preset = preset::read(&mut top, &config_schema, reading);
        check_reach(schema_line, &config_schema, &preset.names(), CONNECTION_KEYS, reading);
        secrets = credentials(&mut top, reading);
        tested = test(&mut top, reading)?;
        if kind.is_some_and(|kind: IntegrationKind| kind != IntegrationKind::Mcp) {
            reading.error(
                top.at,
                "api",
                "missing",
                "an entry that is no MCP server says how its API is spoken to, or names its `connector`",
            );
        }
    }
    let health_interval_s = health(&mut top, reading);
    top.finish(reading);
    Some(Entry {
        slug: slug?,
        name: name?,
        kind: kind?,
        category: category?,
        description: description?,
        docs_url,
        version: version?,
        sources,
        config_schema,
        preset,
        credentials: secrets,
        test: tested,
        api: http,
        native: own,
        fixture_files: Vec::new(),
        health_interval_s,
        manifest: manifest.to_owned(),
        icon: icon.to_owned(),
        validator: OnceLock::new(),
    })
}

fn sources(top: &mut Fields<'_>, reading: &mut Reading) -> Vec<String> {
    let links = top.texts("sources", reading);
    if links.is_empty() {
        let line = top.line("sources");
        reading.error(line, "sources", "missing", "list the links that its facts are from, at least one");
    }
    for (line, link) in &links {
        check_link(*line, "sources", link, reading);
    }
    links.into_iter().map(|(_, link)| link).collect()
}

fn check_link(line: u32, key: &str, link: &str, reading: &mut Reading) {
    if !link.starts_with("https://") || link.contains(char::is_whitespace) {
        reading.error(line, key, format!("`{link}` is no https:// link"), "");
    }
}

/// `x-visible-when` names properties that there are.
fn check_visibility(line: u32, schema: &Json, reading: &mut Reading) {
    let names: Vec<&str> = schema::properties(schema).map(|(name, _)| name.as_str()).collect();
    for (name, property) in schema::properties(schema) {
        let key = format!("config_schema.properties.{name}.x-visible-when");
        match property.get("x-visible-when") {
            None => {}
            Some(Json::Object(when)) => {
                for other in when.keys().filter(|other| !names.contains(&other.as_str())) {
                    reading.unknown(line, &key, other, &names);
                }
            }
            Some(_) => reading.error(line, &key, "is not a map of property to value", ""),
        }
        if property.get("x-order").is_some_and(|order| !order.is_i64()) {
            reading.error(
                line,
                &format!("config_schema.properties.{name}.x-order"),
                "is not a whole number",
                "",
            );
        }
    }
}

/// A property that no template uses goes to the connection, and has to be something there.
fn check_reach(line: u32, schema: &Json, used: &[&str], keys: &[&str], reading: &mut Reading) {
    for (name, _) in schema::properties(schema) {
        if !used.contains(&name.as_str()) && !keys.contains(&name.as_str()) {
            let what = "no template uses it, and a connection has no such key: it would do nothing";
            reading.error(
                line,
                &format!("config_schema.properties.{name}"),
                what,
                "use `{config.NAME}` in `preset` or `api`",
            );
        }
    }
}

fn credentials(top: &mut Fields<'_>, reading: &mut Reading) -> Vec<Credential> {
    let mut out: Vec<Credential> = Vec::new();
    for node in top.list("credentials", reading) {
        let Some(mut fields) = Fields::open(node, "credentials.", reading) else { continue };
        let field = fields.required_text("field", 128, reading);
        let title = fields.required_text("title", 256, reading);
        let help = fields.text("help", 4_096, reading).unwrap_or_default();
        let required = fields.flag("required", reading).unwrap_or(true);
        fields.finish(reading);
        let (Some(field), Some(title)) = (field, title) else { continue };
        let line = fields.line("field");
        let name =
            ["auth.credentials.", "headers.", "env."].iter().find_map(|start| field.strip_prefix(start));
        if name.is_none_or(|name| name.is_empty() || name.contains('.')) {
            let hint = "auth.credentials.NAME, headers.NAME or env.NAME";
            reading.error(line, "credentials.field", format!("`{field}` is no place for a secret"), hint);
        } else if out.iter().any(|other| other.field == field) {
            reading.error(line, "credentials.field", format!("`{field}` is there twice"), "");
        }
        out.push(Credential { field, title, help, required });
    }
    out
}

fn test(top: &mut Fields<'_>, reading: &mut Reading) -> Option<InventoryTest> {
    let Some(node) = top.node("test") else {
        reading.error(top.at, "test", "missing", "for example `test: { kind: inventory, min_tools: 1 }`");
        return None;
    };
    let mut fields = Fields::open(node, "test.", reading)?;
    let kind = fields.required_text("kind", 64, reading);
    let min_tools = fields.count("min_tools", 0, 10_000, reading);
    if min_tools.is_none() && fields.node("min_tools").is_none() {
        reading.error(fields.at, "test.min_tools", "missing", "how many tools it has at least");
    }
    fields.finish(reading);
    if kind.as_deref().is_some_and(|kind| kind != "inventory") {
        reading.error(fields.line("kind"), "test.kind", "is not `inventory`, the one kind that there is", "");
    }
    Some(InventoryTest { min_tools: usize::try_from(min_tools?).ok()? })
}

fn health(top: &mut Fields<'_>, reading: &mut Reading) -> Option<u64> {
    let node = top.node("health")?;
    let mut fields = Fields::open(node, "health.", reading)?;
    let interval = fields.count("interval", 5, 86_400, reading);
    fields.finish(reading);
    interval
}

#[cfg(test)]
mod tests;
