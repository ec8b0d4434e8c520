//! Failures that are known and explained, one file per cell in `conformance/`:
//!
//! ```yaml
//! server:                      # or `client:` where the hub is put on trial as a client
//!   - some-scenario            # why all of it may fail
//!   - some-scenario:one-check  # why this check may fail
//! ```
//!
//! The suite reads the same format. Ours is stricter: each entry needs its reason on its line, and an entry whose
//! checks all pass, or did not run, is stale and fails the run.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::report::{Check, Report};

/// The known failures of one cell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    entries: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    server: Vec<String>,
    #[serde(default)]
    client: Vec<String>,
}

impl Baseline {
    /// Reads a file; one that does not exist excuses nothing.
    ///
    /// # Errors
    /// When the file cannot be understood or an entry gives no reason.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(path)?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let file: File = serde_saphyr::from_str(text)?;
        let entries = [file.server, file.client].concat();
        for entry in &entries {
            let reasoned = text.lines().any(|line| {
                line.trim_start()
                    .strip_prefix("- ")
                    .and_then(|rest| rest.split_once(" #"))
                    .is_some_and(|(name, reason)| name.trim() == entry && !reason.trim().is_empty())
            });
            if !reasoned {
                bail!("{entry} has no reason: write one behind a # on its line");
            }
        }
        Ok(Self { entries })
    }

    /// Whether all of this scenario may fail.
    #[must_use]
    pub fn excuses(&self, scenario: &str) -> bool {
        self.entries.iter().any(|entry| entry == scenario)
    }

    /// What is wrong with a run, seen from these known failures.
    #[must_use]
    pub fn complaints(&self, report: &Report) -> Vec<String> {
        let excused = |check: &Check| self.entries.iter().any(|entry| covers(entry, check));
        let new = report
            .failed()
            .filter(|check| !excused(check))
            .map(|check| format!("{}:{} fails: {}", check.scenario, check.id, check.message));
        let stale = self
            .entries
            .iter()
            .filter(|entry| !report.failed().any(|check| covers(entry, check)))
            .map(|entry| format!("{entry} no longer fails: take it out of the baseline"));
        new.chain(stale).collect()
    }
}

fn covers(entry: &str, check: &Check) -> bool {
    match entry.split_once(':') {
        Some((scenario, id)) => scenario == check.scenario && id == check.id,
        None => entry == check.scenario,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(checks: &[(&str, &str, bool)]) -> Report {
        let check = |&(scenario, id, passed): &(&str, &str, bool)| Check {
            scenario: scenario.into(),
            id: id.into(),
            passed,
            message: String::new(),
        };
        Report { checks: checks.iter().map(check).collect(), ..Report::default() }
    }

    #[test]
    fn a_known_failure_is_excused_and_a_new_one_is_not() {
        let baseline =
            Baseline::parse("server:\n  - ping:pong # the upstream is deaf\n").expect("a baseline");
        let complaints = baseline.complaints(&report(&[("ping", "pong", false), ("ping", "pang", false)]));
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("ping:pang"));
    }

    #[test]
    fn an_entry_that_passes_or_never_ran_is_stale() {
        let baseline =
            Baseline::parse("server:\n  - ping # deaf\n  - gone # was removed\n").expect("a baseline");
        let complaints = baseline.complaints(&report(&[("ping", "pong", true)]));
        assert_eq!(complaints.len(), 2, "{complaints:?}");
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        for text in
            ["server:\n  - ping\n", "server:\n  - ping #\n", "# why\nserver: [ping]\n", "clients: []\n"]
        {
            assert!(Baseline::parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
