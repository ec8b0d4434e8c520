//! The driver's errors in the store's words.

use store::StoreError;

/// The store cannot do this. A pool that was closed is a store that was closed.
pub(crate) fn unavailable(doing: &'static str, error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolClosed => StoreError::Closed,
        error => StoreError::unavailable(doing, error),
    }
}

/// Another transaction was in the way (serialization failure, deadlock).
pub(crate) fn lost_a_race(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}
