//! Credentials: sealed bytes in and out.

use async_trait::async_trait;
use model::Owner;
use model::id::{ConnectionId, CredentialId, WorkspaceId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use store::{
    CREDENTIALS_MAX, CredentialCommand, CredentialRow, Credentials, Page, PreviousValue, Replaces, Scope,
    StoreError, page_size,
};

use crate::SqliteStore;
use crate::connections::is_seen;
use crate::rows::id;
use crate::sql::{Select, all, blob, execute, one, rows, time, time_or_none, uint};

/// Every credential with its connection's owner, and the columns that [`credential`] reads.
const SELECT: &str = "SELECT s.id, s.user_integration_id, c.workspace_id, c.user_id, s.user_id, \
     s.credential_type, s.encrypted_value, s.key_version, s.fingerprint, s.last_four, s.expires_at, \
     s.last_rotated_at, s.created_at, s.previous_value, s.overlap_until \
     FROM integration_credentials s JOIN user_integrations c ON c.id = s.user_integration_id";

#[async_trait]
impl Credentials for SqliteStore {
    async fn list_credentials(
        &self,
        scope: Scope,
        connection: ConnectionId,
    ) -> Result<Vec<CredentialRow>, StoreError> {
        self.readers
            .look("list credentials", move |db| {
                if !is_seen(db, scope, connection)? {
                    return Ok(Vec::new());
                }
                Select::new(SELECT)
                    .with(" WHERE s.workspace_id = ?", blob(scope.workspace))
                    .with(" AND s.user_integration_id = ?", blob(connection))
                    .with_some(" AND (s.user_id IS NULL OR s.user_id = ?)", scope.user.map(blob))
                    .and(" ORDER BY s.credential_type, s.id")
                    .all(db, credential)
            })
            .await
    }

    async fn list_credentials_not_of(
        &self,
        workspace: WorkspaceId,
        version: u32,
        after: Option<CredentialId>,
        limit: usize,
    ) -> Result<Page<CredentialRow, CredentialId>, StoreError> {
        let size = page_size(limit);
        let found = self.readers.look("list credentials", move |db| {
            Select::new(SELECT)
                .with(" WHERE s.workspace_id = ?", blob(workspace))
                .with(" AND s.key_version <> ?", version)
                .with_some(" AND s.id > ?", after.map(blob))
                .with(" ORDER BY s.id LIMIT ?", rows(size + 1))
                .all(db, credential)
        });
        Ok(Page::cut(found.await?, size, |row| row.id))
    }

    async fn count_credentials(&self, workspace: WorkspaceId) -> Result<Vec<(u32, u64)>, StoreError> {
        self.readers
            .look("count credentials", move |db| {
                let sql = "SELECT key_version, count(*) FROM integration_credentials \
                           WHERE workspace_id = ?1 GROUP BY key_version ORDER BY key_version";
                all(db, sql, params![blob(workspace)], |row| Ok((row.get(0)?, uint(row, 1)?)))
            })
            .await
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) fn run(db: &Connection, command: &CredentialCommand) -> Result<(), StoreError> {
    match command {
        CredentialCommand::Put { row, replaces } => put(db, row, *replaces),
        CredentialCommand::Delete { scope, connection, id } => {
            let user = scope.user.map(blob);
            let sql = "DELETE FROM integration_credentials AS s \
                       WHERE s.id = ?1 AND s.user_integration_id = ?2 AND s.workspace_id = ?3 AND \
                       (?4 IS NULL OR s.user_id = ?4 OR EXISTS (SELECT 1 FROM user_integrations c \
                        WHERE c.id = s.user_integration_id AND c.user_id = ?4))";
            let params = params![blob(*id), blob(*connection), blob(scope.workspace), user];
            match execute(db, sql, params)? {
                0 => Err(StoreError::Missing { noun: "credential" }),
                _ => Ok(()),
            }
        }
        CredentialCommand::DropPrevious { workspace, now } => {
            let sql = "UPDATE integration_credentials SET previous_value = NULL, overlap_until = NULL \
                       WHERE workspace_id = ?1 AND overlap_until <= ?2";
            execute(db, sql, params![blob(*workspace), now.0]).map(drop)
        }
    }
}

fn put(db: &Connection, row: &CredentialRow, replaces: Replaces) -> Result<(), StoreError> {
    let Owner { workspace, user } = row.owner;
    let sql = "SELECT 1 FROM user_integrations WHERE id = ?1 AND workspace_id = ?2 AND user_id = ?3";
    if one(db, sql, params![blob(row.connection), blob(workspace), blob(user)], |_| Ok(()))?.is_none() {
        return Err(StoreError::Missing { noun: "connection" });
    }
    if let Some(own) = row.user {
        let sql = "SELECT 1 FROM users WHERE workspace_id = ?1 AND id = ?2";
        one(db, sql, params![blob(workspace), blob(own)], |_| Ok(()))?
            .ok_or(StoreError::Missing { noun: "user" })?;
    }
    let sql = "SELECT id, key_version, fingerprint FROM integration_credentials \
               WHERE user_integration_id = ?1 AND coalesce(user_id, x'') = coalesce(?2, x'') \
               AND credential_type = ?3";
    let place = params![blob(row.connection), row.user.map(blob), row.field];
    let there = one(db, sql, place, |row| Ok((id(row, 0)?, row.get(1)?, row.get(2)?)))?;
    replaces.allows(there.map(|(_, key_version, fingerprint)| (key_version, fingerprint)))?;
    let Some((there, ..)) = there else { return insert(db, row) };
    let sql = "UPDATE integration_credentials SET encrypted_value = ?2, key_version = ?3, fingerprint = ?4, \
               last_four = ?5, expires_at = ?6, last_rotated_at = ?7, previous_value = ?8, \
               overlap_until = ?9 WHERE id = ?1";
    execute(
        db,
        sql,
        params![
            blob::<model::id::CredentialTag>(there),
            row.sealed,
            row.key_version,
            row.fingerprint,
            row.last_four,
            row.expires_at.map(|at| at.0),
            row.last_rotated_at.map(|at| at.0),
            row.previous.as_ref().map(|previous| &previous.sealed),
            row.previous.as_ref().map(|previous| previous.overlap_until.0),
        ],
    )
    .map(drop)
}

fn insert(db: &Connection, row: &CredentialRow) -> Result<(), StoreError> {
    let sql = "SELECT count(*) FROM integration_credentials \
               WHERE workspace_id = ?1 AND user_integration_id = ?2";
    let place = params![blob(row.owner.workspace), blob(row.connection)];
    if one(db, sql, place, |row| row.get::<_, i64>(0))?.unwrap_or(0) >= rows(CREDENTIALS_MAX) {
        let what = "the number of credentials of a connection";
        return Err(StoreError::TooLarge { what, max: CREDENTIALS_MAX });
    }
    let sql = "SELECT 1 FROM integration_credentials WHERE id = ?1";
    if one(db, sql, params![blob(row.id)], |_| Ok(()))?.is_some() {
        return Err(StoreError::Conflict { detail: "the credential exists already" });
    }
    let sql = "INSERT INTO integration_credentials (id, workspace_id, user_integration_id, user_id, \
               credential_type, encrypted_value, key_version, fingerprint, last_four, expires_at, \
               last_rotated_at, created_at, previous_value, overlap_until) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    execute(
        db,
        sql,
        params![
            blob(row.id),
            blob(row.owner.workspace),
            blob(row.connection),
            row.user.map(blob),
            row.field,
            row.sealed,
            row.key_version,
            row.fingerprint,
            row.last_four,
            row.expires_at.map(|at| at.0),
            row.last_rotated_at.map(|at| at.0),
            row.created_at.0,
            row.previous.as_ref().map(|previous| &previous.sealed),
            row.previous.as_ref().map(|previous| previous.overlap_until.0),
        ],
    )
    .map(drop)
}

fn credential(row: &Row<'_>) -> rusqlite::Result<CredentialRow> {
    let previous: Option<Vec<u8>> = row.get(13)?;
    let overlap_until = time_or_none(row, 14)?;
    Ok(CredentialRow {
        id: id(row, 0)?,
        connection: id(row, 1)?,
        owner: Owner { workspace: id(row, 2)?, user: id(row, 3)? },
        user: if row.get_ref(4)? == ValueRef::Null { None } else { Some(id(row, 4)?) },
        field: row.get(5)?,
        sealed: row.get(6)?,
        key_version: row.get(7)?,
        fingerprint: row.get(8)?,
        last_four: row.get(9)?,
        expires_at: time_or_none(row, 10)?,
        last_rotated_at: time_or_none(row, 11)?,
        created_at: time(row, 12)?,
        previous: previous
            .zip(overlap_until)
            .map(|(sealed, overlap_until)| PreviousValue { sealed, overlap_until }),
    })
}
