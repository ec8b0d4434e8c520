//! Puts the limits of a command on a process that was just started.

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::command::Limits;
use crate::error::SpawnError;

/// Sets `limits` on `pid`, soft and hard, so that the child cannot raise them again.
///
/// The child runs already: setting them before `execve` would take code between fork and exec, which
/// cannot be written without `unsafe`. For the microseconds in between it runs with the hub's own limits,
/// and a process it forked by then keeps those; the group is still ended as one.
///
/// # Errors
/// [`SpawnError::Limit`].
pub(crate) fn apply(limits: &Limits, pid: Pid) -> Result<(), SpawnError> {
    let wanted = [
        ("memory_bytes", Resource::As, limits.memory_bytes, 0),
        // A second between soft and hard: the exit then says SIGXCPU, which tells the reason.
        ("cpu_seconds", Resource::Cpu, limits.cpu_seconds, 1),
        ("open_files", Resource::Nofile, limits.open_files, 0),
        ("processes", Resource::Nproc, limits.processes, 0),
    ];
    for (limit, resource, value, slack) in wanted {
        let Some(value) = value else { continue };
        // Only root may raise a hard limit, and nobody needs to here.
        let ceiling = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let rlimit = Rlimit {
            current: Some(value.min(ceiling)),
            maximum: Some(value.saturating_add(slack).min(ceiling)),
        };
        match prlimit(Some(pid), resource, rlimit) {
            // Gone already; how it ended is told by its exit.
            Ok(_) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(SpawnError::Limit { limit, source: errno.into() }),
        }
    }
    Ok(())
}
