//! The one clock of the bench, in microseconds.

use std::sync::LazyLock;

use model::{Clock, SystemClock};

static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);

/// Microseconds since the bench first asked; never goes back.
pub(crate) fn now_us() -> u64 {
    CLOCK.monotonic_us()
}

/// Milliseconds since the Unix epoch, for the report only.
pub(crate) fn wall_ms() -> i64 {
    CLOCK.now().0
}
