//! Each command as SQL. Preconditions are checked inside the same transaction, under the row locks that
//! make them hold until it ends.

use model::Owner;
use model::id::WorkspaceId;
use sqlx::PgConnection;
use sqlx::postgres::PgQueryResult;
use sqlx::types::Json;
use store::{API_KEYS_MAX, ApiKeyRow, Command, NewOwner, StoreError, Touch};
use uuid::Uuid;

use crate::{connections, credentials, data_keys, health, integrations, leases, logs, requests, toolsets};

/// Why a command did not run.
pub(crate) enum Failure {
    /// A precondition does not hold.
    Refused(StoreError),
    /// The database's doing.
    Database(sqlx::Error),
}

/// Runs one command inside the transaction that is open.
pub(crate) async fn run(db: &mut PgConnection, command: &Command) -> Result<(), Failure> {
    match command {
        Command::BootstrapOwner(new) => bootstrap(db, new).await,
        Command::InsertApiKey(row) => insert_api_key(db, row).await,
        Command::RevokeApiKey { workspace, id, at } => {
            let done = sqlx::query(
                "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) \
                 WHERE workspace_id = $1 AND id = $2",
            )
            .bind(workspace.uuid())
            .bind(id.uuid())
            .bind(at.0)
            .execute(db)
            .await?;
            if done.rows_affected() == 0 { Err(missing("API key")) } else { Ok(()) }
        }
        Command::RetireApiKey { workspace, id, expires_at } => {
            let is_revoked: Option<bool> = sqlx::query_scalar(
                "SELECT revoked_at IS NOT NULL FROM api_keys \
                 WHERE workspace_id = $1 AND id = $2 FOR UPDATE",
            )
            .bind(workspace.uuid())
            .bind(id.uuid())
            .fetch_optional(&mut *db)
            .await?;
            match is_revoked {
                None => return Err(missing("API key")),
                Some(true) => {
                    return Err(Failure::Refused(StoreError::Conflict { detail: "the API key is revoked" }));
                }
                Some(false) => {}
            }
            // `least` passes over NULL: a key without an end gets this one.
            sqlx::query("UPDATE api_keys SET expires_at = least(expires_at, $2) WHERE id = $1")
                .bind(id.uuid())
                .bind(expires_at.0)
                .execute(db)
                .await?;
            Ok(())
        }
        Command::TouchApiKeys(touches) => touch(db, touches).await,
        Command::PutFact { workspace, connection, kind, fact } => {
            let put = sqlx::query(
                "INSERT INTO connection_facts (workspace_id, connection_key, kind, bytes, updated_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (workspace_id, connection_key, kind) \
                 DO UPDATE SET bytes = excluded.bytes, updated_at = excluded.updated_at",
            )
            .bind(workspace.uuid())
            .bind(connection.as_str())
            .bind(kind.as_str())
            .bind(fact.bytes.as_slice())
            .bind(fact.updated_at.0)
            .execute(db)
            .await;
            written(put, "workspace", "the fact exists already")
        }
        Command::ForgetFacts { workspace, connection } => {
            sqlx::query("DELETE FROM connection_facts WHERE workspace_id = $1 AND connection_key = $2")
                .bind(workspace.uuid())
                .bind(connection.as_str())
                .execute(db)
                .await?;
            Ok(())
        }
        Command::Integration(command) => integrations::run(db, command).await,
        Command::Connection(command) => connections::run(db, command).await,
        Command::Credential(command) => credentials::run(db, command).await,
        Command::DataKey(command) => data_keys::run(db, command).await,
        Command::Log(command) => logs::run(db, command).await,
        Command::Health(command) => health::run(db, command).await,
        Command::Toolset(command) => toolsets::run(db, command).await,
        Command::Lease(command) => leases::run(db, command).await,
        Command::Request(command) => requests::run(db, command).await,
        Command::Copy(copied) => crate::bulk::copy(db, copied).await,
    }
}

async fn bootstrap(db: &mut PgConnection, new: &NewOwner) -> Result<(), Failure> {
    // Two nodes on their first start would both find nothing; the second waits here and then finds one.
    sqlx::query("LOCK TABLE workspaces IN SHARE ROW EXCLUSIVE MODE").execute(&mut *db).await?;
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM workspaces)").fetch_one(&mut *db).await?;
    if exists {
        return Ok(());
    }
    sqlx::query("INSERT INTO workspaces (id, name, created_at) VALUES ($1, $2, $3)")
        .bind(new.owner.workspace.uuid())
        .bind(&new.workspace_name)
        .bind(new.created_at.0)
        .execute(&mut *db)
        .await?;
    sqlx::query("INSERT INTO users (id, workspace_id, name, created_at) VALUES ($1, $2, $3, $4)")
        .bind(new.owner.user.uuid())
        .bind(new.owner.workspace.uuid())
        .bind(&new.user_name)
        .bind(new.created_at.0)
        .execute(db)
        .await?;
    Ok(())
}

