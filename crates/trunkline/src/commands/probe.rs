//! `trunkline probe`: what an MCP server speaks, what it offers, and what is wrong with it. Each way of
//! speaking is tried on a connection of its own, so that one failing says nothing about the next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use call::Connector;
use call::schema::Check;
use connector::Inventory;
use credential::SystemEntropy;
use mcp_upstream::{EraChoice, McpUpstream, Parts, Settings, Transport};
use model::{Fault, Key, Secret, SystemClock};
use outbound::Route;
use serde_json::{Value, json};

use super::configuration;
use super::serve::control_runtime;
use crate::cli::Shared;
use crate::config::egress::Egress;
use crate::config::hub::{Limits, Log};
use crate::say::{Quit, out, plain, table};
use crate::wiring::{GUARD_ARG, telemetry};

/// The longest name that clients accept for a tool, with a connection's key in front of it.
const NAME_LEN_MAX: usize = 64;

/// What is to be probed.
pub(crate) struct Wanted<'a> {
    pub(crate) url: Option<&'a str>,
    pub(crate) command: &'a [String],
    pub(crate) headers: &'a [String],
    pub(crate) timeout_s: u64,
}

/// One way of speaking, and how it went.
struct Attempt {
    transport: Transport,
    era: EraChoice,
    outcome: Result<Spoken, Fault>,
}

pub(super) struct Spoken {
    protocol_version: Option<String>,
    server: Option<String>,
    /// What it offers.
    pub(super) inventory: Arc<Inventory>,
}

/// Tries everything that fits; exits with 1 when nothing works.
pub(crate) fn run(shared: &Shared, wanted: &Wanted<'_>) -> Result<(), Quit> {
    let transports = transports(wanted)?;
    let headers = headers(wanted.headers)?;
    // As the hub of this configuration would go. Whoever types the command may reach their own machine.
    let rule = outbound::EgressRule { private_allowed: true };
    let egress = configuration(shared, None).egress;
    let route = Egress::default().build(&egress, rule, None);
    let route = route.map_err(|error| Quit::usage(Fault::from(error).advice()))?;
    // What connectors log on the way is in the answer already.
    telemetry::start(&Log { level: "off".to_owned(), is_json: false });
    let runtime = control_runtime()?;
    let attempts = runtime.block_on(async {
        let parts = parts()?;
        let mut attempts = Vec::new();
        for transport in transports {
            for era in [EraChoice::Modern, EraChoice::Legacy] {
                // HTTP+SSE is a transport of the legacy era only.
                if matches!((&transport, era), (Transport::Sse { .. }, EraChoice::Modern)) {
                    continue;
                }
                let outcome = attempt(&transport, era, &headers, wanted.timeout_s, &route, &parts).await;
                attempts.push(Attempt { transport: transport.clone(), era, outcome });
            }
        }
        Ok::<_, Quit>(attempts)
    });
    runtime.shutdown_background();
    report(shared.json, &attempts?)
}

/// What a connector needs of the machine.
pub(super) fn parts() -> Result<Parts, Quit> {
    let guard = process::Guard::start(Path::new("/proc/self/exe"), GUARD_ARG)
        .map_err(|error| Quit::failed(format!("the guard of child processes does not start: {error}")))?;
    Ok(Parts {
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SystemEntropy),
        client: outbound::Client::new(),
        guard: Arc::new(guard),
        facts: None,
    })
}

async fn attempt(
    transport: &Transport,
    era: EraChoice,
    headers: &[(String, Secret)],
    timeout_s: u64,
    route: &Route,
    parts: &Parts,
) -> Result<Spoken, Fault> {
    let limits = Limits::default();
    let timeout_ms = timeout_s.saturating_mul(1000);
    let key = "probe".parse::<Key>().map_err(|error| Fault::new(model::Code::BUG, error.to_string()))?;
    let settings = Settings {
        key,
        transport: transport.clone(),
        headers: headers.to_vec(),
        era,
        sessions: mcp_upstream::Sessions::Auto,
        timeout_ms,
        connect_timeout_ms: timeout_ms,
        line_bytes_max: limits.line_bytes,
        result_bytes_max: limits.result_bytes,
        route: route.clone(),
        tokens: None,
        idle_stop_ms: None,
    };
    speak(settings, timeout_s, parts).await
}

