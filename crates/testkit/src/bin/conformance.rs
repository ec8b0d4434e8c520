//! `conformance`: every requirement set and cell, one line each, compared with the baselines.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use testkit::conformance::{self, CELLS, LEGACY_SET, MODERN_SET, Place, Verdict, upstream};
use testkit::tools::Tools;

/// Runs the protocol's conformance suite against the fixture alone, the hub in front of it, and the hub as a client
#[derive(Parser)]
struct Options {
    /// Where the results go
    #[arg(long, default_value = "target/conformance")]
    out: PathBuf,
    /// Where the known failures stand
    #[arg(long, default_value = "conformance")]
    baselines: PathBuf,
    /// Run only cells whose name contains this, such as "legacy-upstream"; the fixture alone always runs
    #[arg(long, default_value = "")]
    only: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let tools = Tools::find()?;
    let place =
        Place { node: tools.node, modules: tools.modules, out: options.out, baselines: options.baselines };
    let mut expected = BTreeMap::new();
    let mut failed = false;
    for cell in CELLS {
        let alone = cell.upstream.is_none();
        if !alone && !cell.name().contains(&options.only) {
            continue;
        }
        let judged = conformance::run(&place, cell, expected.get(cell.set)).await;
        failed |= !show(&cell.name(), &judged)?;
        if let (true, Ok(verdict)) = (alone, judged) {
            expected.insert(cell.set, verdict.scenarios);
        }
    }
    for set in [LEGACY_SET, MODERN_SET] {
        let name = upstream::name(set);
        if name.contains(&options.only) {
            failed |= !show(&name, &upstream::run(&place, set).await)?;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints one cell's line and what is wrong with it; true when nothing is. A cell that cannot run does not hide the
/// others.
fn show(name: &str, judged: &anyhow::Result<Verdict>) -> anyhow::Result<bool> {
    let mut out = std::io::stdout();
    let is_well = match judged {
        Ok(verdict) => {
            write!(out, "conformance {name} {}/{}", verdict.passed, verdict.total)?;
            if verdict.waiting > 0 {
                write!(out, ", {} scenarios waiting", verdict.waiting)?;
            }
            writeln!(out)?;
            for complaint in &verdict.complaints {
                writeln!(out, "  {complaint}")?;
            }
            verdict.complaints.is_empty()
        }
        Err(error) => {
            writeln!(out, "conformance {name} did not run\n  {error:#}")?;
            false
        }
    };
    out.flush()?;
    Ok(is_well)
}
