//! `conformance`: every requirement set and cell, one line each, compared with the baselines.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use testkit::conformance::{self, CELLS, Place};
use testkit::tools::Tools;

/// Runs the protocol's conformance suite against the fixture alone and against the hub in front of it
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
        let mut out = std::io::stdout();
        match conformance::run(&place, cell, expected.get(cell.set)).await {
            Ok(verdict) => {
                writeln!(out, "conformance {} {}/{}", cell.name(), verdict.passed, verdict.total)?;
                for complaint in &verdict.complaints {
                    writeln!(out, "  {complaint}")?;
                }
                failed |= !verdict.complaints.is_empty();
                if alone {
                    expected.insert(cell.set, verdict.scenarios);
                }
            }
            // One cell that cannot run must not hide the others.
            Err(error) => {
                writeln!(out, "conformance {} did not run\n  {error:#}", cell.name())?;
                failed = true;
            }
        }
        out.flush()?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
