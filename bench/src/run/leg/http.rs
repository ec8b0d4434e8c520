//! P1, P4 and P5: tool calls through the HTTP door to HTTP upstreams, beside nginx, the other bridges and no gateway.

use std::path::Path;

use anyhow::{Context, Result};

use crate::load::{Ask, Plan, TEXT_BYTES};
use crate::message::Mode;
use crate::run::figure::{Better, Figure, Unit, Verdict};
use crate::run::peer::Peer;
use crate::run::series::Series;
use crate::run::stage::{Stage, Taken, Turn, named};
use crate::system;
use crate::target::Target;

/// Starts a bridge from this program's path, with its errors in a file; `None` when it is not installed.
type StartPeer = fn(&Path, &Path) -> Result<Option<Peer>>;

/// Connections of the throughput windows.
const MANY: usize = 64;
/// Connections to the bridges, of which the slowest collapse under more.
const FEW: usize = 16;

/// P1: calls a second, and latency at a fixed rate, as ratios to nginx.
pub(crate) fn throughput(stage: &mut Stage) -> Result<Vec<Figure>> {
    let mut plan = direct_plan(stage, MANY)?;
    let closed = take_turns(stage, &plan)?;
    let mut figures = vec![throughput_figure(&closed)];
    plan.rate = Some(stage.args.rate);
    let what = format!("latency at {}/s open-loop, tools/call modern http->http c={MANY}", stage.args.rate);
    figures.push(match take_turns(stage, &plan) {
        Ok(open) => latency_figure(what, &open),
        Err(error) => Figure::invalid("P1", what, format!("{error:#}")),
    });
    if stage.has_trunkline() {
        figures.extend(bridges(stage)?);
    }
    Ok(figures)
}

/// P4: the four cells of client and upstream era, as ratios to modern on both sides.
pub(crate) fn cells(stage: &mut Stage) -> Result<Vec<Figure>> {
    let hub = stage.hub()?;
    hub.wait_for("up__echo")?;
    hub.wait_for("old__echo")?;
    let cell = |name, mode, tool| Turn {
        name,
        plan: hub.call(mode, tool, MANY, stage.args.seconds),
        pids: vec![hub.pid()],
    };
    let all = stage.interleave(&[
        cell("modern->modern", Mode::Modern, "up__echo"),
        cell("legacy->legacy", Mode::Legacy, "old__echo"),
        cell("legacy->modern", Mode::Legacy, "up__echo"),
        cell("modern->legacy", Mode::Modern, "old__echo"),
    ])?;
    let (base, others) = all.split_first().context("nothing took a turn")?;
    Ok(others
        .iter()
        .map(|other| {
            let ratio = Series::paired(&other.rates(), &base.rates(), |other, base| other / base);
            Figure::new("P4", format!("mcp tools/call {} http->http c={MANY}", other.name))
                .value("trunkline", Unit::PerSecond, Series::of(other.rates()))
                .value("modern->modern", Unit::PerSecond, Series::of(base.rates()))
                .value("ratio", Unit::Ratio, ratio)
                .compared(Better::Higher)
                .gate(Better::Higher, 0.7, 0.9)
                .value("p99", Unit::Microseconds, Series::of(other.each(|window| window.p99_us as f64)))
                .value("cpu", Unit::MicrosecondsPerCall, Series::of(other.cpu_us()))
        })
        .collect())
}

/// P5: what the gateway adds to the latency of one connection that sends one call after the other; as the machine
/// places the processes, and with all of them on one core, where waking another core is not part of it.
pub(crate) fn latency(stage: &mut Stage) -> Result<Vec<Figure>> {
    let mut plan = direct_plan(stage, 1)?;
    let free = latency_added(
        "latency added, mcp tools/call modern http->http c=1",
        &take_turns(stage, &plan)?,
        true,
    )?;
    plan.core = Some(0);
    let pids = stage.all_pids();
    for pid in &pids {
        system::pin(*pid, 0)?;
    }
    let pinned = take_turns(stage, &plan);
    for pid in &pids {
        system::unpin(*pid)?;
    }
    let what = "latency added, mcp tools/call modern http->http c=1, all processes on one core";
    Ok(vec![free, latency_added(what, &pinned?, false)?])
}

