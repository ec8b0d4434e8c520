//! Toolsets: reading and changing them.

use async_trait::async_trait;
use model::id::WorkspaceId;
use model::{Key, Owner};
use rusqlite::{Connection, Row, params};
use store::{StoreError, TOOLSETS_MAX, ToolsetCommand, ToolsetRow, Toolsets};

use crate::SqliteStore;
use crate::rows::id;
use crate::sql::{all, blob, execute, int, json, one, rows, time, uint, word};

const SELECT: &str = "SELECT workspace_id, user_id, key, name, description, tools, revision, created_at, \
     updated_at FROM toolsets WHERE workspace_id = ?1";

#[async_trait]
impl Toolsets for SqliteStore {
    async fn list_toolsets(&self, workspace: WorkspaceId) -> Result<Vec<ToolsetRow>, StoreError> {
        self.readers
            .look("list toolsets", move |db| {
                all(db, &format!("{SELECT} ORDER BY key"), params![blob(workspace)], toolset)
            })
            .await
    }

    async fn find_toolset(
        &self,
        workspace: WorkspaceId,
        key: &Key,
    ) -> Result<Option<ToolsetRow>, StoreError> {
        let key = key.clone();
        self.readers.look("find a toolset", move |db| find(db, workspace, &key)).await
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) fn run(db: &Connection, command: &ToolsetCommand) -> Result<(), StoreError> {
    match command {
        ToolsetCommand::Insert(row) => {
            crate::commands::check_owner(db, row.owner)?;
            let workspace = row.owner.workspace;
            if find(db, workspace, &row.key)?.is_some() {
                return Err(StoreError::Taken { field: "key", value: row.key.to_string() });
            }
            let sql = "SELECT count(*) FROM toolsets WHERE workspace_id = ?1";
            let count = one(db, sql, params![blob(workspace)], |row| row.get::<_, i64>(0))?;
            if count.unwrap_or(0) >= rows(TOOLSETS_MAX) {
                let what = "the number of toolsets of a workspace";
                return Err(StoreError::TooLarge { what, max: TOOLSETS_MAX });
            }
            put(db, &row.as_new())
        }
        ToolsetCommand::Update { row, expected } => {
            let there = find(db, row.owner.workspace, &row.key)?;
            let there = there.ok_or(StoreError::Missing { noun: "toolset" })?;
            StoreError::check_revision(*expected, there.revision)?;
            put(db, &row.in_place_of(&there))
        }
        ToolsetCommand::Delete { workspace, key } => {
            let sql = "DELETE FROM toolsets WHERE workspace_id = ?1 AND key = ?2";
            match execute(db, sql, params![blob(*workspace), key.as_str()])? {
                0 => Err(StoreError::Missing { noun: "toolset" }),
                _ => Ok(()),
            }
        }
    }
}

fn find(db: &Connection, workspace: WorkspaceId, key: &Key) -> Result<Option<ToolsetRow>, StoreError> {
    one(db, &format!("{SELECT} AND key = ?2"), params![blob(workspace), key.as_str()], toolset)
}

fn put(db: &Connection, row: &ToolsetRow) -> Result<(), StoreError> {
    let sql = "INSERT INTO toolsets (workspace_id, user_id, key, name, description, tools, revision, \
               created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
               ON CONFLICT (workspace_id, key) DO UPDATE SET name = excluded.name, \
               description = excluded.description, tools = excluded.tools, revision = excluded.revision, \
               updated_at = excluded.updated_at";
    execute(
        db,
        sql,
        params![
            blob(row.owner.workspace),
            blob(row.owner.user),
            row.key.as_str(),
            row.name,
            row.description,
            row.tools.as_str(),
            int(row.revision),
            row.created_at.0,
            row.updated_at.0,
        ],
    )
    .map(drop)
}

fn toolset(row: &Row<'_>) -> rusqlite::Result<ToolsetRow> {
    Ok(ToolsetRow {
        owner: Owner { workspace: id(row, 0)?, user: id(row, 1)? },
        key: word(row, 2)?,
        name: row.get(3)?,
        description: row.get(4)?,
        tools: json(row, 5)?,
        revision: uint(row, 6)?,
        created_at: time(row, 7)?,
        updated_at: time(row, 8)?,
    })
}
