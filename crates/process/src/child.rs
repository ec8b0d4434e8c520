//! One supervised child process that speaks in lines.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{oneshot, watch};

use crate::command::Command;
use crate::error::SpawnError;
use crate::exit::Exit;
use crate::group::Group;
use crate::guard::Guard;
use crate::lines::LineReader;
use crate::stderr::{Tail, drain};
use crate::supervise::{Life, Running, supervise};
use crate::{limits, program};

/// The usual patience at each step of [`Child::stop`].
pub const GRACE: Duration = Duration::from_secs(2);

/// What the system says to a file with no header it knows; `io::ErrorKind` has no name for it.
const ENOEXEC: i32 = rustix::io::Errno::NOEXEC.raw_os_error();

/// A running child. Dropping it kills its whole group.
#[derive(Debug)]
pub struct Child {
    /// What it reads. Take it to write from another task; close it (drop it) to ask the child to end.
    pub stdin: Option<ChildStdin>,
    /// What it says, line by line. Take it to read from another task.
    pub stdout: Option<LineReader<ChildStdout>>,
    pid: u32,
    order: Option<oneshot::Sender<Duration>>,
    life: watch::Receiver<Life>,
    tail: Arc<Tail>,
}

impl Child {
    /// Starts `command` in a process group of its own, under `guard`. Must run inside a Tokio runtime, and
    /// blocks it until the system has loaded the program (usually under a millisecond).
    ///
    /// # Errors
    /// When the command cannot be run as written, or the system refuses; nothing is left running then.
    pub fn spawn(command: &Command, guard: &Guard) -> Result<Self, SpawnError> {
        let io_error = |source| SpawnError::Io { program: command.program.clone(), source };
        tokio::runtime::Handle::try_current().map_err(|error| io_error(io::Error::other(error)))?;
        command.check_text()?;
        if let Some(cwd) = &command.cwd {
            program::check_cwd(cwd)?;
        }
        let mut leader = start(command)?;

        // From here on an early return drops the group, which ends what was started.
        let no_pid = || io_error(io::Error::other("it has no process id"));
        let pid = leader.id().ok_or_else(no_pid)?;
        let pgid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(no_pid)?;
        let group = Group::new(pgid, guard.clone());
        guard.watch(pgid.as_raw_pid())?;
        limits::apply(&command.limits, pgid)?;

        let stdin = leader.stdin.take();
        let stdout = leader.stdout.take().map(|pipe| LineReader::new(pipe, command.line_bytes_max));
        let tail = Arc::new(Tail::default());
        let stderr = match leader.stderr.take() {
            Some(pipe) => tokio::spawn(
                drain(pipe.into_owned_fd().map_err(io_error)?, Arc::clone(&tail), command.name.clone())
                    .map_err(io_error)?,
            ),
            None => return Err(io_error(io::Error::other("it has no stderr"))),
        };
        let (order, ordered) = oneshot::channel();
        let (life_sender, life) = watch::channel(Life::Running);
        tokio::spawn(supervise(Running { group, leader }, ordered, stderr, life_sender));
        Ok(Self { stdin, stdout, pid, order: Some(order), life, tail })
    }

    /// The system's number for it, and for its group.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it has ended, and tells how. Others of its group may take a moment longer.
    pub async fn exit_status(&self) -> Exit {
        self.reached(|life| match life {
            Life::Running => None,
            Life::Exited(exit) | Life::Over(exit) => Some(exit),
        })
        .await
    }

    /// The last 64 KiB of what it said on stderr, as lines. Invalid UTF-8 shows as U+FFFD.
    #[must_use]
    pub fn stderr_tail(&self) -> Vec<String> {
        self.tail.lines()
    }

    /// Ends it and its group: closes stdin, waits up to `grace`, sends SIGTERM, waits up to `grace`, sends
    /// SIGKILL. With no grace it is killed at once. Whoever took `stdin` must drop it first, or the first
    /// wait is in vain. Returns when nothing of the group is left; stopping goes on when this is dropped.
    pub async fn stop(&mut self, grace: Duration) -> Exit {
        self.stdin = None;
        if let Some(order) = self.order.take() {
            // Refused only when it has ended by itself already.
            let _ = order.send(grace);
        }
        self.reached(|life| match life {
            Life::Running | Life::Exited(_) => None,
            Life::Over(exit) => Some(exit),
        })
        .await
    }

    async fn reached(&self, wanted: impl Fn(Life) -> Option<Exit>) -> Exit {
        let mut life = self.life.clone();
        loop {
            let now = *life.borrow_and_update();
            if let Some(exit) = wanted(now) {
                return exit;
            }
            if life.changed().await.is_err() {
                // The supervisor was dropped with its runtime, and the group killed with it.
                return match now {
                    Life::Exited(exit) | Life::Over(exit) => exit,
                    Life::Running => Exit { code: None, signal: None },
                };
            }
        }
    }
}

/// Finds the program and starts it, with exactly three descriptors and the minimal environment.
#[expect(clippy::disallowed_methods, reason = "this is the one place where children start")]
fn start(command: &Command) -> Result<tokio::process::Child, SpawnError> {
    let env = command.environment(std::env::vars_os());
    let search_path = env.iter().find(|(name, _)| name == "PATH").map_or(OsStr::new(""), |(_, path)| path);
    let path = program::find(&command.program, search_path, command.cwd.as_deref())?;

    // A full path lets the standard library use `posix_spawn`, which does not copy the hub's page tables.
    let mut start = std::process::Command::new(&path);
    start.arg0(&command.program).args(&command.args).env_clear().envs(env).process_group(0);
    if let Some(cwd) = &command.cwd {
        start.current_dir(cwd);
    }
    start.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut start = tokio::process::Command::from(start);
    start.kill_on_drop(true);
    start.spawn().map_err(|source| match source.raw_os_error() {
        Some(ENOEXEC) => SpawnError::NotExecutable { path },
        // The program was there a moment ago, so it is the interpreter of a script that is missing.
        _ if source.kind() == io::ErrorKind::NotFound => SpawnError::NotFound {
            program: command.program.clone(),
            hint: format!("install the interpreter that the first line of {} names", path.display()),
        },
        _ if source.kind() == io::ErrorKind::PermissionDenied => SpawnError::NotExecutable { path },
        _ => SpawnError::Io { program: command.program.clone(), source },
    })
}
