//! Idle keep-alive connections, one pool per thread: a request never waits for, or wakes, another core.
//!
//! The map sits behind a mutex that only its own thread takes (and, on a work-stealing runtime, a moved
//! task): it is never contended where it matters.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::http1::Conn;

/// Idle connections kept per origin and thread.
const IDLE_PER_ORIGIN_MAX: usize = 256;
/// Idle connections kept per thread.
const IDLE_MAX: usize = 4096;
/// How long a connection may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);
/// A connection that has been idle longer is looked at before it is used again.
const TRUSTED_FOR: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Idle {
    by_origin: HashMap<u64, Vec<(Box<Conn>, Instant)>>,
    count: usize,
}

#[derive(Default)]
struct Pool {
    idle: Mutex<Idle>,
    is_swept: AtomicBool,
}

thread_local! {
    static POOL: OnceCell<Arc<Pool>> = const { OnceCell::new() };
}

fn pool() -> Arc<Pool> {
    POOL.with(|cell| Arc::clone(cell.get_or_init(Arc::default)))
}

/// The most recently used connection to this origin that still looks alive.
pub(crate) fn take(origin: u64) -> Option<Box<Conn>> {
    let pool = pool();
    let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    loop {
        let (mut conn, since) = idle.by_origin.get_mut(&origin)?.pop()?;
        idle.count = idle.count.saturating_sub(1);
        let rested = now.saturating_duration_since(since);
        if rested < TRUSTED_FOR || (rested < IDLE_TIMEOUT && conn.is_quiet()) {
            return Some(conn);
        }
    }
}

/// Keeps a connection for the next request; drops it where there are enough.
pub(crate) fn put(origin: u64, conn: Box<Conn>) {
    let pool = pool();
    {
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.count >= IDLE_MAX {
            return;
        }
        let kept = idle.by_origin.entry(origin).or_default();
        if kept.len() >= IDLE_PER_ORIGIN_MAX {
            return;
        }
        kept.push((conn, Instant::now()));
        idle.count += 1;
    }
    // Without a runtime (a response dropped at shutdown) there is nobody to sweep for.
    if !pool.is_swept.swap(true, Ordering::Relaxed) {
        let reset = Reset(Arc::downgrade(&pool));
        if let Ok(handle) = tokio::runtime::Handle::try_current() {
            handle.spawn(sweep(reset));
        }
    }
}

/// Clears the flag however the sweeper ends, also when its runtime is shut down.
struct Reset(Weak<Pool>);

impl Drop for Reset {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.is_swept.store(false, Ordering::Relaxed);
        }
    }
}

/// Closes what has been idle for too long, and ends when nothing is left.
async fn sweep(pool: Reset) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT / 4).await;
        let Some(pool) = pool.0.upgrade() else { return };
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut count = 0;
        idle.by_origin.retain(|_, kept| {
            kept.retain_mut(|(conn, since)| {
                now.saturating_duration_since(*since) < IDLE_TIMEOUT && conn.is_quiet()
            });
            count += kept.len();
            !kept.is_empty()
        });
        idle.count = count;
        if count == 0 {
            return;
        }
    }
}
