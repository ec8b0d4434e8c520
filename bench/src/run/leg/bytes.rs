//! P6, P7 and P8: the doors over byte streams and WebSocket, and upstreams that are programs.

use anyhow::{Context, Result};

use crate::load::{Ask, Plan, TEXT_BYTES};
use crate::message::Mode;
use crate::run::figure::{Better, Figure, Unit};
use crate::run::hub::{Config, write_config};
use crate::run::peer::free_address;
use crate::run::series::Series;
use crate::run::stage::{Stage, Taken, Turn, named};
use crate::target::Target;

/// Connections of the throughput windows.
const MANY: usize = 64;

/// P6: the TCP door to a TCP upstream, beside that upstream alone.
pub(crate) fn tcp(stage: &mut Stage) -> Result<Vec<Figure>> {
    let hub = stage.hub()?;
    hub.wait_for("line__echo")?;
    let mut through = hub.call(Mode::Modern, "line__echo", MANY, stage.args.seconds);
    through.target = hub.tcp.clone().context("the hub opened no TCP door")?;
    let mut bare = through.clone();
    bare.target = Target::parse(&stage.upstream.tcp)?;
    bare.key = None;
    bare.ask = Ask::Call { tool: "echo".to_owned(), text_bytes: TEXT_BYTES };
    let all = stage.interleave(&[
        Turn { name: "bare", plan: bare, pids: Vec::new() },
        Turn { name: "trunkline", plan: through, pids: vec![hub.pid()] },
    ])?;
    let (bare, hub) = (named(&all, "bare").context("no turn")?, named(&all, "trunkline").context("no turn")?);
    let ratio = Series::paired(&hub.rates(), &bare.rates(), |hub, bare| hub / bare);
    let figure = Figure::new("P6", format!("tcp door, tools/call modern tcp->tcp c={MANY}"))
        .value("trunkline", Unit::PerSecond, Series::of(hub.rates()))
        .gate(Better::Higher, 60_000.0, 100_000.0)
        .value("bare echo", Unit::PerSecond, Series::of(bare.rates()))
        .value("ratio", Unit::Ratio, ratio)
        .compared(Better::Higher)
        .gate(Better::Higher, 0.35, 0.6);
    Ok(vec![costs(figure, hub)])
}

/// P7: the stdio door, answered in the process, and a stdio upstream behind the HTTP door.
pub(crate) fn stdio(stage: &mut Stage) -> Result<Vec<Figure>> {
    let door = match stdio_door(stage) {
        Ok(figure) => figure,
        Err(error) => Figure::invalid("P7", "stdio door c=1", format!("{error:#}")),
    };
    let upstream = match stdio_upstream(stage) {
        Ok(figure) => figure,
        Err(error) => Figure::invalid("P7", "stdio upstream", format!("{error:#}")),
    };
    Ok(vec![door, upstream])
}

/// P8: the WebSocket door to a TCP upstream.
pub(crate) fn websocket(stage: &mut Stage) -> Result<Vec<Figure>> {
    let hub = stage.hub()?;
    hub.wait_for("line__echo")?;
    let mut plan = hub.call(Mode::Modern, "line__echo", MANY, stage.args.seconds);
    plan.target = hub.websocket.clone();
    let all = stage.interleave(&[Turn { name: "trunkline", plan, pids: vec![hub.pid()] }])?;
    let hub = named(&all, "trunkline").context("no turn")?;
    let figure = Figure::new("P8", format!("websocket door, tools/call modern websocket->tcp c={MANY}"))
        .value("trunkline", Unit::PerSecond, Series::of(hub.rates()))
        .gate(Better::Higher, 40_000.0, 80_000.0);
    Ok(vec![costs(figure, hub)])
}

/// One `trunkline mcp` with a hub of its own inside, asked over its standard streams.
fn stdio_door(stage: &mut Stage) -> Result<Figure> {
    let folder = stage.fresh_folder()?;
    let config = write_config(&Config::default(), &folder)?;
    let ask = match &stage.args.own_tool {
        Some(tool) => Ask::Call { tool: tool.clone(), text_bytes: TEXT_BYTES },
        None => Ask::Greet,
    };
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let plan = Plan {
        target: Target::Stdio {
            command: vec![text(&stage.args.trunkline), "mcp".to_owned()],
            environment: vec![
                ("TRUNKLINE_CONFIG".to_owned(), text(&config)),
                ("TRUNKLINE_DATA".to_owned(), text(&folder.join("data"))),
                // Nobody answers there, so the program starts a hub of its own instead of serving a running one.
                ("TRUNKLINE_LISTEN".to_owned(), free_address()?.to_string()),
            ],
        },
        key: None,
        mode: Mode::Modern,
        connections: 1,
        seconds: stage.args.seconds,
        rate: None,
        // A call goes back and forth between two processes that never work at the same time: on one core it costs
        // what they do, on two it costs what it takes this machine to wake the other core.
        core: Some(0),
        ask,
    };
    let all = stage.interleave(&[Turn { name: "trunkline", plan, pids: Vec::new() }])?;
    let taken = named(&all, "trunkline").context("no turn")?;
    let p50 = Series::of(taken.each(|window| window.p50_us as f64));
    let p99 = Series::of(taken.each(|window| window.p99_us as f64));
    Ok(match &stage.args.own_tool {
        Some(tool) => Figure::new(
            "P7",
            format!("stdio door, tools/call {tool} answered in the process c=1 on one core"),
        )
        .value("p50", Unit::Microseconds, p50)
        .gate(Better::Lower, 50.0, 20.0)
        .value("p99", Unit::Microseconds, p99)
        .gate(Better::Lower, 200.0, 60.0),
        None => Figure::new("P7", "stdio door, server/discover answered in the process c=1 on one core")
            .value("p50", Unit::Microseconds, p50)
            .value("p99", Unit::Microseconds, p99)
            .note("not gated: no tool of the hub itself was named (--own-tool)"),
    })
}

fn stdio_upstream(stage: &mut Stage) -> Result<Figure> {
    let hub = stage.hub()?;
    hub.wait_for("pipe__echo")?;
    let plan = hub.call(Mode::Modern, "pipe__echo", MANY, stage.args.seconds);
    let all = stage.interleave(&[Turn { name: "trunkline", plan, pids: vec![hub.pid()] }])?;
    let taken = named(&all, "trunkline").context("no turn")?;
    let figure = Figure::new("P7", format!("stdio upstream, tools/call modern http->stdio c={MANY}"))
        .value("trunkline", Unit::PerSecond, Series::of(taken.rates()))
        .gate(Better::Higher, 20_000.0, 50_000.0);
    Ok(costs(figure, taken))
}

/// Adds what a call costs the hub.
fn costs(figure: Figure, taken: &Taken) -> Figure {
    figure
        .value("p50", Unit::Microseconds, Series::of(taken.each(|window| window.p50_us as f64)))
        .value("p99", Unit::Microseconds, Series::of(taken.each(|window| window.p99_us as f64)))
        .value("cpu", Unit::MicrosecondsPerCall, Series::of(taken.cpu_us()))
        .value("rss", Unit::Megabytes, Series::of(taken.resident_mb()))
}
