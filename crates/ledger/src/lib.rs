//! The record of calls: taken without ever making a call wait, kept in append-only files, searched.
//!
//! A call hands its [`CallRecord`] over and goes on; one thread writes what has gathered, at most every
//! 50 ms, with one write and one sync, as JSON lines. Not its job: the hub's own log (`tracing`), or
//! anything an answer depends on. Start reading at [`Recorder`].

mod error;
mod flusher;
#[cfg(test)]
mod fuzz;
mod reverse;
mod search;
mod segments;
mod shards;
mod sink;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use model::{CallRecord, Clock, Timestamp};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::flusher::Shared;
use crate::segments::Segments;
use crate::sink::{Ring, Sink};

pub use error::LedgerError;
pub use search::{CallFilter, SEARCH_MAX};

/// When a file is full and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerOptions {
    /// A new file is begun rather than letting one grow past this, in bytes.
    pub segment_bytes_max: u64,
    /// A new file is begun when the present one is this old, in milliseconds.
    pub segment_age_ms_max: i64,
    /// How many files are kept; the oldest goes when there are more.
    pub segments_max: usize,
}

/// How the ledger is doing, for status pages and alarms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerStatus {
    /// Records written since the start.
    pub written: u64,
    /// Records lost since the start because the buffer was full or the disk failed to the end.
    pub dropped: u64,
    /// Lines that a crash had cut short, found at the start.
    pub torn: u64,
    /// Why nothing can be written at present.
    pub failing: Option<Arc<str>>,
}

/// Takes, writes and finds call records.
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Thread,
    joining: Mutex<Option<JoinHandle<()>>>,
    place: Place,
}

/// Where written records are read back from.
enum Place {
    Folder(PathBuf),
    Memory(Arc<Mutex<Ring>>),
}

/// Somebody is looking; see [`Recorder::look_closely`].
pub struct Closely(Arc<Shared>);

