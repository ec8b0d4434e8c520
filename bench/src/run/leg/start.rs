//! P12: how fast the hub is ready, how much memory it uses when nothing happens, and how large it is.

use anyhow::Result;

use crate::run::figure::{Better, Figure, Unit};
use crate::run::hub::{Config, Hub};
use crate::run::series::Series;
use crate::run::stage::Stage;
use crate::system;

/// Connections of the filled store.
const CONNECTIONS: usize = 1_000;
/// How long the hub is left alone before its memory is read.
const SETTLE_MS: u64 = 1_000;

/// P12.
pub(crate) fn all(stage: &mut Stage) -> Result<Vec<Figure>> {
    stage.end_hub();
    let empty = empty(stage).unwrap_or_else(|error| {
        Figure::invalid("P12", "first start on an empty store", format!("{error:#}"))
    });
    let filled = filled(stage)
        .unwrap_or_else(|error| Figure::invalid("P12", "start with 1,000 connections", format!("{error:#}")));
    let bytes = std::fs::metadata(&stage.args.trunkline)?.len() as f64;
    let size = Figure::new("P12", "size of the program").value(
        "binary",
        Unit::Megabytes,
        Series::of([bytes / 1024.0 / 1024.0]),
    );
    Ok(vec![empty, filled, size])
}

fn empty(stage: &mut Stage) -> Result<Figure> {
    let (mut ready_ms, mut resident_mb) = (Vec::new(), Vec::new());
    for _ in 0..stage.args.repeat {
        let hub = stage.fresh_hub(&Config::default())?;
        ready_ms.push(hub.ready_us as f64 / 1000.0);
        system::pause(SETTLE_MS);
        resident_mb.push(system::resident_kb(hub.pid())? as f64 / 1024.0);
    }
    Ok(Figure::new("P12", "first start on an empty store, then idle")
        .value("ready", Unit::Milliseconds, Series::of(ready_ms))
        .gate(Better::Lower, 150.0, 50.0)
        .value("rss", Unit::Megabytes, Series::of(resident_mb))
        .compared(Better::Lower)
        .gate(Better::Lower, 40.0, 20.0))
}

/// The connections are written on a first start that is not measured; the starts after it find them in the store.
fn filled(stage: &mut Stage) -> Result<Figure> {
    let config = (1..=CONNECTIONS).fold(Config::default(), |config, number| {
        config.http(&format!("many{number:04}"), &stage.upstream.http, "modern")
    });
    let folder = stage.fresh_folder()?;
    let log = stage.hub_log();
    drop(Hub::start(&stage.args.trunkline, &config, &folder, &log)?);
    let (mut ready_ms, mut resident_mb) = (Vec::new(), Vec::new());
    for _ in 0..stage.args.repeat {
        let hub = Hub::start(&stage.args.trunkline, &config, &folder, &log)?;
        ready_ms.push(hub.ready_us as f64 / 1000.0);
        system::pause(SETTLE_MS);
        resident_mb.push(system::resident_kb(hub.pid())? as f64 / 1024.0);
    }
    Ok(Figure::new("P12", format!("start with {CONNECTIONS} connections in the store"))
        .value("ready", Unit::Milliseconds, Series::of(ready_ms))
        .gate(Better::Lower, 500.0, 200.0)
        .value("rss", Unit::Megabytes, Series::of(resident_mb)))
}
