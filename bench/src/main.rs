//! The measuring bench: a load generator, the upstream it is measured against, and the paired comparison with
//! other programs. It only measures: nothing here is part of the product, and nothing here asserts in a test how
//! fast something is. `README.md` beside this folder says how to read what it prints.

mod clock;
mod cores;
mod hold;
mod load;
mod message;
mod run;
mod spawn;
mod system;
mod target;
mod upstream;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Trunkline against itself, its upstream and its peers.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A minimal, fast MCP server over HTTP (and newline JSON over TCP).
    Upstream(upstream::Args),
    /// The same MCP server over standard input and output.
    UpstreamStdio(upstream::StdioArgs),
    /// Loads one address for some seconds and prints one JSON object.
    Load(load::Args),
    /// Holds many idle connections open, and asks each of them when told to.
    Hold(hold::Args),
    /// Starts everything, measures it interleaved, prints one line per figure and compares with the baseline.
    Run(run::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Upstream(args) => upstream::serve(&args),
        Command::UpstreamStdio(args) => upstream::serve_stdio(&args),
        Command::Load(args) => load::main(&args),
        Command::Hold(args) => hold::main(&args),
        Command::Run(args) => run::main(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
