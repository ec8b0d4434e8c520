//! `trunkline catalog ...`: the manifests that this binary and this configuration have, read and checked here;
//! no hub is asked. Exit code 1 where an entry is broken or does not do what it says.

mod import;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use catalog::Entry;
use model::{AuthMethod, Key, Secret};
use serde_json::{Map, Value, json};
use store::Origin;

use super::call::of_pairs;
use super::client::{Remote, block_on, cell, escape};
use super::probe::{parts, speak};
use super::serve::control_runtime;
use super::{configuration, env};
use crate::cli::{CatalogVerb, Shared};
use crate::config::Config;
use crate::config::egress::Egress;
use crate::config::entry::{Shape, of_stored};
use crate::config::hub::{Limits, Log};
use crate::say::{Quit, note, out, plain, table};
use crate::wiring::catalogue::{Gathered, folders, gather};
use crate::wiring::connections::natives::absent;
use crate::wiring::connections::upstream_settings;
use crate::wiring::telemetry;

/// How one entry did.
struct Verdict<'a> {
    slug: &'a str,
    origin: Origin,
    /// Tools that it listed, when it was run.
    tools: Option<usize>,
    problem: Option<String>,
    /// What there is to know beside it.
    note: Option<String>,
}

/// Runs the verb.
pub(crate) fn run(shared: &Shared, verb: &CatalogVerb) -> Result<(), Quit> {
    let config = || configuration(shared, None);
    let all = |config: &Config| {
        let (folders, is_named) = folders(config);
        gather(&folders, is_named)
    };
    match verb {
        CatalogVerb::List => list(shared.json, &all(&config())),
        CatalogVerb::Show { slug } => show(shared.json, &all(&config()), slug),
        CatalogVerb::Verify { slug, pairs, run, timeout } => {
            let (config, timeout_s) = (config(), run.then_some(*timeout));
            verify(&config.egress, shared.json, &all(&config), slug.as_deref(), pairs, timeout_s)
        }
        CatalogVerb::Put { file } => put(shared, file),
        CatalogVerb::Remove { slug } => remove(shared, slug),
        CatalogVerb::Import { file, slug, operations, out, force } => {
            let options = ::catalog::import::Options { slug: slug.clone(), operations: operations.clone() };
            let folder = out.clone().or_else(|| folders(&config()).0.into_iter().next());
            import::run(shared.json, file, &options, folder, *force)
        }
    }
}

fn remove(shared: &Shared, slug: &str) -> Result<(), Quit> {
    let path = format!("/api/v1/integrations/{}", escape(slug));
    block_on(Remote::of(shared).ask("DELETE", &path, None))?;
    out(&if shared.json { json!({ "removed": slug }).to_string() } else { format!("removed {slug}") });
    Ok(())
}

/// Gives a manifest to the hub that is running. It is read there: which slug it has is all that is looked for
/// here.
fn put(shared: &Shared, file: &Path) -> Result<(), Quit> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let name = file.display();
    let manifest = text.map_err(|error| Quit::failed(format!("{name} cannot be read: {error}")))?;
    let slug = ::catalog::slug_of(&manifest)
        .ok_or_else(|| Quit::failed(format!("{name}: `slug` is missing; docs/reference/catalogue.md")))?;
    let path = format!("/api/v1/integrations/{}/manifest", escape(&slug));
    let answer = block_on(Remote::of(shared).ask("PUT", &path, Some(&json!({ "manifest": manifest }))))?;
    out(&if shared.json { answer.to_string() } else { format!("{slug} {}", cell(&answer, "version")) });
    Ok(())
}

fn list(is_json: bool, all: &Gathered) -> Result<(), Quit> {
    if is_json {
        let entries: Vec<Value> = all.entries.values().map(|(origin, entry)| brief(*origin, entry)).collect();
        out(&json!({ "entries": entries, "problems": all.problems }).to_string());
    } else {
        let row = |(origin, entry): &(Origin, Arc<Entry>)| {
            vec![
                entry.slug.clone(),
                entry.version.clone(),
                entry.category.to_string(),
                origin.as_str().to_owned(),
                plain(&entry.description, 80),
            ]
        };
        out(&table(&all.entries.values().map(row).collect::<Vec<_>>()));
        for problem in &all.problems {
            note(problem);
        }
    }
    if all.problems.is_empty() { Ok(()) } else { Err(Quit::silent(1)) }
}

