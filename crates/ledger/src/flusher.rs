//! The writing thread: sleeps while nothing happens, gathers for a moment, writes, says what is done.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use model::CallRecord;
use tokio::sync::{broadcast, watch};

use crate::shards::Shards;
use crate::sink::Sink;

/// How long records gather before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// How often observers are shown what has gathered meanwhile, while somebody looks on closely.
const SHOW: Duration = Duration::from_millis(10);
const SHOWS: u32 = 5;
/// How far the writing thread stands back behind the cores that serve calls.
const NICENESS: i32 = 10;
/// How long to wait after a failed write.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Bytes of one write.
const WRITE_BYTES: usize = 4 * 1024 * 1024;
/// The longest line. Longer ones lose their arguments first, then the end of their text.
pub(crate) const LINE_BYTES_MAX: usize = 256 * 1024;
/// Records that a listener may be behind.
const TAIL_MAX: usize = 1024;

/// What callers and the thread share.
pub(crate) struct Shared {
    pub(crate) shards: Shards,
    /// Set by the first record after the thread looked.
    pub(crate) awake: AtomicBool,
    pub(crate) stopped: AtomicBool,
    /// Flushes asked for so far.
    pub(crate) requested: AtomicU64,
    pub(crate) done: watch::Sender<Done>,
    pub(crate) written: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) torn: u64,
    pub(crate) tail: broadcast::Sender<Arc<str>>,
    pub(crate) observers: RwLock<Vec<Observer>>,
    /// How many look on closely.
    pub(crate) closely: AtomicUsize,
}

/// Sees every record once, on the writing thread.
pub(crate) type Observer = Box<dyn Fn(&CallRecord) + Send + Sync>;

/// How far the thread has come.
#[derive(Default)]
pub(crate) struct Done {
    /// The last flush that is answered.
    pub(crate) through: u64,
    /// Why it (and everything since) failed.
    pub(crate) error: Option<Arc<str>>,
}

/// Lines on their way to the disk; kept until they are there.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    first_id: String,
    records: u64,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(torn: u64) -> Self {
        Self {
            shards: Shards::new(),
            awake: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            requested: AtomicU64::new(0),
            done: watch::Sender::new(Done::default()),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            torn,
            tail: broadcast::Sender::new(TAIL_MAX),
            observers: RwLock::default(),
            closely: AtomicUsize::new(0),
        }
    }
}

/// Runs until stopped; then writes what is left once more and ends.
pub(crate) fn run(shared: &Shared, mut sink: Sink) {
    // Calls come first: on a machine that is all used, this thread waits for them and not they for it. (On
    // Linux priorities are per thread.) Without the right to it, it runs as it is.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
    let mut batch: Vec<CallRecord> = Vec::new();
    let mut chunk = Chunk::default();
    let mut reported_drops = 0;
    let mut is_failing = false;
    loop {
        let is_last = shared.stopped.load(Ordering::SeqCst);
        let ticket = shared.requested.load(Ordering::SeqCst);
        shared.awake.store(false, Ordering::Relaxed);
        let error = write_all(shared, &mut sink, &mut batch, &mut chunk, is_failing).err();
        is_failing = error.is_some();
        if let Some(error) = &error {
            tracing::error!(%error, "ledger: call records cannot be written");
        }
        report_drops(shared, &mut reported_drops);
        if is_last {
            let lost = chunk.records + u64::try_from(batch.len()).unwrap_or(u64::MAX);
            shared.dropped.fetch_add(lost, Ordering::Relaxed);
        }
        let through = if is_last { u64::MAX } else { ticket };
        shared.done.send_replace(Done { through, error: error.map(|error| error.to_string().into()) });
        if is_last {
            return;
        }
        let is_asked =
            || shared.requested.load(Ordering::SeqCst) != ticket || shared.stopped.load(Ordering::SeqCst);
        // A wake-up that comes between looking and sleeping is kept for the sleep, which then ends at once.
        if is_failing {
            std::thread::park_timeout(RETRY_AFTER);
            continue;
        }
        while !is_asked() && !shared.awake.load(Ordering::Relaxed) {
            std::thread::park();
        }
        if !is_asked() && shared.closely.load(Ordering::Relaxed) == 0 {
            std::thread::park_timeout(GATHER);
            continue;
        }
        for _ in 0..SHOWS {
            if is_asked() || batch.len() >= crate::shards::SHARD_RECORDS_MAX {
                break;
            }
            std::thread::park_timeout(SHOW);
            take(shared, &mut batch);
        }
    }
}

