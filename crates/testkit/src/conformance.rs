//! Runs the protocol's own conformance suite against the fixture, against the hub in front of it, and against the hub's
//! side towards upstreams, and judges the outcome: every failure has to stand in a baseline with its reason, and every
//! entry of a baseline has to fail.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::fixture::{Era, Peer};
use crate::hub::Hub;
use crate::program::command;

pub mod baseline;
pub mod driver;
mod leave;
pub mod report;
pub mod shim;
pub mod upstream;

use baseline::Baseline;
use report::{Check, ENDS_WELL, Report};

/// The requirement sets, frozen by the suite when each revision was released.
pub const LEGACY_SET: &str = "2025-11-25";
/// See [`LEGACY_SET`].
pub const MODERN_SET: &str = "2026-07-28";
/// The suite's own limit per scenario, in milliseconds: more than its default, for machines under load.
const SCENARIO_MS: &str = "60000";

/// Where the suite and the results are.
pub struct Place {
    /// The Node that runs the suite.
    pub node: PathBuf,
    /// The folder `node_modules` that holds it.
    pub modules: PathBuf,
    /// Where results are written, one folder per cell.
    pub out: PathBuf,
    /// Where the baselines are read from.
    pub baselines: PathBuf,
}

/// One run of one requirement set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The requirement set, which is also the kind of client that the suite plays.
    pub set: &'static str,
    /// The upstream behind the hub, or `None` for the fixture alone.
    pub upstream: Option<Era>,
}

/// Every cell, the fixture alone first: it says what a perfect run looks like.
pub const CELLS: [Cell; 6] = [
    Cell { set: LEGACY_SET, upstream: None },
    Cell { set: MODERN_SET, upstream: None },
    Cell { set: LEGACY_SET, upstream: Some(Era::Legacy) },
    Cell { set: MODERN_SET, upstream: Some(Era::Modern) },
    Cell { set: LEGACY_SET, upstream: Some(Era::Modern) },
    Cell { set: MODERN_SET, upstream: Some(Era::Legacy) },
];

impl Cell {
    /// The cell in words, such as `2025-11-25 legacy-client modern-upstream`.
    #[must_use]
    pub fn name(self) -> String {
        let client = if self.set == LEGACY_SET { "legacy-client" } else { "modern-client" };
        let upstream = match self.upstream {
            None => "fixture-alone",
            Some(Era::Legacy) => "legacy-upstream",
            Some(Era::Modern) => "modern-upstream",
            Some(Era::Both) => "dual-upstream",
        };
        format!("{} {client} {upstream}", self.set)
    }
}

/// What a cell's run came to.
pub struct Verdict {
    /// How many checks passed.
    pub passed: usize,
    /// How many checks there were.
    pub total: usize,
    /// Scenarios that may fail as a whole; they are not among the checks above.
    pub waiting: usize,
    /// What is wrong, one sentence each; empty when the cell is as it should be.
    pub complaints: Vec<String>,
    /// The scenarios that ran.
    pub scenarios: BTreeSet<String>,
}

/// Runs one cell. `expected` names the scenarios that have to have run, once that is known.
///
/// # Errors
/// When something could not be started or read; a suite that ran and failed is a verdict.
pub async fn run(place: &Place, cell: Cell, expected: Option<&BTreeSet<String>>) -> anyhow::Result<Verdict> {
    let mut fixture = Peer::start(cell.upstream.unwrap_or(Era::Both)).await?;
    let fixture_url = fixture.url.clone();
    let folder = cell.name().replace(' ', ".");
    let out = fresh(place, &folder)?;

    let (exit_ok, log, hub_log) = if cell.upstream.is_none() {
        let (ok, log) = run_suite(place, cell.set, &fixture_url, &out).await?;
        (ok, log, String::new())
    } else {
        let config = format!(
            "integrations:\n  fixture: {{ type: mcp, protocol: http, url: \"{fixture_url}\", era: auto }}\n"
        );
        let hub = Hub::start(&config).await?;
        hub.wait_for_tools("/mcp/c/fixture").await?;
        let shim = shim::Shim::start(hub.url.trim_start_matches("http://"), &hub.key).await?;
        let (ok, log) = run_suite(place, cell.set, &format!("{}/mcp/c/fixture", shim.url), &out).await?;
        (ok, log, hub.log())
    };
    std::fs::write(out.join("suite.log"), &log)?;
    std::fs::write(out.join("hub.log"), hub_log)?;
    fixture.program().stop()?;

    judge(place, &folder, exit_ok, expected)
}

/// Compares what a run wrote with its baseline.
fn judge(
    place: &Place,
    folder: &str,
    is_content: bool,
    expected: Option<&BTreeSet<String>>,
) -> anyhow::Result<Verdict> {
    let out = place.out.join(folder);
    let report = Report::read(&out)?;
    let baseline = Baseline::read(&place.baselines.join(format!("{folder}.yml")))?;
    let mut complaints = baseline.complaints(&report);
    if report.checks.is_empty() || (!is_content && report.failed().next().is_none()) {
        complaints.push(format!("the suite itself failed; see {}", out.join("suite.log").display()));
    }
    for missing in expected.into_iter().flatten().filter(|name| !report.scenarios.contains(*name)) {
        complaints.push(format!("{missing} did not run"));
    }
    let waiting = report.scenarios.iter().filter(|scenario| baseline.excuses(scenario)).count();
    // The figures are the suite's own.
    let is_counted = |check: &&Check| check.id != ENDS_WELL && !baseline.excuses(&check.scenario);
    let counted = || report.checks.iter().filter(is_counted);
    let (passed, total) = (counted().filter(|check| check.passed).count(), counted().count());
    Ok(Verdict { passed, total, waiting, complaints, scenarios: report.scenarios })
}

/// An empty folder for the results of a cell.
fn fresh(place: &Place, folder: &str) -> anyhow::Result<PathBuf> {
    let out = place.out.join(folder);
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    std::fs::create_dir_all(&out)?;
    Ok(out)
}

/// Whether the suite was content with a server, and everything it printed.
async fn run_suite(
    place: &Place,
    set: &str,
    url: &str,
    out: &std::path::Path,
) -> anyhow::Result<(bool, String)> {
    suite(place, &["server", "--url", url, "--requirements", set], out).await
}

/// Runs the suite to its end.
async fn suite(place: &Place, args: &[&str], out: &std::path::Path) -> anyhow::Result<(bool, String)> {
    let script = place.modules.join("@modelcontextprotocol/conformance/dist/index.js");
    if !script.is_file() {
        bail!("the conformance suite is not at {}", script.display());
    }
    let mut suite = command(&place.node);
    suite.arg(script).args(args).args(["--timeout", SCENARIO_MS]);
    suite.arg("--output-dir").arg(std::path::absolute(out)?);
    let output = tokio::task::spawn_blocking(move || suite.output()).await?.context("running the suite")?;
    let mut log = String::from_utf8_lossy(&output.stdout).into_owned();
    log.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), log))
}
