//! Idle keep-alive connections and shared HTTP/2 connections, one pool per thread: a request never waits for, or
//! wakes, another core.
//!
//! The map sits behind a mutex that only its own thread takes (and, on a work-stealing runtime, a moved
//! task): it is never contended where it matters.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::http1::Conn;
use crate::http2::Shared;

/// Idle connections kept per origin and thread.
const IDLE_PER_ORIGIN_MAX: usize = 256;
/// Idle connections kept per thread.
const IDLE_MAX: usize = 4096;
/// How long a connection may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);
/// A connection that has been idle longer is looked at before it is used again.
const TRUSTED_FOR: Duration = Duration::from_millis(5);

/// Shared connections to one origin, per thread. Beyond them requests wait for a place.
const SHARED_PER_ORIGIN_MAX: usize = 8;

#[derive(Default)]
struct Idle {
    by_origin: HashMap<u64, Vec<(Box<Conn>, Instant)>>,
    count: usize,
    /// Connections that many share, and when each was last given out.
    shared: HashMap<u64, Vec<(Shared, Instant)>>,
    /// Origins of which it is being found out what they speak.
    dialling: HashMap<u64, Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Default)]
pub(crate) struct Pool {
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
    keep_swept(&pool);
}

/// A connection that is shared and has room, or the least busy one where there may be no more of them.
pub(crate) fn shared(origin: u64) -> Option<Shared> {
    let pool = pool();
    let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
    let all = idle.shared.get_mut(&origin)?;
    all.retain(|(one, _)| one.is_open());
    let is_full = all.len() >= SHARED_PER_ORIGIN_MAX;
    let found = match all.iter_mut().find(|(one, _)| one.has_room()) {
        Some(found) => found,
        None if is_full => all.iter_mut().min_by_key(|(one, _)| one.open())?,
        None => return None,
    };
    found.1 = Instant::now();
    Some(found.0.clone())
}

/// Lets others share a connection.
pub(crate) fn share(origin: u64, shared: &Shared) {
    let pool = pool();
    {
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.shared.entry(origin).or_default().push((shared.clone(), Instant::now()));
    }
    keep_swept(&pool);
}

/// Who dials an origin that may turn out to be shared. The others wait, so that a crowd does not open a connection
/// each where one would do.
pub(crate) enum Turn {
    /// The caller does; others wait until this is dropped.
    Mine(Dialling),
    /// Another one does; its end is when this can be locked.
    Wait(Arc<tokio::sync::Mutex<()>>),
}

pub(crate) struct Dialling {
    origin: u64,
    pool: Arc<Pool>,
    _held: OwnedMutexGuard<()>,
}

impl Drop for Dialling {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.dialling.remove(&self.origin);
    }
}

pub(crate) fn turn(origin: u64) -> Turn {
    let pool = pool();
    let gate = {
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(idle.dialling.entry(origin).or_default())
    };
    match Arc::clone(&gate).try_lock_owned() {
        Ok(held) => Turn::Mine(Dialling { origin, pool, _held: held }),
        Err(_) => Turn::Wait(gate),
    }
}

fn keep_swept(pool: &Arc<Pool>) {
    // Without a runtime (a response dropped at shutdown) there is nobody to sweep for.
    if !pool.is_swept.swap(true, Ordering::Relaxed) {
        let reset = Reset(Arc::downgrade(pool));
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
        // Letting go of one ends it, once its last stream is over.
        idle.shared.retain(|_, all| {
            all.retain(|(one, since)| {
                let rested = now.saturating_duration_since(*since);
                one.is_open() && (one.open() > 0 || rested < IDLE_TIMEOUT)
            });
            !all.is_empty()
        });
        if count == 0 && idle.shared.is_empty() {
            return;
        }
    }
}
