//! Holds many idle connections open from one process, and asks each of them once whenever a line `ask` arrives on
//! standard input. Run apart from the server and from other holders, so that each has its own file limit and its own
//! source address. Every step answers with one JSON line.

use std::io::{BufRead, Write};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::load::channel::{Channel, Opening};
use crate::message::{Message, Mode, Stamp};
use crate::system;
use crate::target::Target;

/// Connections that are being opened at the same moment.
const OPENING_MAX: usize = 64;
/// How long one connection may take to open or to answer.
const ANSWER: Duration = Duration::from_secs(15);
/// Bytes each connection has for what it receives, to begin with.
const BUFFER_BYTES: usize = 512;

/// What `bench hold` takes.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Args {
    /// Where to: `http://`, `ws://` or `tcp://`.
    #[arg(long)]
    url: String,
    /// The API key.
    #[arg(long)]
    key: Option<String>,
    /// How many connections.
    #[arg(long)]
    count: usize,
    /// Hold a stream of events (`subscriptions/listen`) on each, instead of leaving it idle after one request.
    #[arg(long)]
    subscribe: bool,
    /// The loopback address to come from.
    #[arg(long)]
    from: Option<IpAddr>,
}

/// Opens the connections, then does as told until standard input ends.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    system::raise_file_limit();
    let target = Target::parse(&args.url)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut errors = Errors::default();
    let mut held = runtime.block_on(open_all(args, &target, &mut errors));
    say(&serde_json::json!({"held": held.len(), "failed": errors.count, "first_error": errors.first}))?;
    for line in std::io::stdin().lock().lines() {
        if line?.trim() != "ask" {
            bail!("the only thing to say here is `ask`");
        }
        let mut errors = Errors::default();
        let answered = runtime.block_on(ask_all(&mut held, args.subscribe, &mut errors));
        say(&serde_json::json!({"answered": answered, "failed": errors.count, "first_error": errors.first}))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Default)]
struct Errors {
    count: usize,
    first: Option<String>,
}

impl Errors {
    fn add(&mut self, error: &anyhow::Error) {
        self.count += 1;
        self.first.get_or_insert_with(|| format!("{error:#}"));
    }
}

async fn open_all(args: &Args, target: &Target, errors: &mut Errors) -> Vec<Channel> {
    let (mut held, mut opening, mut begun) = (Vec::with_capacity(args.count), JoinSet::new(), 0);
    while begun < args.count || !opening.is_empty() {
        while begun < args.count && opening.len() < OPENING_MAX {
            let (args, target) = (args.clone(), target.clone());
            opening.spawn(async move { timeout(ANSWER, open(&args, &target)).await });
            begun += 1;
        }
        match opening.join_next().await {
            Some(Ok(Ok(Ok(channel)))) => held.push(channel),
            Some(Ok(Ok(Err(error)))) => errors.add(&error),
            Some(Ok(Err(_))) => errors.add(&anyhow::anyhow!("a connection did not open in time")),
            Some(Err(error)) => errors.add(&error.into()),
            None => break,
        }
    }
    held
}

/// Opens one connection and uses it once, as an idle connection of a real client has been used.
async fn open(args: &Args, target: &Target) -> Result<Channel> {
    let opening = Opening { target, key: args.key.as_deref(), from: args.from, buffer_bytes: BUFFER_BYTES };
    let mut channel = Channel::open(&opening).await?;
    if args.subscribe {
        let listen = channel.frame(&Message::listen(), Mode::Modern);
        channel.subscribe(listen.bytes()).await?;
    } else {
        greet(&mut channel, 0).await?;
    }
    Ok(channel)
}

async fn ask_all(held: &mut [Channel], is_subscribed: bool, errors: &mut Errors) -> usize {
    let mut answered = 0;
    for (index, channel) in held.iter_mut().enumerate() {
        let outcome = if is_subscribed {
            still_open(channel)
        } else {
            timeout(ANSWER, greet(channel, index))
                .await
                .unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")))
        };
        match outcome {
            Ok(()) => answered += 1,
            Err(error) => errors.add(&error),
        }
    }
    answered
}

async fn greet(channel: &mut Channel, index: usize) -> Result<()> {
    let mut request = channel.frame(&Message::greet(Mode::Modern), Mode::Modern);
    request.stamp(Stamp::new(index, 0));
    let answer = channel.exchange(request.bytes()).await?;
    if memchr::memmem::find(answer, b"\"result\"").is_none() {
        bail!("answered with {}", String::from_utf8_lossy(answer));
    }
    Ok(())
}

/// A stream of events is alive when the server has not ended it; what it has sent meanwhile is dropped.
fn still_open(channel: &Channel) -> Result<()> {
    let socket = channel.socket().context("there is no socket")?;
    let mut dropped = [0; 4096];
    loop {
        match socket.try_read(&mut dropped) {
            Ok(0) => bail!("the server ended the stream"),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn say(line: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