fn latency_added(what: &str, all: &[Taken], is_gated: bool) -> Result<Figure> {
    let direct = named(all, "direct").context("the upstream took no turn")?;
    let of = |taken: &Taken, p99: bool| {
        taken.each(|window| (if p99 { window.p99_us } else { window.p50_us }) as f64)
    };
    let added = |taken: &Taken, p99| {
        Series::paired(&of(taken, p99), &of(direct, p99), |through, direct| through - direct)
    };
    let mut figure = Figure::new("P5", what);
    if let Some(hub) = named(all, "trunkline") {
        figure = figure.value("added p50", Unit::Microseconds, added(hub, false));
        if is_gated {
            figure = figure.gate(Better::Lower, 60.0, 30.0);
        }
        figure = figure.value("added p99", Unit::Microseconds, added(hub, true));
        if is_gated {
            figure = figure.gate(Better::Lower, 150.0, 80.0);
        }
        figure = figure
            .value("trunkline p50", Unit::Microseconds, Series::of(of(hub, false)))
            .value("trunkline p99", Unit::Microseconds, Series::of(of(hub, true)))
            .value("cpu", Unit::MicrosecondsPerCall, Series::of(hub.cpu_us()));
    } else {
        figure = absent(figure);
    }
    figure = figure.value("direct p50", Unit::Microseconds, Series::of(of(direct, false))).value(
        "direct p99",
        Unit::Microseconds,
        Series::of(of(direct, true)),
    );
    if let Some(nginx) = named(all, "nginx") {
        figure = figure.value("nginx added p50", Unit::Microseconds, added(nginx, false)).value(
            "nginx added p99",
            Unit::Microseconds,
            added(nginx, true),
        );
    }
    Ok(figure)
}

fn throughput_figure(all: &[Taken]) -> Figure {
    let mut figure = Figure::new("P1", format!("mcp tools/call modern http->http c={MANY}"));
    let (hub, nginx, direct) = (named(all, "trunkline"), named(all, "nginx"), named(all, "direct"));
    let rate = |taken: &Taken| Series::of(taken.rates());
    let ratio =
        |taken: &Taken, to: &Taken| Series::paired(&taken.rates(), &to.rates(), |left, right| left / right);
    if let Some(hub) = hub {
        figure = figure.value("trunkline", Unit::PerSecond, rate(hub));
    }
    if let Some(nginx) = nginx {
        figure = figure.value("nginx", Unit::PerSecond, rate(nginx));
    }
    if let (Some(hub), Some(nginx)) = (hub, nginx) {
        figure = figure.value("ratio", Unit::Ratio, ratio(hub, nginx)).compared(Better::Higher).gate(
            Better::Higher,
            0.6,
            1.0,
        );
    }
    if let Some(hub) = hub {
        figure = figure
            .value("cpu", Unit::MicrosecondsPerCall, Series::of(hub.cpu_us()))
            .value("rss", Unit::Megabytes, Series::of(hub.resident_mb()))
            .compared(Better::Lower);
    }
    if let Some(direct) = direct {
        figure = figure.value("direct", Unit::PerSecond, rate(direct));
        if let Some(hub) = hub {
            figure =
                figure.value("ratio to direct", Unit::Ratio, ratio(hub, direct)).compared(Better::Higher);
        }
        if let Some(nginx) = nginx {
            figure = figure
                .value("nginx to direct", Unit::Ratio, ratio(nginx, direct))
                .value("nginx cpu", Unit::MicrosecondsPerCall, Series::of(nginx.cpu_us()))
                .value("nginx rss", Unit::Megabytes, Series::of(nginx.resident_mb()));
        }
    }
    if hub.is_none() { absent(figure) } else { figure }
}

fn latency_figure(what: String, all: &[Taken]) -> Figure {
    let mut figure = Figure::new("P1", what);
    let p99 = |taken: &Taken| taken.each(|window| window.p99_us as f64);
    for (taken, p50_name, p99_name) in all.iter().filter_map(|taken| match taken.name {
        "trunkline" => Some((taken, "trunkline p50", "p99")),
        "nginx" => Some((taken, "nginx p50", "p99 of nginx")),
        "direct" => Some((taken, "direct p50", "p99 of direct")),
        _ => None,
    }) {
        figure = figure
            .value(p50_name, Unit::Microseconds, Series::of(taken.each(|window| window.p50_us as f64)))
            .value(p99_name, Unit::Microseconds, Series::of(p99(taken)));
    }
    if let (Some(hub), Some(nginx)) = (named(all, "trunkline"), named(all, "nginx")) {
        figure = figure
            .value(
                "p99 ratio",
                Unit::Ratio,
                Series::paired(&p99(hub), &p99(nginx), |left, right| left / right),
            )
            .compared(Better::Lower);
    }
    if named(all, "trunkline").is_none() { absent(figure) } else { figure }
}

