//! Bringing the schema to what this program knows: one node at a time, all steps or none.

use model::Clock;
use sqlx::{PgConnection, PgPool, Row};
use store::StoreError;
use store::migration::{Applied, Migration, pending};

use crate::error::unavailable;

/// Every migration, in order. A new one is a file and a line here; one that was released never changes.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "first", sql: include_str!("../migrations/0001_first.sql") },
    Migration { version: 2, name: "connections", sql: include_str!("../migrations/0002_connections.sql") },
    Migration { version: 3, name: "search", sql: include_str!("../migrations/0003_search.sql") },
];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (\
     version integer NOT NULL PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, \
     applied_at bigint NOT NULL)";

/// Held to the end of the transaction; one lock per schema.
const LOCK: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('trunkline migrations ' || current_schema(), 0))";

/// Runs what did not run yet. PostgreSQL takes back definitions of tables too, so one transaction holds it
/// all, and a failure leaves the schema as it was: no copy is needed.
pub(crate) async fn run(
    pool: &PgPool,
    known: &'static [Migration],
    clock: &dyn Clock,
) -> Result<(), StoreError> {
    let failed = |error| unavailable("migrate the database", error);
    let mut transaction = pool.begin().await.map_err(failed)?;
    let has_schema: bool = sqlx::query_scalar("SELECT current_schema() IS NOT NULL")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    if !has_schema {
        let error = std::io::Error::other("no schema of the connection's search_path exists");
        return Err(StoreError::unavailable("migrate the database", error));
    }
    sqlx::query(LOCK).execute(&mut *transaction).await.map_err(failed)?;
    sqlx::query(TABLE).execute(&mut *transaction).await.map_err(failed)?;
    let applied = applied(&mut transaction).await.map_err(failed)?;
    let left = pending(known, &applied)?;
    for migration in left {
        step(&mut transaction, migration, clock).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    for migration in left {
        tracing::info!(version = migration.version, name = migration.name, "store: schema migrated");
    }
    Ok(())
}

pub(crate) async fn applied(db: &mut PgConnection) -> sqlx::Result<Vec<Applied>> {
    let rows = sqlx::query("SELECT version, checksum FROM schema_migrations ORDER BY version")
        .fetch_all(&mut *db)
        .await?;
    let read = |row: &sqlx::postgres::PgRow| {
        let version: i32 = row.try_get(0)?;
        Ok(Applied { version: u32::try_from(version).unwrap_or(u32::MAX), checksum: row.try_get(1)? })
    };
    rows.iter().map(read).collect()
}

async fn step(db: &mut PgConnection, migration: &Migration, clock: &dyn Clock) -> sqlx::Result<()> {
    sqlx::raw_sql(migration.sql).execute(&mut *db).await?;
    sqlx::query(
        "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(i32::try_from(migration.version).unwrap_or(i32::MAX))
    .bind(migration.name)
    .bind(migration.checksum())
    .bind(clock.now().0)
    .execute(&mut *db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{ManualClock, Timestamp};
    use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
    use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
    use store::StoreError;
    use store::migration::Migration;

    use super::{MIGRATIONS, run};

    /// A pool on an empty schema of its own.
    async fn pool() -> PgPool {
        let server = std::env::var("TRUNKLINE_TEST_POSTGRES")
            .expect("TRUNKLINE_TEST_POSTGRES is not set: run `make test`, which starts a PostgreSQL for it");
        let mut db = PgConnection::connect(&server).await.unwrap();
        let name: String = sqlx::query_scalar("SELECT 'test_' || replace(gen_random_uuid()::text, '-', '')")
            .fetch_one(&mut db)
            .await
            .unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut db).await.unwrap();
        let options: PgConnectOptions = server.parse().unwrap();
        PgPoolOptions::new().connect_lazy_with(options.options([("search_path", name)]))
    }

    async fn count(pool: &PgPool, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
    }

    #[tokio::test]
    async fn a_step_that_fails_leaves_the_schema_as_it_was_and_the_next_start_goes_on() {
        let (pool, clock) = (pool().await, ManualClock::at(Timestamp(1)));
        run(&pool, &MIGRATIONS[..1], &clock).await.unwrap();
        sqlx::raw_sql(
            "INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001', 'home', 1); \
             INSERT INTO connection_facts \
             VALUES ('00000000-0000-0000-0000-000000000001', 'files', 'era', 'x', 2)",
        )
        .execute(&pool)
        .await
        .unwrap();
        const BROKEN: &[Migration] = &[
            MIGRATIONS[0],
            MIGRATIONS[1],
            Migration { version: 3, name: "broken", sql: "SELECT nothing()" },
        ];
        let failed = run(&pool, BROKEN, &clock).await;
        assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
        assert_eq!(count(&pool, tables).await, 5, "the step before the broken one went back with it");
        assert_eq!(count(&pool, "SELECT count(*) FROM schema_migrations").await, 1);

        run(&pool, MIGRATIONS, &clock).await.unwrap();
        let kept = "SELECT count(*) FROM workspaces JOIN connection_facts ON workspace_id = id \
                    WHERE connection_count = 0";
        assert_eq!(count(&pool, kept).await, 1);
        let older = run(&pool, &MIGRATIONS[..1], &clock).await;
        assert!(matches!(older, Err(StoreError::NewerSchema { found: 3, known: 1 })), "{older:?}");
        pool.close().await;
    }
}
