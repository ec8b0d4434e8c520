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
        let written = batch.iter().zip(&results).filter(|(_, result)| result.is_ok());
        // Before the acknowledgements: whoever has one finds the feed moved.
        feed.committed(written.flat_map(|(message, _)| &message.commands));
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
        db.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        for message in batch {
            results.push(write_one(db, &message.commands)?);
        }
        db.execute_batch("COMMIT").map_err(failed)
    })();
    if let Err(error) = committed {
        if !db.is_autocommit() && db.execute_batch("ROLLBACK").is_err() {
            tracing::error!("store: a failed transaction could not be rolled back");
        }
        let reason = error.fault().detail;
        tracing::error!(reason, transactions = batch.len(), "store: nothing of a group was written");
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
fn write_one(db: &Connection, commands: &[Command]) -> Result<Result<(), StoreError>, StoreError> {
    let step = |sql| db.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map_err(failed);
    step("SAVEPOINT message")?;
    let result = commands.iter().try_for_each(|command| run(db, command));
    if let Err(error) = &result
        && let Err(lost) = step("ROLLBACK TO message")
    {
        // A full disk ends the transaction by itself, and the savepoint with it: the group is over, and
        // what was wrong first is the reason.
        return Err(if db.is_autocommit() { error.clone() } else { lost });
    }
    step("RELEASE message")?;
    Ok(result)
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::unavailable("write", error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::id::{UserId, WorkspaceId};
    use model::{ManualClock, Owner, SeededEntropy, Timestamp};
    use rusqlite::Connection;
    use store::{ChangeFeed, Command, Fact, FactKind, NewOwner};

    use super::Writer;
    use crate::{migrate, open};

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn pages_max(db: &Connection, pages: i64) {
        db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_told_in_clear_words_and_takes_nothing_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(NOW);
        let path = folder.path().join("hub.db");
        let db = open::writer(&path, migrate::MIGRATIONS, &clock).unwrap();
        // SQLite answers as on a full disk when the file may not grow.
        let pages = db.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0)).unwrap();
        pages_max(&db, pages + 10);
        let writer = Writer::start(db, Arc::new(ChangeFeed::new())).unwrap();
        let entropy = SeededEntropy::new(1);
        let owner =
            Owner { workspace: WorkspaceId::new(&clock, &entropy), user: UserId::new(&clock, &entropy) };
        let new = NewOwner { owner, workspace_name: "home".into(), user_name: "ada".into(), created_at: NOW };
        writer.write(vec![Command::BootstrapOwner(Box::new(new))]).await.unwrap();
        let put = |length| Command::PutFact {
            workspace: owner.workspace,
            connection: "files".parse().unwrap(),
            kind: FactKind::Catalogue,
            fact: Fact { bytes: vec![1; length], updated_at: NOW },
        };
        writer.write(vec![put(10)]).await.unwrap();
        let full = writer.write(vec![put(1_000_000)]).await.unwrap_err();
        let fault = full.fault();
        assert!(fault.detail.contains("full"), "{fault}");
        assert_eq!(fault.blame, model::Blame::Operator);
        // What fits is still taken, and what was there still is.
        writer.write(vec![put(20)]).await.unwrap();
        writer.close().await;
        let db = open::writer(&path, migrate::MIGRATIONS, &clock).unwrap();
        let length = "SELECT length(bytes) FROM connection_facts";
        assert_eq!(db.query_row(length, [], |row| row.get::<_, i64>(0)).unwrap(), 20);
    }
}
