//! What the hub does by itself: how long it keeps what happened, and how often it looks after connections.

use super::fields::{Fields, Reading};

/// See the head of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Upkeep {
    /// How long things are kept.
    pub(crate) retention: Retention,
    /// Seconds between two checks of a connection whose integration names no interval; `None` for never.
    pub(crate) health_interval_s: Option<u64>,
}

/// How long things are kept, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Entries of the logs of connections.
    pub(crate) logs_days: u32,
    /// Single checks of health, before they are added to their hours.
    pub(crate) health_days: u32,
    /// Hours of health.
    pub(crate) hours_days: u32,
    /// Call records.
    pub(crate) calls_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { logs_days: 30, health_days: 7, hours_days: 400, calls_days: 30 }
    }
}

/// Reads `retention` and `health_interval`.
pub(super) fn read(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Upkeep {
    let health_interval_s = top.count("health_interval", 5, 86_400, reading);
    Upkeep { retention: retention(top, reading), health_interval_s }
}

fn retention(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Retention {
    let default = Retention::default();
    let Some(mut fields) = top.map("retention", reading) else { return default };
    let mut days = |name, usual: u32| {
        let found = fields.count(name, 1, 36_500, reading);
        found.and_then(|days| u32::try_from(days).ok()).unwrap_or(usual)
    };
    let retention = Retention {
        logs_days: days("logs_days", default.logs_days),
        health_days: days("health_days", default.health_days),
        hours_days: days("hours_days", default.hours_days),
        calls_days: days("calls_days", default.calls_days),
    };
    fields.finish(reading);
    retention
}