/// Writes what a failure left over, then everything that has gathered.
fn write_all(
    shared: &Shared,
    sink: &mut Sink,
    batch: &mut Vec<CallRecord>,
    chunk: &mut Chunk,
    was_failing: bool,
) -> std::io::Result<()> {
    if was_failing {
        // While the rest of a failed batch is here, nothing more is drained: the lists are what is bounded.
        write_batch(shared, sink, batch, chunk)?;
    }
    take(shared, batch);
    // By the time of the answer, newest first, and then written from the end: the file grows in the order
    // of answers, and taking from the end of a list is free.
    batch.sort_by_key(|record| std::cmp::Reverse(answered_us(record)));
    write_batch(shared, sink, batch, chunk)?;
    // A burst's room is given back, an ordinary batch's is kept.
    batch.shrink_to(crate::shards::SHARD_RECORDS_MAX);
    Ok(())
}

/// Adds what has gathered to the batch, and shows it to the observers.
fn take(shared: &Shared, batch: &mut Vec<CallRecord>) {
    let shown = batch.len();
    shared.shards.drain_into(batch);
    let observers = shared.observers.read().unwrap_or_else(PoisonError::into_inner);
    for record in batch.iter().skip(shown) {
        observers.iter().for_each(|observer| observer(record));
    }
}

/// Returns once the chunk and the batch are empty, or at the first failure, with the rest still there.
fn write_batch(
    shared: &Shared,
    sink: &mut Sink,
    batch: &mut Vec<CallRecord>,
    chunk: &mut Chunk,
) -> std::io::Result<()> {
    loop {
        while chunk.bytes.len() < WRITE_BYTES {
            let Some(record) = batch.pop() else { break };
            add(chunk, record, &shared.tail);
        }
        if chunk.records == 0 {
            return Ok(());
        }
        sink.append(&chunk.bytes, &chunk.first_id)?;
        shared.written.fetch_add(chunk.records, Ordering::Relaxed);
        chunk.bytes.clear();
        chunk.records = 0;
    }
}

fn add(chunk: &mut Chunk, record: CallRecord, tail: &broadcast::Sender<Arc<str>>) {
    if chunk.records == 0 {
        chunk.first_id = record.id.to_string();
    }
    let start = chunk.bytes.len();
    if !write_line(&mut chunk.bytes, start, &record) || chunk.bytes.len() - start > LINE_BYTES_MAX {
        write_line(&mut chunk.bytes, start, &shortened(record));
    }
    chunk.records += 1;
    if tail.receiver_count() > 0 {
        let line = chunk.bytes.get(start..).unwrap_or_default().trim_ascii_end();
        if let Ok(line) = std::str::from_utf8(line) {
            // Nobody listening any more is fine.
            let _listeners = tail.send(line.into());
        }
    }
}

/// Puts the record's line at `start`. `false` leaves nothing there.
fn write_line(bytes: &mut Vec<u8>, start: usize, record: &CallRecord) -> bool {
    bytes.truncate(start);
    let is_written = serde_json::to_writer(&mut *bytes, record).is_ok();
    if is_written {
        bytes.push(b'\n');
    } else {
        bytes.truncate(start);
    }
    is_written
}

/// The same record within the limit of a line, saying what was left out.
fn shortened(mut record: CallRecord) -> CallRecord {
    // Every text is cut to what is left when each of its bytes needs six in JSON.
    let cut = |text: &str| text.chars().take(LINE_BYTES_MAX / 64).collect::<String>();
    record.arguments =
        record.arguments.map(|arguments| format!("{{\"left_out_bytes\":{}}}", arguments.len()));
    record.detail = record.detail.map(|detail| cut(&detail));
    record.target = cut(&record.target).into();
    record
}

fn answered_us(record: &CallRecord) -> i64 {
    let duration = i64::try_from(record.duration_us).unwrap_or(i64::MAX);
    record.at.0.saturating_mul(1000).saturating_add(duration)
}

fn report_drops(shared: &Shared, reported: &mut u64) {
    let dropped = shared.dropped.load(Ordering::Relaxed);
    if dropped > *reported {
        tracing::warn!(dropped, since_last = dropped - *reported, "ledger: call records were dropped");
        *reported = dropped;
    }
}
