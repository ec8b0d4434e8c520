//! Small words for SQL: read a column, put a query together.

use std::str::FromStr;

use model::id::Kind;
use model::{Id, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{Encode, PgExecutor, Postgres, QueryBuilder, Row, Type};
use store::{Json, StoreError};

use crate::error::unavailable;

/// A column that cannot be understood is a spoilt row; everything else is the server's doing.
pub(crate) fn trouble(doing: &'static str, error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            tracing::error!(%error, "store: a row cannot be read");
            StoreError::Corrupt { noun: "row" }
        }
        error => unavailable(doing, error),
    }
}

/// A number as its column holds it.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count of rows as SQL wants it.
pub(crate) fn rows(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// JSON as it is bound.
pub(crate) fn jsonb(json: &Json) -> sqlx::types::Json<serde_json::Value> {
    sqlx::types::Json(json.value())
}

/// An id.
pub(crate) fn id<K: Kind>(row: &PgRow, column: usize) -> sqlx::Result<Id<K>> {
    row.try_get(column).map(Id::from_uuid)
}

/// An id, or none.
pub(crate) fn id_or_none<K: Kind>(row: &PgRow, column: usize) -> sqlx::Result<Option<Id<K>>> {
    Ok(row.try_get::<Option<uuid::Uuid>, _>(column)?.map(Id::from_uuid))
}

/// A number that fits its type.
pub(crate) fn number<T: TryFrom<i64>>(row: &PgRow, column: usize) -> sqlx::Result<T> {
    T::try_from(row.try_get::<i64, _>(column)?).map_err(|_| spoilt(column))
}

/// Bytes of a fixed number.
pub(crate) fn bytes<const N: usize>(row: &PgRow, column: usize) -> sqlx::Result<[u8; N]> {
    row.try_get::<Vec<u8>, _>(column)?.try_into().map_err(|_| spoilt(column))
}

/// A moment.
pub(crate) fn time(row: &PgRow, column: usize) -> sqlx::Result<Timestamp> {
    row.try_get(column).map(Timestamp)
}

/// A moment, or none.
pub(crate) fn time_or_none(row: &PgRow, column: usize) -> sqlx::Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp))
}

/// A word of a closed vocabulary.
pub(crate) fn word<T: FromStr>(row: &PgRow, column: usize) -> sqlx::Result<T> {
    known(row, column, |word| word.parse().ok())
}

/// A text that something can be made of.
pub(crate) fn known<T>(row: &PgRow, column: usize, make: impl FnOnce(&str) -> Option<T>) -> sqlx::Result<T> {
    make(row.try_get(column)?).ok_or_else(|| spoilt(column))
}

/// JSON.
pub(crate) fn json(row: &PgRow, column: usize) -> sqlx::Result<Json> {
    let value: sqlx::types::Json<serde_json::Value> = row.try_get(column)?;
    Json::from_value("a stored value", &value.0).map_err(|_| spoilt(column))
}

/// "This column holds what it must not."
pub(crate) fn spoilt(column: usize) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_string(), source: "not a value of this column".into() }
}

/// A query put together from fixed pieces; what callers say is only ever bound.
pub(crate) struct Select(QueryBuilder<Postgres>);

// === impl Select ===

impl Select {
    pub(crate) fn new(sql: &'static str) -> Self {
        Self(QueryBuilder::new(sql))
    }

    /// Adds a piece, and a parameter behind it.
    pub(crate) fn with<T>(mut self, piece: &'static str, value: T) -> Self
    where
        T: for<'t> Encode<'t, Postgres> + Type<Postgres> + 'static,
    {
        self.0.push(piece).push_bind(value);
        self
    }

    /// Adds a piece and a parameter behind it, if there is a value.
    pub(crate) fn with_some<T>(self, piece: &'static str, value: Option<T>, tail: &'static str) -> Self
    where
        T: for<'t> Encode<'t, Postgres> + Type<Postgres> + 'static,
    {
        match value {
            Some(value) => self.with(piece, value).and(tail),
            None => self,
        }
    }

    /// Adds a piece without parameters.
    pub(crate) fn and(mut self, piece: &'static str) -> Self {
        self.0.push(piece);
        self
    }

    /// Every row of it.
    pub(crate) async fn all<'c, T>(
        mut self,
        db: impl PgExecutor<'c>,
        read: impl FnMut(&PgRow) -> sqlx::Result<T>,
    ) -> sqlx::Result<Vec<T>> {
        self.0.build().fetch_all(db).await?.iter().map(read).collect()
    }

    /// The first row of it.
    pub(crate) async fn one<'c, T>(
        mut self,
        db: impl PgExecutor<'c>,
        read: impl FnOnce(&PgRow) -> sqlx::Result<T>,
    ) -> sqlx::Result<Option<T>> {
        self.0.build().fetch_optional(db).await?.as_ref().map(read).transpose()
    }
}
