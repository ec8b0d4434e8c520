//! Health: single checks and hours.

use std::collections::BTreeMap;

use async_trait::async_trait;
use model::Timestamp;
use model::id::{ConnectionId, WorkspaceId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use store::{
    Health, HealthCommand, HealthRow, HealthSummary, Histogram, PAGE_MAX, RollupRow, SUMMARY_ROWS_MAX, Scope,
    StoreError, Tally, hour_of, page_size,
};

use crate::PostgresStore;
use crate::commands::{Failure, written};
use crate::connections::is_seen;
use crate::sql::{Select, id, int, number, rows, spoilt, time, time_or_none, trouble};

const HOURS: &str = "SELECT user_integration_id, hour, count, successes, total_ms, max_ms, spread \
     FROM health_rollups WHERE workspace_id = ";

#[async_trait]
impl Health for PostgresStore {
    async fn list_health(
        &self,
        scope: Scope,
        connection: ConnectionId,
        limit: usize,
    ) -> Result<Vec<HealthRow>, StoreError> {
        let failed = |e| trouble("list health", e);
        if !is_seen(&self.pool, scope, connection).await.map_err(failed)? {
            return Ok(Vec::new());
        }
        let found = Select::new(
            "SELECT id, workspace_id, user_integration_id, response_time_ms, success, error_message, \
             checked_at, created_at FROM integration_health_metrics",
        )
        .with(" WHERE workspace_id = ", scope.workspace.uuid())
        .with(" AND user_integration_id = ", connection.uuid())
        .with(" ORDER BY checked_at DESC, id DESC LIMIT ", rows(page_size(limit)))
        .all(&self.pool, health);
        found.await.map_err(failed)
    }

    async fn list_rollups(
        &self,
        scope: Scope,
        connection: ConnectionId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<RollupRow>, StoreError> {
        let failed = |e| trouble("list health", e);
        if !is_seen(&self.pool, scope, connection).await.map_err(failed)? {
            return Ok(Vec::new());
        }
        let hours = hours(scope.workspace, connection, since, until).with(" LIMIT ", rows(PAGE_MAX));
        hours.all(&self.pool, rollup).await.map_err(failed)
    }

    async fn summarise_health(
        &self,
        scope: Scope,
        connection: ConnectionId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<HealthSummary, StoreError> {
        // One transaction sees one moment: a check that is rolled up meanwhile is counted once.
        let failed = |e| trouble("summarise health", e);
        let mut db = self.pool.begin().await.map_err(failed)?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .execute(&mut *db)
            .await
            .map_err(failed)?;
        let mut tally = Tally::default();
        if !is_seen(&mut *db, scope, connection).await.map_err(failed)? {
            return Ok(tally.summary());
        }
        let counted = Select::new("SELECT response_time_ms, success FROM integration_health_metrics")
            .with(" WHERE workspace_id = ", scope.workspace.uuid())
            .with(" AND user_integration_id = ", connection.uuid())
            .with(" AND checked_at >= ", since.0)
            .with(" AND checked_at < ", until.0)
            .with(" LIMIT ", rows(SUMMARY_ROWS_MAX + 1))
            .all(&mut *db, |row| {
                tally.add(number(row, 0)?, row.try_get(1)?);
                Ok(())
            });
        if counted.await.map_err(failed)?.len() > SUMMARY_ROWS_MAX {
            let what = "the number of single checks of a summary";
            return Err(StoreError::TooLarge { what, max: SUMMARY_ROWS_MAX });
        }
        let hours = hours(scope.workspace, connection, since, until).all(&mut *db, rollup);
        hours.await.map_err(failed)?.iter().for_each(|hour| tally.merge(&hour.tally));
        Ok(tally.summary())
    }

    async fn oldest_health(&self, workspace: WorkspaceId) -> Result<Option<Timestamp>, StoreError> {
        let oldest = Select::new("SELECT min(checked_at) FROM integration_health_metrics")
            .with(" WHERE workspace_id = ", workspace.uuid())
            .one(&self.pool, |row| time_or_none(row, 0))
            .await;
        Ok(oldest.map_err(|e| trouble("look at health", e))?.flatten())
    }
}

/// The hours of a connection, oldest first.
fn hours(workspace: WorkspaceId, connection: ConnectionId, since: Timestamp, until: Timestamp) -> Select {
    Select::new(HOURS)
        .with("", workspace.uuid())
        .with(" AND user_integration_id = ", connection.uuid())
        .with(" AND hour >= ", since.0)
        .with(" AND hour < ", until.0)
        .and(" ORDER BY hour")
}

/// Runs one command inside the transaction that is open.
pub(crate) async fn run(db: &mut PgConnection, command: &HealthCommand) -> Result<(), Failure> {
    match command {
        HealthCommand::Append(row) => {
            let done = sqlx::query(
                "INSERT INTO integration_health_metrics (id, workspace_id, user_integration_id, \
                 response_time_ms, success, error_message, checked_at, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(row.id.uuid())
            .bind(row.workspace.uuid())
            .bind(row.connection.uuid())
            .bind(i64::from(row.response_time_ms))
            .bind(row.success)
            .bind(&row.error_message)
            .bind(row.checked_at.0)
            .bind(row.created_at.0)
            .execute(db)
            .await;
            written(done, "connection", "the event exists already")
        }
        HealthCommand::RollUp { workspace, before, limit } => roll_up(db, *workspace, *before, *limit).await,
        HealthCommand::PruneRollups { workspace, before, limit } => {
            sqlx::query(
                "DELETE FROM health_rollups WHERE (workspace_id, user_integration_id, hour) IN \
                 (SELECT workspace_id, user_integration_id, hour FROM health_rollups \
                  WHERE workspace_id = $1 AND hour < $2 ORDER BY hour, user_integration_id LIMIT $3)",
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

async fn roll_up(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    before: Timestamp,
    limit: usize,
) -> Result<(), Failure> {
    // What is counted is what this statement took out, and two nodes never take out the same.
    let taken = sqlx::query(
        "DELETE FROM integration_health_metrics WHERE id IN \
         (SELECT id FROM integration_health_metrics WHERE workspace_id = $1 AND checked_at < $2 \
          ORDER BY checked_at, id LIMIT $3 FOR UPDATE SKIP LOCKED) \
         RETURNING user_integration_id, checked_at, response_time_ms, success",
    )
    .bind(workspace.uuid())
    .bind(before.0)
    .bind(rows(limit))
    .fetch_all(&mut *db)
    .await?;
    let mut hours = BTreeMap::<(ConnectionId, Timestamp), Tally>::new();
    for row in &taken {
        let hour = (id(row, 0)?, hour_of(time(row, 1)?));
        hours.entry(hour).or_default().add(number(row, 2)?, row.try_get(3)?);
    }
    for ((connection, hour), tally) in hours {
        add_to_hour(db, workspace, connection, hour, tally).await?;
    }
    Ok(())
}

async fn add_to_hour(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    connection: ConnectionId,
    hour: Timestamp,
    mut tally: Tally,
) -> Result<(), Failure> {
    // An empty hour first: then there is a row to lock, whoever made it.
    sqlx::query(
        "INSERT INTO health_rollups (workspace_id, user_integration_id, hour, count, successes, total_ms, \
         max_ms, spread) VALUES ($1, $2, $3, 0, 0, 0, 0, ''::bytea) ON CONFLICT DO NOTHING",
    )
    .bind(workspace.uuid())
    .bind(connection.uuid())
    .bind(hour.0)
    .execute(&mut *db)
    .await?;
    let there = Select::new(HOURS)
        .with("", workspace.uuid())
        .with(" AND user_integration_id = ", connection.uuid())
        .with(" AND hour = ", hour.0)
        .and(" FOR UPDATE")
        .one(&mut *db, rollup)
        .await?;
    if let Some(there) = there {
        tally.merge(&there.tally);
    }
    sqlx::query(
        "UPDATE health_rollups SET count = $4, successes = $5, total_ms = $6, max_ms = $7, spread = $8 \
         WHERE workspace_id = $1 AND user_integration_id = $2 AND hour = $3",
    )
    .bind(workspace.uuid())
    .bind(connection.uuid())
    .bind(hour.0)
    .bind(int(tally.count))
    .bind(int(tally.successes))
    .bind(int(tally.total_ms))
    .bind(i64::from(tally.max_ms))
    .bind(tally.spread.to_bytes())
    .execute(db)
    .await?;
    Ok(())
}

fn health(row: &PgRow) -> sqlx::Result<HealthRow> {
    Ok(HealthRow {
        id: id(row, 0)?,
        workspace: id(row, 1)?,
        connection: id(row, 2)?,
        response_time_ms: number(row, 3)?,
        success: row.try_get(4)?,
        error_message: row.try_get(5)?,
        checked_at: time(row, 6)?,
        created_at: time(row, 7)?,
    })
}

fn rollup(row: &PgRow) -> sqlx::Result<RollupRow> {
    let spread: Vec<u8> = row.try_get(6)?;
    Ok(RollupRow {
        connection: id(row, 0)?,
        hour: time(row, 1)?,
        tally: Tally {
            count: number(row, 2)?,
            successes: number(row, 3)?,
            total_ms: number(row, 4)?,
            max_ms: number(row, 5)?,
            spread: Histogram::from_bytes(&spread).ok_or_else(|| spoilt(6))?,
        },
    })
}
