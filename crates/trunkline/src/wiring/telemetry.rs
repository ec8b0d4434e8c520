//! The hub's own log: lines on standard error, as text or JSON. Call records are the ledger's.

use tracing_subscriber::EnvFilter;

use crate::commands::env;
use crate::config::hub::Log;

/// Starts logging; the environment wins over the file. A second start in one process changes nothing.
pub(crate) fn start(log: &Log) {
    let said = env("TRUNKLINE_LOG").or_else(|| env("RUST_LOG")).filter(|text| !text.is_empty());
    let filter = said.as_deref().and_then(|text| text.parse::<EnvFilter>().ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(&log.level));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if log.is_json {
        logger.json().try_init()
    } else {
        logger.with_ansi(is_terminal).with_target(false).try_init()
    };
    // Refused only when it has been started already.
    drop(started);
}
