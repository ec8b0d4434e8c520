//! Who is calling: an API key in, a [`model::Caller`] out, without a database on the way.
//!
//! Not its job: what the caller may use (`policy`), or reading headers off a wire (the doors; they hand
//! what they found to [`bearer`]). Start reading at [`Identity`].

mod bearer;
mod error;
mod key;
mod origins;
mod snapshot;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use credential::KeyDigester;
use model::id::{ApiKeyId, WorkspaceId};
use model::{Access, Caller, Clock, Entropy, Fault, Owner, Secret, Timestamp};
use store::{ApiKeyRow, COMMANDS_MAX, Store};
use tokio::sync::{Mutex, watch};

use crate::snapshot::Snapshot;

pub use crate::snapshot::Standing;

pub use bearer::bearer;
pub use error::IdentityError;
pub use origins::Origins;

/// How often [`Identity::follow`] writes down when keys were last used.
const FLUSH_EVERY: Duration = Duration::from_secs(30);
/// How long [`Identity::follow`] waits after the store failed, at first and at most.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Authenticates callers from a snapshot in memory, and makes, rotates and revokes their keys.
pub struct Identity {
    store: Arc<dyn Store>,
    digester: KeyDigester,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    snapshot: ArcSwap<Snapshot>,
    /// Grows whenever the snapshot is replaced.
    epoch: AtomicU64,
    /// The same, for those who wait for it.
    changes: watch::Sender<u64>,
    /// One reload at a time, so that an older state never replaces a newer one.
    reloading: Mutex<()>,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Whose authority it carries.
    pub owner: Owner,
    /// What people call it.
    pub name: String,
    /// What it may see and use.
    pub access: Access,
    /// From when on it opens nothing; `None` for never.
    pub expires_at: Option<Timestamp>,
}

/// A key that was just made: the only moment at which its text is known.
#[derive(Debug)]
pub struct MadeKey {
    /// The key itself, `trk_...`.
    pub secret: Secret,
    /// What is stored of it.
    pub row: ApiKeyRow,
}

// === impl NewKey ===

impl NewKey {
    /// Whether it can be made as far as its own text goes; making it looks again.
    ///
    /// # Errors
    /// [`IdentityError`]: an unusable name or access list.
    pub fn check(&self) -> Result<(), IdentityError> {
        error::check(self.name.trim(), &self.access)
    }
}

// === impl Identity ===

impl Identity {
    /// Loads the keys there are.
    ///
    /// # Errors
    /// [`IdentityError::Store`].
    pub async fn load(
        store: Arc<dyn Store>,
        digester: KeyDigester,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, IdentityError> {
        let snapshot = ArcSwap::from_pointee(Snapshot::default());
        let identity = Self {
            store,
            digester,
            clock,
            entropy,
            snapshot,
            epoch: AtomicU64::new(0),
            changes: watch::Sender::new(0),
            reloading: Mutex::new(()),
        };
        identity.refresh().await?;
        Ok(identity)
    }

    /// Changes whenever a key may have begun or ceased to open something, its running out aside: what was
    /// authenticated under an earlier epoch has to be again.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn replace(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        let epoch = self.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        self.changes.send_replace(epoch);
    }