/// The same stdio upstream through the hub and through the bridges that are installed. No target: it is for scale.
fn bridges(stage: &mut Stage) -> Result<Vec<Figure>> {
    let log = stage.args.out.join("bridges.log");
    let wished = stage.args.peers.clone();
    let starts: [(&str, StartPeer); 2] =
        [("mcp-proxy", Peer::mcp_proxy), ("supergateway", Peer::supergateway)];
    let mut figures = Vec::new();
    for (name, start) in starts.into_iter().filter(|(name, _)| wished.iter().any(|peer| peer == name)) {
        let what = format!("beside {name}, mcp tools/call legacy http->stdio c={FEW}");
        match start(&stage.bench, &log) {
            Ok(None) => {}
            Err(error) => figures.push(Figure::skipped("P1", what, format!("{error:#}"))),
            Ok(Some(peer)) => {
                let hub = stage.hub()?;
                hub.wait_for("pipe__echo")?;
                let seconds = stage.args.seconds;
                let all = stage.interleave(&[
                    Turn {
                        name: "trunkline",
                        plan: hub.call(Mode::Legacy, "pipe__echo", FEW, seconds),
                        pids: vec![hub.pid()],
                    },
                    Turn { name: peer.name, plan: peer.call(FEW, seconds), pids: peer.pids() },
                ]);
                figures.push(match all {
                    Ok(all) => bridge_figure(what, &all),
                    Err(error) => Figure::invalid("P1", what, format!("{error:#}")),
                });
            }
        }
    }
    Ok(figures)
}

fn bridge_figure(what: String, all: &[Taken]) -> Figure {
    let mut figure = Figure::new("P1", what);
    for taken in all {
        figure = figure
            .value(taken.name, Unit::PerSecond, Series::of(taken.rates()))
            .value("cpu", Unit::MicrosecondsPerCall, Series::of(taken.cpu_us()))
            .value("rss", Unit::Megabytes, Series::of(taken.resident_mb()));
    }
    if let [hub, peer] = all {
        figure = figure.value(
            "ratio",
            Unit::Ratio,
            Series::paired(&hub.rates(), &peer.rates(), |hub, peer| hub / peer),
        );
    }
    figure
}

/// Loads, by turns and as `plan` says, the upstream alone, nginx if it is there, and the hub if it is there.
fn take_turns(stage: &mut Stage, plan: &Plan) -> Result<Vec<Taken>> {
    let mut turns = vec![stage.upstream.direct(plan)?];
    if let Some(nginx) = &stage.nginx {
        let mut through = nginx.call(plan.connections, plan.seconds);
        (through.rate, through.core) = (plan.rate, plan.core);
        turns.push(Turn { name: nginx.name, plan: through, pids: nginx.pids() });
    }
    if stage.has_trunkline() {
        let hub = stage.hub()?;
        hub.wait_for("up__echo")?;
        let mut through = hub.call(Mode::Modern, "up__echo", plan.connections, plan.seconds);
        (through.rate, through.core) = (plan.rate, plan.core);
        turns.push(Turn { name: "trunkline", plan: through, pids: vec![hub.pid()] });
    }
    stage.interleave(&turns)
}

/// Tool calls straight to the upstream.
fn direct_plan(stage: &Stage, connections: usize) -> Result<Plan> {
    Ok(Plan {
        target: Target::parse(&stage.upstream.http)?,
        key: None,
        mode: Mode::Modern,
        connections,
        seconds: stage.args.seconds,
        rate: None,
        core: None,
        ask: Ask::Call { tool: "echo".to_owned(), text_bytes: TEXT_BYTES },
    })
}

/// A figure of the limits only, because the hub is not there.
fn absent(figure: Figure) -> Figure {
    let mut figure = figure.note("there is no trunkline to measure");
    figure.verdict = Verdict::Invalid;
    figure
}
