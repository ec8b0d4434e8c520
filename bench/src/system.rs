//! What the operating system says about a process and about the machine, read from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// The machine a result was measured on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// The processor's own name.
    pub(crate) cpu: String,
    /// Cores this process may use.
    pub(crate) cores: usize,
    /// Kernel name and release.
    pub(crate) kernel: String,
    /// Total memory in MB.
    pub(crate) memory_mb: u64,
}

/// Reads what there is to say about this machine; what cannot be read is left empty.
pub(crate) fn machine() -> Machine {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        cpu: field(&cpu_info, "model name").unwrap_or_default().to_owned(),
        cores: crate::cores::count(),
        kernel: format!("Linux {}", release.trim()),
        memory_mb: field(&memory, "MemTotal").and_then(kilobytes).unwrap_or(0) / 1024,
    }
}

/// User and system time that `pid` itself has used, in microseconds; its children are not counted.
pub(crate) fn cpu_us(pid: u32) -> Result<u64> {
    let stat =
        fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("/proc/{pid}/stat is not as expected"))?;
    Ok(ticks.saturating_mul(1_000_000) / rustix::param::clock_ticks_per_second())
}

/// Resident memory of `pid` in kB.
pub(crate) fn resident_kb(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone"))?;
    field(&status, "VmRSS")
        .and_then(kilobytes)
        .with_context(|| format!("process {pid} shows no resident memory"))
}

/// The processes that `pid` has started itself.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Raises the limit of open files of this process, and of those it starts, as far as allowed, and returns it.
pub(crate) fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves the limit as it was, which the caller prints.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Asks `pid` to end (SIGTERM).
pub(crate) fn terminate(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // A process that is already gone is what was wanted.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Keeps the calling thread, and what it starts, on one core.
pub(crate) fn pin_this_thread(core: usize) -> Result<()> {
    Ok(sched_setaffinity(None, &only(core))?)
}

/// Keeps every thread of the process `pid` on one core.
pub(crate) fn pin(pid: u32, core: usize) -> Result<()> {
    place(pid, &only(core))
}

/// Lets every thread of the process `pid` run where the calling thread may.
pub(crate) fn unpin(pid: u32) -> Result<()> {
    place(pid, &sched_getaffinity(None)?)
}

/// Waits, on a thread that does nothing else.
pub(crate) fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn place(pid: u32, cores: &CpuSet) -> Result<()> {
    let threads =
        fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    for thread in threads {
        let thread =
            thread?.file_name().to_string_lossy().parse().ok().and_then(rustix::process::Pid::from_raw);
        // A thread may end between being listed and being moved.
        match sched_setaffinity(thread, cores) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot place process {pid}")),
        }
    }
    Ok(())
}

fn only(core: usize) -> CpuSet {
    let mut cores = CpuSet::new();
    cores.set(core);
    cores
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn kilobytes(value: &str) -> Option<u64> {
    value.split_whitespace().next()?.parse().ok()
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    // The second field is the program's name and may hold spaces and brackets: count from its last bracket. User and
    // system time are fields 14 and 15 of the line, so 12 and 13 of the rest.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_brackets() {
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 40 2 900 900 20 0";
        assert_eq!(cpu_ticks(stat), Some(42), "children's time (900) must not be counted");
    }

    #[test]
    fn this_process_has_memory_and_no_made_up_children() {
        assert!(resident_kb(std::process::id()).unwrap() > 100);
        assert!(children(u32::MAX).is_empty());
    }
}
