//! What one connection of a load does, and what all of them share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use memchr::memmem;

use super::channel::{Channel, Opening};
use super::pace::Pace;
use super::{Ask, Plan};
use crate::clock;
use crate::message::{Mode, Stamp};

/// The longest latency that is told apart from a longer one.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Every so many answers one is compared with its question; all are checked for success.
const SAMPLE: u64 = 16;

/// What the connections of one load share: when to count, when to stop, and what went wrong first.
#[derive(Debug)]
pub(crate) struct Shared {
    phase: AtomicU8,
    connected: AtomicUsize,
    errors: AtomicU64,
    first_error: Mutex<Option<String>>,
}

/// What a request counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Nothing: the servers are warming up.
    Warm = 0,
    /// It is measured.
    Measure = 1,
    /// No further request is sent.
    Stop = 2,
}

/// An empty histogram of microseconds, with three significant digits.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?)
}

/// Runs one connection from its opening until the load stops. A failure is told to all and stops the load.
pub(crate) async fn run(plan: &Plan, shared: &Shared, index: usize) -> Option<Histogram<u64>> {
    match drive(plan, shared, index).await {
        Ok(latencies) => Some(latencies),
        Err(error) => {
            shared.fail(&format!("connection {index}: {error:#}"));
            None
        }
    }
}

async fn drive(plan: &Plan, shared: &Shared, index: usize) -> Result<Histogram<u64>> {
    let mut latencies = histogram()?;
    let opening =
        Opening { target: &plan.target, key: plan.key.as_deref(), from: None, buffer_bytes: 16 * 1024 };
    let mut channel = Channel::open(&opening).await?;
    if plan.mode == Mode::Legacy {
        channel.begin_session().await?;
    }
    let mut templates: Vec<_> =
        plan.ask.messages(plan.mode).iter().map(|message| channel.frame(message, plan.mode)).collect();
    let mut pace = plan.rate.map(|rate| Pace::new(rate, index, plan.connections)).transpose()?;
    shared.connected.fetch_add(1, Ordering::Relaxed);

    let mut sequence = 0_u64;
    let mut now = clock::now_us();
    while shared.phase.load(Ordering::Relaxed) != Phase::Stop as u8 {
        let begun = match &mut pace {
            Some(pace) => pace.next().await?,
            None => now,
        };
        let stamp = Stamp::new(index, sequence);
        let turn = usize::try_from(sequence)? % templates.len().max(1);
        let Some(template) = templates.get_mut(turn) else { bail!("there is nothing to ask") };
        template.stamp(stamp);
        let answer = channel.exchange(template.bytes()).await?;
        if plan.mode != Mode::Plain {
            check(answer, stamp, &plan.ask, sequence.is_multiple_of(SAMPLE))?;
        }
        now = clock::now_us();
        if shared.phase.load(Ordering::Relaxed) == Phase::Measure as u8 {
            latencies.saturating_record(now.saturating_sub(begun));
        }
        sequence += 1;
    }
    Ok(latencies)
}

/// An answer must hold a result that is not an error; a sampled one must also be the answer to this very question.
fn check(answer: &[u8], stamp: Stamp, ask: &Ask, is_sampled: bool) -> Result<()> {
    let is_good =
        memmem::find(answer, b"\"result\"").is_some() && memmem::find(answer, b"\"isError\":true").is_none();
    let is_ours = || {
        let mut found = memmem::find_iter(answer, stamp.digits());
        // In an echo the number stands twice: as the id, and in the text.
        found.next().is_some() && (!matches!(ask, Ask::Call { .. }) || found.next().is_some())
    };
    if !is_good || (is_sampled && !is_ours()) {
        let head: String = String::from_utf8_lossy(answer).chars().take(500).collect();
        bail!("not the answer to {}: {head}", String::from_utf8_lossy(stamp.digits()));
    }
    Ok(())
}

// === impl Shared ===

impl Shared {
    /// Nothing is connected, counted or wrong yet.
    pub(crate) const fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Warm as u8),
            connected: AtomicUsize::new(0),
            errors: AtomicU64::new(0),
            first_error: Mutex::new(None),
        }
    }

    /// Tells all connections what their requests now count for.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Counts a failure, keeps the first, and stops the load: a window with one failed request is invalid.
    pub(crate) fn fail(&self, error: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        first.get_or_insert_with(|| error.to_owned());
        drop(first);
        self.enter(Phase::Stop);
    }

    /// How many connections have begun to ask.
    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Failures so far, and the first of them.
    pub(crate) fn errors(&self) -> (u64, Option<String>) {
        let first = self.first_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        (self.errors.load(Ordering::Relaxed), first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Ask {
        Ask::Call { tool: "echo".to_owned(), text_bytes: 10 }
    }

    #[test]
    fn an_answer_to_another_question_is_caught_when_sampled() {
        let stamp = Stamp::new(1, 5);
        let good = br#"{"jsonrpc":"2.0","id":1010000005,"result":{"content":[{"type":"text","text":"call 1010000005 x"}]}}"#;
        let stale = br#"{"jsonrpc":"2.0","id":1010000005,"result":{"content":[{"type":"text","text":"call 1010000004 x"}]}}"#;
        assert!(check(good, stamp, &call(), true).is_ok());
        assert!(check(stale, stamp, &call(), true).is_err());
        assert!(
            check(stale, stamp, &Ask::Greet, true).is_ok(),
            "other answers carry the number once, as their id"
        );
    }

    #[test]
    fn an_error_is_caught_in_every_answer() {
        let stamp = Stamp::new(1, 5);
        for bad in [
            br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"x"}}"#.as_slice(),
            br#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}"#,
            b"",
        ] {
            assert!(check(bad, stamp, &call(), false).is_err());
        }
    }

    #[test]
    fn percentiles_are_kept_to_three_digits() {
        let mut latencies = histogram().unwrap();
        for us in 1..=10_000 {
            latencies.record(us).unwrap();
        }
        assert!(latencies.value_at_quantile(0.50).abs_diff(5_000) <= 5);
        assert!(latencies.value_at_quantile(0.99).abs_diff(9_900) <= 10);
        latencies.saturating_record(u64::MAX);
        assert_eq!(latencies.len(), 10_001, "a stall past the range is counted, not lost");
    }
}
