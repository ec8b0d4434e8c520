//! The process itself, as `/proc` tells it; left out where there is none.

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Clock ticks per second in `/proc/*/stat`: `USER_HZ`, which is 100 for every program on Linux (the
/// kernel converts from its own rate).
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds what is known, under the names that Prometheus' own libraries use.
pub(super) fn register(registry: &mut Registry, start_seconds: f64) {
    let start = ConstGauge::new(start_seconds);
    registry.register_with_unit("start_time", "Since 1970", Unit::Seconds, start);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = resident_bytes(&status) {
        registry.register_with_unit(
            "resident_memory",
            "Resident memory",
            Unit::Bytes,
            ConstGauge::new(bytes),
        );
    }
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(seconds) = cpu_seconds(&stat) {
        registry.register_with_unit("cpu", "User and system time", Unit::Seconds, ConstCounter::new(seconds));
    }
}

/// `VmRSS:    12345 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Fields 14 and 15 (proc(5)); the second field, the name, may hold spaces and brackets itself.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut ticks = behind.split_whitespace().skip(11).map(str::parse::<f64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::{cpu_seconds, resident_bytes};

    #[test]
    fn the_two_files_are_read_by_their_definition() {
        assert_eq!(resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t   20 kB\n"), Some(20_480));
        assert_eq!(resident_bytes("nothing"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("7 (a"), None);
    }
}
