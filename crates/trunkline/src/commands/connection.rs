//! `trunkline connection ...`: what is connected, through a running hub.

use std::io::{BufRead, IsTerminal, Read, Write};

use model::{Clock, Secret, SystemClock, Timestamp};
use rustix::termios;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::call::{object, of_pairs};
use super::client::{Remote, block_on, cell, escape};
use crate::cli::{ConnectionContent, ConnectionVerb, Shared};
use crate::say::{LINK_CHARS_MAX, Quit, note, out, plain, table};

/// The longest value that is read, bytes.
const VALUE_LEN_MAX: u64 = 64 * 1024;
const HOUR_MS: u32 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Runs one of them.
pub(crate) fn run(shared: &Shared, verb: &ConnectionVerb) -> Result<(), Quit> {
    let hub = Remote::of(shared);
    let show = |answer: &Value, text: String| out(&if shared.json { answer.to_string() } else { text });
    match verb {
        ConnectionVerb::List => {
            let answer = block_on(all(&hub))?;
            show(&answer, table(&rows(list(&answer, "connections"))));
        }
        ConnectionVerb::Show { connection } => {
            let answer = block_on(hub.get(&path(connection, "")))?;
            if answer.is_null() {
                return Err(Quit::failed(format!("there is no connection `{connection}`"))
                    .with_hint("`trunkline connection list` lists what there is"));
            }
            show(&answer, detail(&answer));
        }
        ConnectionVerb::New { integration, name, content, called, connect } => {
            let mut body = of_content(content)?;
            body.insert("integration".to_owned(), integration.as_str().into());
            body.insert("name".to_owned(), name.as_str().into());
            if let Some(key) = called {
                body.insert("key".to_owned(), key.as_str().into());
            }
            let made = block_on(hub.ask("POST", "/api/v1/connections", Some(&Value::Object(body))))?;
            let key = cell(&made, "key");
            if *connect {
                return tested(shared, &hub, &key, "connect");
            }
            show(&made, format!("made {key}; `trunkline connection connect {key}` tests and uses it"));
        }
        ConnectionVerb::Change { connection, content, name, pin } => {
            let mut body = of_content(content)?;
            for (field, value) in [("name", name), ("version", pin)] {
                if let Some(value) = value {
                    body.insert(field.to_owned(), value.as_str().into());
                }
            }
            let answer = block_on(hub.ask("PATCH", &path(connection, ""), Some(&Value::Object(body))))?;
            show(&answer, format!("changed {connection}: revision {}", cell(&answer, "revision")));
        }
        ConnectionVerb::Remove { connection, yes } => {
            if !yes {
                ask(connection)?;
            }
            block_on(hub.ask("DELETE", &path(connection, ""), None))?;
            show(&json!({ "removed": connection }), format!("removed {connection}"));
        }
        ConnectionVerb::Test { connection } => return tested(shared, &hub, connection, "test"),
        ConnectionVerb::Connect { connection } => return tested(shared, &hub, connection, "connect"),
        ConnectionVerb::Authorize { connection, device } => {
            let grant = if *device { "device_code" } else { "authorization_code" };
            let body = json!({ "grant": grant });
            let answer = block_on(hub.ask("POST", &path(connection, "/authorize"), Some(&body)))?;
            let code = answer.get("user_code").and_then(Value::as_str);
            let code = code.map(|code| format!(" and type in {code}")).unwrap_or_default();
            // Whole: a link that is cut short leads nowhere.
            let url = answer.get("url").and_then(Value::as_str).unwrap_or_default();
            show(&answer, format!("open {}{code}", plain(url, LINK_CHARS_MAX)));
        }
        ConnectionVerb::Disconnect { connection } => {
            let answer = block_on(hub.ask("POST", &path(connection, "/disconnect"), None))?;
            show(&answer, format!("{connection}: {}", cell(&answer, "status")));
        }
        ConnectionVerb::Rotate { connection, field, reference, overlap, expires } => {
            let body = match reference {
                Some(reference) => json!({ "reference": reference }),
                None => json!({
                    "value": secret(field)?.expose(),
                    "overlap_ms": overlap * HOUR_MS,
                    "expires_at":
                        expires.map(|days| SystemClock::new().now().plus_ms(i64::from(days) * DAY_MS)),
                }),
            };
            let place = path(connection, &format!("/credentials/{}", escape(field)));
            let answer = block_on(hub.ask("PUT", &place, Some(&body)))?;
            let stored = format!("stored {field}, fingerprint {}", cell(&answer, "fingerprint"));
            show(
                &answer,
                match answer.get("read_error").and_then(Value::as_str) {
                    Some(why) => format!("{stored}\nit cannot be read at the moment: {}", plain(why, 400)),
                    None => stored,
                },
            );
        }
        ConnectionVerb::Withdraw { connection, field } => {
            let place = path(connection, &format!("/credentials/{}", escape(field)));
            block_on(hub.ask("DELETE", &place, None))?;
            show(&json!({ "removed": field }), format!("removed {field}"));
        }
        ConnectionVerb::Credentials { connection } => {
            let answer = block_on(hub.get(&path(connection, "/credentials")))?;
            show(&answer, table(&credentials(list(&answer, "credentials"))));
        }
        ConnectionVerb::Logs { connection, limit, search } => {
            let search = search.as_ref().map(|text| format!("&search={}", escape(text))).unwrap_or_default();
            let answer = block_on(found(
                &hub,
                &path(connection, "/logs"),
                &search,
                usize::try_from(*limit).unwrap_or(usize::MAX),
            ))?;
            show(&answer, table(&logs(list(&answer, "logs"))));
        }
        ConnectionVerb::Health { connection, limit } => {
            let answer = block_on(hub.get(&path(connection, &format!("/health?limit={limit}"))))?;
            show(&answer, health(&answer));
        }
    }
    Ok(())
}

