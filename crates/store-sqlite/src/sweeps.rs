//! What is old, counted up to a limit: as much of the index is read as one step will take.

use async_trait::async_trait;
use model::Timestamp;
use model::id::WorkspaceId;
use rusqlite::params;
use store::{Old, StoreError, Sweeps, first_token};

use crate::SqliteStore;
use crate::sql::{blob, int, one, rows};

#[async_trait]
impl Sweeps for SqliteStore {
    async fn count_old(
        &self,
        workspace: WorkspaceId,
        what: Old,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let found = self.readers.look("count what is old", move |db| {
            let workspace = blob(workspace);
            let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
            match what {
                Old::Leases => {
                    let sql = "SELECT count(*) FROM (SELECT 1 FROM leases \
                               WHERE expires_at <= ?1 AND token <= ?2 LIMIT ?3)";
                    one(db, sql, params![before.0, int(first_token(before)), rows(limit)], count)
                }
                _ => one(db, of_workspace(what), params![workspace, before.0, rows(limit)], count),
            }
        });
        Ok(found.await?.and_then(|count| usize::try_from(count).ok()).unwrap_or(0))
    }
}

const fn of_workspace(what: Old) -> &'static str {
    match what {
        Old::Logs | Old::Leases => {
            "SELECT count(*) FROM (SELECT 1 FROM integration_logs \
             WHERE workspace_id = ?1 AND created_at < ?2 LIMIT ?3)"
        }
        Old::Checks => {
            "SELECT count(*) FROM (SELECT 1 FROM integration_health_metrics \
             WHERE workspace_id = ?1 AND checked_at < ?2 LIMIT ?3)"
        }
        Old::Hours => {
            "SELECT count(*) FROM (SELECT 1 FROM health_rollups \
             WHERE workspace_id = ?1 AND hour < ?2 LIMIT ?3)"
        }
        Old::Requests => {
            "SELECT count(*) FROM (SELECT 1 FROM idempotency_keys \
             WHERE workspace_id = ?1 AND expires_at <= ?2 LIMIT ?3)"
        }
    }
}