    /// Changes with [`Identity::epoch`]: for whoever has streams open and does not want to ask again and again.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Who the keys stand for at `now`, by key.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        self.snapshot.load().standing(now)
    }

    /// Whose key `presented` is, at `now`. No database, no heap allocation on success, no waiting.
    ///
    /// # Errors
    /// [`model::Code::UNAUTHENTICATED`], the same for unknown, revoked, expired and misspelt keys: the answer
    /// never tells whether a key exists.
    pub fn authenticate(&self, presented: &str, now: Timestamp) -> Result<Arc<Caller>, Fault> {
        // Not a secret: what a key looks like is documented. It keeps long garbage away from the HMAC.
        if !key::looks_like_one(presented) {
            return Err(bearer::refused());
        }
        let digest = self.digester.digest(presented);
        self.snapshot.load().find(&digest, now).ok_or_else(bearer::refused)
    }

    /// Makes a key that works from the next call on.
    ///
    /// # Errors
    /// [`IdentityError`]: an unusable name or access list, or the store's refusal.
    pub async fn make_key(&self, new: NewKey) -> Result<MadeKey, IdentityError> {
        let made = self.prepare(new)?;
        self.store.insert_api_key(made.row.clone()).await?;
        self.refresh_or_leave_it().await;
        Ok(made)
    }

    /// What is stored of a key, if the workspace has it, revoked or not.
    ///
    /// # Errors
    /// [`IdentityError::Store`].
    pub async fn find_key(
        &self,
        workspace: WorkspaceId,
        id: ApiKeyId,
    ) -> Result<Option<ApiKeyRow>, IdentityError> {
        Ok(self.store.find_api_key(workspace, id).await?)
    }

    /// Makes a key in the place of `id`, with its name, access and expiry; the old one goes on working for
    /// `overlap_ms` (0 ends it now). Sessions and sealed values of the old key are not the new one's.
    ///
    /// # Errors
    /// [`IdentityError`]: no such key in the workspace, a revoked one, or the store's refusal.
    pub async fn rotate_key(
        &self,
        workspace: WorkspaceId,
        id: ApiKeyId,
        overlap_ms: u32,
    ) -> Result<MadeKey, IdentityError> {
        let old = self.store.find_api_key(workspace, id).await?;
        let old = old.ok_or(store::StoreError::Missing { noun: "API key" })?;
        let ApiKeyRow { owner, name, access, expires_at, .. } = old;
        let made = self.prepare(NewKey { owner, name, access, expires_at })?;
        let old_expires_at = self.clock.now().plus_ms(i64::from(overlap_ms));
        self.store.rotate_api_key(id, old_expires_at, made.row.clone()).await?;
        self.refresh_or_leave_it().await;
        Ok(made)
    }

    /// Revokes a key: the next call with it is refused on this node, and on the others as soon as the
    /// change feed reaches them.
    ///
    /// # Errors
    /// [`IdentityError::Store`]: no such key in the workspace, or the store's refusal.
    pub async fn revoke_key(&self, workspace: WorkspaceId, id: ApiKeyId) -> Result<(), IdentityError> {
        self.store.revoke_api_key(workspace, id, self.clock.now()).await?;
        // Taken out here and not by reloading: no failure may leave it open.
        let _one = self.reloading.lock().await;
        self.replace(self.snapshot.load().without(id));
        Ok(())
    }

    /// The keys of a workspace, those in use first, newest first.
    ///
    /// # Errors
    /// [`IdentityError::Store`].
    pub async fn list_keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKeyRow>, IdentityError> {
        Ok(self.store.list_api_keys(workspace).await?)
    }

    /// Loads the keys anew. When that fails, those known stay as they are.
    ///
    /// # Errors
    /// [`IdentityError::Store`].
    pub async fn refresh(&self) -> Result<(), IdentityError> {
        let _one = self.reloading.lock().await;
        let rows = self.store.list_live_api_keys().await?;
        self.replace(self.snapshot.load().renewed(rows));
        Ok(())
    }

    /// Writes down when keys were last used, for those used since the last time.
    ///
    /// # Errors
    /// [`IdentityError::Store`]; then the next flush tries again.
    pub async fn flush_last_used(&self) -> Result<(), IdentityError> {
        let snapshot = self.snapshot.load_full();
        let touches = snapshot.touches();
        for some in touches.chunks(COMMANDS_MAX) {
            self.store.touch_api_keys(some.to_vec()).await?;
            snapshot.flushed(some);
        }
        Ok(())
    }

    /// Follows the store's change feed and flushes last uses now and then, until the store is gone. To be
    /// spawned once; dropping it is fine, with a last [`Identity::flush_last_used`] before the store closes.
    pub async fn follow(self: Arc<Self>) {
        let mut feed = self.store.subscribe();
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        let mut retry_after = RETRY_AFTER.0;
        // What changed between loading and subscribing is not announced any more.
        feed.mark_changed();
        loop {
            tokio::select! {
                changed = feed.changed() => if changed.is_err() { return },
                _ = flush.tick() => {
                    if let Err(error) = self.flush_last_used().await {
                        tracing::warn!(%error, "identity: last uses are not written down");
                    }
                    continue;
                }
            }
            match self.refresh().await {
                Ok(()) => retry_after = RETRY_AFTER.0,
                Err(IdentityError::Store(store::StoreError::Closed)) => return,
                Err(error) => {
                    tracing::error!(%error, "identity: keys are not reloaded; the known ones stay in force");
                    tokio::time::sleep(retry_after).await;
                    retry_after = (retry_after * 2).min(RETRY_AFTER.1);
                    feed.mark_changed();
                }
            }
        }
    }

    /// What was committed stands, and a key's text is known only now: a failing reload must not lose it.
    /// The feed has moved, so [`Identity::follow`] tries again until it works.
    async fn refresh_or_leave_it(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "identity: a change of keys takes effect with the next reload");
        }
    }

    fn prepare(&self, new: NewKey) -> Result<MadeKey, IdentityError> {
        let NewKey { owner, name, access, expires_at } = new;
        let name = name.trim().to_owned();
        error::check(&name, &access)?;
        let secret = key::make(&*self.entropy);
        let row = ApiKeyRow {
            id: ApiKeyId::new(&*self.clock, &*self.entropy),
            owner,
            name,
            prefix: secret.expose().chars().take(key::PREFIX_LEN).collect(),
            digest: self.digester.digest(secret.expose()),
            access,
            created_at: self.clock.now(),
            expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        Ok(MadeKey { secret, row })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}