fn show(is_json: bool, all: &Gathered, slug: &str) -> Result<(), Quit> {
    let (origin, entry) = find(all, slug)?;
    if !is_json {
        out(&entry.manifest);
        return Ok(());
    }
    let mut view = brief(*origin, entry);
    if let Some(members) = view.as_object_mut() {
        let credential = |one: &catalog::Credential| json!({ "field": one.field, "title": one.title, "help": one.help, "required": one.required });
        members.insert("docs_url".to_owned(), json!(entry.docs_url));
        members.insert("sources".to_owned(), json!(entry.sources));
        members.insert("config_schema".to_owned(), entry.config_schema.clone());
        members.insert("credentials".to_owned(), entry.credentials.iter().map(credential).collect());
        let test = match &entry.api {
            None if entry.native.is_some() => json!({ "kind": "connector" }),
            Some(api) => json!({ "kind": "call", "tool": api.test.tool, "arguments": api.test.arguments }),
            None => json!({ "kind": "inventory", "min_tools": entry.test.min_tools }),
        };
        members.insert("test".to_owned(), test);
        members.insert("health".to_owned(), json!({ "interval": entry.health_interval_s }));
        members.insert("icon".to_owned(), json!(entry.icon));
        members.insert("manifest".to_owned(), json!(entry.manifest));
    }
    out(&view.to_string());
    Ok(())
}

fn brief(origin: Origin, entry: &Entry) -> Value {
    json!({
        "slug": entry.slug,
        "name": entry.name,
        "type": entry.kind,
        "category": entry.category,
        "description": entry.description,
        "version": entry.version,
        "origin": origin.as_str(),
    })
}

fn find<'a>(all: &'a Gathered, slug: &str) -> Result<&'a (Origin, Arc<Entry>), Quit> {
    all.entries.get(slug).ok_or_else(|| {
        let near = catalog::nearest(slug, all.entries.keys().map(String::as_str));
        let hint = near.map_or_else(
            || "`trunkline catalog list` lists them".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        Quit::failed(format!("there is no entry `{}`", plain(slug, 64))).with_hint(hint)
    })
}

fn verify(
    egress: &Egress,
    is_json: bool,
    all: &Gathered,
    slug: Option<&str>,
    pairs: &[String],
    timeout_s: Option<u64>,
) -> Result<(), Quit> {
    let wanted: Vec<&(Origin, Arc<Entry>)> = match slug {
        // A broken one is among the problems.
        Some(slug) if all.broken.iter().any(|broken| broken == slug) => Vec::new(),
        Some(slug) => vec![find(all, slug)?],
        None => all.entries.values().collect(),
    };
    let over = of_pairs(pairs)?.as_object().cloned().unwrap_or_default();
    // What connectors log on the way is in the answer already.
    telemetry::start(&Log { level: "off".to_owned(), is_json: false });
    let mut verdicts = Vec::with_capacity(wanted.len());
    for (origin, entry) in wanted {
        let did = check(entry, egress, &over, timeout_s)?;
        let (tools, problem) = did.map_or_else(|why| (None, Some(why)), |tools| (tools, None));
        verdicts.push(Verdict {
            slug: &entry.slug,
            origin: *origin,
            tools,
            problem,
            note: unreplayed(entry),
        });
    }
    let problems = if slug.is_none_or(|slug| all.broken.iter().any(|broken| broken == slug)) {
        all.problems.as_slice()
    } else {
        &[]
    };
    let is_ok = problems.is_empty() && verdicts.iter().all(|one| one.problem.is_none());
    if is_json {
        let view = |one: &Verdict<'_>| json!({ "slug": one.slug, "origin": one.origin.as_str(), "ok": one.problem.is_none(), "tools": one.tools, "problem": one.problem, "note": one.note });
        let entries: Vec<Value> = verdicts.iter().map(view).collect();
        out(&json!({ "ok": is_ok, "entries": entries, "problems": problems }).to_string());
    } else {
        let row = |one: &Verdict<'_>| {
            let went = match (&one.problem, one.tools) {
                (Some(why), _) => plain(why, 400),
                (None, Some(tools)) => format!("fine, {tools} tools"),
                (None, None) => one.note.clone().unwrap_or_else(|| "fine".to_owned()),
            };
            vec![one.slug.to_owned(), went]
        };
        out(&table(&verdicts.iter().map(row).collect::<Vec<_>>()));
        for problem in problems {
            note(problem);
        }
    }
    if is_ok { Ok(()) } else { Err(Quit::silent(1)) }
}

