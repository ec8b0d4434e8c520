//! A look at the database that changes nothing: does it answer, which schema has it, may we write.

use model::Secret;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use store::StoreError;
use store::migration::Look;

use crate::error::unavailable;
use crate::{ACQUIRE_TIMEOUT, migrate};

/// Looks at the schema behind `url`.
///
/// # Errors
/// [`StoreError`]: an unusable URL, a server that does not answer within ten seconds or let us in, a schema
/// that this program does not know.
pub async fn look(url: &Secret) -> Result<Look, StoreError> {
    let failed = |error| unavailable("reach PostgreSQL", error);
    let options: PgConnectOptions = url.expose().parse().map_err(failed)?;
    let looking = async {
        let mut db = PgConnection::connect_with(&options).await?;
        // A standby and a database set to read-only both say so here.
        let is_writable = sqlx::query_scalar("SELECT current_setting('transaction_read_only') = 'off'");
        let is_writable: bool = is_writable.fetch_one(&mut db).await?;
        let has_table = sqlx::query_scalar("SELECT to_regclass('schema_migrations') IS NOT NULL");
        let has_table: bool = has_table.fetch_one(&mut db).await?;
        let applied = if has_table { migrate::applied(&mut db).await? } else { Vec::new() };
        db.close().await?;
        Ok((applied, is_writable))
    };
    let timed_out = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    let looked = tokio::time::timeout(ACQUIRE_TIMEOUT, looking).await.unwrap_or_else(|_| Err(timed_out()));
    let (applied, is_writable) = looked.map_err(failed)?;
    Look::of(migrate::MIGRATIONS, &applied, is_writable)
}
