//! What is old, counted up to a limit: as much of the index is read as one step will take.

use async_trait::async_trait;
use model::Timestamp;
use model::id::WorkspaceId;
use store::{Old, StoreError, Sweeps, first_token};

use crate::PostgresStore;
use crate::error::unavailable;
use crate::sql::{int, rows};

#[async_trait]
impl Sweeps for PostgresStore {
    async fn count_old(
        &self,
        workspace: WorkspaceId,
        what: Old,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let query = match what {
            Old::Leases => sqlx::query_scalar::<_, i64>(
                "SELECT count(*) FROM (SELECT FROM leases WHERE expires_at <= $1 AND token <= $2 LIMIT $3) \
                 AS old",
            )
            .bind(before.0)
            .bind(int(first_token(before))),
            _ => sqlx::query_scalar::<_, i64>(of_workspace(what)).bind(workspace.uuid()).bind(before.0),
        };
        let count = query.bind(rows(limit)).fetch_one(&self.pool).await;
        let count = count.map_err(|error| unavailable("count what is old", error))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }
}

const fn of_workspace(what: Old) -> &'static str {
    match what {
        Old::Logs | Old::Leases => {
            "SELECT count(*) FROM (SELECT FROM integration_logs \
             WHERE workspace_id = $1 AND created_at < $2 LIMIT $3) AS old"
        }
        Old::Checks => {
            "SELECT count(*) FROM (SELECT FROM integration_health_metrics \
             WHERE workspace_id = $1 AND checked_at < $2 LIMIT $3) AS old"
        }
        Old::Hours => {
            "SELECT count(*) FROM (SELECT FROM health_rollups \
             WHERE workspace_id = $1 AND hour < $2 LIMIT $3) AS old"
        }
        Old::Requests => {
            "SELECT count(*) FROM (SELECT FROM idempotency_keys \
             WHERE workspace_id = $1 AND expires_at <= $2 LIMIT $3) AS old"
        }
    }
}
