//! What the suite wrote down: one folder per scenario, with every check and how it went.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// `-2026-11-20T14-45-03-506Z`, which the suite puts behind a scenario's name.
const TIMESTAMP_BYTES: usize = 25;

/// One check of one scenario. Informative and skipped ones are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The scenario.
    pub scenario: String,
    /// The check's id within it.
    pub id: String,
    /// Whether it passed.
    pub passed: bool,
    /// What the suite says about it, empty when nothing.
    pub message: String,
}

/// A whole run.
#[derive(Debug, Default)]
pub struct Report {
    /// Every check, in the order of the scenarios' names.
    pub checks: Vec<Check>,
    /// Every scenario that ran, also one in which nothing applied.
    pub scenarios: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    id: String,
    status: String,
    #[serde(default)]
    error_message: Option<String>,
}

impl Report {
    /// Reads the folder that the suite wrote.
    ///
    /// # Errors
    /// When a file is missing or not what the suite writes.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut scenarios: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
        scenarios.sort_by_key(std::fs::DirEntry::file_name);
        let mut report = Self::default();
        for entry in scenarios.into_iter().filter(|entry| entry.path().is_dir()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path().join("checks.json");
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let written: Vec<Written> =
                serde_json::from_str(&text).with_context(|| path.display().to_string())?;
            report.add(scenario_of(&name), written);
        }
        Ok(report)
    }

    fn add(&mut self, scenario: &str, written: Vec<Written>) {
        self.scenarios.insert(scenario.to_owned());
        self.checks.extend(written.into_iter().filter_map(|check| {
            let passed = match check.status.as_str() {
                "SUCCESS" => true,
                "INFO" | "SKIPPED" => return None,
                // Whatever else the suite may say is nothing to be counted as passed.
                _ => false,
            };
            let message = check.error_message.unwrap_or_default();
            Some(Check { scenario: scenario.to_owned(), id: check.id, passed, message })
        }));
    }

    /// The checks that did not pass.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.passed)
    }
}

fn scenario_of(folder: &str) -> &str {
    let name = folder.strip_prefix("server-").unwrap_or(folder);
    name.len().checked_sub(TIMESTAMP_BYTES).and_then(|end| name.get(..end)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checks_that_say_something_count_and_the_unknown_counts_as_failed() {
        let written = r#"[{"id":"a","status":"SUCCESS"},{"id":"b","status":"FAILURE","errorMessage":"no"},
            {"id":"c","status":"INFO"},{"id":"d","status":"SKIPPED"},{"id":"e","status":"WARNING"}]"#;
        let mut report = Report::default();
        report.add("ping", serde_json::from_str(written).expect("checks"));
        report.add("nothing-applies", Vec::new());
        let failed: Vec<&str> = report.failed().map(|check| check.id.as_str()).collect();
        assert_eq!(report.checks.len(), 3);
        assert_eq!(failed, ["b", "e"]);
        assert!(report.scenarios.contains("nothing-applies"), "it ran all the same");
    }

    #[test]
    fn a_scenarios_name_is_its_folder_without_the_time() {
        assert_eq!(
            scenario_of("server-http-header-validation-2026-11-20T14-45-03-506Z"),
            "http-header-validation"
        );
        assert_eq!(scenario_of("server-server-stateless-2026-11-20T14-45-03-506Z"), "server-stateless");
    }
}
