//! Health: single checks and hours.

use std::collections::BTreeMap;

use async_trait::async_trait;
use model::Timestamp;
use model::id::{ConnectionId, WorkspaceId};
use rusqlite::{Connection, Row, params};
use store::{
    Health, HealthCommand, HealthRow, HealthSummary, Histogram, PAGE_MAX, RollupRow, SUMMARY_ROWS_MAX, Scope,
    StoreError, Tally, hour_of, page_size,
};

use crate::SqliteStore;
use crate::connections::is_seen;
use crate::logs::check_connection;
use crate::rows::id;
use crate::sql::{all, blob, execute, int, one, rows, spoilt, time, time_or_none, uint};

const HOURS: &str = "SELECT user_integration_id, hour, count, successes, total_ms, max_ms, spread \
     FROM health_rollups WHERE workspace_id = ?1 AND user_integration_id = ?2 AND hour >= ?3 AND hour < ?4 \
     ORDER BY hour LIMIT ?5";

#[async_trait]
impl Health for SqliteStore {
    async fn list_health(
        &self,
        scope: Scope,
        connection: ConnectionId,
        limit: usize,
    ) -> Result<Vec<HealthRow>, StoreError> {
        self.readers
            .look("list health", move |db| {
                if !is_seen(db, scope, connection)? {
                    return Ok(Vec::new());
                }
                let sql = "SELECT id, workspace_id, user_integration_id, response_time_ms, success, \
                           error_message, checked_at, created_at FROM integration_health_metrics \
                           WHERE workspace_id = ?1 AND user_integration_id = ?2 \
                           ORDER BY checked_at DESC, id DESC LIMIT ?3";
                let params = params![blob(scope.workspace), blob(connection), rows(page_size(limit))];
                all(db, sql, params, health)
            })
            .await
    }

