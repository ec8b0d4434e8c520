//! Leases: taking, holding, letting go, and the precondition that knows a late holder.

use async_trait::async_trait;
use sqlx::{PgConnection, Row};
use store::{Lease, LeaseCommand, Leases, StoreError, first_token};

use crate::PostgresStore;
use crate::commands::Failure;
use crate::sql::{Select, int, number, rows, time, trouble};

#[async_trait]
impl Leases for PostgresStore {
    async fn find_lease(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        let found = Select::new("SELECT name, holder, token, expires_at FROM leases")
            .with(" WHERE name = ", name.to_owned())
            .one(&self.pool, |row| {
                let (token, expires_at) = (number(row, 2)?, time(row, 3)?);
                Ok(Lease { name: row.try_get(0)?, holder: row.try_get(1)?, token, expires_at })
            });
        found.await.map_err(|e| trouble("find a lease", e))
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) async fn run(db: &mut PgConnection, command: &LeaseCommand) -> Result<(), Failure> {
    match command {
        LeaseCommand::Acquire { name, holder, now, expires_at } => {
            let done = sqlx::query(
                "INSERT INTO leases (name, holder, token, expires_at) VALUES ($1, $2, $5, $4) \
                 ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, token = leases.token + 1, \
                 expires_at = excluded.expires_at WHERE leases.expires_at <= $3",
            )
            .bind(name)
            .bind(holder)
            .bind(now.0)
            .bind(expires_at.0)
            .bind(int(first_token(*now)))
            .execute(db)
            .await?;
            if done.rows_affected() == 0 { Err(StoreError::LeaseHeld.into()) } else { Ok(()) }
        }
        LeaseCommand::Renew { name, token, now, expires_at } => {
            let done = sqlx::query(
                "UPDATE leases SET expires_at = $4 WHERE name = $1 AND token = $2 AND expires_at > $3",
            )
            .bind(name)
            .bind(int(*token))
            .bind(now.0)
            .bind(expires_at.0)
            .execute(db)
            .await?;
            if done.rows_affected() == 0 { Err(StoreError::LeaseLost.into()) } else { Ok(()) }
        }
        LeaseCommand::Release { name, token } => {
            sqlx::query("UPDATE leases SET expires_at = 0 WHERE name = $1 AND token = $2")
                .bind(name)
                .bind(int(*token))
                .execute(db)
                .await?;
            Ok(())
        }
        LeaseCommand::Expire { before, limit } => {
            sqlx::query(
                "DELETE FROM leases WHERE name IN (SELECT name FROM leases \
                 WHERE expires_at <= $1 AND token <= $2 LIMIT $3 FOR UPDATE SKIP LOCKED)",
            )
            .bind(before.0)
            .bind(int(first_token(*before)))
            .bind(rows(*limit))
            .execute(db)
            .await?;
            Ok(())
        }
        LeaseCommand::Require { name, token, now } => {
            // The lock keeps anybody from taking the lease before what is written under it is there.
            let held = sqlx::query(
                "SELECT FROM leases WHERE name = $1 AND token = $2 AND expires_at > $3 FOR SHARE",
            )
            .bind(name)
            .bind(int(*token))
            .bind(now.0)
            .fetch_optional(db)
            .await?;
            if held.is_none() { Err(StoreError::LeaseLost.into()) } else { Ok(()) }
        }
    }
}
