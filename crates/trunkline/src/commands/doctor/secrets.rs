//! Whether the sources of secrets give what the file's references name.

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::sources::pick;
use model::SystemClock;

use super::{Finding, Verdict, find};
use crate::commands::client::block_on;
use crate::config::Config;
use crate::wiring::sources;

/// Reads each secret once, and tries every reference on it.
pub(super) fn look(config: &Config, findings: &mut Vec<Finding>) {
    if config.references.is_empty() {
        return;
    }
    let clock: Arc<dyn model::Clock> = Arc::new(SystemClock::new());
    let sources = match sources::of(&config.hub.secrets, &clock) {
        Ok(sources) => sources,
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
            Ok(fields) => pick(fields, &used.external).map(|_| ()),
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
