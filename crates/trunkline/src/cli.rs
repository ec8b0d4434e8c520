//! What can be typed. Not what it does: that is one file per verb under `commands/`.

mod catalog;
mod connection;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use catalog::CatalogVerb;
pub(crate) use connection::{ConnectionContent, ConnectionVerb};

/// Connect MCP servers once, use them everywhere through one guarded door.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, about, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Shared {
    /// Results as JSON, for scripts
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The configuration file (default: $TRUNKLINE_CONFIG, ./trunkline.yaml, the user's own, the built-in one)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder (default: $TRUNKLINE_DATA, $XDG_DATA_HOME/trunkline)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The running hub (default: $TRUNKLINE_URL, http://127.0.0.1:4780)
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The API key for it (default: $TRUNKLINE_KEY)
    #[arg(long, global = true, value_name = "KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the hub
    Serve {
        /// Where to listen (default: $TRUNKLINE_LISTEN, the file, 127.0.0.1:4780); port 0 picks a free one
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
    },
    /// Serve MCP on standard input and output: a running hub, or one started just for this
    Mcp {
        /// Serve this toolset only
        #[arg(long, value_name = "NAME", conflicts_with = "connection")]
        toolset: Option<String>,
        /// Serve this connection only, with its own names
        #[arg(long, value_name = "NAME")]
        connection: Option<String>,
    },
    /// Say what is wrong with a configuration file, without starting anything
    Check {
        /// The file (default: the one that `serve` would use)
        file: Option<PathBuf>,
    },
    /// How the hub and its connections stand
    Status,
    /// The tools that the key may use
    Tools {
        /// Only those whose name or description holds this text
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Call a tool
    Call {
        /// Key of the connection
        connection: String,
        /// Name of the tool, as the connection calls it
        tool: String,
        /// Arguments as key=value; a value that is JSON is taken as JSON, anything else as text
        #[arg(value_name = "KEY=VALUE", conflicts_with = "args")]
        pairs: Vec<String>,
        /// All arguments as one JSON object; @FILE reads a file, - reads standard input
        #[arg(long, value_name = "JSON|@FILE|-")]
        args: Option<String>,
        /// Makes a repeated call with the same text one call
        #[arg(long, value_name = "TEXT")]
        idempotency_key: Option<String>,
    },
    /// Find out what an MCP server speaks, offers and gets wrong
    Probe {
        /// Its URL (http, https, ws, wss, tcp, unix)
        #[arg(value_name = "URL")]
        server: Option<String>,
        /// Or the command that runs it, behind --
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
        /// A header to send, as `Name: value`; may be repeated
        #[arg(long = "header", value_name = "HEADER")]
        headers: Vec<String>,
        /// Seconds to wait
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
        timeout: u64,
    },
    /// Look for what would keep the hub from working, with remedies
    Doctor,
    /// Turn the mcpServers file of a desktop client into entries of the configuration, or put a document of `export --connections` into the hub
    Import {
        /// claude_desktop_config.json, .mcp.json, mcp.json of an editor; or what `export --connections` printed
        file: PathBuf,
        /// Add them to the configuration file instead of printing them
        #[arg(long)]
        write: bool,
        /// Of a document of the hub: only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Of a document with secrets: the file whose first line is their passphrase
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// The exact command line that an imported connection may start, as the refusal without it tells; may be repeated
        #[arg(long = "consent", value_name = "COMMAND LINE")]
        consents: Vec<String>,
    },
    /// Print what others need: the client configuration that points at this hub, or this configuration without secrets
    Export {
        /// What to print
        #[arg(value_enum, default_value_t = Exported::Client)]
        what: Exported,
        /// For clients that start a program instead of calling a URL
        #[arg(long)]
        stdio: bool,
        /// Instead: the connections, toolsets and entries of the catalogue that were made through the API
        #[arg(long, conflicts_with_all = ["stdio", "what"])]
        connections: bool,
        /// With --connections: their secrets too, sealed under a passphrase
        #[arg(long, requires_all = ["connections", "passphrase_file"])]
        secrets: bool,
        /// The file whose first line is the passphrase, of at least 12 bytes
        #[arg(long, value_name = "FILE", requires = "secrets")]
        passphrase_file: Option<PathBuf>,
    },
    /// API keys
    #[command(subcommand)]
    Key(KeyVerb),
    /// Connections
    #[command(subcommand)]
    Connection(ConnectionVerb),
    /// What can be connected: the manifests of this binary and of the folders of `catalog:`
    #[command(subcommand)]
    Catalog(CatalogVerb),
    /// Toolsets: chosen tools, each set an MCP endpoint of its own
    #[command(subcommand)]
    Toolset(ToolsetVerb),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// What was called, newest first
    Calls {
        /// Go on printing new ones, oldest first
        #[arg(long)]
        tail: bool,
        /// Only those that hold this text
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// In the place of calls: when secrets were read that other systems keep, for which connections
        #[arg(long)]
        secrets: bool,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// What happens, as it happens, one line each, until interrupted
    Events {
        /// Only these: types or noun.*, between commas (connection.*,call.finished)
        #[arg(long, value_name = "PATTERNS")]
        types: Option<String>,
    },
    /// Copy the data of the embedded store, beside a running hub; the master key is not in it
    Backup {
        /// Where to: a folder that is new or empty
        folder: PathBuf,
    },
    /// Put a backup where there is no data yet, or only check it
    Restore {
        /// The backup's folder
        folder: PathBuf,
        /// Check that it is as it was made, and change nothing
        #[arg(long)]
        check: bool,
    },
    /// Copy everything from the configured store into another that is empty, while the hub is stopped
    Migrate {
        /// postgres://..., or sqlite:PATH; references such as "${DATABASE_URL}" are replaced
        #[arg(long, value_name = "STORE")]
        to: String,
    },
    /// What an error code means and what to do
    Explain {
        /// For example TL-1402
        code: Option<String>,
    },
}

/// What `export` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Exported {
    /// mcpServers JSON with one entry: this hub
    Client,
    /// The configuration file, references in the place of secrets
    Config,
}

/// `key ...`
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a key; it is shown once
    New {
        /// What to call it
        #[arg(default_value = "key")]
        name: String,
        /// Tools it may use, as patterns over connection__tool; may be repeated (default: everything)
        #[arg(long, value_name = "PATTERN")]
        allow: Vec<String>,
        /// Tools it may not use, whatever --allow says; may be repeated
        #[arg(long, value_name = "PATTERN")]
        deny: Vec<String>,
        /// It may also manage the hub: status, calls, keys
        #[arg(long)]
        manage: bool,
        /// It opens nothing after so many days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires: Option<u32>,
    },
    /// List the keys (never the keys themselves)
    List,
    /// Put a new key in the place of one
    Rotate {
        /// Its id, key_...
        id: String,
    },
    /// Make a key open nothing any more
    Revoke {
        /// Its id, key_...
        id: String,
    },
    /// Wrap every data key by another master key, while the hub is stopped; API keys stay good
    RotateMaster {
        /// The file with the new master key; made where it is not there yet
        #[arg(long, value_name = "FILE")]
        new_key_file: PathBuf,
    },
}

