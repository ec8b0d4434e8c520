//! The verbs of `trunkline connection`.

use clap::{Args, Subcommand};

/// `connection ...`
#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionVerb {
    /// List them
    List,
    /// Everything about one
    Show {
        /// Its key
        connection: String,
    },
    /// Make one, of an entry of the catalogue
    New {
        /// Slug of what it is to be a connection with (`trunkline catalog list`)
        integration: String,
        /// What people call it
        name: String,
        #[command(flatten)]
        content: ConnectionContent,
        /// What URLs and tool names call it (default: made of the name)
        #[arg(long = "as", value_name = "KEY")]
        called: Option<String>,
        /// Connect it at once
        #[arg(long)]
        connect: bool,
    },
    /// Change one
    Change {
        /// Its key or id
        connection: String,
        #[command(flatten)]
        content: ConnectionContent,
        /// What people call it from now on
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Pin another version of its integration
        #[arg(long, value_name = "VERSION")]
        pin: Option<String>,
    },
    /// Remove one, with its credentials, log and metrics
    Remove {
        /// Its key or id
        connection: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Connect afresh and say how it went
    Test {
        /// Its key or id
        connection: String,
    },
    /// Test one, and use it when the test passes
    Connect {
        /// Its key or id
        connection: String,
    },
    /// Give the link on which somebody gives leave (OAuth); it is connected when they have. Of a connection on which
    /// everybody uses their own credentials, the link on which you give yours
    Authorize {
        /// Its key or id
        connection: String,
        /// With a code to type in on another device
        #[arg(long)]
        device: bool,
    },
    /// Stop using one; what it is and was stays
    Disconnect {
        /// Its key or id
        connection: String,
    },
    /// Store a credential, in the place of the one before it; the value comes from standard input. Of a connection on
    /// which everybody uses their own credentials, yours
    Rotate {
        /// Its key or id
        connection: String,
        /// Which field it fills: auth.credentials.key, headers.X-Api-Key, env.TOKEN
        field: String,
        /// In the place of a value, name the secret that a source keeps: vault:PATH#FIELD, aws-sm:NAME#FIELD
        #[arg(long, value_name = "REFERENCE", conflicts_with_all = ["overlap", "expires"])]
        reference: Option<String>,
        /// Keep the value before it for so many hours
        #[arg(long, value_name = "HOURS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=720))]
        overlap: u32,
        /// It is of no use after so many days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
        expires: Option<u32>,
    },
    /// Remove a credential; of a connection on which everybody uses their own, yours (a token is oauth.tokens)
    Withdraw {
        /// Its key or id
        connection: String,
        /// Which field it fills
        field: String,
    },
    /// What is stored for one, without the values
    Credentials {
        /// Its key or id
        connection: String,
    },
    /// What happened to one, newest first
    Logs {
        /// Its key or id
        connection: String,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Only those with this text in the message
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// How checks of one went, newest first, and added up
    Health {
        /// Its key or id
        connection: String,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
}

/// What a connection says.
#[derive(Debug, Args)]
pub(crate) struct ConnectionContent {
    /// Configuration as key=value; a value that is JSON is taken as JSON, and null removes
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) pairs: Vec<String>,
    /// The configuration as a JSON object, @FILE with one, or - for standard input
    #[arg(long, value_name = "JSON", conflicts_with = "pairs")]
    pub(crate) args: Option<String>,
    /// How it proves itself: api_key, basic, oauth, jwt, certificate, ssh_key, none; its parts are stored with `rotate`
    #[arg(long, value_name = "METHOD")]
    pub(crate) auth: Option<model::AuthMethod>,
    /// It may reach private and loopback addresses
    #[arg(long)]
    pub(crate) private: bool,
    /// Everybody uses their own credentials: nobody's calls go out with somebody else's
    #[arg(long, conflicts_with = "shared")]
    pub(crate) per_user: bool,
    /// All users share its credentials (the default for a new one)
    #[arg(long)]
    pub(crate) shared: bool,
    /// The exact command line that it may start, as the refusal without it tells
    #[arg(long, value_name = "COMMAND LINE")]
    pub(crate) consent: Option<String>,
}
