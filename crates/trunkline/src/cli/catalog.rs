//! The verbs of `trunkline catalog`.

use std::path::PathBuf;

use clap::Subcommand;

/// `catalog ...`
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogVerb {
    /// List the entries
    List,
    /// Everything about one
    Show {
        /// Its slug
        slug: String,
    },
    /// Check entries: what they say, their icon, and that their templates fill in
    Verify {
        /// Its slug (default: all)
        slug: Option<String>,
        /// With --run: settings over those of the examples, as key=value; a value that is JSON is taken as JSON
        #[arg(value_name = "KEY=VALUE", requires = "slug")]
        pairs: Vec<String>,
        /// Really start it, with its example settings, and count its tools
        #[arg(long)]
        run: bool,
        /// Seconds that each may take with --run
        #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=600))]
        timeout: u64,
    },
    /// Give a manifest to a running hub: an entry of your workspace, there at once
    Put {
        /// The manifest; `-` is standard input
        file: PathBuf,
    },
    /// Take an entry that was made there out of a running hub
    Remove {
        /// Its slug
        slug: String,
    },
    /// Make an entry of an OpenAPI document, a server.json of the MCP registry, or an MCP bundle
    Import {
        /// The document; what it is is told by its content
        file: PathBuf,
        /// What the entry is called (default: made of the document's name)
        #[arg(long = "as", value_name = "SLUG")]
        slug: Option<String>,
        /// Which operations of an API: operationIds, or "METHOD /path" (default: the first 100)
        #[arg(long, value_name = "A,B", value_delimiter = ',')]
        operations: Vec<String>,
        /// The folder of entries (default: the first one of `catalog:`)
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
        /// Over an entry that is there, and in front of one that is compiled in
        #[arg(long)]
        force: bool,
    },
}
