//! MCP bundles: `manifest.json`, alone or inside of its zip file, as an entry.
//!
//! A bundle is not unpacked here: where its files are is a setting of the connection, so that whoever puts
//! them there has looked at them. Only the manifest is read, and no more of it than a manifest has.

mod asked;
mod bundle;

use serde_json::{Value, json};

use super::document::parse;
use super::inputs::is_yes;
use super::launch::{Head, Launch, Named, escaped};
use super::names::{cut, line, spoken};
use super::report::Report;
use super::write::Tree;
use super::{Imported, Options, Refused, ZIP, items, members, refused, slug_of, text, text_of};

/// The most arguments, variables and settings.
const MEMBERS_MAX: usize = 200;

/// What the words of a bundle's templates stand for.
struct Words<'m> {
    asked: &'m Value,
    launch: Launch,
    /// The name of the setting with the folder, once something needs it.
    folder: Option<String>,
    /// Names of their settings by those of the bundle.
    known: Vec<(String, String)>,
    report: Report,
}

/// Makes an entry of a bundle, or of its `manifest.json`.
///
/// # Errors
/// When it is none, or cannot be started as it is described.
pub fn mcpb(bytes: &[u8], options: &Options) -> Result<Imported, Refused> {
    let unzipped;
    let manifest = if bytes.starts_with(ZIP) {
        unzipped = bundle::manifest_of(bytes)?;
        unzipped.as_str()
    } else {
        text_of(bytes)?
    };
    let root = parse(manifest)?;
    let (Some(name), Some(server)) = (text(&root, "name"), root.get("server").filter(|one| one.is_object()))
    else {
        return refused("is no manifest of an MCP bundle: it has no `name` or no `server`");
    };
    let nothing = json!({});
    let asked = root.get("user_config").unwrap_or(&nothing);
    let mut words =
        Words { asked, launch: Launch::new(), folder: None, known: Vec::new(), report: Report::default() };
    words.start(server)?;
    for key in ["prompts", "localization", "icon", "icons"].iter().filter(|key| root.get(key).is_some()) {
        words.report.add(key, "is not taken over");
    }
    let platforms = root.get("compatibility").map_or(&[][..], |one| items(one, "platforms"));
    if !platforms.is_empty() {
        let list: Vec<&str> = platforms.iter().filter_map(Value::as_str).collect();
        words.report.add("compatibility.platforms", format!("it runs on {} only", line(&list.join(", "))));
    }
    let tools = items(&root, "tools").len();
    let min_tools = if is_yes(&root, "tools_generated") { 0 } else { tools.min(10_000) };
    let link = |key: &str| match root.get(key) {
        Some(Value::Object(_)) => root.get(key).and_then(|one| text(one, "url")),
        _ => text(&root, key),
    };
    let links: Vec<String> = ["documentation", "homepage", "repository", "support"]
        .iter()
        .filter_map(|key| link(key))
        .map(|one| one.into_owned())
        .collect();
    let head = Head {
        slug: slug_of(options, &[&name])?,
        name: text(&root, "display_name").unwrap_or_else(|| name.clone()).into_owned(),
        description: text(&root, "description").unwrap_or_default().into_owned(),
        docs_url: links.first().cloned(),
        version: text(&root, "version").map(std::borrow::Cow::into_owned),
        sources: links,
        min_tools,
    };
    words.launch.finish(head, words.report)
}

// === impl Words ===