    async fn list_rollups(
        &self,
        scope: Scope,
        connection: ConnectionId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<RollupRow>, StoreError> {
        self.readers
            .look("list health", move |db| {
                if !is_seen(db, scope, connection)? {
                    return Ok(Vec::new());
                }
                let window =
                    params![blob(scope.workspace), blob(connection), since.0, until.0, rows(PAGE_MAX)];
                all(db, HOURS, window, rollup)
            })
            .await
    }

    async fn summarise_health(
        &self,
        scope: Scope,
        connection: ConnectionId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<HealthSummary, StoreError> {
        self.readers
            .look("summarise health", move |db| {
                let mut tally = Tally::default();
                if !is_seen(db, scope, connection)? {
                    return Ok(tally.summary());
                }
                let (workspace, connection) = (blob(scope.workspace), blob(connection));
                let sql = "SELECT response_time_ms, success FROM integration_health_metrics \
                           WHERE workspace_id = ?1 AND user_integration_id = ?2 \
                           AND checked_at >= ?3 AND checked_at < ?4 LIMIT ?5";
                let window = params![workspace, connection, since.0, until.0, rows(SUMMARY_ROWS_MAX + 1)];
                let counted = all(db, sql, window, |row| {
                    tally.add(row.get(0)?, row.get(1)?);
                    Ok(())
                })?;
                if counted.len() > SUMMARY_ROWS_MAX {
                    let what = "the number of single checks of a summary";
                    return Err(StoreError::TooLarge { what, max: SUMMARY_ROWS_MAX });
                }
                let window = params![workspace, connection, since.0, until.0, -1];
                all(db, HOURS, window, |row| {
                    tally.merge(&rollup(row)?.tally);
                    Ok(())
                })?;
                Ok(tally.summary())
            })
            .await
    }

    async fn oldest_health(&self, workspace: WorkspaceId) -> Result<Option<Timestamp>, StoreError> {
        self.readers
            .look("look at health", move |db| {
                let sql = "SELECT min(checked_at) FROM integration_health_metrics WHERE workspace_id = ?1";
                Ok(one(db, sql, params![blob(workspace)], |row| time_or_none(row, 0))?.flatten())
            })
            .await
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) fn run(db: &Connection, command: &HealthCommand) -> Result<(), StoreError> {
    match command {
        HealthCommand::Append(row) => {
            check_connection(db, row.workspace, row.connection)?;
            let sql = "INSERT INTO integration_health_metrics (id, workspace_id, user_integration_id, \
                       response_time_ms, success, error_message, checked_at, created_at) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING";
            let added = execute(
                db,
                sql,
                params![
                    blob(row.id),
                    blob(row.workspace),
                    blob(row.connection),
                    row.response_time_ms,
                    row.success,
                    row.error_message,
                    row.checked_at.0,
                    row.created_at.0,
                ],
            )?;
            if added == 0 { Err(StoreError::Conflict { detail: "the event exists already" }) } else { Ok(()) }
        }
        HealthCommand::RollUp { workspace, before, limit } => roll_up(db, *workspace, *before, *limit),
        HealthCommand::PruneRollups { workspace, before, limit } => {
            let sql = "DELETE FROM health_rollups WHERE (workspace_id, user_integration_id, hour) IN \
                       (SELECT workspace_id, user_integration_id, hour FROM health_rollups \
                        WHERE workspace_id = ?1 AND hour < ?2 ORDER BY hour, user_integration_id LIMIT ?3)";
            execute(db, sql, params![blob(*workspace), before.0, rows(*limit)]).map(drop)
        }
    }
}

fn roll_up(
    db: &Connection,
    workspace: WorkspaceId,
    before: Timestamp,
    limit: usize,
) -> Result<(), StoreError> {
    // Taken out and counted in one statement each, inside one transaction: nothing is counted twice or lost.
    let sql = "DELETE FROM integration_health_metrics WHERE rowid IN \
               (SELECT rowid FROM integration_health_metrics WHERE workspace_id = ?1 AND checked_at < ?2 \
                ORDER BY checked_at, id LIMIT ?3) \
               RETURNING user_integration_id, checked_at, response_time_ms, success";
    let mut hours = BTreeMap::<(ConnectionId, Timestamp), Tally>::new();
    all(db, sql, params![blob(workspace), before.0, rows(limit)], |row| {
        let hour = (id(row, 0)?, hour_of(time(row, 1)?));
        hours.entry(hour).or_default().add(row.get(2)?, row.get(3)?);
        Ok(())
    })?;
    for ((connection, hour), tally) in hours {
        add_to_hour(db, workspace, connection, hour, tally)?;
    }
    Ok(())
}

fn add_to_hour(
    db: &Connection,
    workspace: WorkspaceId,
    connection: ConnectionId,
    hour: Timestamp,
    mut tally: Tally,
) -> Result<(), StoreError> {
    let (workspace, connection) = (blob(workspace), blob(connection));
    let there = one(db, HOURS, params![workspace, connection, hour.0, hour.0 + 1, 1], rollup)?;
    if let Some(there) = there {
        tally.merge(&there.tally);
    }
    let sql = "INSERT OR REPLACE INTO health_rollups (workspace_id, user_integration_id, hour, count, \
               successes, total_ms, max_ms, spread) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    execute(
        db,
        sql,
        params![
            workspace,
            connection,
            hour.0,
            int(tally.count),
            int(tally.successes),
            int(tally.total_ms),
            tally.max_ms,
            tally.spread.to_bytes(),
        ],
    )
    .map(drop)
}

fn health(row: &Row<'_>) -> rusqlite::Result<HealthRow> {
    Ok(HealthRow {
        id: id(row, 0)?,
        workspace: id(row, 1)?,
        connection: id(row, 2)?,
        response_time_ms: row.get(3)?,
        success: row.get(4)?,
        error_message: row.get(5)?,
        checked_at: time(row, 6)?,
        created_at: time(row, 7)?,
    })
}

fn rollup(row: &Row<'_>) -> rusqlite::Result<RollupRow> {
    let spread: Vec<u8> = row.get(6)?;
    Ok(RollupRow {
        connection: id(row, 0)?,
        hour: time(row, 1)?,
        tally: Tally {
            count: uint(row, 2)?,
            successes: uint(row, 3)?,
            total_ms: uint(row, 4)?,
            max_ms: row.get(5)?,
            spread: Histogram::from_bytes(&spread).ok_or_else(|| spoilt(6))?,
        },
    })
}