impl Drop for Closely {
    fn drop(&mut self) {
        self.0.closely.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Recorder ===

impl Recorder {
    /// Keeps records in `folder` (made if need be, for its owner only), after those that are there.
    ///
    /// # Errors
    /// [`LedgerError::Open`].
    pub fn open(
        folder: impl AsRef<Path>,
        options: LedgerOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LedgerError> {
        let folder = folder.as_ref().to_owned();
        let (segments, torn) = Segments::open(&folder, options, clock)
            .map_err(|source| LedgerError::Open { folder: folder.clone(), source })?;
        Self::start(Sink::Files(segments), torn, Place::Folder(folder))
    }

    /// Keeps the newest records in memory, for the memory store: lost on restart.
    ///
    /// # Errors
    /// [`LedgerError::Start`].
    pub fn memory() -> Result<Self, LedgerError> {
        let ring = Arc::new(Mutex::new(Ring::default()));
        Self::start(Sink::Memory(Arc::clone(&ring)), 0, Place::Memory(ring))
    }

    fn start(sink: Sink, torn: u64, place: Place) -> Result<Self, LedgerError> {
        let shared = Arc::new(Shared::new(torn));
        let theirs = Arc::clone(&shared);
        let handle = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || flusher::run(&theirs, sink))
            .map_err(LedgerError::Start)?;
        Ok(Self { shared, thread: handle.thread().clone(), joining: Mutex::new(Some(handle)), place })
    }

    /// Takes a record. Never waits for the disk; when the buffer is full, the record is dropped and
    /// counted.
    pub fn record(&self, record: CallRecord) {
        if self.shared.stopped.load(Ordering::Relaxed) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let taken = self.shared.shards.push(record);
        if !taken.kept {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        // The shard's lock orders this read after the flusher's reset, so no wake-up is missed; and only
        // the first record of a batch pays for one.
        let is_asleep = !self.shared.awake.load(Ordering::Relaxed);
        if (is_asleep && !self.shared.awake.swap(true, Ordering::Relaxed)) || taken.is_batch_full {
            self.thread.unpark();
        }
    }

    /// How many records were lost since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// How the ledger is doing.
    #[must_use]
    pub fn status(&self) -> LedgerStatus {
        LedgerStatus {
            written: self.shared.written.load(Ordering::Relaxed),
            dropped: self.dropped(),
            torn: self.shared.torn,
            failing: self.shared.done.borrow().error.clone(),
        }
    }

    /// Waits until everything recorded before is durable (in memory: findable).
    ///
    /// # Errors
    /// [`LedgerError::Write`] when it could not be written; it is kept and tried again.
    pub async fn flush(&self) -> Result<(), LedgerError> {
        let ticket = self.shared.requested.fetch_add(1, Ordering::SeqCst) + 1;
        self.thread.unpark();
        let mut done = self.shared.done.subscribe();
        let done = done.wait_for(|done| done.through >= ticket).await.map_err(|_| LedgerError::Closed)?;
        done.error.clone().map_or(Ok(()), |detail| Err(LedgerError::Write { detail }))
    }

    /// The records that `filter` describes, newest first, those not yet written included.
    ///
    /// # Errors
    /// [`LedgerError::Read`].
    pub async fn search(&self, filter: CallFilter) -> Result<Vec<Value>, LedgerError> {
        if let Err(error) = self.flush().await {
            // What is on disk is worth showing all the same.
            tracing::warn!(%error, "ledger: searching without the newest records");
        }
        match &self.place {
            Place::Memory(ring) => {
                let lines = ring.lock().unwrap_or_else(PoisonError::into_inner).lines();
                Ok(search::in_memory(&lines, &filter))
            }
            Place::Folder(folder) => {
                let folder = folder.clone();
                let found = tokio::task::spawn_blocking(move || search::in_folder(&folder, &filter)).await;
                found.map_err(std::io::Error::other).and_then(|found| found).map_err(LedgerError::Read)
            }
        }
    }

    /// Removes the files whose every record is older than `before`, and tells how many. The newest file
    /// stays, and what is only in memory goes by itself.
    ///
    /// # Errors
    /// [`LedgerError::Read`].
    pub async fn remove_before(&self, before: Timestamp) -> Result<u64, LedgerError> {
        let Place::Folder(folder) = &self.place else { return Ok(0) };
        let folder = folder.clone();
        let removed = tokio::task::spawn_blocking(move || segments::remove_before(&folder, before)).await;
        removed.map_err(std::io::Error::other).and_then(|removed| removed).map_err(LedgerError::Read)
    }

    /// Every record from now on, as the JSON line that is written. Costs nothing while nobody listens; a
    /// listener that falls 1,024 records behind misses some and is told so by the channel.
    #[must_use]
    pub fn tail(&self) -> broadcast::Receiver<Arc<str>> {
        self.shared.tail.subscribe()
    }

    /// Shows every record that is taken from now on to `observer`, once, on the writing thread and before
    /// it is written: for counting and for showing calls live. It must be quick and must not wait. Each of
    /// several observers sees every record.
    pub fn observe(&self, observer: impl Fn(&CallRecord) + Send + Sync + 'static) {
        self.shared.observers.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(observer));
    }

    /// While the answer lives, observers see records within 10 ms instead of 50: somebody is looking.
    /// What is written, and how often, stays as it is.
    #[must_use]
    pub fn look_closely(&self) -> Closely {
        self.shared.closely.fetch_add(1, Ordering::Relaxed);
        Closely(Arc::clone(&self.shared))
    }

    /// Writes what has gathered and ends the thread. Records after this are counted as dropped.
    pub async fn close(&self) {
        self.stop();
        let handle = self.joining.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            let joined = tokio::task::spawn_blocking(move || handle.join().is_ok()).await;
            if !matches!(joined, Ok(true)) {
                tracing::error!("ledger: the writer ended badly");
            }
        }
    }

    fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop();
        let handle = self.joining.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if handle.is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("ledger: the writer ended badly");
        }
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Default for LedgerOptions {
    /// 64 MiB or a day per file, 32 files.
    fn default() -> Self {
        Self { segment_bytes_max: 64 * 1024 * 1024, segment_age_ms_max: 86_400_000, segments_max: 32 }
    }
}