impl Words<'_> {
    /// How it is started.
    fn start(&mut self, server: &Value) -> Result<(), Refused> {
        let nothing = json!({});
        let config = server.get("mcp_config").unwrap_or(&nothing);
        for (platform, _) in members(config, "platform_overrides") {
            self.report.add(
                format!("server.mcp_config.platform_overrides.{}", line(platform)),
                "is not taken over: what holds everywhere is",
            );
        }
        let kind = text(server, "type").unwrap_or_default();
        let entry = text(server, "entry_point")
            .map(|path| format!("${{__dirname}}/{}", path.trim_start_matches("./")));
        let command = text(config, "command").map(|command| command.into_owned());
        let (command, args) = match (command, kind.as_ref(), entry) {
            (Some(command), _, _) => (
                command,
                items(config, "args").iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect(),
            ),
            (None, "node", Some(entry)) => ("node".to_owned(), vec![entry]),
            (None, "python", Some(entry)) => ("python3".to_owned(), vec![entry]),
            (None, "uv", Some(entry)) => (
                "uv".to_owned(),
                vec!["run".to_owned(), "--directory".to_owned(), "${__dirname}".to_owned(), entry],
            ),
            (None, "binary", Some(entry)) => (entry, Vec::new()),
            _ => return refused("does not say what is started: it has no server.mcp_config.command"),
        };
        if kind == "uv" || kind == "python" {
            self.report.add(
                "server.type",
                format!("is {}: what it needs has to be installed on the hub's machine", line(&kind)),
            );
        }
        let command = self.filled(&command).or_else(|why| refused(format!("its command {why}")))?;
        self.launch.texts.extend([("protocol", "stdio".to_owned()), ("command", command)]);
        if args.len() > MEMBERS_MAX {
            return refused(format!("has more than {MEMBERS_MAX} arguments"));
        }
        for arg in args {
            let arg = self
                .filled(&arg)
                .or_else(|why| refused(format!("its argument `{}` {why}", line(cut(&arg, 80)))))?;
            self.launch.args.push(Tree::text(arg));
        }
        for (name, value) in members(config, "env").take(MEMBERS_MAX) {
            self.variable(name, value.as_str().unwrap_or_default());
        }
        let used: Vec<&String> = self.known.iter().map(|(name, _)| name).collect();
        let unused: Vec<String> = self
            .asked
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .filter(|name| !used.contains(&name))
            .collect();
        for name in unused {
            self.report.add(format!("user_config.{}", line(&name)), "is used nowhere; it is left out");
        }
        if self.folder.is_some() {
            self.report.add("server", "the bundle is not unpacked: unpack it on the hub's machine, and say where as the setting `folder`");
        }
        Ok(())
    }

    /// A variable of the program; one that is a secret and nothing else becomes a credential.
    fn variable(&mut self, name: &str, value: &str) {
        let place = format!("server.mcp_config.env.{}", line(name));
        if !Named::Env.takes(name) {
            self.report.add(place, "has a name that no variable has; it is left out");
            return;
        }
        let whole = value.strip_prefix("${user_config.").and_then(|rest| rest.strip_suffix('}'));
        let secret = self.asked.as_object().into_iter().flatten().find(|(key, one)| {
            is_yes(one, "sensitive") && value.contains(&format!("${{user_config.{key}}}"))
        });
        if let Some((key, one)) = secret {
            let words = text(one, "description").unwrap_or_default();
            let help = if whole.is_some() {
                words.into_owned()
            } else {
                self.report.add(&place, "holds a secret: the whole of it is one, with what stands around it");
                format!("The whole of it: {value}. {words}")
            };
            let title = text(one, "title").unwrap_or_else(|| key.as_str().into());
            self.launch.credential(Named::Env, name, &title, &help, is_yes(one, "required"));
            self.known.push((key.clone(), String::new()));
            return;
        }
        let is_list = whole.and_then(|key| self.asked.get(key)).is_some_and(|one| is_yes(one, "multiple"));
        if is_list {
            self.report.add(place, "is a list, which no variable is; it is left out");
            return;
        }
        match self.filled(value) {
            Ok(template) => self.launch.put(Named::Env, name, template),
            Err(why) => self.report.add(place, format!("{why}; it is left out")),
        }
    }

    /// A text with `${words}` as our template.
    fn filled(&mut self, value: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = value;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(&escaped(before));
            let Some((word, after)) = after.split_once('}') else {
                return Err("has a brace that is not closed".to_owned());
            };
            rest = after;
            match (word, word.strip_prefix("user_config.")) {
                ("/" | "pathSeparator", _) => out.push('/'),
                ("__dirname", _) => out.push_str(&self.place(
                    "folder",
                    "Folder",
                    "Where the bundle is unpacked on the hub's machine, a whole path.",
                )),
                ("HOME" | "DESKTOP" | "DOCUMENTS" | "DOWNLOADS", _) => {
                    out.push_str(&self.place(
                        word,
                        &spoken(&word.to_ascii_lowercase()),
                        "A folder on the hub's machine, a whole path.",
                    ));
                }
                (_, Some(key)) => out.push_str(&self.setting(key)?),
                (other, None) => {
                    return Err(format!("has `${{{}}}`, which is not known", line(cut(other, 60))));
                }
            }
        }
        out.push_str(&escaped(rest));
        Ok(out)
    }

    /// A folder that the user names.
    fn place(&mut self, word: &str, title: &str, words: &str) -> String {
        let setting = match self.known.iter().find(|(known, _)| known.strip_prefix('/') == Some(word)) {
            Some((_, setting)) => setting.clone(),
            None => {
                let schema =
                    json!({ "title": title, "description": words, "type": "string", "pattern": "^/" });
                let setting =
                    self.launch.setting(word, schema.as_object().cloned().unwrap_or_default(), true);
                // No name of the bundle's own begins with a stroke.
                self.known.push((format!("/{word}"), setting.clone()));
                setting
            }
        };
        if word == "folder" {
            self.folder = Some(setting.clone());
        }
        format!("{{config.{setting}}}")
    }

    /// What the bundle asks its user for.
    fn setting(&mut self, key: &str) -> Result<String, String> {
        if let Some((_, setting)) =
            self.known.iter().find(|(known, setting)| known == key && !setting.is_empty())
        {
            return Ok(format!("{{config.{setting}}}"));
        }
        let Some(one) = self.asked.get(key) else {
            return Err(format!(
                "has the setting `{}`, which user_config does not describe",
                line(cut(key, 60))
            ));
        };
        if is_yes(one, "sensitive") {
            return Err(format!(
                "holds the secret `{}`, and secrets stand in variables only",
                line(cut(key, 60))
            ));
        }
        let schema = asked::schema(key, one, &mut self.report);
        let setting = self.launch.setting(key, schema, is_yes(one, "required"));
        self.known.push((key.to_owned(), setting.clone()));
        Ok(format!("{{config.{setting}}}"))
    }
}
