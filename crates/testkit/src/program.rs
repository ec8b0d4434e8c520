//! A child process of a test: started, listened to, and ended by its own process id when the test is done with it.
//! Not the product's way of running programs (that is the `process` room, which these tests put on trial).

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use outbound::{EgressRule, Route, dial_tcp};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tokio::sync::mpsc;

/// How many lines of what a program says are kept for failure messages.
const KEPT_LINES: usize = 200;
/// How many lines of standard output may wait for the test to read them; a program that says more waits.
const QUEUED_LINES: usize = 1024;
const LISTEN_STEP: Duration = Duration::from_millis(50);
const STOP_STEP: Duration = Duration::from_millis(50);
/// Steps that a program gets to end by itself before it is killed.
const STOP_STEPS: u32 = 120;

/// A running program. Dropping it asks it to end, waits a little, and then kills it.
pub struct Program {
    name: String,
    child: Child,
    lines: mpsc::Receiver<String>,
    said: Arc<Mutex<VecDeque<String>>>,
}

/// A command with nothing attached yet.
pub fn command(program: impl AsRef<Path>) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests start the product itself, and its peers, as whole programs"
    )]
    Command::new(program.as_ref())
}

impl Program {
    /// Starts the command with no input; its standard output is read line by line, its standard error kept.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, lines) = mpsc::channel(QUEUED_LINES);
        if let Some(stdout) = child.stdout.take() {
            read_lines(stdout, Arc::clone(&said), Some(sender));
        }
        if let Some(stderr) = child.stderr.take() {
            read_lines(stderr, Arc::clone(&said), None);
        }
        Ok(Self { name, child, lines, said })
    }

    /// The next line on its standard output.
    ///
    /// # Errors
    /// When it ends or stays silent for longer than `within`; the message holds what it said so far.
    pub async fn line(&mut self, within: Duration) -> anyhow::Result<String> {
        match tokio::time::timeout(within, self.lines.recv()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => bail!("{} ended:\n{}", self.name, self.log()),
            Err(_) => bail!("{} said nothing for {within:?}:\n{}", self.name, self.log()),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The last lines it said, on either stream.
    #[must_use]
    pub fn log(&self) -> String {
        let said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        said.iter().fold(String::new(), |all, line| all + line + "\n")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it takes connections on this port of 127.0.0.1.
    ///
    /// # Errors
    /// When it ends before, or does not in time; the message holds what it said.
    pub async fn listens(&mut self, port: u16, patience: Duration) -> anyhow::Result<()> {
        let route = Route::new(EgressRule { private_allowed: true }, Duration::from_secs(5));
        let address = format!("127.0.0.1:{port}");
        let listening = async {
            while dial_tcp(&address, &route).await.is_err() {
                if !self.is_running() {
                    bail!("{} ended:\n{}", self.name, self.log());
                }
                tokio::time::sleep(LISTEN_STEP).await;
            }
            Ok(())
        };
        match tokio::time::timeout(patience, listening).await {
            Ok(listens) => listens,
            Err(_) => bail!("{} does not listen:\n{}", self.name, self.log()),
        }
    }

    /// Sends a signal to this process alone.
    ///
    /// # Errors
    /// When the process has gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(id, signal).with_context(|| format!("signalling {}", self.name))
    }

    /// Asks it to end and waits; kills it when it does not.
    ///
    /// # Errors
    /// When its end cannot be waited for.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        // It may have gone between the two lines, which is what is wanted.
        let _ = self.signal(Signal::TERM);
        for _ in 0..STOP_STEPS {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(STOP_STEP);
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A test that has already failed should show its own failure, not this one.
        let _ = self.stop();
    }
}

fn read_lines(
    from: impl Read + Send + 'static,
    said: Arc<Mutex<VecDeque<String>>>,
    to: Option<mpsc::Sender<String>>,
) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            {
                let mut said = said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if said.len() == KEPT_LINES {
                    said.pop_front();
                }
                said.push_back(line.clone());
            }
            if let Some(to) = &to {
                // Nobody reads on: the line is kept in `said` all the same.
                let _ = to.try_send(line);
            }
        }
    });
}
