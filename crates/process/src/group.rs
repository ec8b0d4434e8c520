//! One process group: the child, and whatever it started (`npx` starts `node`).

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid};

use crate::guard::Guard;

/// How often a group is asked whether it is empty.
const POLL: Duration = Duration::from_millis(10);
/// How long to wait for killed processes to disappear. They run no more; only an init process that is slow
/// to bury the dead takes longer, and nothing here depends on it.
const KILLED_POLLS_MAX: u32 = 10;

/// A group that the guard knows. Dropping it kills what is left of it.
///
/// The number of a group stays taken while it has members, and the system hands numbers out in a circle, so
/// that a group found empty a moment ago cannot have become someone else's by the next poll.
#[derive(Debug)]
pub(crate) struct Group {
    pgid: Pid,
    guard: Guard,
    is_over: bool,
}

impl Group {
    /// The group of a child that the guard watches over from now on.
    pub(crate) fn new(pgid: Pid, guard: Guard) -> Self {
        Self { pgid, guard, is_over: false }
    }

    /// Sends `signal` to every member. That nobody is there any more is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Err(errno) = kill_process_group(self.pgid, signal)
            && errno != Errno::SRCH
        {
            tracing::warn!(pgid = self.pgid.as_raw_pid(), ?signal, %errno, "process group not signalled");
        }
    }

    /// Ends what is left once the first process is gone: SIGTERM, up to `grace`, SIGKILL.
    pub(crate) async fn sweep(mut self, grace: Duration) {
        if !self.is_empty() && !grace.is_zero() {
            self.signal(Signal::TERM);
            let polls = u32::try_from(grace.as_millis() / POLL.as_millis()).unwrap_or(u32::MAX);
            self.empties_within(polls).await;
        }
        if !self.is_empty() {
            self.signal(Signal::KILL);
            self.empties_within(KILLED_POLLS_MAX).await;
        }
        self.is_over = true;
        self.guard.release(self.pgid.as_raw_pid());
    }

    async fn empties_within(&self, polls: u32) {
        for _ in 0..polls {
            if self.is_empty() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Only for after the first process was waited for: it would be taken from the runtime here.
    fn is_empty(&self) -> bool {
        // As the first process of a container the hub inherits orphans, and has to bury them.
        while let Ok(Some(_)) = waitpgid(self.pgid, WaitOptions::NOHANG) {}
        matches!(test_kill_process_group(self.pgid), Err(Errno::SRCH))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.is_over {
            self.signal(Signal::KILL);
            self.guard.release(self.pgid.as_raw_pid());
        }
    }
}
