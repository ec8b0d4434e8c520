//! `mcp-fixture`: the fixture server as a program, for tests that need a peer in a process of its own.

use std::io::Write as _;
use std::net::SocketAddr;

use clap::Parser;
use testkit::fixture::{self, Era};
use tokio::net::TcpListener;

/// An MCP server that has one of everything, for tests
#[derive(Parser)]
struct Options {
    /// Serve Streamable HTTP here; port 0 takes a free one. The first line on standard output is {"url": ...}
    #[arg(long, default_value = "127.0.0.1:0", conflicts_with = "stdio")]
    listen: SocketAddr,
    /// Serve standard input and output instead
    #[arg(long)]
    stdio: bool,
    /// Which generations of the protocol to answer
    #[arg(long, value_enum, default_value = "both")]
    era: Era,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.stdio {
        return fixture::stdio::serve(options.era).await;
    }
    let listener = TcpListener::bind(options.listen).await?;
    let ready =
        serde_json::json!({ "url": format!("http://{}{}", listener.local_addr()?, fixture::http::PATH) });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{ready}")?;
    out.flush()?;
    drop(out);
    fixture::http::serve(listener, options.era).await
}
