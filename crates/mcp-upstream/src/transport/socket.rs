//! TCP and Unix sockets: the stdio framing over a stream (2026-07-28, custom transports).

use std::sync::Arc;

use outbound::Stream;
use process::LineReader;

use crate::channel::Channel;
use crate::frames::{LineSink, Lines};
use crate::signals::Signals;

pub(super) fn open(stream: Stream, line_bytes_max: usize, signals: &Signals) -> Arc<Channel> {
    let (read, write) = tokio::io::split(stream);
    let source = Lines(LineReader::new(read, line_bytes_max));
    Channel::start(source, LineSink::new(write), None, signals.clone())
}