async fn insert_api_key(db: &mut PgConnection, row: &ApiKeyRow) -> Result<(), Failure> {
    let workspace = row.owner.workspace.uuid();
    // The lock makes two nodes count one after the other.
    let is_there = sqlx::query("SELECT FROM workspaces WHERE id = $1 FOR UPDATE")
        .bind(workspace)
        .fetch_optional(&mut *db)
        .await?;
    if is_there.is_none() {
        return Err(missing("owner"));
    }
    let in_use: i64 =
        sqlx::query_scalar("SELECT count(*) FROM api_keys WHERE workspace_id = $1 AND revoked_at IS NULL")
            .bind(workspace)
            .fetch_one(&mut *db)
            .await?;
    if usize::try_from(in_use).unwrap_or(usize::MAX) >= API_KEYS_MAX {
        let error = StoreError::TooLarge { what: "the number of API keys in use", max: API_KEYS_MAX };
        return Err(Failure::Refused(error));
    }
    let inserted = sqlx::query(
        "INSERT INTO api_keys (id, workspace_id, user_id, name, prefix, digest, access, created_at, \
         expires_at, last_used_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(row.id.uuid())
    .bind(workspace)
    .bind(row.owner.user.uuid())
    .bind(&row.name)
    .bind(&row.prefix)
    .bind(row.digest.as_slice())
    .bind(Json(&row.access))
    .bind(row.created_at.0)
    .bind(row.expires_at.map(|at| at.0))
    .bind(row.last_used_at.map(|at| at.0))
    .bind(row.revoked_at.map(|at| at.0))
    .execute(db)
    .await;
    written(inserted, "owner", "the API key exists already")
}

/// All touches in one statement. `greatest` passes over NULL, and no time moves back.
async fn touch(db: &mut PgConnection, touches: &[Touch]) -> Result<(), Failure> {
    let workspaces: Vec<Uuid> = touches.iter().map(|touch| touch.workspace.uuid()).collect();
    let ids: Vec<Uuid> = touches.iter().map(|touch| touch.id.uuid()).collect();
    let times: Vec<i64> = touches.iter().map(|touch| touch.at.0).collect();
    sqlx::query(
        "UPDATE api_keys SET last_used_at = greatest(last_used_at, used.at) FROM \
         (SELECT workspace_id, id, max(at) AS at FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) \
          AS each (workspace_id, id, at) GROUP BY workspace_id, id) AS used \
         WHERE api_keys.workspace_id = used.workspace_id AND api_keys.id = used.id",
    )
    .bind(workspaces)
    .bind(ids)
    .bind(times)
    .execute(db)
    .await?;
    Ok(())
}

/// `parent` is what is missing when the row refers to something that is not there, `clash` what to say of a
/// row that is there already.
pub(crate) fn written(
    result: sqlx::Result<PgQueryResult>,
    parent: &'static str,
    clash: &'static str,
) -> Result<(), Failure> {
    let Err(error) = result else {
        return Ok(());
    };
    match error.as_database_error().map(sqlx::error::DatabaseError::kind) {
        Some(sqlx::error::ErrorKind::ForeignKeyViolation) => Err(missing(parent)),
        Some(sqlx::error::ErrorKind::UniqueViolation) => {
            Err(Failure::Refused(StoreError::Conflict { detail: clash }))
        }
        _ => Err(Failure::Database(error)),
    }
}

/// The workspace must exist. The lock makes two nodes count and look for names in it one after the other.
pub(crate) async fn lock_workspace(db: &mut PgConnection, workspace: WorkspaceId) -> Result<(), Failure> {
    let found = sqlx::query("SELECT FROM workspaces WHERE id = $1 FOR NO KEY UPDATE")
        .bind(workspace.uuid())
        .fetch_optional(db)
        .await?;
    if found.is_none() { Err(missing("workspace")) } else { Ok(()) }
}

/// The owner must exist.
pub(crate) async fn check_owner(db: &mut PgConnection, owner: Owner) -> Result<(), Failure> {
    let found = sqlx::query("SELECT FROM users WHERE workspace_id = $1 AND id = $2")
        .bind(owner.workspace.uuid())
        .bind(owner.user.uuid())
        .fetch_optional(db)
        .await?;
    if found.is_none() { Err(missing("owner")) } else { Ok(()) }
}

fn missing(noun: &'static str) -> Failure {
    Failure::Refused(StoreError::Missing { noun })
}

// === impl Failure ===

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}
