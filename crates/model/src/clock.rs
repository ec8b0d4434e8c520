//! Time as an argument, so that a month of retries runs in a test second.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment plus `ms` milliseconds, saturating.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; negative when `earlier` is later.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Timestamp {
    /// As RFC 3339 writes it, UTC: `2026-11-20T10:00:00Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let (date, [hour, minute, second, _]) = self.fields();
        format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// The same with milliseconds: `2026-11-20T10:00:00.000Z`.
    #[must_use]
    pub fn to_rfc3339_ms(self) -> String {
        let (date, [hour, minute, second, ms]) = self.fields();
        format!("{date}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }

    /// Reads what RFC 3339 writes, a date alone being its first moment. `None` for anything else.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| -> Option<i64> {
            let digits = text.get(range)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let mark = |at: usize, marks: &[u8]| text.as_bytes().get(at).is_some_and(|b| marks.contains(b));
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let is_date = mark(4, b"-") && mark(7, b"-") && (1..=12).contains(&month) && (1..=31).contains(&day);
        if !is_date {
            return None;
        }
        let days = days_from_civil(year, month, day);
        if text.len() == 10 {
            return Some(Self(days * DAY_MS));
        }
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let is_time = mark(10, b"Tt ") && mark(13, b":") && mark(16, b":");
        if !is_time || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut ms = 0;
        if let Some(after) = rest.strip_prefix('.') {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let fraction: String = after.get(..digits)?.chars().chain("000".chars()).take(3).collect();
            ms = fraction.parse().ok().filter(|_| digits > 0)?;
            rest = after.get(digits..)?;
        }
        let offset = match rest {
            "Z" | "z" => 0,
            _ => {
                let sign = match rest.as_bytes().first()? {
                    b'+' => 1,
                    b'-' => -1,
                    _ => return None,
                };
                let (hours, minutes) = rest.get(1..)?.split_once(':')?;
                if hours.len() != 2 || minutes.len() != 2 {
                    return None;
                }
                let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
                sign * (hours * 60 + minutes)
            }
        };
        Some(Self(days * DAY_MS + ((hour * 60 + minute - offset) * 60 + second) * 1000 + ms))
    }

    /// The date, and hour, minute, second and millisecond. Years are counted from March, in eras of 400.
    fn fields(self) -> (String, [i64; 4]) {
        let (days, of_day) = (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS));
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let time = [of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60, of_day % 1000];
        (format!("{year:04}-{month:02}-{day:02}"), time)
    }
}

const DAY_MS: i64 = 86_400_000;

/// The other way round; a day that its month does not have runs over into the next.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Wall-clock time.
    fn now(&self) -> Timestamp;
    /// Microseconds of a clock that never goes back; only differences mean anything.
    fn monotonic_us(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// The machine's clock, its monotonic side counted from now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A clock that a test moves by hand.
#[derive(Debug, Default)]
pub struct ManualClock {
    ms: AtomicI64,
}

impl ManualClock {
    /// A clock standing at `start`.
    #[must_use]
    pub const fn at(start: Timestamp) -> Self {
        Self { ms: AtomicI64::new(start.0) }
    }

    /// Moves both sides of the clock on by `ms`.
    pub fn advance_ms(&self, ms: i64) {
        self.ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.ms.load(Ordering::SeqCst))
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.ms.load(Ordering::SeqCst)).unwrap_or(0).saturating_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn moments_are_written_and_read_back() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_868_799_000, "2000-02-29T23:59:59.000Z"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp(ms).to_rfc3339_ms(), text);
            assert_eq!(Timestamp::from_rfc3339(text), Some(Timestamp(ms)));
        }
        assert_eq!(Timestamp(1_790_000_000_000).to_rfc3339(), "2026-09-21T14:13:20Z");
        assert_eq!(Timestamp::from_rfc3339("2026-09-21T16:13:20+02:00"), Some(Timestamp(1_790_000_000_000)));
        assert_eq!(Timestamp::from_rfc3339("2026-09-21"), Some(Timestamp(1_789_948_800_000)));
        for bad in
            ["", "2026", "2026-13-01", "2026-09-21T", "2026-09-21T25:00:00Z", "2026-09-21T14:13:20", "x"]
        {
            assert_eq!(Timestamp::from_rfc3339(bad), None, "{bad}");
        }
    }
}
