//! The programs the bench starts, and their certain end: whatever is started here is ended when it is dropped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{clock, system};

/// How long a program may take to end after it was asked to.
const END_MS: u64 = 5_000;

/// A running program that ends with this value.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
}

impl Program {
    /// Starts `command`.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        Ok(Self { child })
    }

    /// Starts `command` and waits for the first line on its standard output, which must be a JSON object. What it
    /// prints later is read and dropped, so that it can never block on a full pipe.
    pub(crate) fn start_and_hear(command: &mut Command, wait: Duration) -> Result<(Self, serde_json::Value)> {
        let mut program = Self::start(command.stdout(Stdio::piped()))?;
        let output = program.child.stdout.take().context("standard output was not piped")?;
        let (tell, hear) = mpsc::sync_channel(1);
        std::thread::Builder::new().name("drain".to_owned()).spawn(move || {
            let mut lines = BufReader::new(output).lines();
            if let Some(Ok(first)) = lines.next() {
                // The receiver may have given up waiting; the pipe is drained all the same.
                let _ = tell.send(first);
            }
            for _ in lines.map_while(Result::ok) {}
        })?;
        let Ok(line) = hear.recv_timeout(wait) else {
            let ended = program.child.try_wait()?;
            bail!("the program printed no first line (ended: {ended:?})");
        };
        let first =
            serde_json::from_str(&line).with_context(|| format!("the first line is not JSON: {line}"))?;
        Ok((program, first))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The running child, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        system::terminate(self.child.id());
        let deadline = clock::now_us() + END_MS * 1000;
        while clock::now_us() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            system::pause(5);
        }
        // It had its time to drain; nothing the bench starts may outlive it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command to run `program`, with its errors appended to `log` (or dropped without one), and without the
/// environment variables that would change what the hub reads.
#[expect(
    clippy::disallowed_methods,
    reason = "the bench starts the programs it measures, outside of any hub"
)]
pub(crate) fn command(program: &Path, log: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let log = log.and_then(|path| File::options().create(true).append(true).open(path).ok());
    command.stderr(log.map_or_else(Stdio::null, Stdio::from));
    for name in ["CONFIG", "DATA", "LISTEN", "URL", "KEY", "MASTER_KEY", "MASTER_KEY_FILE"] {
        command.env_remove(format!("TRUNKLINE_{name}"));
    }
    command
}

/// The program of this name on the search path or in the folders for system programs.
pub(crate) fn find(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|file| file.is_file())
}
