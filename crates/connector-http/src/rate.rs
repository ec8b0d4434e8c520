//! Keeping to an API's pace: what it documents, and what its answers say.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use catalog::api::Rate;
use tokio::time::Instant;

/// The longest wait that a call does before it goes out; what would wait longer is told so.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// One connection's pace, shared by all of its calls.
pub(crate) struct Pace {
    /// Time between two requests at the documented rate, and how many may go at once.
    every: Option<(Duration, u32)>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the next request would go if all went at the documented rate.
    next: Option<Instant>,
    /// The API said: not before.
    until: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(rate: &Rate) -> Self {
        let every = rate.limit.map(|(requests, seconds)| {
            (Duration::from_secs(u64::from(seconds)) / requests.max(1), requests.max(1))
        });
        Self { every, state: Mutex::default() }
    }

    /// Waits for a place; how long it would take where that is too long.
    pub(crate) async fn enter(&self) -> Result<(), Duration> {
        let wait = self.take(Instant::now())?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn take(&self, now: Instant) -> Result<Duration, Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let held = state.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let mut wait = held;
        let mut next = None;
        if let Some((every, burst)) = self.every {
            // A bucket that is full again after a whole window: `next` lags behind by what may go at once.
            let earliest = now.checked_sub(every * (burst - 1)).unwrap_or(now);
            let at = state.next.map_or(earliest, |at| at.max(earliest));
            wait = wait.max(at.saturating_duration_since(now));
            next = Some(at + every);
        }
        if wait > WAIT_MAX {
            return Err(wait);
        }
        state.next = next;
        Ok(wait)
    }

    /// The API said: not before so long.
    pub(crate) fn hold(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.until = Some(state.until.map_or(until, |at| at.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use catalog::api::Rate;
    use tokio::time::Instant;

    use super::Pace;

    #[test]
    fn a_window_may_be_used_at_once_and_then_at_its_pace() {
        let pace = Pace::new(&Rate { limit: Some((10, 10)), ..Rate::default() });
        let now = Instant::now();
        let waits: Vec<_> = (0..13).map(|_| pace.take(now)).collect();
        assert!(waits[..10].iter().all(|wait| *wait == Ok(Duration::ZERO)), "{waits:?}");
        assert_eq!(waits[10], Ok(Duration::from_secs(1)));
        assert_eq!(waits[12], Err(Duration::from_secs(3)));
    }

    #[test]
    fn what_the_api_says_goes_before() {
        let pace = Pace::new(&Rate::default());
        assert_eq!(pace.take(Instant::now()), Ok(Duration::ZERO));
        pace.hold(Duration::from_secs(60));
        assert!(pace.take(Instant::now()).unwrap_err() > Duration::from_secs(59));
    }
}
