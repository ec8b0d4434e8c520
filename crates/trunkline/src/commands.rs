//! One file per verb. Each reads its part of the command line, does one thing, and says what came of it.

mod backup;
mod bundle;
mod call;
mod calls;
mod catalog;
mod check;
mod client;
mod config;
mod connection;
mod doctor;
mod events;
mod explain;
mod export;
mod import;
mod key;
mod mcp;
mod migrate;
mod probe;
mod rotate_master;
mod serve;
mod status;
mod tools;
mod toolset;

use crate::cli::{Cli, ConfigVerb, KeyVerb, Shared, Verb};
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
        Verb::Import { file, write, dry_run, passphrase_file, consents } => match bundle::document(file) {
            None if !*dry_run && passphrase_file.is_none() && consents.is_empty() => {
                import::run(shared, file, *write)
            }
            None => Err(Quit::usage(format!("{} is no document of `export --connections`", file.display()))),
            Some(_) if *write => Err(Quit::usage("--write is for the files of desktop clients")),
            Some(document) => {
                let passphrase_file = passphrase_file.as_deref();
                let wanted = bundle::Wanted { is_dry_run: *dry_run, passphrase_file, consents };
                bundle::import(shared, document, &wanted)
            }
        },
        Verb::Export { connections: true, passphrase_file, .. } => {
            bundle::export(shared, passphrase_file.as_deref())
        }
        Verb::Export { what, stdio, .. } => export::run(shared, *what, *stdio),
        Verb::Serve { listen } => serve::run(shared, listen.as_deref()),
        Verb::Mcp { toolset, connection } => mcp::run(shared, toolset.as_deref(), connection.as_deref()),
        Verb::Status => status::run(shared),
        Verb::Tools { search } => tools::run(shared, search.as_deref()),
        Verb::Call { connection, tool, pairs, args, idempotency_key } => {
            let (args, idempotency) = (args.as_deref(), idempotency_key.as_deref());
            call::run(shared, &call::Wanted { connection, tool, pairs, args, idempotency })
        }
        Verb::Probe { server, command, headers, timeout } => {
            let wanted = probe::Wanted { url: server.as_deref(), command, headers, timeout_s: *timeout };
            probe::run(shared, &wanted)
        }
        Verb::Backup { folder } => backup::make(shared, folder),
        Verb::Restore { folder, check } => backup::restore(shared, folder, *check),
        Verb::Migrate { to } => migrate::run(shared, to),
        Verb::Doctor => doctor::run(shared),
        Verb::Key(KeyVerb::RotateMaster { new_key_file }) => rotate_master::run(shared, new_key_file),
        Verb::Key(verb) => key::run(shared, verb),
        Verb::Catalog(verb) => catalog::run(shared, verb),
        Verb::Connection(verb) => connection::run(shared, verb),
        Verb::Toolset(verb) => toolset::run(shared, verb),
        Verb::Events { types } => events::run(shared, types.as_deref()),
        Verb::Calls { tail, search, secrets, limit } => {
            calls::run(shared, *tail, search.as_deref(), *secrets, *limit)
        }
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
