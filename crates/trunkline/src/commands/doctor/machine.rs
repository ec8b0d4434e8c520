//! The machine: open files, the clock, and what connections may reach.

use std::path::Path;
use std::time::UNIX_EPOCH;

use model::{Clock, SystemClock, Timestamp};

use super::{Finding, Verdict, find};
use crate::commands::serve::least_open_files;
use crate::config::Config;
use crate::config::entry::{Shape, Transport};

/// No machine with a right clock says less: 2026-01-01, before this program's first release.
const EARLIEST_MS: i64 = 1_767_225_600_000;
/// How far ahead of the clock a file may be; file systems round.
const AHEAD_MS: i64 = 60_000;
/// How many keys of connections are named.
const NAMED_MAX: usize = 10;

/// Whether the system lets the hub hold as many connections as it is told to.
pub(super) fn open_files(config: &Config, findings: &mut Vec<Finding>) {
    // The hub raises the soft limit to the hard one by itself.
    let maximum = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    findings.push(judge_files(maximum, config.hub.limits.connections));
}

fn judge_files(maximum: Option<u64>, connections: usize) -> Finding {
    let least = least_open_files(connections);
    let (about, allowed) =
        ("open files".to_owned(), maximum.map_or("any number".to_owned(), |m| m.to_string()));
    match maximum {
        Some(maximum) if maximum < least => Finding {
            about,
            verdict: Verdict::Warning,
            what: format!("{allowed} allowed, {least} needed for limits.connections: {connections}"),
            remedy: Some(format!(
                "raise the hard limit to {least} (`LimitNOFILE=` of the service, `ulimit -Hn`), or lower limits.connections"
            )),
        },
        _ => Finding {
            about,
            verdict: Verdict::Ok,
            what: format!("{allowed} allowed, {least} needed at most"),
            remedy: None,
        },
    }
}

/// Whether the clock is right, as far as that shows without another one.
pub(super) fn clock(data: &Path, findings: &mut Vec<Finding>) {
    findings.push(judge_clock(SystemClock::new().now().0, newest(data)));
}

/// When something in the data folder was last written, in milliseconds since 1970.
fn newest(data: &Path) -> Option<i64> {
    let entries = std::fs::read_dir(data).ok()?;
    let written = |entry: std::io::Result<std::fs::DirEntry>| {
        let age = entry.ok()?.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(age.as_millis()).ok()
    };
    entries.filter_map(written).max()
}

fn judge_clock(now: i64, newest: Option<i64>) -> Finding {
    let remedy = "set it, and let the system keep it (`timedatectl set-ntp true`): certificates and the \
                  expiry of keys are judged by it, and ids sort by it";
    let (verdict, what) = match newest {
        _ if now < EARLIEST_MS => {
            (Verdict::Bad, format!("it says {}, which is long past", Timestamp(now).to_rfc3339()))
        }
        Some(newest) if newest > now.saturating_add(AHEAD_MS) => {
            let what = format!(
                "it says {}, and the data folder was written at {}",
                Timestamp(now).to_rfc3339(),
                Timestamp(newest).to_rfc3339()
            );
            (Verdict::Warning, what)
        }
        _ => (Verdict::Ok, Timestamp(now).to_rfc3339()),
    };
    let remedy = (verdict != Verdict::Ok).then(|| remedy.to_owned());
    Finding { about: "clock".to_owned(), verdict, what, remedy }
}

/// What connections may reach: nothing is wrong with any answer, but it should be known.
pub(super) fn egress(config: &Config, findings: &mut Vec<Finding>) {
    let (mut public, mut private, mut programs) = (0_usize, Vec::new(), 0_usize);
    for entry in &config.entries {
        let Shape::Mcp(mcp) = &entry.shape else { continue };
        match &mcp.transport {
            Transport::Stdio { .. } => programs += 1,
            Transport::Unix(_) => {}
            _ if mcp.private_allowed => private.push(entry.key.as_str()),
            _ => public += 1,
        }
    }
    if !private.is_empty() {
        let named = private.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        let more = private.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = format!("{} may reach private and loopback addresses: {named}{more}", private.len());
        find(findings, Verdict::Ok, "egress", what, None);
    }
    if public > 0 {
        find(findings, Verdict::Ok, "egress", format!("{public} may reach public addresses only"), None);
    }
    if programs > 0 {
        let what = format!("{programs} are programs of this machine, whose own connections nobody judges");
        find(findings, Verdict::Ok, "egress", what, None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::{EARLIEST_MS, judge_clock, judge_files};

    #[test]
    fn a_limit_below_what_the_configuration_promises_is_told_with_the_number_to_set() {
        for (maximum, verdict) in
            [(Some(4096), Verdict::Warning), (Some(11_024), Verdict::Ok), (None, Verdict::Ok)]
        {
            let finding = judge_files(maximum, 10_000);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            let remedy = finding.remedy.unwrap_or_default();
            assert_eq!(remedy.contains("11024"), verdict != Verdict::Ok, "{remedy}");
        }
    }

    #[test]
    fn a_clock_in_the_past_is_found() {
        let now = EARLIEST_MS + 1_000_000;
        for (clock, newest, verdict) in [
            (now, None, Verdict::Ok),
            (now, Some(now + 59_000), Verdict::Ok),
            (now, Some(now + 61_000), Verdict::Warning),
            (0, None, Verdict::Bad),
        ] {
            let finding = judge_clock(clock, newest);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert_eq!(finding.remedy.is_some(), verdict != Verdict::Ok);
        }
    }
}
