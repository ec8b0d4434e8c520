//! Between rows and nouns.

use model::{Access, Id, Owner, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use store::{ApiKeyRow, Fact, StoreError};

/// One API key; the columns in the order of the queries in `lib.rs`.
pub(crate) fn api_key(row: &PgRow) -> Result<ApiKeyRow, StoreError> {
    let read = || {
        let digest: Vec<u8> = row.try_get(5)?;
        Ok(ApiKeyRow {
            id: Id::from_uuid(row.try_get(0)?),
            owner: Owner { workspace: Id::from_uuid(row.try_get(1)?), user: Id::from_uuid(row.try_get(2)?) },
            name: row.try_get(3)?,
            prefix: row.try_get(4)?,
            digest: digest.try_into().map_err(|_| sqlx::Error::ColumnNotFound("digest".to_owned()))?,
            access: row.try_get::<Json<Access>, _>(6)?.0,
            created_at: Timestamp(row.try_get(7)?),
            expires_at: row.try_get::<Option<i64>, _>(8)?.map(Timestamp),
            last_used_at: row.try_get::<Option<i64>, _>(9)?.map(Timestamp),
            revoked_at: row.try_get::<Option<i64>, _>(10)?.map(Timestamp),
        })
    };
    read().map_err(|error: sqlx::Error| corrupt("API key", &error))
}

/// One fact.
pub(crate) fn fact(row: &PgRow) -> Result<Fact, StoreError> {
    let read = || Ok(Fact { bytes: row.try_get(0)?, updated_at: Timestamp(row.try_get(1)?) });
    read().map_err(|error: sqlx::Error| corrupt("fact", &error))
}

/// The owner.
pub(crate) fn owner(row: &PgRow) -> Result<Owner, StoreError> {
    let read =
        || Ok(Owner { workspace: Id::from_uuid(row.try_get(0)?), user: Id::from_uuid(row.try_get(1)?) });
    read().map_err(|error: sqlx::Error| corrupt("owner", &error))
}

fn corrupt(noun: &'static str, error: &sqlx::Error) -> StoreError {
    tracing::error!(%error, noun, "store: a row cannot be read");
    StoreError::Corrupt { noun }
}
