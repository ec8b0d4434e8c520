//! Small words for SQL: run a statement, read a column, put a query together.

use std::str::FromStr;

use model::id::Kind;
use model::{Id, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, ToSql};
use store::{Json, StoreError};

/// Runs a statement and tells how many rows it changed.
pub(crate) fn execute(db: &Connection, sql: &str, params: &[&dyn ToSql]) -> Result<usize, StoreError> {
    db.prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params))
        .map_err(|error| trouble("write", error))
}

/// The first row.
pub(crate) fn one<T>(
    db: &Connection,
    sql: &str,
    params: &[&dyn ToSql],
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    let found = db.prepare_cached(sql).and_then(|mut query| {
        let mut rows = query.query(params)?;
        rows.next()?.map(read).transpose()
    });
    found.map_err(|error| trouble("read", error))
}

/// Every row.
pub(crate) fn all<T>(
    db: &Connection,
    sql: &str,
    params: &[&dyn ToSql],
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let found =
        db.prepare_cached(sql).and_then(|mut query| query.query_map(params, read)?.collect::<Result<_, _>>());
    found.map_err(|error| trouble("read", error))
}

/// A column that cannot be understood is a spoilt row; everything else is the disk's doing.
pub(crate) fn trouble(doing: &'static str, error: rusqlite::Error) -> StoreError {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    match error {
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => {
            tracing::error!(%error, "store: a row cannot be read");
            StoreError::Corrupt { noun: "row" }
        }
        error => StoreError::unavailable(doing, error),
    }
}

/// An id as its column holds it.
pub(crate) fn blob<K: Kind>(id: Id<K>) -> [u8; 16] {
    *id.uuid().as_bytes()
}

/// A number as its column holds it.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count of rows as SQL wants it.
pub(crate) fn rows(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A number that is never negative.
pub(crate) fn uint(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A moment.
pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp)
}

/// A moment, or none.
pub(crate) fn time_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
}

/// A word of a closed vocabulary.
pub(crate) fn word<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    known(row, column, |word| word.parse().ok())
}

/// A text that something can be made of.
pub(crate) fn known<T>(
    row: &Row<'_>,
    column: usize,
    make: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    make(&text).ok_or_else(|| spoilt(column))
}

/// JSON.
pub(crate) fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Json> {
    known(row, column, |text| Json::parse("a stored value", text).ok())
}

/// "This column holds what it must not."
pub(crate) fn spoilt(column: usize) -> rusqlite::Error {
    let reason = std::io::Error::other("not a value of this column");
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(reason))
}

/// A query put together from fixed pieces; what callers say is only ever bound.
pub(crate) struct Select {
    sql: String,
    params: Vec<Box<dyn ToSql>>,
}

// === impl Select ===

impl Select {
    pub(crate) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), params: Vec::new() }
    }

    /// Adds a piece with one `?`.
    pub(crate) fn with(mut self, piece: &'static str, value: impl ToSql + 'static) -> Self {
        self.sql.push_str(piece);
        self.params.push(Box::new(value));
        self
    }

    /// Adds a piece with one `?`, if there is a value for it.
    pub(crate) fn with_some(self, piece: &'static str, value: Option<impl ToSql + 'static>) -> Self {
        match value {
            Some(value) => self.with(piece, value),
            None => self,
        }
    }

    /// Adds a piece without parameters.
    pub(crate) fn and(mut self, piece: &'static str) -> Self {
        self.sql.push_str(piece);
        self
    }

    /// Every row of it.
    pub(crate) fn all<T>(
        self,
        db: &Connection,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let params: Vec<&dyn ToSql> = self.params.iter().map(Box::as_ref).collect();
        all(db, &self.sql, &params, read)
    }
}
