//! The keys in memory: replaced whole, never changed, apart from the times of last use.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ahash::RandomState;
use model::id::ApiKeyId;
use model::{Caller, Timestamp};
use store::{ApiKeyRow, Touch};

/// A last use is noted at most this often, so that busy keys do not make cores fight over one number.
const NOTE_EVERY_MS: i64 = 1000;

/// Every key that is not revoked, by its digest.
#[derive(Default)]
pub(crate) struct Snapshot {
    entries: HashMap<[u8; 32], Entry, RandomState>,
}

#[derive(Clone)]
struct Entry {
    caller: Arc<Caller>,
    id: ApiKeyId,
    expires_at: Option<Timestamp>,
    /// Shared with the snapshot before and after.
    last_used: Arc<LastUsed>,
}

/// Both in milliseconds since the epoch; `i64::MIN` for never.
struct LastUsed {
    at: AtomicI64,
    flushed: AtomicI64,
}

/// Who the keys stand for at one moment.
#[derive(Debug, Default)]
pub struct Standing {
    callers: HashMap<ApiKeyId, Arc<Caller>, RandomState>,
    /// When the next of these keys runs out.
    pub next_end: Option<Timestamp>,
}

impl Standing {
    /// Whether `caller` is still who it was when it was let in: its key is good, and may do what it could, no
    /// more and no less. One without a key (the operator) stays.
    #[must_use]
    pub fn still_is(&self, caller: &Caller) -> bool {
        caller.api_key.is_none_or(|id| {
            self.callers.get(&id).is_some_and(|now| now.access == caller.access && now.owner == caller.owner)
        })
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The snapshot of `rows` that goes on counting this one's uses.
    pub(crate) fn renewed(&self, rows: Vec<ApiKeyRow>) -> Self {
        let uses: HashMap<ApiKeyId, &Arc<LastUsed>, RandomState> =
            self.entries.values().map(|entry| (entry.id, &entry.last_used)).collect();
        let entries = rows.into_iter().map(|row| {
            let last_used = uses.get(&row.id).map(|used| Arc::clone(used));
            let last_used = last_used.unwrap_or_else(|| Arc::new(LastUsed::since(row.last_used_at)));
            let caller = Caller {
                owner: row.owner,
                api_key: Some(row.id),
                principal: row.id.to_string().into(),
                access: Arc::new(row.access),
            };
            (
                row.digest,
                Entry { caller: Arc::new(caller), id: row.id, expires_at: row.expires_at, last_used },
            )
        });
        Self { entries: entries.collect() }
    }

    /// The same keys without one.
    pub(crate) fn without(&self, id: ApiKeyId) -> Self {
        let kept = self.entries.iter().filter(|(_, entry)| entry.id != id);
        Self { entries: kept.map(|(digest, entry)| (*digest, entry.clone())).collect() }
    }

    /// Whose key has this digest, unless it has expired. Looking a digest up takes no secret-dependent
    /// time that helps anybody: without the pepper, digests cannot be chosen.
    pub(crate) fn find(&self, digest: &[u8; 32], now: Timestamp) -> Option<Arc<Caller>> {
        let entry = self.entries.get(digest)?;
        if entry.expires_at.is_some_and(|end| now >= end) {
            return None;
        }
        if now.0.saturating_sub(entry.last_used.at.load(Ordering::Relaxed)) >= NOTE_EVERY_MS {
            entry.last_used.at.store(now.0, Ordering::Relaxed);
        }
        Some(Arc::clone(&entry.caller))
    }

    /// Who the keys stand for at `now`.
    pub(crate) fn standing(&self, now: Timestamp) -> Standing {
        let good = self.entries.values().filter(|entry| entry.expires_at.is_none_or(|end| now < end));
        let mut standing = Standing::default();
        for entry in good {
            standing.callers.insert(entry.id, Arc::clone(&entry.caller));
            standing.next_end = match (standing.next_end, entry.expires_at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        standing
    }

    /// The uses that are not written down yet.
    pub(crate) fn touches(&self) -> Vec<Touch> {
        let unwritten = self.entries.values().filter_map(|entry| {
            let at = entry.last_used.at.load(Ordering::Relaxed);
            let is_new = at > entry.last_used.flushed.load(Ordering::Relaxed);
            is_new.then_some(Touch {
                workspace: entry.caller.owner.workspace,
                id: entry.id,
                at: Timestamp(at),
            })
        });
        unwritten.collect()
    }

    /// These are written down.
    pub(crate) fn flushed(&self, touches: &[Touch]) {
        let written: HashMap<ApiKeyId, i64, RandomState> =
            touches.iter().map(|touch| (touch.id, touch.at.0)).collect();
        for entry in self.entries.values() {
            if let Some(at) = written.get(&entry.id) {
                entry.last_used.flushed.fetch_max(*at, Ordering::Relaxed);
            }
        }
    }
}

// === impl LastUsed ===

impl LastUsed {
    fn since(stored: Option<Timestamp>) -> Self {
        let at = stored.map_or(i64::MIN, |at| at.0);
        Self { at: AtomicI64::new(at), flushed: AtomicI64::new(at) }
    }
}