/// `toolset ...`
#[derive(Debug, Subcommand)]
pub(crate) enum ToolsetVerb {
    /// List those made here
    List,
    /// Everything about one
    Show {
        /// Its key
        toolset: String,
    },
    /// Make one, or replace its content
    Put {
        /// Its key
        toolset: String,
        /// What people call it
        name: String,
        /// Its tools: connection__tool, or connection__tool=NAME to call it otherwise in the set
        tools: Vec<String>,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Remove one
    Remove {
        /// Its key
        toolset: String,
    },
}

/// `config ...`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print the commented default file
    Default,
    /// The same as `trunkline check`
    Check {
        /// The file (default: the one that `serve` would use)
        file: Option<PathBuf>,
    },
    /// Print what is in force, without secrets, and where each setting comes from
    Show,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Verb};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// clap knows values by their field's name: one of a command's own that is called like one for all commands would
    /// take that one's value, a key of the hub among them.
    #[test]
    fn no_command_calls_anything_like_what_all_commands_take() {
        fn look(command: &clap::Command, shared: &[clap::Id], path: &str) {
            for verb in command.get_subcommands() {
                let path = format!("{path} {}", verb.get_name());
                for argument in verb.get_arguments().filter(|one| !one.is_global_set()) {
                    assert!(!shared.contains(argument.get_id()), "{path}: {}", argument.get_id());
                }
                look(verb, shared, &path);
            }
        }
        let all = Cli::command();
        let shared = all.get_arguments().filter(|one| one.is_global_set()).map(|one| one.get_id().clone());
        look(&all, &shared.collect::<Vec<_>>(), "trunkline");
    }

    #[test]
    fn commands_of_scripts_parse_as_documented() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        for line in [
            "trunkline serve --config a.yaml --data d --listen 127.0.0.1:0 --json",
            "trunkline mcp --toolset writing",
            "trunkline check a.yaml --json",
            "trunkline call files read_file path=/x n=3 --url http://h --key k",
            "trunkline call files read_file --args -",
            "trunkline probe https://h/mcp",
            "trunkline key new ci --allow files__* --manage --expires 30",
            "trunkline key rotate key_0",
            "trunkline migrate --to sqlite:data/",
            "trunkline key rotate-master --new-key-file new.key",
            "trunkline connection test files",
            "trunkline calls --tail --search x",
            "trunkline events --types connection.*,call.* --json",
            "trunkline config default",
            "trunkline catalog list --json",
            "trunkline catalog verify git --run repository=/r",
            "trunkline catalog import api.yaml --as acme --operations listPets,getPet --out /srv/entries --force",
            "trunkline export config",
            "trunkline export --connections",
            "trunkline export --connections --secrets --passphrase-file p",
            "trunkline import d.json --dry-run --passphrase-file p --consent sleep",
            "trunkline explain TL-1402",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
        let probe = parse("trunkline probe -- npx -y server --flag").unwrap();
        assert!(
            matches!(probe.verb, Verb::Probe { server: None, command, .. } if command == ["npx", "-y", "server", "--flag"])
        );
        for line in [
            "trunkline export --connections --secrets",
            "trunkline export --passphrase-file p",
            "trunkline export client --connections",
            "trunkline",
            "trunkline serv",
            "trunkline mcp --toolset a --connection b",
            "trunkline user list",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