/// The newest entries of a log, `limit` of them. A page in which something rare is looked for may hold fewer than
/// there are: the next one is asked for then.
async fn found(hub: &Remote, path: &str, search: &str, limit: usize) -> Result<Value, Quit> {
    let mut entries = Vec::new();
    let mut cursor = String::new();
    loop {
        let left = limit.saturating_sub(entries.len());
        let mut page = hub.get(&format!("{path}?limit={left}{search}{cursor}")).await?;
        entries.extend(list(&page, "logs").iter().cloned());
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) if entries.len() < limit => cursor = format!("&cursor={}", escape(next)),
            _ => {
                if let Some(members) = page.as_object_mut() {
                    members.insert("logs".to_owned(), Value::Array(entries));
                }
                return Ok(page);
            }
        }
    }
}

/// Every page of the list, as one answer.
pub(crate) async fn all(hub: &Remote) -> Result<Value, Quit> {
    let mut connections = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = hub.get(&format!("/api/v1/connections?limit=500{cursor}")).await?;
        connections.extend(list(&page, "connections").iter().cloned());
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={}", escape(next)),
            None => return Ok(json!({ "connections": connections })),
        }
    }
}

/// Tests or connects, and says how it went; exits with 1 when it failed.
fn tested(shared: &Shared, hub: &Remote, connection: &str, how: &str) -> Result<(), Quit> {
    let answer = block_on(hub.ask("POST", &path(connection, &format!("/{how}")), None))?;
    let is_ok = answer.get("is_ok").and_then(Value::as_bool).unwrap_or(false);
    if shared.json {
        out(&answer.to_string());
    } else {
        let view = answer.get("connection").cloned().unwrap_or(Value::Null);
        let problem = answer.get("problem").cloned().unwrap_or(Value::Null);
        out(&match is_ok {
            true => format!(
                "{connection}: works ({} ms, {} tools)",
                cell(&answer, "duration_ms"),
                cell(&view, "tool_count")
            ),
            false => {
                let link = problem.get("link").and_then(Value::as_str);
                let link =
                    link.map(|link| format!("\n  {}", plain(link, LINK_CHARS_MAX))).unwrap_or_default();
                format!("{connection}: {}\n  {}{link}", cell(&problem, "detail"), cell(&problem, "hint"))
            }
        });
    }
    if is_ok { Ok(()) } else { Err(Quit::silent(1)) }
}

