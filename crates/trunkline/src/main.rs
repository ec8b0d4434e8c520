//! The binary: command line, configuration, wiring, shutdown.
//!
//! Its rooms: `cli` (what can be typed), `config` (what the file says), `commands` (one file per verb),
//! `wiring` (a hub made of the other rooms). Start reading at [`main`].

mod cli;
mod commands;
mod config;
mod say;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
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
