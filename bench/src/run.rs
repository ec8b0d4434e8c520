//! The paired comparison: starts the upstream, the peers and the hub, lets them take turns, prints one line per figure,
//! writes them with the machine they were measured on, and compares them with the saved baseline.

mod baseline;
mod client;
mod figure;
mod holder;
mod hub;
mod leg;
mod peer;
mod series;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;

use crate::system::{self, Machine};
use baseline::Baseline;
use figure::{Figure, Verdict};
use stage::Stage;

/// What `bench run` takes.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Args {
    /// The figures to measure, by their number; all of them without it.
    #[arg(long, value_delimiter = ',')]
    legs: Vec<String>,
    /// The programs to compare with, where they are installed: nginx, mcp-proxy, supergateway.
    #[arg(long, value_delimiter = ',', default_value = "nginx,mcp-proxy,supergateway")]
    peers: Vec<String>,
    /// The program that is measured.
    #[arg(long, default_value = "target/release/trunkline")]
    trunkline: PathBuf,
    /// Seconds of each window.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Repetitions of each window.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Requests a second of the open-loop windows.
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,
    /// A tool of the hub itself that echoes its `text`, for the stdio door; without it the hub's own greeting is asked.
    #[arg(long)]
    own_tool: Option<String>,
    /// The folder of the results and of the programs' error output.
    #[arg(long, default_value = "bench/out")]
    out: PathBuf,
    /// The saved baseline.
    #[arg(long, default_value = "bench/baseline.json")]
    baseline: PathBuf,
    /// Save what was measured as the new baseline instead of comparing with it.
    #[arg(long)]
    save_baseline: bool,
}

/// Measures what was asked for. Fails when a figure failed or got worse than the baseline allows.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let legs = leg::chosen(&args.legs)?;
    if args.repeat == 0 || !args.seconds.is_finite() || args.seconds <= 0.0 {
        bail!("there must be a repetition and some time to measure");
    }
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let old = Baseline::read(&args.baseline)?;
    let machine = system::machine();
    let files = system::raise_file_limit();
    println!(
        "bench: {} x {}, {}, {} MB; {} s windows, {} repetitions, file limit {files}",
        machine.cores, machine.cpu, machine.kernel, machine.memory_mb, args.seconds, args.repeat
    );
    let mut stage = Stage::set(args, files)?;
    for note in stage.absent() {
        println!("note: {note}");
    }
    let mut figures = Vec::new();
    for leg in legs {
        for figure in leg.run(&mut stage) {
            println!("{figure}");
            figures.push(figure);
        }
    }
    drop(stage);
    write_result(&args.out.join("result.json"), args, &machine, &figures)?;
    finish(args, &machine, &figures, old)
}

fn finish(args: &Args, machine: &Machine, figures: &[Figure], old: Option<Baseline>) -> Result<ExitCode> {
    let count = |verdict: Verdict| figures.iter().filter(|figure| figure.verdict == verdict).count();
    let (failed, invalid) = (count(Verdict::Fail), count(Verdict::Invalid));
    let mut worsened = Vec::new();
    match &old {
        _ if args.save_baseline && invalid == 0 => {
            Baseline::of(&machine.cpu, figures, old).write(&args.baseline)?;
            println!("baseline: saved to {}", args.baseline.display());
        }
        _ if args.save_baseline => println!("baseline: not saved, because a measurement is invalid"),
        None => println!("baseline: none saved yet (--save-baseline saves one)"),
        Some(old) => {
            if old.cpu != machine.cpu {
                println!("note: the baseline is from another processor ({})", old.cpu);
            }
            worsened = old.worsened(figures);
            for line in &worsened {
                println!("baseline: WORSE {line}");
            }
        }
    }
    println!(
        "bench: {} figures: {} pass, {failed} fail, {invalid} invalid, {} skipped, {} without a gate; {} worse than the baseline",
        figures.len(),
        count(Verdict::Pass),
        count(Verdict::Skipped),
        count(Verdict::Measured),
        worsened.len()
    );
    let is_good = failed == 0 && invalid == 0 && worsened.is_empty();
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_result(path: &Path, args: &Args, machine: &Machine, figures: &[Figure]) -> Result<()> {
    let result = serde_json::json!({
        "at_ms": crate::clock::wall_ms(),
        "machine": machine,
        "seconds": args.seconds,
        "repeat": args.repeat,
        "figures": figures,
    });
    fs::write(path, format!("{}\n", serde_json::to_string_pretty(&result)?))
        .with_context(|| format!("cannot write {}", path.display()))
}