/// Connects, reads what is offered, and lets go.
pub(super) async fn speak(settings: Settings, timeout_s: u64, parts: &Parts) -> Result<Spoken, Fault> {
    let upstream = McpUpstream::start(settings, parts.clone());
    let refreshed = tokio::time::timeout(Duration::from_secs(timeout_s), upstream.refresh()).await;
    let outcome = match refreshed {
        Ok(Ok(())) => {
            let state = upstream.state();
            Ok(Spoken {
                protocol_version: state.protocol_version,
                server: state.server,
                inventory: upstream.inventory(),
            })
        }
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(Fault::new(model::Code::TIMEOUT, format!("no answer within {timeout_s} s"))
            .with_hint("give it more time with --timeout")),
    };
    upstream.close().await;
    outcome
}

/// The ways in which a URL or a command can be spoken to.
fn transports(wanted: &Wanted<'_>) -> Result<Vec<Transport>, Quit> {
    let example = "for example `trunkline probe https://mcp.example.com/mcp` or `trunkline probe -- npx -y some-server`";
    match (wanted.url, wanted.command.split_first()) {
        (Some(_), Some(_)) => Err(Quit::usage("give a URL or a command, not both").with_hint(example)),
        (None, None) => Err(Quit::usage("nothing to probe").with_hint(example)),
        (None, Some((command, args))) => Ok(vec![Transport::Stdio {
            command: command.clone(),
            args: args.to_vec(),
            env: Vec::new(),
            cwd: None,
            limits: process::Limits::default(),
        }]),
        (Some(url), None) => {
            let owned = || url.to_owned();
            match url.split_once(':').map(|(scheme, _)| scheme) {
                Some("http" | "https") => {
                    Ok(vec![Transport::Http { url: owned() }, Transport::Sse { url: owned() }])
                }
                Some("ws" | "wss") => Ok(vec![Transport::WebSocket { url: owned() }]),
                Some("tcp") => Ok(vec![Transport::Tcp { addr: url.trim_start_matches("tcp://").to_owned() }]),
                Some("unix") => {
                    let path = url.trim_start_matches("unix:").trim_start_matches("//");
                    Ok(vec![Transport::Unix { path: PathBuf::from(path) }])
                }
                _ => Err(Quit::usage(format!("`{url}` is not a URL")).with_hint(example)),
            }
        }
    }
}

fn headers(lines: &[String]) -> Result<Vec<(String, Secret)>, Quit> {
    let mut headers = Vec::with_capacity(lines.len());
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            return Err(Quit::usage("a header has to be `Name: value`"));
        };
        headers.push((name.trim().to_ascii_lowercase(), Secret::new(value.trim())));
    }
    Ok(headers)
}

fn report(is_json: bool, attempts: &[Attempt]) -> Result<(), Quit> {
    let first = attempts.iter().find_map(|attempt| attempt.outcome.as_ref().ok());
    let faults = first.map(|spoken| faults(&spoken.inventory)).unwrap_or_default();
    if is_json {
        let tried: Vec<Value> = attempts.iter().map(view).collect();
        out(&json!({ "works": first.is_some(), "attempts": tried, "offers": first.map(offers), "faults": faults }).to_string());
    } else {
        let rows: Vec<Vec<String>> = attempts
            .iter()
            .map(|attempt| {
                let went = match &attempt.outcome {
                    Ok(spoken) => {
                        format!("works, {}", spoken.protocol_version.as_deref().unwrap_or("version unknown"))
                    }
                    Err(fault) => plain(&fault.to_string(), 300),
                };
                vec![attempt.transport.name().to_owned(), era_name(attempt.era).to_owned(), went]
            })
            .collect();
        out(&table(&rows));
        if let Some(spoken) = first {
            let inventory = &spoken.inventory;
            out(&format!(
                "\nserver        {}\ncapabilities  {}\noffers        {} tools, {} prompts, {} resources, {} templates",
                plain(spoken.server.as_deref().unwrap_or("unnamed"), 200),
                names(inventory.capabilities.as_deref()).join(", "),
                inventory.tools.len(),
                inventory.prompts.len(),
                inventory.resources.len(),
                inventory.templates.len(),
            ));
        }
        for fault in &faults {
            out(&format!("fault         {}", plain(fault, 300)));
        }
    }
    if first.is_some() { Ok(()) } else { Err(Quit::silent(1)) }
}

