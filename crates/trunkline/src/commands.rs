//! One file per verb. Each reads its part of the command line, does one thing, and says what came of it.

mod check;
mod config;
mod explain;
mod export;
mod import;

use crate::cli::{Cli, ConfigVerb, Shared, Verb};
use crate::config::{Config, Wanted, load};
use crate::say::Quit;

/// Runs the command.
///
/// # Errors
/// [`Quit`], with the exit code.
pub(crate) fn run(cli: &Cli) -> Result<(), Quit> {
    let shared = &cli.shared;
    match &cli.verb {
        Verb::Check { file } | Verb::Config(ConfigVerb::Check { file }) => {
            check::run(shared, file.as_deref())
        }
        Verb::Config(ConfigVerb::Default) => config::default(shared),
        Verb::Config(ConfigVerb::Show) => config::show(shared),
        Verb::Explain { code } => explain::run(shared, code.as_deref()),
        Verb::Import { file, write } => import::run(shared, file, *write),
        Verb::Export { what, stdio } => export::run(shared, *what, *stdio),
        _ => Err(Quit::failed("not wired")),
    }
}

/// The environment.
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The configuration that this command line names.
pub(crate) fn configuration(shared: &Shared, listen: Option<&str>) -> Config {
    load(&Wanted { file: shared.config.clone(), listen: listen.map(str::to_owned) }, &env)
}
