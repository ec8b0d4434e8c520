//! What the suite wrote down: one folder per scenario, with every check and how it went.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// `-2026-11-20T14-45-03-506Z`, which the suite puts behind a scenario's name.
const TIMESTAMP_BYTES: usize = 25;
/// The last word of a client that could do everything it set out to do.
pub const DONE: &str = "done";
/// The one check that is not the suite's: that the client on trial ended with [`DONE`].
pub const ENDS_WELL: &str = "client-ends-well";

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
        let mut report = Self::default();
        report.add_folder(folder, "")?;
        Ok(report)
    }

    /// `group`: what scenarios in this folder have before their names, such as `auth/`.
    fn add_folder(&mut self, folder: &Path, group: &str) -> anyhow::Result<()> {
        let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for path in entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(scenario) = scenario_of(&name) else {
                self.add_folder(&path, &format!("{group}{name}/"))?;
                continue;
            };
            let scenario = format!("{group}{scenario}");
            let file = path.join("checks.json");
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let written: Vec<Written> =
                serde_json::from_str(&text).with_context(|| file.display().to_string())?;
            self.add(&scenario, written);
            let printed = path.join("stdout.txt");
            if printed.exists() {
                self.add_end(&scenario, &std::fs::read_to_string(printed)?);
            }
        }
        Ok(())
    }

    /// How the client on trial ended, which the suite leaves out of a whole set's verdict.
    fn add_end(&mut self, scenario: &str, printed: &str) {
        let passed = printed.lines().last() == Some(DONE);
        let message = if passed { String::new() } else { "see its stderr.txt".to_owned() };
        self.checks.push(Check { scenario: scenario.to_owned(), id: ENDS_WELL.to_owned(), passed, message });
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

/// The scenario's name; `None` for a folder without a time, which holds further scenarios.
fn scenario_of(folder: &str) -> Option<&str> {
    let name = folder.strip_prefix("server-").unwrap_or(folder);
    let (scenario, time) = name.split_at_checked(name.len().checked_sub(TIMESTAMP_BYTES)?)?;
    (time.starts_with('-') && time.ends_with('Z')).then_some(scenario)
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
            Some("http-header-validation")
        );
        assert_eq!(scenario_of("server-server-stateless-2026-11-20T14-45-03-506Z"), Some("server-stateless"));
        assert_eq!(scenario_of("sse-retry-2026-11-20T14-45-03-506Z"), Some("sse-retry"));
        for group in ["auth", "a-group-with-quite-a-long-name-indeed"] {
            assert_eq!(scenario_of(group), None, "{group}");
        }
    }

    #[test]
    fn a_client_that_breaks_off_has_failed_whatever_the_suite_saw() {
        let mut report = Report::default();
        report.add_end("auth/basic", "calling\n");
        report.add_end("sse-retry", "calling\ndone\n");
        let failed: Vec<&str> = report.failed().map(|check| check.scenario.as_str()).collect();
        assert_eq!(failed, ["auth/basic"]);
    }
}
