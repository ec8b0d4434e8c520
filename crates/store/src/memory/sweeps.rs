//! What is old, counted in memory.

use async_trait::async_trait;
use model::Timestamp;
use model::id::WorkspaceId;

use super::MemoryStore;
use crate::{Old, StoreError, Sweeps};

#[async_trait]
impl Sweeps for MemoryStore {
    async fn count_old(
        &self,
        workspace: WorkspaceId,
        what: Old,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.read(|state| {
            let is_ours = |connection| {
                state.connections.get(connection).is_some_and(|row| row.owner.workspace == workspace)
            };
            let count = match what {
                Old::Logs => {
                    let logs = state.logs.iter().filter(|(connection, _)| is_ours(connection));
                    logs.map(|(_, events)| events.keys().filter(|(at, _)| *at < before).count()).sum()
                }
                Old::Checks => {
                    let checks = state.health.iter().filter(|(connection, _)| is_ours(connection));
                    checks.map(|(_, events)| events.keys().filter(|(at, _)| *at < before).count()).sum()
                }
                Old::Hours => {
                    let hours = state.rollups.keys();
                    hours.filter(|(connection, hour)| is_ours(connection) && *hour < before).count()
                }
                Old::Requests => {
                    let requests = state.requests.values();
                    requests.filter(|row| row.key.workspace == workspace && row.expires_at <= before).count()
                }
                Old::Leases => state.old_leases(before, limit).len(),
            };
            count.min(limit)
        })
    }
}
