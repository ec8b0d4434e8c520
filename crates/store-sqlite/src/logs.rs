//! The log of connections.

use async_trait::async_trait;
use model::Timestamp;
use model::id::{ConnectionId, WorkspaceId};
use rusqlite::{Connection, Row, params};
use store::{
    EventType, LogCommand, LogCursor, LogQuery, LogRow, Logs, Page, Scope, StoreError, fold, page_size,
};

use crate::SqliteStore;
use crate::connections::is_seen;
use crate::rows::id;
use crate::sql::{Select, blob, execute, json, known, one, rows, time, time_or_none};

#[async_trait]
impl Logs for SqliteStore {
    async fn list_logs(
        &self,
        scope: Scope,
        connection: ConnectionId,
        query: LogQuery,
    ) -> Result<Page<LogRow, LogCursor>, StoreError> {
        let size = page_size(query.limit);
        let found = self.readers.look("list a log", move |db| {
            if !is_seen(db, scope, connection)? {
                return Ok((Vec::new(), None));
            }
            let looked_at = |select: Select| {
                let mut select = select
                    .with(" FROM integration_logs WHERE workspace_id = ?", blob(scope.workspace))
                    .with(" AND user_integration_id = ?", blob(connection))
                    .with_some(" AND created_at >= ?", query.since.map(|at| at.0))
                    .with_some(" AND created_at < ?", query.until.map(|at| at.0));
                if let Some(after) = query.after {
                    select =
                        select.with(" AND (created_at, id) < (?", after.at.0).with(", ?)", blob(after.id));
                }
                select.and(" ORDER BY created_at DESC, id DESC")
            };
            let columns = "SELECT id, workspace_id, user_integration_id, event_type, message, metadata, \
                           created_at";
            let Some(most) = query.looks_at() else {
                let select = looked_at(Select::new(columns)).with(" LIMIT ?", rows(size + 1));
                return Ok((select.all(db, log)?, None));
            };
            // What is asked for is picked out of so many entries, and not one more is read.
            let select = Select::new(&format!("{columns} FROM (SELECT *"));
            let found = looked_at(select)
                .with(" LIMIT ?)", rows(most))
                .and(" WHERE true")
                .with_some(" AND event_type = ?", query.event_type.map(EventType::as_str))
                .with_some(" AND instr(coalesce(message_folded, message), ?) > 0", query.folded_text())
                .with(" LIMIT ?", rows(size + 1));
            let found = found.all(db, log)?;
            let place = |row: &Row<'_>| Ok(LogCursor { at: time(row, 0)?, id: id(row, 1)? });
            let last = looked_at(Select::new("SELECT created_at, id"))
                .with(" LIMIT 1 OFFSET ?", rows(most - 1))
                .all(db, place)?;
            Ok((found, last.first().copied()))
        });
        let (found, last) = found.await?;
        Ok(Page::cut(found, size, LogRow::cursor).going_on(last))
    }

    async fn oldest_log(&self, workspace: WorkspaceId) -> Result<Option<Timestamp>, StoreError> {
        self.readers
            .look("look at logs", move |db| {
                let sql = "SELECT min(created_at) FROM integration_logs WHERE workspace_id = ?1";
                Ok(one(db, sql, params![blob(workspace)], |row| time_or_none(row, 0))?.flatten())
            })
            .await
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) fn run(db: &Connection, command: &LogCommand) -> Result<(), StoreError> {
    match command {
        LogCommand::Append(row) => {
            check_connection(db, row.workspace, row.connection)?;
            let folded = Some(fold(&row.message)).filter(|folded| *folded != row.message);
            // An id that is there already changes nothing, which is told apart by the count.
            let sql = "INSERT INTO integration_logs (id, workspace_id, user_integration_id, event_type, \
                       message, message_folded, metadata, created_at) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING";
            let added = execute(
                db,
                sql,
                params![
                    blob(row.id),
                    blob(row.workspace),
                    blob(row.connection),
                    row.event_type.as_str(),
                    row.message,
                    folded,
                    row.metadata.as_str(),
                    row.created_at.0,
                ],
            )?;
            if added == 0 { Err(StoreError::Conflict { detail: "the event exists already" }) } else { Ok(()) }
        }
        LogCommand::Prune { workspace, before, limit } => {
            let sql = "DELETE FROM integration_logs WHERE rowid IN (SELECT rowid FROM integration_logs \
                       WHERE workspace_id = ?1 AND created_at < ?2 ORDER BY created_at, id LIMIT ?3)";
            execute(db, sql, params![blob(*workspace), before.0, rows(*limit)]).map(drop)
        }
    }
}

/// The connection an event is about must be there.
pub(crate) fn check_connection(
    db: &Connection,
    workspace: WorkspaceId,
    connection: ConnectionId,
) -> Result<(), StoreError> {
    if is_seen(db, workspace.into(), connection)? {
        Ok(())
    } else {
        Err(StoreError::Missing { noun: "connection" })
    }
}

fn log(row: &Row<'_>) -> rusqlite::Result<LogRow> {
    Ok(LogRow {
        id: id(row, 0)?,
        workspace: id(row, 1)?,
        connection: id(row, 2)?,
        event_type: known(row, 3, EventType::from_word)?,
        message: row.get(4)?,
        metadata: json(row, 5)?,
        created_at: time(row, 6)?,
    })
}
