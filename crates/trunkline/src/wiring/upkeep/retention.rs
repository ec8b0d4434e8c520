//! Retention: old entries of logs, old health (after it was added to its hours), idempotency keys and leases
//! that are over, and old call records. In short steps, on one node at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ledger::Recorder;
use model::id::WorkspaceId;
use model::{Clock, Entropy, Timestamp};
use store::{LeaseCommand, Old, Store, StoreError, Under};

use super::{release, take};
use crate::config::upkeep::Retention;

/// The name of the lease that one node sweeps under.
const LEASE: &str = "sweep";
/// How long the lease is held without a sign of life, milliseconds.
const LEASE_MS: u32 = 120_000;
/// Rows of one step: a transaction of a few milliseconds.
const BATCH: usize = 500;
/// Between two steps, so that whoever waits to write goes first.
const BREATH: Duration = Duration::from_millis(5);
/// How long leases that are over are remembered, days: longer than any clock is wrong.
const LEASES_DAYS: u32 = 7;
const DAY_MS: i64 = 86_400_000;

/// See the head of the file.
pub(crate) struct Sweeper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// The call records of this node; every node has its own.
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) counters: Arc<api::Counters>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) keep: Retention,
}

/// How much went, of each sort.
pub(crate) type Swept = BTreeMap<&'static str, u64>;

// === impl Sweeper ===

impl Sweeper {
    /// Takes out everything that is too old by now. Does nothing in the store while another node does it.
    pub(crate) async fn once(&self) -> Result<Swept, StoreError> {
        let mut swept = Swept::new();
        self.sweep_calls(&mut swept).await;
        let (store, clock) = (&*self.store, &*self.clock);
        let Some(held) = take(store, clock, &*self.entropy, LEASE.to_owned(), LEASE_MS).await? else {
            return Ok(swept);
        };
        let result = self.sweep_store(held.token, &mut swept).await;
        release(store, held).await?;
        for (what, count) in &swept {
            self.counters.count_removed(what, *count);
        }
        if !swept.is_empty() {
            tracing::info!(removed = ?swept, "what was old is gone");
        }
        result.map(|()| swept)
    }

    async fn sweep_store(&self, token: u64, swept: &mut Swept) -> Result<(), StoreError> {
        for what in Old::ALL.iter().copied() {
            loop {
                let now = self.clock.now();
                self.store
                    .change_lease(LeaseCommand::Renew {
                        name: LEASE.to_owned(),
                        token,
                        now,
                        expires_at: now.plus_ms(i64::from(LEASE_MS)),
                    })
                    .await?;
                let under = Under { name: LEASE.to_owned(), token, now };
                let before = self.before(what, now);
                let count = self.store.sweep(self.workspace, what, before, BATCH, under).await?;
                if count > 0 {
                    *swept.entry(what.as_str()).or_default() += u64::try_from(count).unwrap_or(0);
                }
                if count < BATCH {
                    break;
                }
                tokio::time::sleep(BREATH).await;
            }
        }
        let now = self.clock.now();
        let under = Under { name: LEASE.to_owned(), token, now };
        self.store.drop_previous(self.workspace, now, under).await
    }

    /// What is older than this goes.
    fn before(&self, what: Old, now: Timestamp) -> Timestamp {
        let days = match what {
            Old::Logs => self.keep.logs_days,
            Old::Checks => self.keep.health_days,
            Old::Hours => self.keep.hours_days,
            Old::Requests => 0,
            Old::Leases => LEASES_DAYS,
        };
        now.plus_ms(-i64::from(days) * DAY_MS)
    }

    async fn sweep_calls(&self, swept: &mut Swept) {
        let Some(recorder) = &self.recorder else { return };
        let before = self.clock.now().plus_ms(-i64::from(self.keep.calls_days) * DAY_MS);
        match recorder.remove_before(before).await {
            Ok(0) => {}
            Ok(files) => {
                swept.insert("call_files", files);
            }
            Err(error) => tracing::warn!(%error, "old call records stay for now"),
        }
    }
}

#[cfg(test)]
mod tests;
