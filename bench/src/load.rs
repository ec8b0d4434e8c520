//! The load generator: many connections spread over one runtime per core, closed-loop or at a fixed rate. It is lean
//! because it shares the cores with what it measures, and strict because a wrong answer is not a fast one.

pub(crate) mod channel;
mod inbox;
mod pace;
mod response;
mod websocket;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args as ClapArgs, ValueEnum};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::message::{Message, Mode};
use crate::target::Target;
use crate::{clock, cores, system};
use worker::{Phase, Shared};

/// How long all connections together may take to open.
const CONNECT_MS_MAX: u64 = 30_000;
/// How long requests are sent before they are counted.
const WARM_MS: u64 = 300;
/// How long the last answers may take once no more are asked for.
const LAST_MS: u64 = 10_000;

/// What `bench load` takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Where to: `http://`, `ws://` or `tcp://`, an address with a port, and a path.
    #[arg(long, required_unless_present = "command")]
    url: Option<String>,
    /// A program to talk to over its standard streams instead, with its arguments; one is started per connection.
    #[arg(long, num_args = 1.., allow_hyphen_values = true, conflicts_with = "url")]
    command: Vec<String>,
    /// An environment variable of that program.
    #[arg(long = "env", value_name = "NAME=VALUE")]
    environment: Vec<String>,
    /// The API key.
    #[arg(long)]
    key: Option<String>,
    /// Connections held open at once, each with one request under way.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How to speak.
    #[arg(long, value_enum, default_value = "modern")]
    mode: Mode,
    /// Requests a second over all connections, at moments fixed in advance; without it, as many as are answered.
    #[arg(long)]
    rate: Option<f64>,
    /// Keep the generator, and the programs it starts, on this core.
    #[arg(long)]
    core: Option<usize>,
    /// What to ask for.
    #[arg(long, value_enum, default_value = "call")]
    ask: AskName,
    /// The tool that is called; it must echo its `text`.
    #[arg(long, default_value = "echo")]
    tool: String,
    /// Bytes of text beside the number; the default makes an answer of about 300 bytes.
    #[arg(long, default_value_t = TEXT_BYTES)]
    text_bytes: usize,
    /// A process whose CPU time and memory are reported.
    #[arg(long)]
    pid: Vec<u32>,
}

/// Text that makes an answer of about 300 bytes.
pub(crate) const TEXT_BYTES: usize = 120;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AskName {
    /// `tools/call`.
    Call,
    /// `tools/list`, its first page.
    List,
    /// `server/discover` or `ping`.
    Greet,
}

/// What every request of a load asks for.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// The echo tool.
    Call { tool: String, text_bytes: usize },
    /// The pages of the tool list, one after the other; `None` is the first.
    Pages(Vec<Option<String>>),
    /// `server/discover` or `ping`.
    Greet,
}

/// One load.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) key: Option<String>,
    pub(crate) mode: Mode,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
    pub(crate) rate: Option<f64>,
    /// Keeps the generator, and the programs it starts, on this core.
    pub(crate) core: Option<usize>,
    pub(crate) ask: Ask,
}

/// What a valid load measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    pub(crate) calls: u64,
    pub(crate) calls_per_s: f64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
    /// CPU time of the watched processes per call, in microseconds.
    pub(crate) cpu_us_per_call: Option<f64>,
    /// Resident memory of the watched processes at the end, in kB.
    pub(crate) resident_kb: Option<u64>,
}

/// Runs the load the arguments describe and prints what it measured.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    system::raise_file_limit();
    let (report, code) = match run(&args.plan()?, &args.pid) {
        Ok(measured) => {
            let mut report = serde_json::to_value(&measured)?;
            if let Some(report) = report.as_object_mut() {
                report.insert("errors".to_owned(), 0.into());
            }
            (report, ExitCode::SUCCESS)
        }
        Err(error) => {
            (serde_json::json!({"errors": 1, "first_error": format!("{error:#}")}), ExitCode::FAILURE)
        }
    };
    println!("{report}");
    Ok(code)
}

/// Runs one load to its end, watching the processes `pids`. Any failed request makes it an error.
pub(crate) fn run(plan: &Plan, pids: &[u32]) -> Result<Measured> {
    let shared = Arc::new(Shared::new());
    let (abandon, abandoned) = tokio::sync::watch::channel(false);
    let cores = if plan.core.is_some() { 1 } else { cores::count().min(plan.connections).max(1) };
    let mut threads = Vec::new();
    for core in 0..cores {
        let (plan, shared, mut abandoned) = (plan.clone(), Arc::clone(&shared), abandoned.clone());
        threads.push(cores::run_on_core("load", move || async move {
            let (plan, mut tasks) = (Arc::new(plan), JoinSet::new());
            if let Some(core) = plan.core {
                system::pin_this_thread(core)?;
            }
            for index in (core..plan.connections).step_by(cores) {
                let (plan, shared) = (Arc::clone(&plan), Arc::clone(&shared));
                tasks.spawn(async move { worker::run(&plan, &shared, index).await });
            }
            collect(&mut tasks, &mut abandoned, &shared).await
        })?);
    }
    let window = watch(plan, pids, &shared);
    shared.enter(Phase::Stop);
    let deadline = clock::now_us() + LAST_MS * 1000;
    while threads.iter().any(|thread| !thread.is_finished()) && clock::now_us() < deadline {
        system::pause(1);
    }
    // Connections that still wait for an answer are dropped, and count as failed.
    abandon.send_replace(true);
    let mut latencies = worker::histogram()?;
    for thread in threads {
        let part = thread.join().map_err(|_| anyhow::anyhow!("a core of the load ended"))??;
        latencies.add(part?)?;
    }
    if let (1.., first) = shared.errors() {
        bail!("{}", first.unwrap_or_default());
    }
    window?.measured(&latencies)
}

