//! Credentials: sealed bytes in and out.

use async_trait::async_trait;
use model::Owner;
use model::id::{ConnectionId, CredentialId, WorkspaceId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use store::{
    CREDENTIALS_MAX, CredentialCommand, CredentialRow, Credentials, Page, PreviousValue, Replaces, Scope,
    StoreError, page_size,
};

use crate::PostgresStore;
use crate::commands::{Failure, written};
use crate::connections::seen;
use crate::sql::{Select, bytes, id, id_or_none, number, rows, time, time_or_none, trouble};

/// Every credential with its connection's owner, and the columns that [`credential`] reads.
const SELECT: &str = "SELECT s.id, s.user_integration_id, c.workspace_id, c.user_id, s.user_id, \
     s.credential_type, s.encrypted_value, s.key_version, s.fingerprint, s.last_four, s.expires_at, \
     s.last_rotated_at, s.created_at, s.previous_value, s.overlap_until \
     FROM integration_credentials s JOIN user_integrations c ON c.id = s.user_integration_id";

#[async_trait]
impl Credentials for PostgresStore {
    async fn list_credentials(
        &self,
        scope: Scope,
        connection: ConnectionId,
    ) -> Result<Vec<CredentialRow>, StoreError> {
        let found = seen(Select::new(SELECT), scope)
            .with(" AND s.user_integration_id = ", connection.uuid())
            .with_some(" AND (s.user_id IS NULL OR s.user_id = ", scope.user.map(|user| user.uuid()), ")")
            .and(" ORDER BY s.credential_type, s.id")
            .all(&self.pool, credential);
        found.await.map_err(|e| trouble("list credentials", e))
    }

    async fn list_credentials_not_of(
        &self,
        workspace: WorkspaceId,
        version: u32,
        after: Option<CredentialId>,
        limit: usize,
    ) -> Result<Page<CredentialRow, CredentialId>, StoreError> {
        let size = page_size(limit);
        let found = Select::new(SELECT)
            .with(" WHERE s.workspace_id = ", workspace.uuid())
            .with(" AND s.key_version <> ", i64::from(version))
            .with_some(" AND s.id > ", after.map(|after| after.uuid()), "")
            .with(" ORDER BY s.id LIMIT ", rows(size + 1))
            .all(&self.pool, credential)
            .await;
        found.map(|found| Page::cut(found, size, |row| row.id)).map_err(|e| trouble("list credentials", e))
    }

    async fn count_credentials(&self, workspace: WorkspaceId) -> Result<Vec<(u32, u64)>, StoreError> {
        let counts = Select::new("SELECT key_version, count(*) FROM integration_credentials")
            .with(" WHERE workspace_id = ", workspace.uuid())
            .and(" GROUP BY key_version ORDER BY key_version")
            .all(&self.pool, |row| Ok((number(row, 0)?, number(row, 1)?)));
        counts.await.map_err(|e| trouble("count credentials", e))
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) async fn run(db: &mut PgConnection, command: &CredentialCommand) -> Result<(), Failure> {
    match command {
        CredentialCommand::Put { row, replaces } => put(db, row, *replaces).await,
        CredentialCommand::Delete { scope, connection, id } => {
            let done = sqlx::query(
                "DELETE FROM integration_credentials s USING user_integrations c \
                 WHERE c.id = s.user_integration_id AND s.id = $1 AND c.id = $2 AND s.workspace_id = $3 \
                 AND ($4::uuid IS NULL OR s.user_id = $4 OR c.user_id = $4)",
            )
            .bind(id.uuid())
            .bind(connection.uuid())
            .bind(scope.workspace.uuid())
            .bind(scope.user.map(|user| user.uuid()))
            .execute(db)
            .await?;
            match done.rows_affected() {
                0 => Err(StoreError::Missing { noun: "credential" }.into()),
                _ => Ok(()),
            }
        }
        CredentialCommand::DropPrevious { workspace, now } => {
            sqlx::query(
                "UPDATE integration_credentials SET previous_value = NULL, overlap_until = NULL \
                 WHERE workspace_id = $1 AND overlap_until <= $2",
            )
            .bind(workspace.uuid())
            .bind(now.0)
            .execute(db)
            .await?;
            Ok(())
        }
    }
}

async fn put(db: &mut PgConnection, row: &CredentialRow, replaces: Replaces) -> Result<(), Failure> {
    let Owner { workspace, user } = row.owner;
    // The lock makes two nodes fill a connection's places one after the other.
    sqlx::query(
        "SELECT FROM user_integrations WHERE id = $1 AND workspace_id = $2 AND user_id = $3 \
         FOR NO KEY UPDATE",
    )
    .bind(row.connection.uuid())
    .bind(workspace.uuid())
    .bind(user.uuid())
    .fetch_optional(&mut *db)
    .await?
    .ok_or(StoreError::Missing { noun: "connection" })?;
    if let Some(own) = row.user {
        sqlx::query("SELECT FROM users WHERE workspace_id = $1 AND id = $2")
            .bind(workspace.uuid())
            .bind(own.uuid())
            .fetch_optional(&mut *db)
            .await?
            .ok_or(StoreError::Missing { noun: "user" })?;
    }
    let there = Select::new("SELECT id, key_version, fingerprint FROM integration_credentials")
        .with(" WHERE user_integration_id = ", row.connection.uuid())
        .with(" AND user_id IS NOT DISTINCT FROM ", row.user.map(|user| user.uuid()))
        .with(" AND credential_type = ", row.field.clone())
        .one(&mut *db, |row| Ok((id(row, 0)?, number(row, 1)?, bytes(row, 2)?)))
        .await?;
    replaces.allows(there.map(|(_, key_version, fingerprint)| (key_version, fingerprint)))?;
    match there {
        Some((there, ..)) => replace(db, there, row).await,
        None => insert(db, row).await,
    }
}

async fn replace(db: &mut PgConnection, there: CredentialId, row: &CredentialRow) -> Result<(), Failure> {
    sqlx::query(
        "UPDATE integration_credentials SET encrypted_value = $2, key_version = $3, fingerprint = $4, \
         last_four = $5, expires_at = $6, last_rotated_at = $7, previous_value = $8, overlap_until = $9 \
         WHERE id = $1",
    )
    .bind(there.uuid())
    .bind(row.sealed.as_slice())
    .bind(i64::from(row.key_version))
    .bind(row.fingerprint.as_slice())
    .bind(&row.last_four)
    .bind(row.expires_at.map(|at| at.0))
    .bind(row.last_rotated_at.map(|at| at.0))
    .bind(row.previous.as_ref().map(|previous| previous.sealed.as_slice()))
    .bind(row.previous.as_ref().map(|previous| previous.overlap_until.0))
    .execute(db)
    .await?;
    Ok(())
}

async fn insert(db: &mut PgConnection, row: &CredentialRow) -> Result<(), Failure> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM integration_credentials WHERE user_integration_id = $1")
            .bind(row.connection.uuid())
            .fetch_one(&mut *db)
            .await?;
    if count >= rows(CREDENTIALS_MAX) {
        let what = "the number of credentials of a connection";
        return Err(StoreError::TooLarge { what, max: CREDENTIALS_MAX }.into());
    }
    let done = sqlx::query(
        "INSERT INTO integration_credentials (id, workspace_id, user_integration_id, user_id, \
         credential_type, encrypted_value, key_version, fingerprint, last_four, expires_at, \
         last_rotated_at, created_at, previous_value, overlap_until) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(row.id.uuid())
    .bind(row.owner.workspace.uuid())
    .bind(row.connection.uuid())
    .bind(row.user.map(|user| user.uuid()))
    .bind(&row.field)
    .bind(row.sealed.as_slice())
    .bind(i64::from(row.key_version))
    .bind(row.fingerprint.as_slice())
    .bind(&row.last_four)
    .bind(row.expires_at.map(|at| at.0))
    .bind(row.last_rotated_at.map(|at| at.0))
    .bind(row.created_at.0)
    .bind(row.previous.as_ref().map(|previous| previous.sealed.as_slice()))
    .bind(row.previous.as_ref().map(|previous| previous.overlap_until.0))
    .execute(db)
    .await;
    written(done, "connection", "the credential exists already")
}

fn credential(row: &PgRow) -> sqlx::Result<CredentialRow> {
    let previous: Option<Vec<u8>> = row.try_get(13)?;
    let overlap_until = time_or_none(row, 14)?;
    Ok(CredentialRow {
        id: id(row, 0)?,
        connection: id(row, 1)?,
        owner: Owner { workspace: id(row, 2)?, user: id(row, 3)? },
        user: id_or_none(row, 4)?,
        field: row.try_get(5)?,
        sealed: row.try_get(6)?,
        key_version: number(row, 7)?,
        fingerprint: bytes(row, 8)?,
        last_four: row.try_get(9)?,
        expires_at: time_or_none(row, 10)?,
        last_rotated_at: time_or_none(row, 11)?,
        created_at: time(row, 12)?,
        previous: previous
            .zip(overlap_until)
            .map(|(sealed, overlap_until)| PreviousValue { sealed, overlap_until }),
    })
}
