//! What the guard process itself does. No runtime, no threads, nothing that could fail on the way.

use std::collections::BTreeSet;
use std::io::{BufRead, Read};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgrp, kill_process_group, setsid, test_kill_process_group};

/// How long groups get between SIGTERM and SIGKILL, in steps.
const GRACE_STEPS: u32 = 50;
const GRACE_STEP: Duration = Duration::from_millis(10);
/// Longer than any line the hub writes.
const LINE_BYTES_MAX: u64 = 32;

/// The hidden command of the hub's program: reads `+PGID` and `-PGID` lines from stdin until they end, then
/// sends the remaining groups SIGTERM and, half a second later, SIGKILL. Returns the exit code.
#[must_use]
pub fn guard_main() -> i32 {
    // Refused when it leads a group already, which serves as well.
    let _ = setsid();
    end(&listen(std::io::stdin().lock()));
    0
}

/// The groups that are left when the hub is gone.
fn listen(mut hub: impl BufRead) -> BTreeSet<i32> {
    let mut groups = BTreeSet::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        // A read that fails means the same as the end: nobody is there to say anything.
        if !matches!(hub.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line), Ok(1..)) {
            return groups;
        }
        match parse(&line) {
            Some(('+', pgid)) => groups.insert(pgid),
            Some((_, pgid)) => groups.remove(&pgid),
            None => false,
        };
    }
}

fn parse(line: &[u8]) -> Option<(char, i32)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sign, number) = line.split_at_checked(1)?;
    let sign = sign.chars().next().filter(|sign| matches!(sign, '+' | '-'))?;
    // To the system 0 and 1 mean "my own group" and "everybody"; they are no child's.
    number.parse().ok().filter(|pgid| *pgid > 1).map(|pgid| (sign, pgid))
}

fn end(groups: &BTreeSet<i32>) {
    let own = getpgrp();
    let mut left: Vec<Pid> = groups.iter().filter_map(|pgid| Pid::from_raw(*pgid)).collect();
    left.retain(|group| *group != own && kill_process_group(*group, Signal::TERM).is_ok());
    for _ in 0..GRACE_STEPS {
        left.retain(|group| test_kill_process_group(*group) != Err(Errno::SRCH));
        if left.is_empty() {
            return;
        }
        std::thread::sleep(GRACE_STEP);
    }
    for group in left {
        // There is nobody left to report to, and nothing left to try.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_and_not_released_is_left() {
        let said: &[u8] = b"+100\n+200\n-100\n+300\n";
        assert_eq!(listen(said), BTreeSet::from([200, 300]));
    }

    #[test]
    fn numbers_that_mean_everybody_are_never_taken() {
        let said: &[u8] = b"+0\n+1\n+-1\n+-100\n+\n\n100\n*100\n+1x\n+99999999999\n\xff\n+7";
        assert_eq!(listen(said), BTreeSet::new(), "half a line at the end is none either");
    }

    #[test]
    fn an_endless_line_does_no_harm() {
        let mut said = vec![b'+'; 10_000];
        said.extend_from_slice(b"\n+100\n");
        assert_eq!(listen(&said[..]), BTreeSet::from([100]));
    }
}
