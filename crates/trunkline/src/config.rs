//! Configuration: which file, what it says, what is wrong with it.
//!
//! Two layers: the hub-wide part (a mistake there is fatal) and the entries of `integrations` and
//! `toolsets`, each read on its own. Start reading at [`load`].

pub(crate) mod egress;
pub(crate) mod emit;
pub(crate) mod entry;
pub(crate) mod fields;
pub(crate) mod hub;
pub(crate) mod problem;
pub(crate) mod redact;
pub(crate) mod said;
pub(crate) mod secrets;
pub(crate) mod toolset;
pub(crate) mod upkeep;
pub(crate) use catalog::yaml as tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use egress::Egress;
use entry::Entry;
use fields::{Env, Fields, Outside, Reading, UNREAD, Used};
use hub::Hub;
use model::Secret;
use problem::{Problem, Scope, Severity, shown};
use toolset::Toolset;
use tree::{Mark, Node, Value};

/// The commented default file: what `config default` prints.
pub(crate) const DEFAULT_FILE: &str = include_str!("config/default.yaml");

/// Everything that a configuration says.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The file it came from; `None` = the built-in defaults.
    pub(crate) file: Option<PathBuf>,
    /// The hub-wide settings.
    pub(crate) hub: Hub,
    /// The way out.
    pub(crate) egress: Egress,
    /// The entries of `integrations`, in the file's order.
    pub(crate) entries: Vec<Entry>,
    /// The toolsets that are whole.
    pub(crate) toolsets: Vec<Toolset>,
    /// Everything that is wrong.
    pub(crate) problems: Vec<Problem>,
    /// What the entries take from sources of secrets.
    pub(crate) references: Vec<Used>,
    /// On which line each setting stands.
    pub(crate) lines: BTreeMap<String, u32>,
    /// Settings that the command line or the environment decided, and which.
    pub(crate) overrides: BTreeMap<&'static str, &'static str>,
    /// Every setting that was asked for.
    #[cfg_attr(not(test), expect(dead_code, reason = "the default file is tested against it"))]
    pub(crate) known: BTreeSet<String>,
    /// The file as it is, for showing.
    pub(crate) tree: Node,
    /// The file's text as it was read, to tell whether it is another one since.
    pub(crate) text: Secret,
}

/// What the command line and the environment say about the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// `--config`.
    pub(crate) file: Option<PathBuf>,
    /// `--listen`.
    pub(crate) listen: Option<String>,
}

impl Config {
    /// True when the hub cannot start with it.
    pub(crate) fn is_fatal(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Error && p.scope == Scope::Hub)
    }

    /// True when anything in it is an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Error)
    }
}

/// Finds and reads the configuration. Never fails: what is wrong is in [`Config::problems`].
pub(crate) fn load(wanted: &Wanted, env: Env<'_>) -> Config {
    load_with(wanted, env, UNREAD)
}

/// The same with what sources of secrets hold.
pub(crate) fn load_with(wanted: &Wanted, env: Env<'_>, outside: Outside<'_>) -> Config {
    let file = locate(wanted.file.as_deref(), env);
    let mut config = match &file {
        None => parse_with(None, "", env, outside),
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => parse_with(Some(path), &text, env, outside),
            Err(error) => {
                let mut config = parse_with(Some(path), "", env, outside);
                let hint =
                    "name a readable file with --config; `trunkline config default` prints one".to_owned();
                config.problems.push(Problem {
                    severity: Severity::Error,
                    scope: Scope::Hub,
                    file: Some(shown(path)),
                    at: Mark::default(),
                    key: String::new(),
                    what: format!("cannot be read: {error}"),
                    hint: Some(hint),
                });
                config
            }
        },
    };
    let listen = wanted.listen.clone().map(|text| (text, "--listen")).or_else(|| {
        env("TRUNKLINE_LISTEN").filter(|text| !text.is_empty()).map(|text| (text, "TRUNKLINE_LISTEN"))
    });
    if let Some((text, origin)) = listen {
        match hub::parse_address(&text) {
            Some(address) => config.hub.listen = address,
            None => config.problems.push(Problem {
                severity: Severity::Error,
                scope: Scope::Hub,
                file: None,
                at: Mark::default(),
                key: origin.to_owned(),
                what: hub::no_address(&text),
                hint: None,
            }),
        }
        config.overrides.insert("listen", origin);
    }
    config
}

