//! Between rows and nouns.

use model::id::Kind;
use model::{Id, Owner, Timestamp};
use rusqlite::Row;
use rusqlite::types::Type;
use store::{ApiKeyRow, Fact, StoreError};
use uuid::Uuid;

/// The columns that [`api_key`] reads, in its order.
pub(crate) const API_KEY_COLUMNS: &str = "id, workspace_id, user_id, name, prefix, digest, access, \
     created_at, expires_at, last_used_at, revoked_at";

/// One API key. The outer error is the database's, the inner one is a row that cannot be understood.
pub(crate) fn api_key(row: &Row<'_>) -> rusqlite::Result<Result<ApiKeyRow, StoreError>> {
    let access: String = row.get(6)?;
    let Ok(access) = serde_json::from_str(&access) else {
        return Ok(Err(StoreError::Corrupt { noun: "API key" }));
    };
    Ok(Ok(ApiKeyRow {
        id: id(row, 0)?,
        owner: Owner { workspace: id(row, 1)?, user: id(row, 2)? },
        name: row.get(3)?,
        prefix: row.get(4)?,
        digest: row.get(5)?,
        access,
        created_at: Timestamp(row.get(7)?),
        expires_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        last_used_at: row.get::<_, Option<i64>>(9)?.map(Timestamp),
        revoked_at: row.get::<_, Option<i64>>(10)?.map(Timestamp),
    }))
}

/// One fact.
pub(crate) fn fact(row: &Row<'_>) -> rusqlite::Result<Fact> {
    Ok(Fact { bytes: row.get(0)?, updated_at: Timestamp(row.get(1)?) })
}

/// An id from its 16 bytes.
pub(crate) fn id<K: Kind>(row: &Row<'_>, column: usize) -> rusqlite::Result<Id<K>> {
    let bytes: [u8; 16] = row.get(column)?;
    let uuid = Uuid::from_slice(&bytes)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(e)))?;
    Ok(Id::from_uuid(uuid))
}

/// All rows, or the first that cannot be read.
pub(crate) fn collect<T>(
    rows: impl Iterator<Item = rusqlite::Result<Result<T, StoreError>>>,
) -> rusqlite::Result<Result<Vec<T>, StoreError>> {
    let mut out = Vec::new();
    for row in rows {
        match row? {
            Ok(row) => out.push(row),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(out))
}
