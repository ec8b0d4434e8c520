//! API keys as they are stored: a digest and what the key may do, never the key.

use async_trait::async_trait;
use model::id::{ApiKeyId, WorkspaceId};
use model::{Access, Owner, Timestamp};

use crate::{Command, StoreError, Transactions};

/// The most keys of one workspace that are not revoked. Lists are as long as this, so that every key
/// that opens something is always on them.
pub const API_KEYS_MAX: usize = 2_000;

/// One API key.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Which key.
    pub id: ApiKeyId,
    /// Whose authority it carries.
    pub owner: Owner,
    /// What people call it. Names may repeat (a rotated key keeps its name).
    pub name: String,
    /// The first 8 characters of the key, to recognise it by.
    pub prefix: String,
    /// `credential::KeyDigester::digest` of the key; unique.
    pub digest: [u8; 32],
    /// What it may see and use.
    pub access: Access,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, give or take the flush interval.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// "This key was used then."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// The key's workspace.
    pub workspace: WorkspaceId,
    /// Which key.
    pub id: ApiKeyId,
    /// When.
    pub at: Timestamp,
}

/// The store of API keys.
#[async_trait]
pub trait ApiKeys: Transactions {
    /// The keys of a workspace: those not revoked first, newest first; at most [`API_KEYS_MAX`].
    async fn list_api_keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKeyRow>, StoreError>;

    /// One key of a workspace.
    async fn find_api_key(
        &self,
        workspace: WorkspaceId,
        id: ApiKeyId,
    ) -> Result<Option<ApiKeyRow>, StoreError>;

    /// The key with this digest, of whichever workspace: the digest is what proves the right to ask.
    async fn find_api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError>;

    /// Every key of every workspace that is not revoked, for the snapshot that authenticates callers.
    async fn list_live_api_keys(&self) -> Result<Vec<ApiKeyRow>, StoreError>;

    /// Adds a key.
    async fn insert_api_key(&self, row: ApiKeyRow) -> Result<(), StoreError> {
        self.apply(vec![Command::InsertApiKey(Box::new(row))]).await
    }

    /// Revokes a key; one that is revoked already keeps its time.
    async fn revoke_api_key(
        &self,
        workspace: WorkspaceId,
        id: ApiKeyId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.apply(vec![Command::RevokeApiKey { workspace, id, at }]).await
    }

    /// Puts `new` in the place of `old`, which goes on opening things until `old_expires_at`.
    async fn rotate_api_key(
        &self,
        old: ApiKeyId,
        old_expires_at: Timestamp,
        new: ApiKeyRow,
    ) -> Result<(), StoreError> {
        let workspace = new.owner.workspace;
        let retire = Command::RetireApiKey { workspace, id: old, expires_at: old_expires_at };
        self.apply(vec![retire, Command::InsertApiKey(Box::new(new))]).await
    }

    /// Remembers when keys were last used. Keys that are gone are skipped; no time moves back.
    async fn touch_api_keys(&self, touches: Vec<Touch>) -> Result<(), StoreError> {
        self.apply(vec![Command::TouchApiKeys(touches)]).await
    }
}

impl std::fmt::Debug for ApiKeyRow {
    /// The digest stays out of logs: it is what a guesser would check guesses against.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeyRow").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}
