//! `trunkline doctor`: what would keep a hub from working, each with a remedy. Looks, and changes nothing.

mod machine;
mod secrets;
mod store;

use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Remote, block_on, cell};
use super::{configuration, env};
use crate::cli::Shared;
use crate::config::entry::{Shape, Transport};
use crate::config::hub::Store;
use crate::config::problem::Severity;
use crate::config::{Config, data_folder};
use crate::say::{Quit, out};
use crate::wiring::{house, sockets};

/// How long a hub may take to say that it is there.
const HELLO: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Bad,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    about: String,
    verdict: Verdict,
    what: String,
    remedy: Option<String>,
}

/// Looks at everything; exits with 1 when something is bad.
pub(crate) fn run(shared: &Shared) -> Result<(), Quit> {
    let config = configuration(shared, None);
    let data = data_folder(shared.data.as_deref(), &env);
    let hub = Remote::of(shared);
    let mut findings = Vec::new();
    configured(&config, &mut findings);
    folder(&data, &mut findings);
    master_key(&config, &data, &mut findings);
    store::look(&config, &data, &mut findings);
    machine::open_files(&config, &mut findings);
    machine::clock(&data, &mut findings);
    programs(&config, &mut findings);
    machine::egress(&config, &mut findings);
    secrets::look(&config, &mut findings);
    let answer = block_on(async { Ok(hub.send("GET", "/health", None, &[], HELLO).await.is_ok()) })?;
    listener(&config, &hub, answer, &mut findings);
    if answer && let Some(all) = connections(&hub, &mut findings) {
        secrets::stored(&hub, &all, &mut findings);
    }
    let is_bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    if shared.json {
        out(&json!({ "ok": !is_bad, "findings": findings }).to_string());
    } else {
        for finding in &findings {
            let mark = match finding.verdict {
                Verdict::Ok => "ok  ",
                Verdict::Warning => "warn",
                Verdict::Bad => "BAD ",
            };
            out(&format!("{mark}  {}: {}", finding.about, finding.what));
            if let Some(remedy) = &finding.remedy {
                out(&format!("      {remedy}"));
            }
        }
    }
    if is_bad { Err(Quit::silent(1)) } else { Ok(()) }
}

fn find(
    findings: &mut Vec<Finding>,
    verdict: Verdict,
    about: &str,
    what: impl Into<String>,
    remedy: Option<String>,
) {
    findings.push(Finding { about: about.to_owned(), verdict, what: what.into(), remedy });
}

fn configured(config: &Config, findings: &mut Vec<Finding>) {
    let name =
        config.file.as_ref().map_or_else(|| "the built-in defaults".to_owned(), |f| f.display().to_string());
    if config.problems.is_empty() {
        find(
            findings,
            Verdict::Ok,
            "configuration",
            format!("{name}, {} integrations", config.entries.len()),
            None,
        );
    }
    for problem in &config.problems {
        let verdict = if problem.severity == Severity::Error { Verdict::Bad } else { Verdict::Warning };
        let what = format!("{}: {}: {}", problem.place(), problem.key, problem.what);
        find(findings, verdict, "configuration", what, problem.hint.clone());
    }
}

fn folder(data: &Path, findings: &mut Vec<Finding>) {
    let shown = data.display();
    let Ok(meta) = std::fs::metadata(data) else {
        find(findings, Verdict::Ok, "data folder", format!("{shown} is made on the first start"), None);
        return;
    };
    let mode = meta.permissions().mode() & 0o777;
    let me = rustix::process::geteuid().as_raw();
    if !meta.is_dir() {
        let remedy = "name another with --data or TRUNKLINE_DATA".to_owned();
        find(findings, Verdict::Bad, "data folder", format!("{shown} is not a folder"), Some(remedy));
    } else if meta.uid() != me && me != 0 {
        let remedy = format!("chown -R {me} {shown}");
        find(findings, Verdict::Bad, "data folder", format!("{shown} belongs to another user"), Some(remedy));
    } else if mode & 0o022 != 0 {
        find(
            findings,
            Verdict::Bad,
            "data folder",
            format!("others may write to {shown} (mode {mode:o})"),
            Some(format!("chmod 700 {shown}")),
        );
    } else if mode & 0o055 != 0 {
        find(
            findings,
            Verdict::Warning,
            "data folder",
            format!("others may look into {shown} (mode {mode:o})"),
            Some(format!("chmod 700 {shown}")),
        );
    } else {
        find(findings, Verdict::Ok, "data folder", format!("{shown} (mode {mode:o})"), None);
    }
}