/// Joins the connections of one core; those that never end are dropped when the load is abandoned.
async fn collect(
    tasks: &mut JoinSet<Option<Histogram<u64>>>,
    abandoned: &mut tokio::sync::watch::Receiver<bool>,
    shared: &Shared,
) -> Result<Histogram<u64>> {
    let mut all = worker::histogram()?;
    loop {
        tokio::select! {
            next = tasks.join_next() => match next {
                None => return Ok(all),
                Some(part) => {
                    if let Some(part) = part? {
                        all.add(part)?;
                    }
                }
            },
            _ = abandoned.changed() => {
                shared.fail(&format!("{} connections never got their last answer", tasks.len()));
                return Ok(all);
            }
        }
    }
}

/// The measured window: how long it was and what the watched processes used in it.
#[derive(Debug)]
struct Window {
    us: u64,
    cpu_us: Option<u64>,
    resident_kb: Option<u64>,
}

/// Waits for the connections, warms up, measures.
fn watch(plan: &Plan, pids: &[u32], shared: &Shared) -> Result<Window> {
    let deadline = clock::now_us() + CONNECT_MS_MAX * 1000;
    while shared.connected() < plan.connections && shared.errors().0 == 0 {
        if clock::now_us() > deadline {
            shared.fail(&format!("only {} of {} connections opened", shared.connected(), plan.connections));
        }
        system::pause(2);
    }
    system::pause(WARM_MS);
    let sum = |of: fn(u32) -> Result<u64>| -> Result<Option<u64>> {
        if pids.is_empty() {
            Ok(None)
        } else {
            pids.iter().map(|pid| of(*pid)).sum::<Result<u64>>().map(Some)
        }
    };
    let cpu_before = sum(system::cpu_us)?;
    let begun = clock::now_us();
    shared.enter(Phase::Measure);
    let end = begun + Duration::from_secs_f64(plan.seconds).as_micros().try_into().unwrap_or(u64::MAX / 2);
    // A failure ends the window early: it is lost already.
    while clock::now_us() < end && shared.errors().0 == 0 {
        let left_ms = end.saturating_sub(clock::now_us()) / 1000;
        system::pause(left_ms.clamp(1, 50));
    }
    if shared.errors().0 == 0 {
        shared.enter(Phase::Stop);
    }
    let us = clock::now_us() - begun;
    let cpu_after = sum(system::cpu_us)?;
    Ok(Window {
        us,
        cpu_us: cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before)),
        resident_kb: sum(system::resident_kb)?,
    })
}

// === impl Window ===

impl Window {
    fn measured(&self, latencies: &Histogram<u64>) -> Result<Measured> {
        let calls = latencies.len();
        if calls == 0 {
            bail!("no request was answered in the window");
        }
        Ok(Measured {
            calls,
            calls_per_s: calls as f64 * 1e6 / self.us as f64,
            p50_us: latencies.value_at_quantile(0.50),
            p90_us: latencies.value_at_quantile(0.90),
            p99_us: latencies.value_at_quantile(0.99),
            max_us: latencies.max(),
            cpu_us_per_call: self.cpu_us.map(|us| us as f64 / calls as f64),
            resident_kb: self.resident_kb,
        })
    }
}

// === impl Ask ===

impl Ask {
    /// The messages to send, one after the other and again.
    fn messages(&self, mode: Mode) -> Vec<Message> {
        match self {
            Self::Call { tool, text_bytes } => vec![Message::call(mode, tool, *text_bytes)],
            Self::Pages(cursors) => {
                cursors.iter().map(|cursor| Message::list(mode, cursor.as_deref())).collect()
            }
            Self::Greet => vec![Message::greet(mode)],
        }
    }
}

// === impl Args ===

impl Args {
    fn plan(&self) -> Result<Plan> {
        let target = match &self.url {
            Some(url) => Target::parse(url)?,
            None => {
                let pair = |text: &String| {
                    text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
                };
                let environment = self.environment.iter().map(pair).collect::<Option<Vec<_>>>();
                Target::Stdio {
                    command: self.command.clone(),
                    environment: environment.context("--env takes NAME=VALUE")?,
                }
            }
        };
        if self.connections == 0 || !self.seconds.is_finite() || self.seconds <= 0.0 {
            bail!("there must be a connection and some time to measure");
        }
        if self.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            bail!("the rate must be more than nothing");
        }
        let ask = match self.ask {
            AskName::Call => Ask::Call { tool: self.tool.clone(), text_bytes: self.text_bytes },
            AskName::List => Ask::Pages(vec![None]),
            AskName::Greet => Ask::Greet,
        };
        Ok(Plan {
            target,
            key: self.key.clone(),
            mode: self.mode,
            connections: self.connections,
            seconds: self.seconds,
            rate: self.rate,
            core: self.core,
            ask,
        })
    }
}
