//! P10 and P11: connections that only wait: what each costs, and how many can be held while all still answer.

use anyhow::{Result, bail};

use crate::run::figure::{Better, Figure, Unit};
use crate::run::holder::Holders;
use crate::run::hub::{Config, Hub};
use crate::run::series::Series;
use crate::run::stage::Stage;
use crate::system;
use crate::target::Target;

/// Connections whose memory is measured.
const MEASURED: usize = 5_000;
/// Files a hub needs beside its connections.
const SPARE_FILES: u64 = 1_000;
/// How long the hub is left alone before its memory is read: until it takes its connections for idle (2 s), and gives
/// back what they needed before (twice 3 s).
const SETTLE_MS: u64 = 10_000;

/// A kind of idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
    Sse,
    WebSocket,
}

/// P10: resident memory per idle connection.
pub(crate) fn memory(stage: &mut Stage) -> Result<Vec<Figure>> {
    stage.end_hub();
    Ok([
        (Kind::Tcp, 8.0, 5.0),
        (Kind::Http, 16.0, 10.0),
        (Kind::Sse, 16.0, 10.0),
        (Kind::WebSocket, 12.0, 6.0),
    ]
    .into_iter()
    .map(|(kind, gate_kb, goal_kb)| {
        let what = format!("user memory per idle connection, {}", kind.name());
        match memory_of(stage, kind) {
            Ok((held, kb)) => Figure::new("P10", what)
                .value("each", Unit::Kilobytes, kb)
                .compared(Better::Lower)
                .gate(Better::Lower, gate_kb, goal_kb)
                .value("held", Unit::Count, Series::of([held as f64])),
            Err(error) => Figure::invalid("P10", what, format!("{error:#}")),
        }
    })
    .collect())
}

/// P11: how many are held at once, each still answering.
pub(crate) fn at_once(stage: &mut Stage) -> Result<Vec<Figure>> {
    stage.end_hub();
    Ok([(Kind::Tcp, 50_000), (Kind::Sse, 10_000), (Kind::WebSocket, 5_000)]
        .into_iter()
        .map(|(kind, target)| {
            let what = format!("held at once and each still answering, {}", kind.name());
            at_once_of(stage, kind, target, &what)
                .unwrap_or_else(|error| Figure::invalid("P11", what, format!("{error:#}")))
        })
        .collect())
}

fn memory_of(stage: &mut Stage, kind: Kind) -> Result<(usize, Option<Series>)> {
    let count = MEASURED.min(room(stage));
    let (mut each_kb, mut held) = (Vec::new(), 0);
    // A hub that has held connections keeps some of their memory, so each repetition has its own. Three are enough:
    // memory is steady.
    for _ in 0..stage.args.repeat.min(3) {
        let hub = stage.fresh_hub(&Config::default())?;
        // What the first connection makes the hub set up once is not a connection's memory.
        drop(Holders::open(stage, &kind.url(&hub)?, hub.key.as_deref(), 64, kind == Kind::Sse)?);
        system::pause(SETTLE_MS);
        let before = system::resident_kb(hub.pid())?;
        let holders = Holders::open(stage, &kind.url(&hub)?, hub.key.as_deref(), count, kind == Kind::Sse)?;
        if holders.held < count {
            bail!("only {} of {count} opened: {}", holders.held, holders.first_error.unwrap_or_default());
        }
        system::pause(SETTLE_MS);
        let after = system::resident_kb(hub.pid())?;
        held = holders.held;
        each_kb.push(after.saturating_sub(before) as f64 / count as f64);
    }
    Ok((held, Series::of(each_kb)))
}

fn at_once_of(stage: &mut Stage, kind: Kind, target: usize, what: &str) -> Result<Figure> {
    let count = target.min(room(stage));
    let hub = stage.fresh_hub(&Config::default())?;
    let mut holders = Holders::open(stage, &kind.url(&hub)?, hub.key.as_deref(), count, kind == Kind::Sse)?;
    let (answered, first) = holders.ask()?;
    let resident_mb = system::resident_kb(hub.pid())? as f64 / 1024.0;
    let mut figure = Figure::new("P11", what)
        .value("answering", Unit::Count, Series::of([answered as f64]))
        .gate(Better::Higher, count as f64, target as f64 * 2.0)
        .value("held", Unit::Count, Series::of([holders.held as f64]))
        .value("rss", Unit::Megabytes, Series::of([resident_mb]));
    if count < target {
        figure = figure.note(format!("{target} wished for, the file limit is {}", stage.files));
    }
    if let Some(error) = holders.first_error.take().or(first) {
        figure = figure.note(error);
    }
    Ok(figure)
}

/// How many connections the file limit of a hub leaves room for.
fn room(stage: &Stage) -> usize {
    usize::try_from(stage.files.saturating_sub(SPARE_FILES)).unwrap_or(usize::MAX)
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Sse => "sse (subscriptions/listen)",
            Self::WebSocket => "websocket",
        }
    }

    fn url(self, hub: &Hub) -> Result<String> {
        let target = match self {
            Self::Tcp => hub.tcp.as_ref(),
            Self::Http | Self::Sse => Some(&hub.http),
            Self::WebSocket => Some(&hub.websocket),
        };
        Ok(match target {
            Some(Target::Tcp { address, path }) => format!("tcp://{address}{path}"),
            Some(Target::Http { address, path }) => format!("http://{address}{path}"),
            Some(Target::WebSocket { address, path }) => format!("ws://{address}{path}"),
            _ => bail!("the hub has no such door"),
        })
    }
}
