//! Idempotency keys: claimed once, with the answer kept for whoever asks again.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use store::{RequestCommand, RequestKey, RequestRow, Requests, StoreError};

use crate::SqliteStore;
use crate::sql::{blob, execute, one, rows, time};

#[async_trait]
impl Requests for SqliteStore {
    async fn find_request(&self, key: &RequestKey) -> Result<Option<RequestRow>, StoreError> {
        let key = key.clone();
        self.readers
            .look("find an idempotency key", move |db| {
                let sql = "SELECT digest, response, created_at, expires_at FROM idempotency_keys \
                           WHERE workspace_id = ?1 AND caller = ?2 AND key = ?3";
                let found = one(db, sql, params![blob(key.workspace), key.caller, key.key], |row| {
                    Ok((row.get(0)?, row.get(1)?, time(row, 2)?, time(row, 3)?))
                })?;
                Ok(found.map(|(digest, response, created_at, expires_at)| RequestRow {
                    key,
                    digest,
                    response,
                    created_at,
                    expires_at,
                }))
            })
            .await
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) fn run(db: &Connection, command: &RequestCommand) -> Result<(), StoreError> {
    match command {
        RequestCommand::Claim { row, now } => {
            crate::commands::check_workspace(db, row.key.workspace)?;
            let sql = "INSERT INTO idempotency_keys (workspace_id, caller, key, digest, response, created_at, \
                       expires_at) VALUES (?1, ?2, ?3, ?4, NULL, ?5, ?6) \
                       ON CONFLICT (workspace_id, caller, key) DO UPDATE SET digest = excluded.digest, \
                       response = NULL, created_at = excluded.created_at, expires_at = excluded.expires_at \
                       WHERE idempotency_keys.expires_at <= ?7";
            let claimed = execute(
                db,
                sql,
                params![
                    blob(row.key.workspace),
                    row.key.caller,
                    row.key.key,
                    row.digest,
                    row.created_at.0,
                    row.expires_at.0,
                    now.0,
                ],
            )?;
            if claimed == 0 { Err(StoreError::Claimed) } else { Ok(()) }
        }
        RequestCommand::Finish { key, digest, response, expires_at } => {
            let sql = "UPDATE idempotency_keys SET response = ?5, expires_at = ?6 \
                       WHERE workspace_id = ?1 AND caller = ?2 AND key = ?3 AND digest = ?4 \
                       AND response IS NULL";
            let params = params![blob(key.workspace), key.caller, key.key, digest, response, expires_at.0];
            match execute(db, sql, params)? {
                0 => Err(StoreError::Conflict { detail: "the request is not under way" }),
                _ => Ok(()),
            }
        }
        RequestCommand::Abandon { key, digest } => {
            let sql = "DELETE FROM idempotency_keys WHERE workspace_id = ?1 AND caller = ?2 AND key = ?3 \
                       AND digest = ?4 AND response IS NULL";
            execute(db, sql, params![blob(key.workspace), key.caller, key.key, digest]).map(drop)
        }
        RequestCommand::Expire { workspace, now, limit } => {
            let sql = "DELETE FROM idempotency_keys WHERE rowid IN (SELECT rowid FROM idempotency_keys \
                       WHERE workspace_id = ?1 AND expires_at <= ?2 ORDER BY expires_at LIMIT ?3)";
            execute(db, sql, params![blob(*workspace), now.0, rows(*limit)]).map(drop)
        }
    }
}
