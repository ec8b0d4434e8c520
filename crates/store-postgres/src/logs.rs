//! The log of connections.

use async_trait::async_trait;
use model::Timestamp;
use model::id::{ConnectionId, WorkspaceId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use store::{
    EventType, LogCommand, LogCursor, LogQuery, LogRow, Logs, Page, Scope, StoreError, fold, page_size,
};

use crate::PostgresStore;
use crate::commands::{Failure, written};
use crate::connections::is_seen;
use crate::sql::{Select, id, json, jsonb, known, rows, time, time_or_none, trouble};

#[async_trait]
impl Logs for PostgresStore {
    async fn list_logs(
        &self,
        scope: Scope,
        connection: ConnectionId,
        query: LogQuery,
    ) -> Result<Page<LogRow, LogCursor>, StoreError> {
        let failed = |e| trouble("list a log", e);
        let size = page_size(query.limit);
        if !is_seen(&self.pool, scope, connection).await.map_err(failed)? {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let looked_at = |select: Select| {
            let mut select = select
                .with(" FROM integration_logs WHERE workspace_id = ", scope.workspace.uuid())
                .with(" AND user_integration_id = ", connection.uuid())
                .with_some(" AND created_at >= ", query.since.map(|at| at.0), "")
                .with_some(" AND created_at < ", query.until.map(|at| at.0), "");
            if let Some(after) = query.after {
                select =
                    select.with(" AND (created_at, id) < (", after.at.0).with(", ", after.id.uuid()).and(")");
            }
            select.and(" ORDER BY created_at DESC, id DESC")
        };
        const COLUMNS: &str =
            "SELECT id, workspace_id, user_integration_id, event_type, message, metadata, created_at";
        let Some(most) = query.looks_at() else {
            let select = looked_at(Select::new(COLUMNS)).with(" LIMIT ", rows(size + 1));
            let found = select.all(&self.pool, log).await.map_err(failed)?;
            return Ok(Page::cut(found, size, LogRow::cursor));
        };
        // What is asked for is picked out of so many entries, and not one more is read.
        let select = Select::new(COLUMNS).and(" FROM (SELECT *");
        let found = looked_at(select)
            .with(" LIMIT ", rows(most))
            .and(") looked_at WHERE true")
            .with_some(" AND event_type = ", query.event_type.map(EventType::as_str), "")
            .with_some(" AND strpos(coalesce(message_folded, message), ", query.folded_text(), ") > 0")
            .and(" ORDER BY created_at DESC, id DESC")
            .with(" LIMIT ", rows(size + 1));
        let found = found.all(&self.pool, log).await.map_err(failed)?;
        let place = |row: &PgRow| Ok(LogCursor { at: time(row, 0)?, id: id(row, 1)? });
        let last = looked_at(Select::new("SELECT created_at, id")).with(" LIMIT 1 OFFSET ", rows(most - 1));
        let last = last.one(&self.pool, place).await.map_err(failed)?;
        Ok(Page::cut(found, size, LogRow::cursor).going_on(last))
    }

    async fn oldest_log(&self, workspace: WorkspaceId) -> Result<Option<Timestamp>, StoreError> {
        let oldest = Select::new("SELECT min(created_at) FROM integration_logs")
            .with(" WHERE workspace_id = ", workspace.uuid())
            .one(&self.pool, |row| time_or_none(row, 0))
            .await;
        Ok(oldest.map_err(|e| trouble("look at logs", e))?.flatten())
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) async fn run(db: &mut PgConnection, command: &LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::Append(row) => {
            let folded = Some(fold(&row.message)).filter(|folded| *folded != row.message);
            let done = sqlx::query(
                "INSERT INTO integration_logs (id, workspace_id, user_integration_id, event_type, message, \
                 message_folded, metadata, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(row.id.uuid())
            .bind(row.workspace.uuid())
            .bind(row.connection.uuid())
            .bind(row.event_type.as_str())
            .bind(&row.message)
            .bind(folded)
            .bind(jsonb(&row.metadata))
            .bind(row.created_at.0)
            .execute(db)
            .await;
            written(done, "connection", "the event exists already")
        }
        LogCommand::Prune { workspace, before, limit } => {
            sqlx::query(
                "DELETE FROM integration_logs WHERE id IN (SELECT id FROM integration_logs \
                 WHERE workspace_id = $1 AND created_at < $2 ORDER BY created_at, id LIMIT $3)",
            )
            .bind(workspace.uuid())
            .bind(before.0)
            .bind(rows(*limit))
            .execute(db)
            .await?;
            Ok(())
        }
    }
}

fn log(row: &PgRow) -> sqlx::Result<LogRow> {
    Ok(LogRow {
        id: id(row, 0)?,
        workspace: id(row, 1)?,
        connection: id(row, 2)?,
        event_type: known(row, 3, EventType::from_word)?,
        message: row.try_get(4)?,
        metadata: json(row, 5)?,
        created_at: time(row, 6)?,
    })
}
