//! When an open-loop connection sends: at moments fixed in advance, however late the answers are. Latency is counted
//! from those moments, so a stall is charged to every request it delayed (no coordinated omission).

use anyhow::{Result, bail};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::clock;

/// The fixed moments of one connection, and the timer that waits for them. The runtime's own timers tick in
/// milliseconds, too coarse for what is measured here; the kernel's do not.
#[derive(Debug)]
pub(crate) struct Pace {
    next_us: f64,
    interval_us: f64,
    /// A kernel timer, read like the pipe it behaves like.
    timer: pipe::Receiver,
}

impl Pace {
    /// The schedule of connection `index` of `connections` that together send `rate` requests a second.
    pub(crate) fn new(rate: f64, index: usize, connections: usize) -> Result<Self> {
        let interval_us = 1e6 * count(connections) / rate;
        let offset_us = interval_us * count(index) / count(connections);
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self {
            next_us: micros(clock::now_us()) + offset_us,
            interval_us,
            timer: pipe::Receiver::from_owned_fd_unchecked(timer)?,
        })
    }

    /// Waits for the next moment and returns it; at once when it has passed.
    pub(crate) async fn next(&mut self) -> Result<u64> {
        let due = whole(self.next_us);
        self.next_us += self.interval_us;
        let wait_us = due.saturating_sub(clock::now_us());
        if wait_us > 0 {
            self.wait(wait_us).await?;
        }
        Ok(due)
    }

    async fn wait(&mut self, us: u64) -> Result<()> {
        let value = Timespec {
            tv_sec: i64::try_from(us / 1_000_000)?,
            tv_nsec: i64::try_from(us % 1_000_000 * 1000)?,
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        // The timer gives eight bytes; room for more tells the runtime, without another call, that nothing is left.
        let mut expirations = [0; 16];
        if self.timer.read(&mut expirations).await? == 0 {
            bail!("the timer ended");
        }
        Ok(())
    }
}

fn count(value: usize) -> f64 {
    value as f64
}

fn micros(value: u64) -> f64 {
    value as f64
}

fn whole(value: f64) -> u64 {
    value as u64
}
