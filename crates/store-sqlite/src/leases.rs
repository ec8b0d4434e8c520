//! Leases: taking, holding, letting go, and the precondition that knows a late holder.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use store::{Lease, LeaseCommand, Leases, StoreError, first_token};

use crate::SqliteStore;
use crate::sql::{execute, int, one, rows, time, uint};

#[async_trait]
impl Leases for SqliteStore {
    async fn find_lease(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        let name = name.to_owned();
        self.readers
            .look("find a lease", move |db| {
                let sql = "SELECT name, holder, token, expires_at FROM leases WHERE name = ?1";
                one(db, sql, params![name], |row| {
                    let (token, expires_at) = (uint(row, 2)?, time(row, 3)?);
                    Ok(Lease { name: row.get(0)?, holder: row.get(1)?, token, expires_at })
                })
            })
            .await
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) fn run(db: &Connection, command: &LeaseCommand) -> Result<(), StoreError> {
    match command {
        LeaseCommand::Acquire { name, holder, now, expires_at } => {
            let sql = "INSERT INTO leases (name, holder, token, expires_at) VALUES (?1, ?2, ?5, ?4) \
                       ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, token = token + 1, \
                       expires_at = excluded.expires_at WHERE leases.expires_at <= ?3";
            match execute(db, sql, params![name, holder, now.0, expires_at.0, int(first_token(*now))])? {
                0 => Err(StoreError::LeaseHeld),
                _ => Ok(()),
            }
        }
        LeaseCommand::Renew { name, token, now, expires_at } => {
            let sql = "UPDATE leases SET expires_at = ?4 WHERE name = ?1 AND token = ?2 AND expires_at > ?3";
            match execute(db, sql, params![name, int(*token), now.0, expires_at.0])? {
                0 => Err(StoreError::LeaseLost),
                _ => Ok(()),
            }
        }
        LeaseCommand::Release { name, token } => {
            let sql = "UPDATE leases SET expires_at = 0 WHERE name = ?1 AND token = ?2";
            execute(db, sql, params![name, int(*token)]).map(drop)
        }
        LeaseCommand::Expire { before, limit } => {
            let sql = "DELETE FROM leases WHERE name IN (SELECT name FROM leases \
                       WHERE expires_at <= ?1 AND token <= ?2 LIMIT ?3)";
            execute(db, sql, params![before.0, int(first_token(*before)), rows(*limit)]).map(drop)
        }
        LeaseCommand::Require { name, token, now } => {
            let sql = "SELECT 1 FROM leases WHERE name = ?1 AND token = ?2 AND expires_at > ?3";
            let held = one(db, sql, params![name, int(*token), now.0], |_| Ok(()))?;
            held.ok_or(StoreError::LeaseLost)
        }
    }
}
