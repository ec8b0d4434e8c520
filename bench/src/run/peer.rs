//! The programs the hub is compared with, as far as they are installed: nginx as a plain reverse proxy, and two
//! MCP bridges.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::load::{Ask, Plan, TEXT_BYTES, run as run_load};
use crate::message::Mode;
use crate::spawn::{self, Program};
use crate::target::Target;
use crate::{clock, system};

/// How long a peer may take until its first good answer.
const READY: Duration = Duration::from_secs(20);

/// A running peer.
#[derive(Debug)]
pub(crate) struct Peer {
    program: Program,
    /// Its name on the line.
    pub(crate) name: &'static str,
    /// Where it serves.
    pub(crate) target: Target,
    /// How it is spoken to.
    pub(crate) mode: Mode,
}

impl Peer {
    /// nginx in front of `upstream`, with kept connections on both sides, two workers and no log. `None` when it is not
    /// installed.
    pub(crate) fn nginx(upstream: SocketAddr, folder: &Path, log: &Path) -> Result<Option<Self>> {
        let Some(nginx) = spawn::find("nginx") else { return Ok(None) };
        let address = free_address()?;
        let at = folder.join("nginx");
        fs::create_dir_all(&at)?;
        let file = at.join("nginx.conf");
        fs::write(&file, nginx_conf(address, upstream, &at))?;
        let mut command = spawn::command(&nginx, Some(log));
        command.arg("-p").arg(&at).arg("-c").arg(&file);
        let program = Program::start(&mut command)?;
        let target = Target::Http { address, path: "/mcp".to_owned() };
        Self { program, name: "nginx", target, mode: Mode::Modern }.ready().map(Some)
    }

    /// The Python package `mcp-proxy`, serving the stdio upstream over Streamable HTTP. `None` when it is not installed.
    pub(crate) fn mcp_proxy(bench: &Path, log: &Path) -> Result<Option<Self>> {
        let Some(program) = spawn::find("mcp-proxy") else { return Ok(None) };
        let address = free_address()?;
        let mut command = spawn::command(&program, Some(log));
        command.args(["--host", "127.0.0.1", "--port", &address.port().to_string(), "--"]);
        command.arg(bench).args(["upstream-stdio", "--era", "legacy"]);
        let program = Program::start(&mut command)?;
        let target = Target::Http { address, path: "/mcp".to_owned() };
        Self { program, name: "mcp-proxy", target, mode: Mode::Legacy }.ready().map(Some)
    }

    /// The npm package `supergateway`, doing the same. `None` when it is not installed.
    pub(crate) fn supergateway(bench: &Path, log: &Path) -> Result<Option<Self>> {
        let Some(program) = spawn::find("supergateway") else { return Ok(None) };
        let address = free_address()?;
        let mut command = spawn::command(&program, Some(log));
        command.arg("--stdio").arg(format!("{} upstream-stdio --era legacy", bench.display()));
        command.args(["--outputTransport", "streamableHttp", "--stateful", "--logLevel", "none"]);
        command.args(["--port", &address.port().to_string()]);
        let program = Program::start(&mut command)?;
        let target = Target::Http { address, path: "/mcp".to_owned() };
        Self { program, name: "supergateway", target, mode: Mode::Legacy }.ready().map(Some)
    }

    /// The processes whose CPU time and memory are the peer's: nginx works in its children.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.program.pid()];
        if self.name == "nginx" {
            pids.extend(system::children(self.program.pid()));
        }
        pids
    }

    /// A load of its echo tool.
    pub(crate) fn call(&self, connections: usize, seconds: f64) -> Plan {
        Plan {
            target: self.target.clone(),
            key: None,
            mode: self.mode,
            connections,
            seconds,
            rate: None,
            core: None,
            ask: Ask::Call { tool: "echo".to_owned(), text_bytes: TEXT_BYTES },
        }
    }

    /// Waits until a short load through it succeeds.
    fn ready(self) -> Result<Self> {
        let deadline = clock::now_us() + u64::try_from(READY.as_micros())?;
        loop {
            match run_load(&self.call(1, 0.05), &[]) {
                Ok(_) => return Ok(self),
                Err(error) if clock::now_us() > deadline => {
                    bail!("{} gave no good answer in {} s: {error:#}", self.name, READY.as_secs())
                }
                Err(_) => system::pause(20),
            }
        }
    }
}

fn nginx_conf(address: SocketAddr, upstream: SocketAddr, at: &Path) -> String {
    let at = at.display();
    format!(
        "worker_processes 2;\ndaemon off;\npid {at}/nginx.pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n\
         \x20 client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;\n\
         \x20 uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
         \x20 upstream measured {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}\n\
         \x20 server {{\n    listen {address} reuseport;\n    location / {{\n      proxy_pass http://measured;\n\
         \x20     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n    }}\n  }}\n}}\n"
    )
}

/// An address nobody listens on now. Another program could take it before the peer does; the peer would then fail to
/// start, which is seen.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).context("no free port")?.local_addr()?)
}
