//! A child process that speaks on its standard streams.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use process::{Child, Command, LineReader};
use tokio::process::ChildStdout;

use crate::channel::Channel;
use crate::frames::{LineSink, Source, SourceError, ended};
use crate::settings::{Parts, Settings, Transport};
use crate::signals::Signals;
use crate::trouble::{Ended, Trouble};

/// How long a process that closed its output may take to end, before it is made to.
const EXIT_GRACE: Duration = Duration::from_millis(300);
/// Lines of standard error that a fault repeats.
const STDERR_LINES: usize = 5;
/// Longest of those lines, characters.
const STDERR_LINE_MAX: usize = 300;

pub(super) fn open(settings: &Settings, parts: &Parts, signals: &Signals) -> Result<Arc<Channel>, Trouble> {
    let Transport::Stdio { command, args, env, cwd, limits } = &settings.transport else {
        return Err(Trouble::Spawn("this connection runs no command".to_owned()));
    };
    let command = Command {
        args: args.clone(),
        env: env.clone(),
        cwd: cwd.clone(),
        limits: *limits,
        line_bytes_max: settings.line_bytes_max,
        ..Command::new(settings.key.as_str(), command.as_str())
    };
    let mut child = Child::spawn(&command, &parts.guard).map_err(|error| Trouble::Fault(error.fault()))?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Trouble::Spawn("the process has no standard streams".to_owned()));
    };
    let pid = child.pid();
    Ok(Channel::start(
        Process { child: Some(child), stdout },
        LineSink::new(stdin),
        Some(pid),
        signals.clone(),
    ))
}

struct Process {
    /// `None` once it is being stopped.
    child: Option<Child>,
    stdout: LineReader<ChildStdout>,
}

impl Source for Process {
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        Ok(self.stdout.next_line().await?)
    }

    async fn farewell(&mut self, error: Option<SourceError>) -> Ended {
        let Some(mut child) = self.child.take() else { return ended(error) };
        let is_cut_off = matches!(&error, Some(SourceError::TooLong(_) | SourceError::Broken(_)));
        // One that ends by itself says more than one that is killed.
        let exit = match is_cut_off {
            true => None,
            false => tokio::time::timeout(EXIT_GRACE, child.exit_status()).await.ok(),
        };
        let stderr = last_lines(&child.stderr_tail());
        let ended = match (error, exit) {
            (None, Some(exit)) => Ended::because(exit.to_string()),
            (None, None) => Ended::because("closed its standard output and was stopped"),
            (error, _) => ended(error),
        };
        // What is cut off dies at once, with the drop. What still runs gets its time, but nobody waits for it.
        if exit.is_none() && !is_cut_off {
            tokio::spawn(async move { child.stop(process::GRACE).await });
        }
        Ended { stderr, ..ended }
    }
}

/// The end of what it wrote to its standard error.
fn last_lines(all: &[String]) -> Vec<String> {
    let last = all.iter().rev().filter(|line| !line.trim().is_empty()).take(STDERR_LINES);
    let mut lines: Vec<String> = last.map(|line| line.chars().take(STDERR_LINE_MAX).collect()).collect();
    lines.reverse();
    lines
}