fn view(attempt: &Attempt) -> Value {
    let fault = attempt.outcome.as_ref().err();
    let spoken = attempt.outcome.as_ref().ok();
    json!({
        "transport": attempt.transport.name(),
        "era": era_name(attempt.era),
        "works": spoken.is_some(),
        "protocol_version": spoken.and_then(|spoken| spoken.protocol_version.as_deref()),
        "problem": fault.map(|fault| json!({ "code": fault.code, "detail": fault.detail, "hint": fault.hint })),
    })
}

fn offers(spoken: &Spoken) -> Value {
    let inventory = &spoken.inventory;
    let json_of =
        |bytes: Option<&bytes::Bytes>| bytes.and_then(|raw| serde_json::from_slice::<Value>(raw).ok());
    json!({
        "server": json_of(inventory.server_info.as_ref()),
        "capabilities": json_of(inventory.capabilities.as_ref()),
        "instructions": inventory.instructions.as_deref(),
        "tools": inventory.tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>(),
        "prompts": inventory.prompts.iter().map(|prompt| &*prompt.id).collect::<Vec<_>>(),
        "resources": inventory.resources.iter().map(|resource| &*resource.id).collect::<Vec<_>>(),
        "templates": inventory.templates.iter().map(|template| &*template.id).collect::<Vec<_>>(),
    })
}

/// What clients will stumble over, although the server answers.
fn faults(inventory: &Inventory) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for tool in &inventory.tools {
        if !seen.insert(&tool.name) {
            faults.push(format!("two tools are called `{}`: only the first can be called", tool.name));
        }
        if tool.name.len() > NAME_LEN_MAX {
            faults.push(format!(
                "the tool name `{}` is longer than {NAME_LEN_MAX} characters: it will be shortened",
                tool.name
            ));
        }
        if tool.description.trim().is_empty() {
            faults.push(format!(
                "the tool `{}` has no description: models will not know when to use it",
                tool.name
            ));
        }
        if let Some(problem) = Check::compile(&tool.input_schema).problem() {
            faults.push(format!("the arguments of `{}` cannot be checked: {problem}", tool.name));
        }
    }
    faults
}

/// The members of a JSON object.
fn names(raw: Option<&[u8]>) -> Vec<String> {
    let parsed = raw.and_then(|raw| serde_json::from_slice::<Value>(raw).ok());
    let names: Vec<String> = parsed
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|map| map.keys().map(|name| plain(name, 64)))
        .collect();
    if names.is_empty() { vec!["none".to_owned()] } else { names }
}

const fn era_name(era: EraChoice) -> &'static str {
    match era {
        EraChoice::Auto => "auto",
        EraChoice::Modern => "modern",
        EraChoice::Legacy => "legacy",
    }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, headers, transports};

    #[test]
    fn each_address_is_tried_in_the_ways_that_fit_it() {
        let names = |url: Option<&str>, command: &[&str]| {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            let wanted = Wanted { url, command: &command, headers: &[], timeout_s: 1 };
            transports(&wanted)
                .map(|all| all.iter().map(mcp_upstream::Transport::name).collect::<Vec<_>>())
                .map_err(|quit| quit.code)
        };
        assert_eq!(names(Some("https://h/mcp"), &[]), Ok(vec!["http", "sse"]));
        assert_eq!(names(Some("wss://h/mcp"), &[]), Ok(vec!["websocket"]));
        assert_eq!(names(Some("tcp://h:1"), &[]), Ok(vec!["tcp"]));
        assert_eq!(names(Some("unix:///s"), &[]), Ok(vec!["unix"]));
        assert_eq!(names(None, &["npx", "x"]), Ok(vec!["stdio"]));
        assert_eq!(names(Some("h"), &[]), Err(2));
        assert_eq!(names(Some("https://h"), &["x"]), Err(2));
        assert_eq!(names(None, &[]), Err(2));
        assert!(
            headers(&["X-Key: a:b".to_owned()])
                .is_ok_and(|all| all[0].0 == "x-key" && all[0].1.expose() == "a:b")
        );
        assert_eq!(headers(&["nonsense".to_owned()]).unwrap_err().code, 2);
    }
}
