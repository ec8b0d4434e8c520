//! Toolsets: reading and changing them.

use async_trait::async_trait;
use model::id::WorkspaceId;
use model::{Key, Owner};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use store::{StoreError, TOOLSETS_MAX, ToolsetCommand, ToolsetRow, Toolsets};

use crate::PostgresStore;
use crate::commands::{Failure, check_owner, lock_workspace};
use crate::sql::{Select, id, int, json, jsonb, number, rows, time, trouble, word};

const SELECT: &str = "SELECT workspace_id, user_id, key, name, description, tools, revision, created_at, \
     updated_at FROM toolsets WHERE workspace_id = ";

#[async_trait]
impl Toolsets for PostgresStore {
    async fn list_toolsets(&self, workspace: WorkspaceId) -> Result<Vec<ToolsetRow>, StoreError> {
        let found = Select::new(SELECT).with("", workspace.uuid()).and(" ORDER BY key");
        found.all(&self.pool, toolset).await.map_err(|e| trouble("list toolsets", e))
    }

    async fn find_toolset(
        &self,
        workspace: WorkspaceId,
        key: &Key,
    ) -> Result<Option<ToolsetRow>, StoreError> {
        let found = one(workspace, key).one(&self.pool, toolset);
        found.await.map_err(|e| trouble("find a toolset", e))
    }
}

fn one(workspace: WorkspaceId, key: &Key) -> Select {
    Select::new(SELECT).with("", workspace.uuid()).with(" AND key = ", key.to_string())
}

/// Runs one command inside the transaction that is open.
pub(crate) async fn run(db: &mut PgConnection, command: &ToolsetCommand) -> Result<(), Failure> {
    match command {
        ToolsetCommand::Insert(row) => insert(db, row).await,
        ToolsetCommand::Update { row, expected } => {
            let there = one(row.owner.workspace, &row.key).and(" FOR UPDATE").one(&mut *db, toolset).await?;
            let there = there.ok_or(StoreError::Missing { noun: "toolset" })?;
            StoreError::check_revision(*expected, there.revision)?;
            put(db, &row.in_place_of(&there)).await
        }
        ToolsetCommand::Delete { workspace, key } => {
            let done = sqlx::query("DELETE FROM toolsets WHERE workspace_id = $1 AND key = $2")
                .bind(workspace.uuid())
                .bind(key.as_str())
                .execute(db)
                .await?;
            match done.rows_affected() {
                0 => Err(StoreError::Missing { noun: "toolset" }.into()),
                _ => Ok(()),
            }
        }
    }
}

async fn insert(db: &mut PgConnection, row: &ToolsetRow) -> Result<(), Failure> {
    check_owner(db, row.owner).await?;
    lock_workspace(db, row.owner.workspace).await?;
    if one(row.owner.workspace, &row.key).one(&mut *db, toolset).await?.is_some() {
        return Err(StoreError::Taken { field: "key", value: row.key.to_string() }.into());
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM toolsets WHERE workspace_id = $1")
        .bind(row.owner.workspace.uuid())
        .fetch_one(&mut *db)
        .await?;
    if count >= rows(TOOLSETS_MAX) {
        let what = "the number of toolsets of a workspace";
        return Err(StoreError::TooLarge { what, max: TOOLSETS_MAX }.into());
    }
    put(db, &row.as_new()).await
}

async fn put(db: &mut PgConnection, row: &ToolsetRow) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO toolsets (workspace_id, user_id, key, name, description, tools, revision, created_at, \
         updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (workspace_id, key) DO UPDATE SET name = excluded.name, \
         description = excluded.description, tools = excluded.tools, revision = excluded.revision, \
         updated_at = excluded.updated_at",
    )
    .bind(row.owner.workspace.uuid())
    .bind(row.owner.user.uuid())
    .bind(row.key.as_str())
    .bind(&row.name)
    .bind(&row.description)
    .bind(jsonb(&row.tools))
    .bind(int(row.revision))
    .bind(row.created_at.0)
    .bind(row.updated_at.0)
    .execute(db)
    .await?;
    Ok(())
}

fn toolset(row: &PgRow) -> sqlx::Result<ToolsetRow> {
    Ok(ToolsetRow {
        owner: Owner { workspace: id(row, 0)?, user: id(row, 1)? },
        key: word(row, 2)?,
        name: row.try_get(3)?,
        description: row.try_get(4)?,
        tools: json(row, 5)?,
        revision: number(row, 6)?,
        created_at: time(row, 7)?,
        updated_at: time(row, 8)?,
    })
}