/// Fills the entry in and reads it as a connection is read; with a time, starts it and counts its tools.
/// The outer error is this machine's, the inner one the entry's.
fn check(
    entry: &Arc<Entry>,
    egress: &Egress,
    over: &Map<String, Value>,
    timeout_s: Option<u64>,
) -> Result<Result<Option<usize>, String>, Quit> {
    if entry.api.is_some() {
        return replayed(entry);
    }
    if entry.native.is_some() {
        let mut config = entry.example();
        if let Some(members) = config.as_object_mut() {
            members.extend(over.clone());
        }
        let settled = entry.settle(&config);
        return Ok(settled.map(|_| None).map_err(|problems| problems.to_string().replace('\n', "; ")));
    }
    let mut config = entry.example();
    if let Some(members) = config.as_object_mut() {
        members.extend(over.clone());
    }
    let resolved = match entry.resolve(&config) {
        Ok(resolved) => resolved,
        Err(problems) => return Ok(Err(problems.to_string().replace('\n', "; "))),
    };
    let secrets = if timeout_s.is_some() { secrets(entry) } else { BTreeMap::new() };
    let key: Key = "verify".parse().map_err(|error| Quit::failed(format!("{error}")))?;
    // Whoever types the command may reach their own machine.
    let read = of_stored(key.clone(), &resolved, &secrets, true);
    let mcp = match read.shape {
        Shape::Mcp(mcp) => mcp,
        Shape::Api(_) => return Ok(Err("is no MCP server".to_owned())),
        Shape::Broken(why) => return Ok(Err(why)),
        Shape::Later(later) => return Ok(Err(later.reason)),
        Shape::Off => return Ok(Err("its preset switches it off".to_owned())),
    };
    let Some(timeout_s) = timeout_s else { return Ok(Ok(None)) };
    if let Some(missing) = entry.missing_credential(AuthMethod::None, |field| secrets.contains_key(field)) {
        let name = missing.field.trim_start_matches("env.");
        return Ok(Err(format!(
            "not run: it needs {}; set the variable {name} for this command",
            missing.title
        )));
    }
    let runtime = control_runtime()?;
    let mut settings = match upstream_settings(&key, &mcp, &Limits::default(), egress) {
        Ok(settings) => settings,
        Err(fault) => return Ok(Err(fault.advice())),
    };
    settings.connect_timeout_ms = timeout_s.saturating_mul(1000);
    let spoken = runtime.block_on(async { Ok::<_, Quit>(speak(settings, timeout_s, &parts()?).await) });
    runtime.shutdown_background();
    Ok(match spoken? {
        Err(fault) => Err(fault.to_string()),
        Ok(spoken) => {
            let (tools, least) = (spoken.inventory.tools.len(), entry.test.min_tools);
            if tools < least {
                Err(format!("it lists {tools} tools, and says that it has at least {least}"))
            } else {
                Ok(Some(tools))
            }
        }
    })
}

/// What is said of an entry whose connector speaks a protocol of its own: nothing of it is replayed.
fn unreplayed(entry: &Entry) -> Option<String> {
    let native = entry.native.as_ref()?;
    Some(match absent(native.connector) {
        Some(why) => format!("reads well; cannot be connected: {why}"),
        None => {
            "reads well; nothing is replayed: `connection test` tries it out at the real server".to_owned()
        }
    })
}

/// Replays the fixtures of an entry of an HTTP API: how many tools they show.
fn replayed(entry: &Arc<Entry>) -> Result<Result<Option<usize>, String>, Quit> {
    let runtime = control_runtime()?;
    let proof = runtime.block_on(connector_http::verify(entry));
    if !proof.unproved.is_empty() {
        return Ok(Err(format!("no fixture shows: {}", proof.unproved.join(", "))));
    }
    if !proof.failed.is_empty() {
        return Ok(Err(proof.failed.join("; ")));
    }
    Ok(Ok(entry.api.as_ref().map(|api| api.tools.len())))
}

/// The secrets that this command's own environment has for the entry.
fn secrets(entry: &Entry) -> BTreeMap<String, Secret> {
    let fields = entry.credentials.iter().map(|one| one.field.as_str());
    let found = fields.filter_map(|field| {
        let value = env(field.strip_prefix("env.")?)?;
        Some((field.to_owned(), Secret::new(value)))
    });
    found.collect()
}
