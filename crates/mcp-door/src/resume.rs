//! Streams that a legacy client may come back to: each event has an id, what was sent is kept for a while, and
//! the call behind the stream goes on without a reader (2025-06-18, resumability; 2025-11-25, SEP-1699 polling).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ahash::AHashMap;
use bytes::Bytes;
use tokio::time::Instant;
use wire::sse;

use crate::outbox::Outbox;
use crate::session::lock;

/// Streams that one session may come back to.
const STREAMS_MAX: usize = 32;
/// Events kept per stream.
const EVENTS_MAX: usize = 256;
/// Bytes kept per stream.
const BYTES_MAX: usize = 1024 * 1024;
/// How long a stream is kept that nobody reads.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// What a client is told to wait before it polls, milliseconds.
const RETRY_MS: u64 = 500;

/// The streams of one session.
#[derive(Default)]
pub(crate) struct Streams(Mutex<Held>);

#[derive(Default)]
struct Held {
    next: u64,
    streams: AHashMap<u64, Arc<Stream>>,
}

/// One answer under way.
pub(crate) struct Stream {
    number: u64,
    pub(crate) outbox: Arc<Outbox>,
    sent: Mutex<Sent>,
    is_read: AtomicBool,
    read_at: Mutex<Instant>,
}

#[derive(Default)]
struct Sent {
    next: u64,
    events: VecDeque<(u64, Bytes)>,
    bytes: usize,
}

/// The right to read a stream; one reader at a time.
pub(crate) struct Reading(pub(crate) Arc<Stream>);

impl Streams {
    /// A new stream around `outbox`, and the right to read it.
    pub(crate) fn open(&self, outbox: Arc<Outbox>) -> Reading {
        let now = Instant::now();
        let mut held = lock(&self.0);
        held.streams.retain(|_, stream| {
            stream.is_read.load(Ordering::Acquire) || now - *lock(&stream.read_at) < KEPT_FOR
        });
        if held.streams.len() >= STREAMS_MAX {
            let oldest =
                held.streams.values().filter(|s| !s.is_read.load(Ordering::Acquire)).map(|s| s.number).min();
            if let Some(oldest) = oldest {
                held.streams.remove(&oldest);
            }
        }
        held.next += 1;
        let stream = Arc::new(Stream {
            number: held.next,
            outbox,
            sent: Mutex::default(),
            is_read: AtomicBool::new(true),
            read_at: Mutex::new(now),
        });
        held.streams.insert(stream.number, Arc::clone(&stream));
        Reading(stream)
    }

    /// The stream that `last_event_id` is of, and what came after that event. `None` = unknown, over, or being read.
    pub(crate) fn resume(&self, last_event_id: &str) -> Option<(Reading, Bytes)> {
        let (number, event) = last_event_id.split_once('-')?;
        let (number, event): (u64, u64) = (number.parse().ok()?, event.parse().ok()?);
        let stream = Arc::clone(lock(&self.0).streams.get(&number)?);
        if stream.is_read.swap(true, Ordering::AcqRel) {
            return None;
        }
        let reading = Reading(Arc::clone(&stream));
        let sent = lock(&stream.sent);
        let is_whole = sent.events.front().is_none_or(|(first, _)| *first <= event + 1);
        if !is_whole {
            return None;
        }
        let missed: Vec<u8> = sent
            .events
            .iter()
            .filter(|(number, _)| *number > event)
            .flat_map(|(_, bytes)| bytes.to_vec())
            .collect();
        drop(sent);
        Some((reading, missed.into()))
    }

    /// Forgets a stream that was read to its end.
    pub(crate) fn finish(&self, stream: &Stream) {
        lock(&self.0).streams.remove(&stream.number);
    }
}

impl Stream {
    /// The event that comes first: an id to come back with, and no data.
    pub(crate) fn priming(&self) -> Bytes {
        let id = self.id_of(lock(&self.sent).next);
        format!("id: {id}\nretry: {RETRY_MS}\ndata: \n\n").into()
    }

    /// A message as the next event; kept for whoever comes back.
    pub(crate) fn event(&self, message: &[u8]) -> Bytes {
        let mut sent = lock(&self.sent);
        sent.next += 1;
        let number = sent.next;
        let event = Bytes::from(sse::event(Some(&self.id_of(number)), message));
        sent.bytes += event.len();
        sent.events.push_back((number, event.clone()));
        while sent.events.len() > EVENTS_MAX || (sent.bytes > BYTES_MAX && sent.events.len() > 1) {
            if let Some((_, old)) = sent.events.pop_front() {
                sent.bytes -= old.len();
            }
        }
        event
    }

    fn id_of(&self, event: u64) -> String {
        format!("{}-{event}", self.number)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        *lock(&self.0.read_at) = Instant::now();
        self.0.is_read.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::Streams;

    #[tokio::test]
    async fn what_was_missed_comes_again_and_only_to_one_reader() {
        let streams = Streams::default();
        let reading = streams.open(std::sync::Arc::default());
        assert!(std::str::from_utf8(&reading.0.priming()).unwrap().starts_with("id: 1-0\nretry: "));
        reading.0.event(b"{\"a\":1}");
        reading.0.event(b"{\"b\":2}");
        assert!(streams.resume("1-1").is_none(), "it is being read");
        drop(reading);
        let (_reading, missed) = streams.resume("1-1").unwrap();
        let missed = std::str::from_utf8(&missed).unwrap();
        assert!(missed.contains("\"b\":2") && !missed.contains("\"a\":1"), "{missed}");
        assert!(streams.resume("2-0").is_none() && streams.resume("x").is_none());
    }
}
