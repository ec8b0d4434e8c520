//! Data keys: wrapped bytes in and out.

use async_trait::async_trait;
use model::id::WorkspaceId;
use sqlx::{PgConnection, Row};
use store::{DataKeyCommand, DataKeyRow, DataKeyState, DataKeys, StoreError};

use crate::PostgresStore;
use crate::commands::{Failure, lock_workspace};
use crate::sql::{Select, bytes, id, known, number, time, trouble};

#[async_trait]
impl DataKeys for PostgresStore {
    async fn list_data_keys(&self, workspace: WorkspaceId) -> Result<Vec<DataKeyRow>, StoreError> {
        let found = Select::new(
            "SELECT workspace_id, version, wrapped, master_key_id, state, created_at FROM workspace_keys",
        )
        .with(" WHERE workspace_id = ", workspace.uuid())
        .and(" ORDER BY version DESC")
        .all(&self.pool, |row| {
            Ok(DataKeyRow {
                workspace: id(row, 0)?,
                version: number(row, 1)?,
                wrapped: row.try_get(2)?,
                master_key_id: bytes(row, 3)?,
                state: known(row, 4, DataKeyState::from_word)?,
                created_at: time(row, 5)?,
            })
        });
        found.await.map_err(|e| trouble("list data keys", e))
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) async fn run(db: &mut PgConnection, command: &DataKeyCommand) -> Result<(), Failure> {
    match command {
        DataKeyCommand::Insert(row) => insert(db, row).await,
        DataKeyCommand::Rewrap { workspace, version, expected, wrapped, master_key_id } => {
            let there = Select::new("SELECT master_key_id FROM workspace_keys")
                .with(" WHERE workspace_id = ", workspace.uuid())
                .with(" AND version = ", i64::from(*version))
                .and(" FOR UPDATE")
                .one(&mut *db, |row| bytes::<8>(row, 0))
                .await?;
            if there.ok_or(StoreError::Missing { noun: "data key" })? != *expected {
                return Err(StoreError::Conflict { detail: "the data key was wrapped anew meanwhile" }.into());
            }
            sqlx::query(
                "UPDATE workspace_keys SET wrapped = $3, master_key_id = $4 \
                 WHERE workspace_id = $1 AND version = $2",
            )
            .bind(workspace.uuid())
            .bind(i64::from(*version))
            .bind(wrapped.as_slice())
            .bind(master_key_id.as_slice())
            .execute(db)
            .await?;
            Ok(())
        }
        DataKeyCommand::Retire { workspace, version } => {
            let done = sqlx::query(
                "UPDATE workspace_keys SET state = 'retired' WHERE workspace_id = $1 AND version = $2",
            )
            .bind(workspace.uuid())
            .bind(i64::from(*version))
            .execute(db)
            .await?;
            match done.rows_affected() {
                0 => Err(StoreError::Missing { noun: "data key" }.into()),
                _ => Ok(()),
            }
        }
    }
}

async fn insert(db: &mut PgConnection, row: &DataKeyRow) -> Result<(), Failure> {
    let workspace = row.workspace.uuid();
    lock_workspace(db, row.workspace).await?;
    let next: i64 = sqlx::query_scalar(
        "SELECT coalesce(max(version), 0) + 1 FROM workspace_keys WHERE workspace_id = $1",
    )
    .bind(workspace)
    .fetch_one(&mut *db)
    .await?;
    if next != i64::from(row.version) {
        return Err(StoreError::Conflict { detail: "the data key is not the next version" }.into());
    }
    sqlx::query("UPDATE workspace_keys SET state = 'retired' WHERE workspace_id = $1 AND state = 'active'")
        .bind(workspace)
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "INSERT INTO workspace_keys (workspace_id, version, wrapped, master_key_id, state, created_at) \
         VALUES ($1, $2, $3, $4, 'active', $5)",
    )
    .bind(workspace)
    .bind(i64::from(row.version))
    .bind(row.wrapped.as_slice())
    .bind(row.master_key_id.as_slice())
    .bind(row.created_at.0)
    .execute(db)
    .await?;
    Ok(())
}
