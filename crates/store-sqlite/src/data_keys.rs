//! Data keys: wrapped bytes in and out.

use async_trait::async_trait;
use model::id::WorkspaceId;
use rusqlite::{Connection, params};
use store::{DataKeyCommand, DataKeyRow, DataKeyState, DataKeys, StoreError};

use crate::SqliteStore;
use crate::rows::id;
use crate::sql::{all, blob, execute, known, one, time};

#[async_trait]
impl DataKeys for SqliteStore {
    async fn list_data_keys(&self, workspace: WorkspaceId) -> Result<Vec<DataKeyRow>, StoreError> {
        self.readers
            .look("list data keys", move |db| {
                let sql = "SELECT workspace_id, version, wrapped, master_key_id, state, created_at \
                           FROM workspace_keys WHERE workspace_id = ?1 ORDER BY version DESC";
                all(db, sql, params![blob(workspace)], |row| {
                    Ok(DataKeyRow {
                        workspace: id(row, 0)?,
                        version: row.get(1)?,
                        wrapped: row.get(2)?,
                        master_key_id: row.get(3)?,
                        state: known(row, 4, DataKeyState::from_word)?,
                        created_at: time(row, 5)?,
                    })
                })
            })
            .await
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) fn run(db: &Connection, command: &DataKeyCommand) -> Result<(), StoreError> {
    match command {
        DataKeyCommand::Insert(row) => {
            crate::commands::check_workspace(db, row.workspace)?;
            let sql = "SELECT coalesce(max(version), 0) + 1 FROM workspace_keys WHERE workspace_id = ?1";
            let next = one(db, sql, params![blob(row.workspace)], |row| row.get::<_, u32>(0))?;
            if next != Some(row.version) {
                return Err(StoreError::Conflict { detail: "the data key is not the next version" });
            }
            let sql = "UPDATE workspace_keys SET state = 'retired' WHERE workspace_id = ?1";
            execute(db, sql, params![blob(row.workspace)])?;
            let sql = "INSERT INTO workspace_keys (workspace_id, version, wrapped, master_key_id, state, \
                       created_at) VALUES (?1, ?2, ?3, ?4, 'active', ?5)";
            let at = row.created_at.0;
            let params = params![blob(row.workspace), row.version, row.wrapped, row.master_key_id, at];
            execute(db, sql, params).map(drop)
        }
        DataKeyCommand::Rewrap { workspace, version, expected, wrapped, master_key_id } => {
            check(db, *workspace, *version)?;
            let sql = "UPDATE workspace_keys SET wrapped = ?4, master_key_id = ?5 \
                       WHERE workspace_id = ?1 AND version = ?2 AND master_key_id = ?3";
            let params = params![blob(*workspace), version, expected, wrapped, master_key_id];
            match execute(db, sql, params)? {
                0 => Err(StoreError::Conflict { detail: "the data key was wrapped anew meanwhile" }),
                _ => Ok(()),
            }
        }
        DataKeyCommand::Retire { workspace, version } => {
            check(db, *workspace, *version)?;
            let sql = "UPDATE workspace_keys SET state = 'retired' WHERE workspace_id = ?1 AND version = ?2";
            execute(db, sql, params![blob(*workspace), version]).map(drop)
        }
    }
}

fn check(db: &Connection, workspace: WorkspaceId, version: u32) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM workspace_keys WHERE workspace_id = ?1 AND version = ?2";
    let found = one(db, sql, params![blob(workspace), version], |_| Ok(()))?;
    found.ok_or(StoreError::Missing { noun: "data key" })
}