fn path(connection: &str, rest: &str) -> String {
    format!("/api/v1/connections/{}{rest}", escape(connection))
}

fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The members of a body that say what a connection is.
fn of_content(content: &ConnectionContent) -> Result<Map<String, Value>, Quit> {
    let config = match &content.args {
        Some(text) => serde_json::from_str(&object(text)?).unwrap_or_default(),
        None => of_pairs(&content.pairs)?,
    };
    let mut body = Map::new();
    if config.as_object().is_some_and(|members| !members.is_empty()) {
        body.insert("connection_config".to_owned(), config);
    }
    if let Some(auth) = content.auth {
        body.insert("auth_method".to_owned(), auth.as_str().into());
    }
    if content.private {
        body.insert("egress_private".to_owned(), true.into());
    }
    if content.per_user || content.shared {
        body.insert("is_per_user".to_owned(), content.per_user.into());
    }
    if let Some(consent) = &content.consent {
        body.insert("consent".to_owned(), consent.as_str().into());
    }
    Ok(body)
}

/// A value from standard input: a line that is typed without being shown, or all that is piped in (a private key has
/// many lines) without the line's end behind it. It is no argument, because arguments are everybody's to read.
fn secret(field: &str) -> Result<Secret, Quit> {
    let stdin = std::io::stdin();
    let is_typed = stdin.is_terminal();
    let before = is_typed.then(|| termios::tcgetattr(&stdin)).and_then(Result::ok);
    if is_typed {
        eprint!("Value of {field} (it is not shown): ");
        let _ = std::io::stderr().flush();
    }
    if let Some(before) = &before {
        let mut quiet = before.clone();
        quiet.local_modes.remove(termios::LocalModes::ECHO);
        let _ = termios::tcsetattr(&stdin, termios::OptionalActions::Now, &quiet);
    }
    let mut text = Zeroizing::new(String::new());
    let mut source = stdin.lock().take(VALUE_LEN_MAX + 1);
    let read = if is_typed { source.read_line(&mut text) } else { source.read_to_string(&mut text) };
    if let Some(before) = &before {
        let _ = termios::tcsetattr(&stdin, termios::OptionalActions::Now, before);
        eprintln!();
    }
    read.map_err(|error| Quit::usage(format!("standard input: {error}")))?;
    let value = text.trim_end_matches(['\r', '\n']);
    if text.len() as u64 > VALUE_LEN_MAX {
        let what = format!("the value on standard input has more than {VALUE_LEN_MAX} bytes");
        return Err(Quit::usage(what).with_hint("a credential is a key, a password or a certificate"));
    }
    if value.is_empty() {
        return Err(Quit::usage("there is no value on standard input").with_hint("pipe it in, or type it"));
    }
    Ok(Secret::new(value.to_owned()))
}

