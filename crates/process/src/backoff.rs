//! How long to wait before starting again something that keeps ending. Pure: told how long it ran.

use std::time::Duration;

use model::Entropy;

/// The wait after the first failure.
pub const FIRST: Duration = Duration::from_millis(50);
/// The longest wait.
pub const MAX: Duration = Duration::from_secs(30);
/// What ran this long counts as healthy: the next failure is a first one again.
pub const STABLE: Duration = Duration::from_secs(10);

/// Waits that double from [`FIRST`] to [`MAX`]. Each is drawn between half and all of that ("equal jitter",
/// Brooker 2015), so that many children that fell together do not rise together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failure_count: u32,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { failure_count: 0 }
    }

    /// How long to wait now that it failed again after running for `ran`.
    pub fn next_wait(&mut self, ran: Duration, entropy: &dyn Entropy) -> Duration {
        let ceiling = self.next_ceiling(ran);
        let half_us = u64::try_from(ceiling.as_micros() / 2).unwrap_or(u64::MAX);
        let drawn_us = entropy.next_u64() % (half_us + 1);
        ceiling - Duration::from_micros(drawn_us)
    }

    /// The same without jitter.
    pub(crate) fn next_ceiling(&mut self, ran: Duration) -> Duration {
        if ran >= STABLE {
            self.failure_count = 0;
        }
        // 50 ms doubled ten times is past the longest wait.
        let doubled = FIRST * (1 << self.failure_count.min(10));
        self.failure_count = self.failure_count.saturating_add(1);
        doubled.min(MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::SeededEntropy;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..13).map(|_| backoff.next_ceiling(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits[..4], [50, 100, 200, 400]);
        assert_eq!(waits[9..], [25_600, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn jitter_takes_at_most_half_and_is_not_the_same_for_all() {
        let entropy = SeededEntropy::new(7);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let wait = Backoff::new().next_wait(Duration::ZERO, &entropy);
            assert!(wait >= FIRST / 2 && wait <= FIRST, "{wait:?}");
            seen.insert(wait);
        }
        assert!(seen.len() > 100);
    }

    #[test]
    fn a_long_run_forgives() {
        let entropy = SeededEntropy::new(7);
        let mut backoff = Backoff::new();
        for _ in 0..8 {
            backoff.next_wait(Duration::from_secs(9), &entropy);
        }
        assert!(backoff.next_wait(Duration::ZERO, &entropy) > Duration::from_secs(6));
        assert!(backoff.next_wait(STABLE, &entropy) <= FIRST);
    }

    #[test]
    fn failing_for_ever_overflows_nothing() {
        let mut backoff = Backoff { failure_count: u32::MAX };
        assert_eq!(backoff.next_ceiling(Duration::ZERO), MAX);
    }
}
