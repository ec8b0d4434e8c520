//! P9: the merged tool list, warm and from a cold start.

use anyhow::{Context, Result};

use crate::clock;
use crate::load::Ask;
use crate::load::channel::{Channel, Opening};
use crate::message::{Message, Mode};
use crate::run::client;
use crate::run::figure::{Better, Figure, Unit};
use crate::run::hub::Config;
use crate::run::series::Series;
use crate::run::stage::{Stage, Turn, named};
use crate::spawn::{self, Program};
use crate::target::Target;

/// Upstreams of the long list, and tools of each.
const UPSTREAMS: usize = 20;
const TOOLS_EACH: usize = 50;
/// The page the target speaks of.
const PAGE_TOOLS: usize = 100;
/// Connections that read pages.
const READERS: usize = 16;
/// Programs of the cold start, and how long each takes before it reads its first line.
const PROGRAMS: usize = 10;
const SLOW_MS: &str = "100";
/// How long the whole list may take to appear.
const LIST_MS: u64 = 30_000;

/// P9, both halves.
pub(crate) fn all(stage: &mut Stage) -> Result<Vec<Figure>> {
    let warm = warm(stage).unwrap_or_else(|error| {
        Figure::invalid("P9", "tools/list of 1,000 tools, warm", format!("{error:#}"))
    });
    let cold = cold(stage).unwrap_or_else(|error| {
        Figure::invalid("P9", "cold start to the first whole list", format!("{error:#}"))
    });
    Ok(vec![warm, cold])
}

fn warm(stage: &mut Stage) -> Result<Figure> {
    let mut upstream = spawn::command(&stage.bench, Some(&stage.args.out.join("upstream.log")));
    upstream.args(["upstream", "--tools", &TOOLS_EACH.to_string()]);
    let (_upstream, ready) = Program::start_and_hear(&mut upstream, std::time::Duration::from_secs(10))?;
    let url = ready.get("http").and_then(serde_json::Value::as_str).context("the upstream has no address")?;
    // One process plays all upstreams, at different paths: what is measured is the merging, not their number.
    let config = (1..=UPSTREAMS).fold(Config::default(), |config, number| {
        config.http(&format!("many{number:02}"), &url.replace("/mcp", &format!("/mcp{number}")), "modern")
    });
    let hub = stage.fresh_hub(&config)?;
    let wanted = UPSTREAMS * TOOLS_EACH;
    let listed =
        client::list_until(&hub.http, hub.key.as_deref(), LIST_MS, |listed| listed.tools.len() >= wanted)?;
    let pages = listed.cursors.len();
    let mut plan = hub.call(Mode::Modern, "", READERS, stage.args.seconds);
    plan.ask = Ask::Pages(listed.cursors);
    let all = stage.interleave(&[Turn { name: "trunkline", plan, pids: vec![hub.pid()] }])?;
    let taken = named(&all, "trunkline").context("no turn")?;
    // Pages per second of CPU time that the hub itself used: what one core would give if it did nothing else.
    let per_core = Series::of(taken.cpu_us().into_iter().map(|us| 1e6 / us));
    let page_tools = wanted.div_ceil(pages.max(1));
    let figure = Figure::new(
        "P9",
        format!("tools/list warm, {wanted} tools of {UPSTREAMS} upstreams in {pages} pages"),
    )
    .value("pages/s per core", Unit::PerSecond, per_core)
    .gate(Better::Higher, 2_000.0, 10_000.0)
    .value("pages/s", Unit::PerSecond, Series::of(taken.rates()))
    .value("cpu", Unit::MicrosecondsPerCall, Series::of(taken.cpu_us()))
    .value("p99", Unit::Microseconds, Series::of(taken.each(|window| window.p99_us as f64)));
    Ok(if page_tools == PAGE_TOOLS {
        figure
    } else {
        figure
            .note(format!("the hub's pages hold about {page_tools} tools, the target speaks of {PAGE_TOOLS}"))
    })
}

fn cold(stage: &mut Stage) -> Result<Figure> {
    stage.end_hub();
    let (mut hub_ms, mut slowest_ms) = (Vec::new(), Vec::new());
    let arguments = ["upstream-stdio", "--start-delay-ms", SLOW_MS];
    let config = (1..=PROGRAMS).fold(Config::default(), |config, number| {
        config.stdio(&format!("cold{number:02}"), &stage.bench, &arguments)
    });
    for _ in 0..stage.args.repeat {
        slowest_ms.push(slowest(stage, &arguments)?);
        let hub = stage.fresh_hub(&config)?;
        client::list_until(&hub.http, hub.key.as_deref(), LIST_MS, |listed| listed.tools.len() >= PROGRAMS)?;
        hub_ms.push((clock::now_us() - hub.started_us) as f64 / 1000.0);
    }
    let added = Series::paired(&hub_ms, &slowest_ms, |hub, slowest| hub - slowest);
    Ok(Figure::new("P9", format!("cold start to the first list with all of {PROGRAMS} stdio upstreams"))
        .value("added to the slowest", Unit::Milliseconds, added)
        .gate(Better::Lower, 100.0, 20.0)
        .value("trunkline", Unit::Milliseconds, Series::of(hub_ms))
        .value("slowest upstream alone", Unit::Milliseconds, Series::of(slowest_ms)))
}

/// Starts the same programs at once without a hub; milliseconds until the last has listed its tools.
fn slowest(stage: &Stage, arguments: &[&str]) -> Result<f64> {
    let program = stage.bench.to_string_lossy().into_owned();
    let mut command = vec![program];
    command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let target = Target::Stdio { command, environment: Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let begun = clock::now_us();
        let mut channels = Vec::new();
        for _ in 0..PROGRAMS {
            channels.push(
                Channel::open(&Opening { target: &target, key: None, from: None, buffer_bytes: 4096 })
                    .await?,
            );
        }
        for channel in &mut channels {
            let list = channel.frame(&Message::list(Mode::Modern, None), Mode::Modern);
            channel.exchange(list.bytes()).await?;
        }
        Ok((clock::now_us() - begun) as f64 / 1000.0)
    })
}
