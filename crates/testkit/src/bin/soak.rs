//! `soak`: the long run, calm or chaotic. Never part of continuous integration.

use std::io::Write as _;

use clap::Parser;
use testkit::soak::{Plan, run};

/// Calls a hub for a long time and looks for wrong answers, failures and leaks
#[derive(Parser)]
struct Options {
    /// How many minutes
    #[arg(long, env = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// How many clients at a time
    #[arg(long, env = "CLIENTS", default_value_t = 16)]
    clients: usize,
    /// Kill and restart the upstream and the hub meanwhile
    #[arg(long)]
    chaos: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let plan = Plan { minutes: options.minutes, clients: options.clients, chaos: options.chaos };
    run(plan, |line| {
        // A closed output is no reason to end the run.
        let _ = writeln!(std::io::stdout(), "{line}");
    })
    .await
}