fn master_key(config: &Config, data: &Path, findings: &mut Vec<Finding>) {
    let set = |name: &str| env(name).filter(|text| !text.is_empty());
    let about = "master key";
    let named = set("TRUNKLINE_MASTER_KEY_FILE").map(PathBuf::from);
    let is_elsewhere = named.is_none()
        && (set("TRUNKLINE_MASTER_KEY").is_some() || !config.hub.master_key_command.is_empty());
    if is_elsewhere {
        find(findings, Verdict::Ok, about, "comes from the environment or a command", None);
        return;
    }
    if named.is_none() && matches!(config.hub.store, Store::Postgres(_)) {
        let remedy = "set TRUNKLINE_MASTER_KEY_FILE: all nodes of one database share one key".to_owned();
        find(findings, Verdict::Bad, about, "none is set", Some(remedy));
        return;
    }
    let is_named = named.is_some();
    let path = named.unwrap_or_else(|| data.join(credential::KEY_FILE));
    match std::fs::metadata(&path) {
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            let what = format!("{} may be read by others", path.display());
            find(findings, Verdict::Bad, about, what, Some(format!("chmod 600 {}", path.display())));
        }
        Ok(_) => find(findings, Verdict::Ok, about, path.display().to_string(), None),
        Err(_) if is_named || data.join(house::DATABASE).exists() => {
            let remedy =
                "put it back from a backup: without it stored secrets and API keys are lost".to_owned();
            find(findings, Verdict::Bad, about, format!("{} is missing", path.display()), Some(remedy));
        }
        Err(_) => find(findings, Verdict::Ok, about, "is made on the first start", None),
    }
}

fn programs(config: &Config, findings: &mut Vec<Finding>) {
    for entry in &config.entries {
        let Shape::Mcp(mcp) = &entry.shape else { continue };
        let Transport::Stdio { command, cwd, .. } = &mcp.transport else { continue };
        let about = format!("program of {}", entry.key);
        match search(command, cwd.as_deref()) {
            Some(path) => find(findings, Verdict::Ok, &about, path.display().to_string(), None),
            None => {
                let remedy = match command.as_str() {
                    "npx" | "node" | "npm" => {
                        "install Node.js 22 or newer (its packages bring node, npm and npx)"
                    }
                    "uvx" | "uv" => "install uv, which brings uvx",
                    "python" | "python3" => "install Python 3",
                    "docker" | "podman" => "install it, and let the hub's user start containers",
                    _ => "install it, or write its full path as `command`",
                };
                find(
                    findings,
                    Verdict::Bad,
                    &about,
                    format!("`{command}` is not found"),
                    Some(remedy.to_owned()),
                );
            }
        }
        if let Some(cwd) = cwd
            && !cwd.is_dir()
        {
            let remedy = "make it, or change `cwd`".to_owned();
            find(
                findings,
                Verdict::Bad,
                &about,
                format!("its folder {} does not exist", cwd.display()),
                Some(remedy),
            );
        }
    }
}

/// Where a command would be found, as a child process would look for it.
fn search(command: &str, cwd: Option<&Path>) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if command.contains('/') {
        let path = cwd.map_or_else(|| PathBuf::from(command), |cwd| cwd.join(command));
        return Some(path).filter(is_program);
    }
    let path = env("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    std::env::split_paths(&path).map(|folder| folder.join(command)).find(is_program)
}

fn listener(config: &Config, hub: &Remote, is_answering: bool, findings: &mut Vec<Finding>) {
    if is_answering {
        find(findings, Verdict::Ok, "hub", format!("answers at {}", hub.url), None);
        return;
    }
    find(findings, Verdict::Ok, "hub", format!("none runs at {}", hub.url), None);
    let free = |address: SocketAddr| sockets::listen(address, 1);
    for (name, address) in [("listen", Some(config.hub.listen)), ("mcp.tcp", config.hub.mcp.tcp)] {
        let Some(address) = address else { continue };
        match free(address) {
            Ok(_) => find(findings, Verdict::Ok, name, format!("{address} is free"), None),
            Err(quit) => find(findings, Verdict::Bad, name, quit.what, Some(quit.hint)),
        }
    }
}

/// How the hub says that its connections stand; them, where it says so.
fn connections(hub: &Remote, findings: &mut Vec<Finding>) -> Option<Value> {
    match block_on(super::connection::all(hub)) {
        Err(quit) => {
            find(findings, Verdict::Warning, "connections", quit.what, Some(quit.hint));
            None
        }
        Ok(answer) => {
            for one in answer.get("connections").and_then(Value::as_array).into_iter().flatten() {
                let (key, status, condition) =
                    (cell(one, "key"), cell(one, "status"), cell(one, "condition"));
                let verdict = match (status.as_str(), condition.as_str()) {
                    ("error", _) => Verdict::Bad,
                    ("connected", "started") | ("disconnected", _) => Verdict::Ok,
                    _ => Verdict::Warning,
                };
                let reason = Some(cell(one, "reason")).filter(|reason| !reason.is_empty());
                find(
                    findings,
                    verdict,
                    &format!("connection {key}"),
                    format!("{status}, {condition}"),
                    reason,
                );
            }
            Some(answer)
        }
    }
}