/// Which file: `--config`, `TRUNKLINE_CONFIG`, `./trunkline.yaml`, the user's own, none.
pub(crate) fn locate(flag: Option<&Path>, env: Env<'_>) -> Option<PathBuf> {
    if let Some(path) = flag {
        return Some(path.to_owned());
    }
    if let Some(path) = env("TRUNKLINE_CONFIG").filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(path));
    }
    let here = PathBuf::from("trunkline.yaml");
    if here.exists() {
        return Some(here);
    }
    Some(user_file(env)?).filter(|path| path.exists())
}

/// `$XDG_CONFIG_HOME/trunkline/trunkline.yaml`.
fn user_file(env: Env<'_>) -> Option<PathBuf> {
    let base = env("XDG_CONFIG_HOME")
        .filter(|base| base.starts_with('/'))
        .map(PathBuf::from)
        .or_else(|| env("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(base.join("trunkline/trunkline.yaml"))
}

/// The data folder: `--data`, `TRUNKLINE_DATA`, `$XDG_DATA_HOME/trunkline`.
pub(crate) fn data_folder(flag: Option<&Path>, env: Env<'_>) -> PathBuf {
    if let Some(path) = flag {
        return path.to_owned();
    }
    if let Some(path) = env("TRUNKLINE_DATA").filter(|path| !path.is_empty()) {
        return PathBuf::from(path);
    }
    let base = env("XDG_DATA_HOME")
        .filter(|base| base.starts_with('/'))
        .map(PathBuf::from)
        .or_else(|| env("HOME").map(|home| Path::new(&home).join(".local/share")));
    base.unwrap_or_else(|| PathBuf::from(".")).join("trunkline")
}

/// Reads a configuration text, references to sources for their form only.
#[cfg(test)]
pub(crate) fn parse(file: Option<&Path>, text: &str, env: Env<'_>) -> Config {
    parse_with(file, text, env, UNREAD)
}

/// Reads a configuration text.
fn parse_with(file: Option<&Path>, text: &str, env: Env<'_>, outside: Outside<'_>) -> Config {
    let mut reading = Reading::new(file.map(shown), env, outside);
    let empty = Node { at: Mark { line: 1, column: 1 }, value: Value::Null };
    let tree = match tree::parse(text) {
        Ok(tree) => tree,
        Err(error) => {
            let line = usize::try_from(error.at.line).unwrap_or(0);
            let said = line.checked_sub(1).and_then(|index| text.lines().nth(index)).unwrap_or_default();
            let hint = said.contains("${").then(|| "put quotes around references: \"${NAME}\"".to_owned());
            reading.error(error.at, "", error.what, hint);
            empty.clone()
        }
    };
    let (hub, egress, entries, toolsets) = match Fields::open(&tree, "", "", &mut reading) {
        Some(mut top) => {
            let hub = hub::read(&mut top, &mut reading);
            let egress = egress::read_hub(&mut top, &mut reading);
            let entries = top.names("integrations", &mut reading).unwrap_or_default();
            let sets = top.names("toolsets", &mut reading).unwrap_or_default();
            top.finish(&mut reading);
            let entries = entry::read_all(entries, &mut reading);
            let toolsets = toolset::read_all(sets, &entries, &mut reading);
            (hub, egress, entries, toolsets)
        }
        None => (Hub::default(), Egress::default(), Vec::new(), Vec::new()),
    };
    reading.problems.sort_by_key(|problem| problem.at);
    Config {
        file: file.map(Path::to_owned),
        hub,
        egress,
        entries,
        toolsets,
        problems: reading.problems,
        references: reading.references,
        lines: reading.lines,
        overrides: BTreeMap::new(),
        known: reading.known,
        tree,
        text: Secret::new(text.to_owned()),
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
