//! Checks added up: by the hour, and over a window.

use model::Timestamp;
use model::id::ConnectionId;

use super::Histogram;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;

/// The beginning of the hour that a moment is in.
#[must_use]
pub const fn hour_of(at: Timestamp) -> Timestamp {
    // A moment before all hours is in the first one.
    Timestamp(at.0.saturating_sub(at.0.rem_euclid(HOUR_MS)))
}

/// Checks added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// How many of them were good.
    pub successes: u64,
    /// All response times together, in milliseconds.
    pub total_ms: u64,
    /// The longest, in milliseconds.
    pub max_ms: u32,
    /// How they are spread.
    pub spread: Histogram,
}

/// One hour of one connection (table `health_rollups`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupRow {
    /// Which connection.
    pub connection: ConnectionId,
    /// When the hour began.
    pub hour: Timestamp,
    /// What its checks come to.
    pub tally: Tally,
}

/// What checks come to. Times are in milliseconds; those of no checks are 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HealthSummary {
    /// How many checks.
    pub count: u64,
    /// The share of good ones, 0 to 1; `None` without checks.
    pub success_rate: Option<f64>,
    /// The mean time.
    pub mean_ms: f64,
    /// Half are not slower; at most one eighth too large, like the two below.
    pub p50_ms: u32,
    /// 95 of 100 are not slower.
    pub p95_ms: u32,
    /// 99 of 100 are not slower.
    pub p99_ms: u32,
    /// The slowest.
    pub max_ms: u32,
}

// === impl Tally ===

impl Tally {
    /// Counts one check.
    pub fn add(&mut self, response_time_ms: u32, success: bool) {
        self.count += 1;
        self.successes += u64::from(success);
        self.total_ms = self.total_ms.saturating_add(u64::from(response_time_ms));
        self.max_ms = self.max_ms.max(response_time_ms);
        self.spread.add(response_time_ms);
    }

    /// Counts everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.successes += other.successes;
        self.total_ms = self.total_ms.saturating_add(other.total_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
        self.spread.merge(&other.spread);
    }

    /// What it comes to.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts and sums of milliseconds stay far below 2^52")]
    pub fn summary(&self) -> HealthSummary {
        let count = self.count.max(1) as f64;
        let at = |share| self.spread.per_mille(share).min(self.max_ms);
        HealthSummary {
            count: self.count,
            success_rate: (self.count > 0).then(|| self.successes as f64 / count),
            mean_ms: self.total_ms as f64 / count,
            p50_ms: at(500),
            p95_ms: at(950),
            p99_ms: at(990),
            max_ms: self.max_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::{HOUR_MS, hour_of};

    #[test]
    fn every_moment_is_in_an_hour() {
        assert_eq!(hour_of(Timestamp(HOUR_MS + 1)), Timestamp(HOUR_MS));
        assert_eq!(hour_of(Timestamp(-1)), Timestamp(-HOUR_MS));
        assert_eq!(hour_of(Timestamp(i64::MIN)), Timestamp(i64::MIN));
    }
}
