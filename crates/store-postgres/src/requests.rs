//! Idempotency keys: claimed once, with the answer kept for whoever asks again.

use async_trait::async_trait;
use sqlx::{PgConnection, Row};
use store::{RequestCommand, RequestKey, RequestRow, Requests, StoreError};

use crate::PostgresStore;
use crate::commands::{Failure, written};
use crate::sql::{Select, bytes, rows, time, trouble};

#[async_trait]
impl Requests for PostgresStore {
    async fn find_request(&self, key: &RequestKey) -> Result<Option<RequestRow>, StoreError> {
        let found = Select::new("SELECT digest, response, created_at, expires_at FROM idempotency_keys")
            .with(" WHERE workspace_id = ", key.workspace.uuid())
            .with(" AND caller = ", key.caller.clone())
            .with(" AND key = ", key.key.clone())
            .one(&self.pool, |row| {
                Ok(RequestRow {
                    key: key.clone(),
                    digest: bytes(row, 0)?,
                    response: row.try_get(1)?,
                    created_at: time(row, 2)?,
                    expires_at: time(row, 3)?,
                })
            });
        found.await.map_err(|e| trouble("find an idempotency key", e))
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) async fn run(db: &mut PgConnection, command: &RequestCommand) -> Result<(), Failure> {
    match command {
        RequestCommand::Claim { row, now } => {
            let claimed = sqlx::query(
                "INSERT INTO idempotency_keys (workspace_id, caller, key, digest, response, created_at, \
                 expires_at) VALUES ($1, $2, $3, $4, NULL, $5, $6) \
                 ON CONFLICT (workspace_id, caller, key) DO UPDATE SET digest = excluded.digest, \
                 response = NULL, created_at = excluded.created_at, expires_at = excluded.expires_at \
                 WHERE idempotency_keys.expires_at <= $7",
            )
            .bind(row.key.workspace.uuid())
            .bind(&row.key.caller)
            .bind(&row.key.key)
            .bind(row.digest.as_slice())
            .bind(row.created_at.0)
            .bind(row.expires_at.0)
            .bind(now.0)
            .execute(db)
            .await;
            let is_claimed = claimed.as_ref().is_ok_and(|done| done.rows_affected() == 0);
            written(claimed, "workspace", "the request exists already")?;
            if is_claimed { Err(StoreError::Claimed.into()) } else { Ok(()) }
        }
        RequestCommand::Finish { key, digest, response, expires_at } => {
            let done = sqlx::query(
                "UPDATE idempotency_keys SET response = $5, expires_at = $6 \
                 WHERE workspace_id = $1 AND caller = $2 AND key = $3 AND digest = $4 AND response IS NULL",
            )
            .bind(key.workspace.uuid())
            .bind(&key.caller)
            .bind(&key.key)
            .bind(digest.as_slice())
            .bind(response.as_slice())
            .bind(expires_at.0)
            .execute(db)
            .await?;
            match done.rows_affected() {
                0 => Err(StoreError::Conflict { detail: "the request is not under way" }.into()),
                _ => Ok(()),
            }
        }
        RequestCommand::Abandon { key, digest } => {
            sqlx::query(
                "DELETE FROM idempotency_keys WHERE workspace_id = $1 AND caller = $2 AND key = $3 \
                 AND digest = $4 AND response IS NULL",
            )
            .bind(key.workspace.uuid())
            .bind(&key.caller)
            .bind(&key.key)
            .bind(digest.as_slice())
            .execute(db)
            .await?;
            Ok(())
        }
        RequestCommand::Expire { workspace, now, limit } => {
            sqlx::query(
                "DELETE FROM idempotency_keys WHERE ctid IN (SELECT ctid FROM idempotency_keys \
                 WHERE workspace_id = $1 AND expires_at <= $2 ORDER BY expires_at LIMIT $3 FOR UPDATE)",
            )
            .bind(workspace.uuid())
            .bind(now.0)
            .bind(rows(*limit))
            .execute(db)
            .await?;
            Ok(())
        }
    }
}
