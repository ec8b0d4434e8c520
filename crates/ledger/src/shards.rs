//! Where records wait for the writer: a few short lists, so that cores seldom meet at one lock.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use model::CallRecord;

/// Lists; more than the cores of the machines that hubs run on is not needed.
const SHARD_COUNT: usize = 16;
/// Records that one list holds.
pub(crate) const SHARD_RECORDS_MAX: usize = 8192;
/// Bytes of text that one list holds: recorded arguments can be large.
const SHARD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A list this long is worth writing before its time.
const BATCH_RECORDS: usize = 1024;

/// All the lists.
pub(crate) struct Shards {
    shards: [Mutex<Shard>; SHARD_COUNT],
}

#[derive(Default)]
struct Shard {
    records: Vec<CallRecord>,
    bytes: usize,
}

/// What became of a record.
pub(crate) struct Taken {
    /// `false` when there was no room.
    pub(crate) kept: bool,
    /// `true` once per batch: the writer should not wait any longer.
    pub(crate) is_batch_full: bool,
}

thread_local! {
    /// Which list this thread uses; given out in turn.
    static MINE: Cell<Option<usize>> = const { Cell::new(None) };
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

// === impl Shards ===

impl Shards {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    pub(crate) fn push(&self, record: CallRecord) -> Taken {
        let mine = MINE.get().unwrap_or_else(|| {
            let index = NEXT.fetch_add(1, Ordering::Relaxed) % SHARD_COUNT;
            MINE.set(Some(index));
            index
        });
        let Some(shard) = self.shards.get(mine) else {
            return Taken { kept: false, is_batch_full: false };
        };
        let bytes = text_bytes(&record);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.records.len() >= SHARD_RECORDS_MAX || shard.bytes + bytes > SHARD_BYTES_MAX {
            return Taken { kept: false, is_batch_full: false };
        }
        shard.bytes += bytes;
        shard.records.push(record);
        Taken { kept: true, is_batch_full: shard.records.len() == BATCH_RECORDS }
    }

    /// Moves everything into `out`, which lends its room: lists keep theirs and need not grow anew.
    pub(crate) fn drain_into(&self, out: &mut Vec<CallRecord>) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.bytes = 0;
            out.append(&mut shard.records);
        }
    }
}

fn text_bytes(record: &CallRecord) -> usize {
    record.arguments.as_ref().map_or(0, String::len)
        + record.detail.as_ref().map_or(0, String::len)
        + record.target.len()
}