fn credentials(list: &[Value]) -> Vec<Vec<String>> {
    let heading =
        ["FIELD", "WHOSE", "ENDS IN", "FINGERPRINT", "STORED", "EXPIRES", "KEPT AT", "READ", "WHY NOT"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for one in list {
        let stored = if one.get("last_rotated_at").is_some_and(Value::is_i64) {
            "last_rotated_at"
        } else {
            "created_at"
        };
        let mut expires = at(one, "expires_at");
        if one.get("is_expired") == Some(&Value::Bool(true)) {
            expires.push_str(" (over)");
        }
        rows.push(vec![
            cell(one, "credential_type"),
            (if one.get("is_own") == Some(&Value::Bool(true)) { "yours" } else { "shared" }).to_owned(),
            cell(one, "last_four"),
            cell(one, "fingerprint"),
            at(one, stored),
            expires,
            plain(one.get("reference").and_then(Value::as_str).unwrap_or_default(), 200),
            at(one, "last_read_at"),
            plain(one.get("read_error").and_then(Value::as_str).unwrap_or_default(), 200),
        ]);
    }
    rows
}

/// Whether it is meant: asked of a person, and required of a script.
fn ask(connection: &str) -> Result<(), Quit> {
    if !std::io::stdin().is_terminal() {
        return Err(Quit::usage("nobody is there to be asked").with_hint("say --yes to remove it"));
    }
    eprint!("Remove `{connection}` with its credentials, log and metrics? Type its key: ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim() == connection {
        return Ok(());
    }
    note("nothing was removed");
    Err(Quit::silent(1))
}

fn logs(list: &[Value]) -> Vec<Vec<String>> {
    let mut rows = vec![["AT", "EVENT", "MESSAGE"].map(str::to_owned).to_vec()];
    for one in list {
        let message = plain(one.get("message").and_then(Value::as_str).unwrap_or_default(), 200);
        rows.push(vec![at(one, "created_at"), cell(one, "event_type"), message]);
    }
    rows
}

fn health(answer: &Value) -> String {
    let summary = answer.get("summary").cloned().unwrap_or(Value::Null);
    let rate = summary.get("success_rate").and_then(Value::as_f64);
    let rate = rate.map_or_else(|| "no checks".to_owned(), |rate| format!("{:.1} % good", rate * 100.0));
    let mut text = format!(
        "last day: {} checks, {rate}, mean {} ms, p95 {} ms, max {} ms\n",
        cell(&summary, "count"),
        cell(&summary, "mean_ms"),
        cell(&summary, "p95_ms"),
        cell(&summary, "max_ms"),
    );
    let mut rows = vec![["AT", "MS", "WENT", "WHY NOT"].map(str::to_owned).to_vec()];
    for one in list(answer, "metrics") {
        let went = if one.get("success") == Some(&Value::Bool(true)) { "well" } else { "wrong" };
        let reason = plain(one.get("error_message").and_then(Value::as_str).unwrap_or_default(), 160);
        rows.push(vec![at(one, "checked_at"), cell(one, "response_time_ms"), went.to_owned(), reason]);
    }
    text.push_str(&table(&rows));
    text
}

fn at(one: &Value, field: &str) -> String {
    one.get(field).and_then(Value::as_i64).map(|ms| Timestamp(ms).to_rfc3339()).unwrap_or_default()
}

/// Connections as rows with a heading.
pub(crate) fn rows(list: &[Value]) -> Vec<Vec<String>> {
    let heading = ["CONNECTION", "STATUS", "CONDITION", "TRANSPORT", "ERA", "TOOLS", "REASON"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for one in list {
        let reason = plain(one.get("reason").and_then(Value::as_str).unwrap_or_default(), 160);
        let cells = ["key", "status", "condition", "transport", "era", "tool_count"].map(|name| {
            match cell(one, name) {
                empty if empty.is_empty() => "-".to_owned(),
                text => text,
            }
        });
        rows.push([cells.as_slice(), &[reason]].concat());
    }
    rows
}

fn detail(one: &Value) -> String {
    let mut rows = Vec::new();
    for (name, value) in one.as_object().into_iter().flatten() {
        if name != "tools" && !value.is_null() {
            rows.push(vec![name.clone(), cell(one, name)]);
        }
    }
    let mut text = table(&rows);
    let tools = one.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
    if !tools.is_empty() {
        let rows: Vec<_> = tools
            .iter()
            .map(|tool| {
                let mark =
                    if tool.get("is_offered") == Some(&Value::Bool(false)) { "not offered" } else { "" };
                vec![cell(tool, "tool"), mark.to_owned(), plain(&cell(tool, "description"), 100)]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(&rows));
    }
    text
}
