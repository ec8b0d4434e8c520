//! Idempotency keys, in memory.

use std::sync::Arc;

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::{RequestCommand, RequestKey, RequestRow, Requests, StoreError};

#[async_trait]
impl Requests for MemoryStore {
    async fn find_request(&self, key: &RequestKey) -> Result<Option<RequestRow>, StoreError> {
        self.read(|state| state.requests.get(key).map(|row| (**row).clone()))
    }
}

// === impl State ===

impl State {
    pub(super) fn run_request(&mut self, command: RequestCommand) -> Result<(), StoreError> {
        match command {
            RequestCommand::Claim { row, now } => {
                self.has_workspace(row.key.workspace)?;
                if self.requests.get(&row.key).is_some_and(|there| there.expires_at > now) {
                    return Err(StoreError::Claimed);
                }
                Arc::make_mut(&mut self.requests).insert(row.key.clone(), Arc::new(*row));
            }
            RequestCommand::Finish { key, digest, response, expires_at } => {
                let under_way = Arc::make_mut(&mut self.requests).get_mut(&key);
                let under_way = under_way.filter(|row| row.digest == digest && row.response.is_none());
                let row = under_way.ok_or(StoreError::Conflict { detail: "the request is not under way" })?;
                let row = Arc::make_mut(row);
                (row.response, row.expires_at) = (Some(response), expires_at);
            }
            RequestCommand::Abandon { key, digest } => {
                let is_under_way = |row: &Arc<RequestRow>| row.digest == digest && row.response.is_none();
                if self.requests.get(&key).is_some_and(is_under_way) {
                    Arc::make_mut(&mut self.requests).remove(&key);
                }
            }
            RequestCommand::Expire { workspace, now, limit } => {
                let over = |row: &&Arc<RequestRow>| row.key.workspace == workspace && row.expires_at <= now;
                let mut over: Vec<_> = self.requests.values().filter(over).map(Arc::clone).collect();
                over.sort_by_key(|row| row.expires_at);
                for row in over.into_iter().take(limit) {
                    Arc::make_mut(&mut self.requests).remove(&row.key);
                }
            }
        }
        Ok(())
    }
}
