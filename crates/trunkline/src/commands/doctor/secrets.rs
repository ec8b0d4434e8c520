//! Whether the sources of secrets give what the file's references name.

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::sources::{Sources, pick};
use model::SystemClock;
use serde_json::Value;

use super::{Finding, Verdict, find};
use crate::commands::client::{Remote, block_on, cell, escape};
use crate::config::Config;
use crate::wiring::sources;

/// Reads each secret once, and tries every reference on it.
pub(super) fn look(config: &Config, findings: &mut Vec<Finding>) {
    if config.references.is_empty() {
        return;
    }
    let clock: Arc<dyn model::Clock> = Arc::new(SystemClock::new());
    let sources = match sources::of(&config.hub.secrets) {
        Ok(systems) => Sources::new(systems, None, clock),
        Err(fault) => return find(findings, Verdict::Bad, "secrets", fault.detail, Some(fault.hint)),
    };
    let read = block_on(async {
        let mut read = BTreeMap::new();
        for location in sources::wanted(config).into_keys() {
            let found = sources.read(&location).await;
            read.insert(location, found);
        }
        Ok(read)
    });
    let read = match read {
        Ok(read) => read,
        Err(quit) => return find(findings, Verdict::Bad, "secrets", quit.what, Some(quit.hint)),
    };
    for used in &config.references {
        let about = format!("secret of {}", used.key);
        let found = read.get(&used.external.location).map(|read| match read {
            Ok(got) => pick(&got.fields, &used.external).map(|_| ()),
            Err(failure) => Err(failure.clone()),
        });
        match found {
            Some(Ok(())) => {
                find(findings, Verdict::Ok, &about, format!("{} can be read", used.external), None);
            }
            Some(Err(failure)) => {
                let what = format!("{}: {}", used.external, failure.why);
                find(findings, Verdict::Bad, &about, what, Some(failure.hint));
            }
            None => {}
        }
    }
}

/// How what connections made through the API name in sources stands, as the hub that runs sees it.
pub(super) fn stored(hub: &Remote, all: &Value, findings: &mut Vec<Finding>) {
    let all = all.get("connections").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let credentials = block_on(async {
        let mut credentials = Vec::new();
        for one in all.iter().filter(|one| one.get("is_file_managed") != Some(&Value::Bool(true))) {
            let key = cell(one, "key");
            let answer = hub.get(&format!("/api/v1/connections/{}/credentials", escape(&key))).await?;
            let list = answer.get("credentials").and_then(Value::as_array).cloned().unwrap_or_default();
            credentials.extend(list.into_iter().map(|one| (key.clone(), one)));
        }
        Ok(credentials)
    });
    let credentials = match credentials {
        Ok(credentials) => credentials,
        Err(quit) => return find(findings, Verdict::Warning, "secrets", quit.what, Some(quit.hint)),
    };
    for (key, one) in credentials {
        let Some(reference) = one.get("reference").and_then(Value::as_str) else { continue };
        let about = format!("secret of {key}, {}", cell(&one, "credential_type"));
        match one.get("read_error").and_then(Value::as_str) {
            None => find(findings, Verdict::Ok, &about, format!("{reference} can be read"), None),
            Some(why) => {
                let secret = reference.split('#').next().unwrap_or(reference);
                let remedy = format!("`trunkline calls --secrets --search {secret}` tells each read");
                find(findings, Verdict::Bad, &about, format!("{reference}: {why}"), Some(remedy));
            }
        }
    }
}
