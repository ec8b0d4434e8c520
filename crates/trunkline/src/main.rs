//! The binary: command line, configuration, wiring, shutdown.
//!
//! Its rooms: `cli` (what can be typed), `config` (what the file says), `commands` (one file per verb),
//! `wiring` (a hub made of the other rooms). Start reading at [`main`].

mod cli;
mod commands;
mod config;
mod say;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

/// Small allocations on many threads are what a hub does all day.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // While there is one thread, and before anything is opened or started.
    process::keep_inherited();
    // The guard of the child processes is this program too: before the command line, without a runtime.
    if std::env::args_os().nth(1).is_some_and(|first| first == wiring::GUARD_ARG) {
        return ExitCode::from(u8::try_from(process::guard_main()).unwrap_or(1));
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is a usage error.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match commands::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(quit) => {
            quit.tell(cli.shared.json);
            ExitCode::from(quit.code)
        }
    }
}
