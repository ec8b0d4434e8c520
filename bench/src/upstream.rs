//! The measured upstream: a minimal MCP server that costs almost nothing, so that what is measured is the gateway in
//! front of it. It is strict about what a gateway must get right (mirrored headers, session ids, `_meta`), because a
//! wrong answer would make a fast gateway look good.

mod answer;
mod http;
mod line;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args as ClapArgs, ValueEnum};
use socket2::{Domain, Protocol, Socket, Type};

use crate::cores;
use answer::Server;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Which eras the upstream answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Eras {
    /// Requests with `_meta` only; `initialize` is an unknown method.
    Modern,
    /// Sessions only; `server/discover` is refused.
    Legacy,
    /// Each request by what it claims.
    Both,
}

/// What `bench upstream` takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Where to serve HTTP; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Which eras to answer.
    #[arg(long, value_enum, default_value = "both")]
    era: Eras,
    /// Where to serve newline JSON as well.
    #[arg(long)]
    tcp: Option<SocketAddr>,
    /// List this many tools (`tool_0001`...) instead of `echo`.
    #[arg(long)]
    tools: Option<usize>,
}

/// What `bench upstream-stdio` takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct StdioArgs {
    /// Which eras to answer.
    #[arg(long, value_enum, default_value = "both")]
    era: Eras,
    /// List this many tools (`tool_0001`...) instead of `echo`.
    #[arg(long)]
    tools: Option<usize>,
    /// Wait this long before reading the first line, as a slow program does.
    #[arg(long, default_value_t = 0)]
    start_delay_ms: u64,
}

/// Serves HTTP, and TCP if asked, until the process is ended. Prints one JSON line once both listen.
pub(crate) fn serve(args: &Args) -> Result<ExitCode> {
    crate::system::raise_file_limit();
    let server = Arc::new(Server::new(args.era, args.tools));
    let http = listeners(args.listen)?;
    let tcp = args.tcp.map(listeners).transpose()?;
    let address = first_address(&http)?;
    let tcp_address = tcp.as_deref().map(first_address).transpose()?;
    let mut tcp = tcp.into_iter().flatten();
    let mut threads = Vec::new();
    for listener in http {
        let (server, lines) = (Arc::clone(&server), tcp.next());
        threads.push(cores::run_on_core("upstream", move || async move {
            if let Some(lines) = lines {
                tokio::spawn(line::serve(lines, Arc::clone(&server)));
            }
            http::serve(listener, server).await
        })?);
    }
    let ready = serde_json::json!({
        "ready": true,
        "http": format!("http://{address}/mcp"),
        "tcp": tcp_address.map(|address| format!("tcp://{address}")),
    });
    println!("{ready}");
    std::io::stdout().flush()?;
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a core of the upstream ended"))???;
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves standard input and output until the input ends.
pub(crate) fn serve_stdio(args: &StdioArgs) -> Result<ExitCode> {
    crate::system::pause(args.start_delay_ms);
    line::serve_stdio(&Server::new(args.era, args.tools))?;
    Ok(ExitCode::SUCCESS)
}

/// One listener per core on the same port: the kernel spreads the connections.
fn listeners(address: SocketAddr) -> Result<Vec<TcpListener>> {
    let mut address = address;
    let mut all = Vec::new();
    for _ in 0..cores::count() {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into()).with_context(|| format!("cannot listen on {address}"))?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        // Port 0 was a wish for any port; the other cores must share the one that was given.
        address = listener.local_addr()?;
        all.push(listener);
    }
    Ok(all)
}

fn first_address(listeners: &[TcpListener]) -> Result<SocketAddr> {
    Ok(listeners.first().context("no core to listen on")?.local_addr()?)
}
