//! A real nginx for a scene: in the foreground, on a port and in a folder of its own, ended by its process id.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::program::{Program, command};

/// How long a start may take, on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(20);
/// Where Debian puts it, which is not on everybody's `PATH`.
const USUAL: &str = "/usr/sbin/nginx";

/// A running nginx with one `server` block.
pub struct Nginx {
    program: Program,
    _folder: TempDir,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Nginx {
    /// Starts it. `server` is what stands in the block beside `listen 127.0.0.1:... ssl`; `files` are put into its
    /// folder first, and paths in `server` are relative to that.
    ///
    /// # Errors
    /// When there is no nginx on this machine, or when it does not come up; the message holds what it said.
    pub async fn start_tls(server: &str, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start("ssl", server, files).await
    }

    /// The same, and it speaks HTTP/2 to those who offer it.
    ///
    /// # Errors
    /// As [`Nginx::start_tls`].
    pub async fn start_http2(server: &str, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start("ssl http2", server, files).await
    }

    async fn start(listens: &str, server: &str, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let nginx = find()?;
        let folder = tempfile::Builder::new().prefix("trunkline-nginx-").tempdir()?;
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).with_context(|| format!("writing {name}"))?;
        }
        // Free a moment ago; whoever takes it in between makes the start fail, and the message says so.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, configuration(folder.path(), port, listens, server))?;
        let mut starting = command(&nginx);
        starting.arg("-e").arg("stderr").arg("-p").arg(folder.path()).arg("-c").arg(&path);
        let mut started = Self { program: Program::start(starting)?, _folder: folder, port };
        started.program.listens(port, START).await?;
        Ok(started)
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.log()
    }
}

/// One process, and every file that it would write elsewhere in the folder.
fn configuration(folder: &Path, port: u16, listens: &str, server: &str) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {folder}/{kind};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n  access_log off;\n{temporary}  server {{\n    listen 127.0.0.1:{port} {listens};\n{server}\n  }}\n}}\n"
    )
}

fn find() -> anyhow::Result<PathBuf> {
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|folder| folder.join("nginx")).find(|at| at.is_file())
    });
    on_path
        .or_else(|| Some(PathBuf::from(USUAL)).filter(|at| at.is_file()))
        .context("there is no nginx on this machine: run `make test`, which installs it")
}
