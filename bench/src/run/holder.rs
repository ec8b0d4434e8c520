//! The clients that hold idle connections, as processes of their own: each has its own file limit and its own loopback
//! address, so that neither the ports of one address nor the files of one process bound what the server can hold.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde_json::Value;

use super::stage::Stage;
use crate::spawn::{self, Program};

/// Connections one holder holds at most: well below the file limit and the ports of one address.
const HELD_MAX: usize = 4_000;

/// Some processes that together hold many connections. They end, and the connections with them, when this is dropped.
#[derive(Debug)]
pub(crate) struct Holders {
    all: Vec<Holder>,
    /// Connections that opened.
    pub(crate) held: usize,
    /// Why the first that did not open failed.
    pub(crate) first_error: Option<String>,
}

#[derive(Debug)]
struct Holder {
    // Its standard input must close before the process is waited for, so it stands first.
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _program: Program,
}

impl Holders {
    /// Opens `count` connections to `url`.
    pub(crate) fn open(
        stage: &Stage,
        url: &str,
        key: Option<&str>,
        count: usize,
        is_stream: bool,
    ) -> Result<Self> {
        let mut holders = Self { all: Vec::new(), held: 0, first_error: None };
        let mut left = count;
        while left > 0 {
            let part = left.min(HELD_MAX);
            let mut command = spawn::command(&stage.bench, Some(&stage.args.out.join("hold.log")));
            let from = next_address();
            command.args(["hold", "--url", url, "--count", &part.to_string(), "--from", &from]);
            command.args(key.map(|key| ["--key", key]).into_iter().flatten());
            if is_stream {
                command.arg("--subscribe");
            }
            let mut program = Program::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
            let input = program.child().stdin.take().context("standard input was not piped")?;
            let output = program.child().stdout.take().context("standard output was not piped")?;
            holders.all.push(Holder { input, output: BufReader::new(output), _program: program });
            left -= part;
        }
        for holder in &mut holders.all {
            let line = holder.hear()?;
            holders.held += number(&line, "held");
            let error = line.get("first_error").and_then(Value::as_str).map(str::to_owned);
            holders.first_error = holders.first_error.take().or(error);
        }
        Ok(holders)
    }

    /// Asks every connection once, all holders at the same time; how many answered, and the first failure.
    pub(crate) fn ask(&mut self) -> Result<(usize, Option<String>)> {
        for holder in &mut self.all {
            writeln!(holder.input, "ask")?;
            holder.input.flush()?;
        }
        let (mut answered, mut first) = (0, None);
        for holder in &mut self.all {
            let line = holder.hear()?;
            answered += number(&line, "answered");
            first = first.or(line.get("first_error").and_then(Value::as_str).map(str::to_owned));
        }
        Ok((answered, first))
    }
}

impl Holder {
    fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("a holder said {line:?}; see hold.log"))
    }
}

/// A loopback address no holder of this run has come from, so that no port of it is still cooling down.
fn next_address() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("127.1.{}.{}", number / 250 % 250, number % 250 + 1)
}

fn number(line: &Value, name: &str) -> usize {
    line.get(name).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}
