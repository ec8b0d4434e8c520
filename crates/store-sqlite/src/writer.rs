//! The one thread that writes: it drains its queue, commits the lot with one sync, then acknowledges.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use store::{ChangeFeed, Command, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::commands::run;

/// Transactions that wait to be written.
const QUEUE_MAX: usize = 1024;
/// Transactions that share one commit.
const BATCH_MAX: usize = 512;
/// How long a caller waits for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(10);

/// The handle to the thread.
pub(crate) struct Writer {
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Message>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Message {
    commands: Vec<Command>,
    ack: oneshot::Sender<Result<(), StoreError>>,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn start(db: Connection, feed: Arc<ChangeFeed>) -> Result<Self, StoreError> {
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_until_closed(&db, messages, &feed))
            .map_err(|e| StoreError::unavailable("start its writer", e))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Returns once the commands are durable or refused. They may still be carried out when the caller
    /// stops waiting.
    pub(crate) async fn write(&self, commands: Vec<Command>) -> Result<(), StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or(StoreError::Closed)?;
        let (ack, answer) = oneshot::channel();
        match queue.send_timeout(Message { commands, ack }, QUEUE_WAIT).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(StoreError::Busy),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(StoreError::Closed),
        }
        // The thread must see the channel close even while callers wait for their answers.
        drop(queue);
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Takes no more, finishes what was taken, folds the log into the file.
    pub(crate) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
            if !matches!(joined, Ok(true)) {
                tracing::error!("store: the writer ended badly");
            }
        }
    }
}

fn write_until_closed(db: &Connection, mut messages: mpsc::Receiver<Message>, feed: &ChangeFeed) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while let Some(first) = messages.blocking_recv() {
        batch.push(first);
        while batch.len() < BATCH_MAX {
            let Ok(next) = messages.try_recv() else { break };
            batch.push(next);
        }
        let results = write_batch(db, &batch);
        let mut written = batch.iter().zip(&results).filter(|(_, result)| result.is_ok());
        // Before the acknowledgements: whoever has one finds the feed moved.
        if written.any(|(message, _)| message.commands.iter().any(Command::wakes_feed)) {
            feed.bump();
        }
        for (message, result) in batch.drain(..).zip(results) {
            // Nobody may be waiting any more; the write stands all the same.
            let _gone = message.ack.send(result);
        }
    }
    // Only tidiness: a log that is left behind is folded in at the next start.
    if let Err(error) = db.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);") {
        tracing::warn!(%error, "store: the log was not folded into the file on closing");
    }
}

/// One result per message. A message that fails takes only itself back; a commit that fails takes all.
fn write_batch(db: &Connection, batch: &[Message]) -> Vec<Result<(), StoreError>> {
    let mut results = Vec::with_capacity(batch.len());
    let committed = (|| {
        db.execute_batch("BEGIN IMMEDIATE")?;
        for message in batch {
            results.push(write_one(db, &message.commands)?);
        }
        db.execute_batch("COMMIT")
    })();
    if let Err(error) = committed {
        if !db.is_autocommit() && db.execute_batch("ROLLBACK").is_err() {
            tracing::error!("store: a failed transaction could not be rolled back");
        }
        tracing::error!(%error, transactions = batch.len(), "store: nothing of a group was written");
        let error = StoreError::unavailable("write", error);
        // Those that had failed for reasons of their own keep them.
        results.resize_with(batch.len(), || Ok(()));
        for result in &mut results {
            if result.is_ok() {
                *result = Err(error.clone());
            }
        }
    }
    results
}

/// Inside its own savepoint. The outer error is the end of the whole group.
fn write_one(db: &Connection, commands: &[Command]) -> rusqlite::Result<Result<(), StoreError>> {
    db.prepare_cached("SAVEPOINT message")?.execute([])?;
    let result = commands.iter().try_for_each(|command| run(db, command));
    if result.is_err() {
        // A full disk ends the transaction by itself; then this fails too, which ends the group.
        db.prepare_cached("ROLLBACK TO message")?.execute([])?;
    }
    db.prepare_cached("RELEASE message")?.execute([])?;
    Ok(result)
}
