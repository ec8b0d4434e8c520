//! Each command as SQL. Preconditions are checked inside the same transaction.

use model::Owner;
use model::id::WorkspaceId;
use rusqlite::{Connection, OptionalExtension, params};
use store::{API_KEYS_MAX, ApiKeyRow, Command, NewOwner, StoreError};

use crate::sql::{blob, execute, one};
use crate::{connections, credentials, data_keys, health, integrations, leases, logs, requests, toolsets};

/// Runs one command inside the transaction that is open.
pub(crate) fn run(db: &Connection, command: &Command) -> Result<(), StoreError> {
    match command {
        Command::BootstrapOwner(new) => bootstrap(db, new).map_err(failed),
        Command::InsertApiKey(row) => insert_api_key(db, row),
        Command::RevokeApiKey { workspace, id, at } => {
            let changed = execute(
                db,
                "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?3) WHERE workspace_id = ?1 AND id = ?2",
                params![workspace.uuid().as_bytes(), id.uuid().as_bytes(), at.0],
            )?;
            if changed == 0 { Err(StoreError::Missing { noun: "API key" }) } else { Ok(()) }
        }
        Command::RetireApiKey { workspace, id, expires_at } => {
            let sql = "SELECT revoked_at IS NOT NULL FROM api_keys WHERE workspace_id = ?1 AND id = ?2";
            let is_revoked: Option<bool> = db
                .prepare_cached(sql)
                .and_then(|mut query| {
                    query
                        .query_row(params![workspace.uuid().as_bytes(), id.uuid().as_bytes()], |row| {
                            row.get(0)
                        })
                        .optional()
                })
                .map_err(failed)?;
            match is_revoked {
                None => return Err(StoreError::Missing { noun: "API key" }),
                Some(true) => return Err(StoreError::Conflict { detail: "the API key is revoked" }),
                Some(false) => {}
            }
            execute(
                db,
                "UPDATE api_keys SET expires_at = min(coalesce(expires_at, ?2), ?2) WHERE id = ?1",
                params![id.uuid().as_bytes(), expires_at.0],
            )?;
            Ok(())
        }
        Command::TouchApiKeys(touches) => touches.iter().try_for_each(|touch| {
            execute(
                db,
                "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, ?3), ?3) \
                 WHERE workspace_id = ?1 AND id = ?2",
                params![touch.workspace.uuid().as_bytes(), touch.id.uuid().as_bytes(), touch.at.0],
            )
            .map(drop)
        }),
        Command::PutFact { workspace, connection, kind, fact } => {
            let sql = "INSERT INTO connection_facts (workspace_id, connection_key, kind, bytes, updated_at) \
                       VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (workspace_id, connection_key, kind) \
                       DO UPDATE SET bytes = excluded.bytes, updated_at = excluded.updated_at";
            execute_or(
                db,
                sql,
                params![
                    workspace.uuid().as_bytes(),
                    connection.as_str(),
                    kind.as_str(),
                    fact.bytes,
                    fact.updated_at.0
                ],
                StoreError::Missing { noun: "workspace" },
            )
            .map(drop)
        }
        Command::ForgetFacts { workspace, connection } => {
            let sql = "DELETE FROM connection_facts WHERE workspace_id = ?1 AND connection_key = ?2";
            execute(db, sql, params![workspace.uuid().as_bytes(), connection.as_str()]).map(drop)
        }
        Command::Integration(command) => integrations::run(db, command),
        Command::Connection(command) => connections::run(db, command),
        Command::Credential(command) => credentials::run(db, command),
        Command::DataKey(command) => data_keys::run(db, command),
        Command::Log(command) => logs::run(db, command),
        Command::Health(command) => health::run(db, command),
        Command::Toolset(command) => toolsets::run(db, command),
        Command::Lease(command) => leases::run(db, command),
        Command::Request(command) => requests::run(db, command),
        Command::Copy(copied) => crate::bulk::copy(db, copied),
    }
}

fn bootstrap(db: &Connection, new: &NewOwner) -> rusqlite::Result<()> {
    let exists: bool = db.query_row("SELECT EXISTS (SELECT 1 FROM workspaces)", [], |row| row.get(0))?;
    if exists {
        return Ok(());
    }
    let (workspace, user) = (new.owner.workspace.uuid(), new.owner.user.uuid());
    db.execute(
        "INSERT INTO workspaces (id, name, created_at) VALUES (?1, ?2, ?3)",
        params![workspace.as_bytes(), new.workspace_name, new.created_at.0],
    )?;
    db.execute(
        "INSERT INTO users (id, workspace_id, name, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![user.as_bytes(), workspace.as_bytes(), new.user_name, new.created_at.0],
    )?;
    Ok(())
}

fn insert_api_key(db: &Connection, row: &ApiKeyRow) -> Result<(), StoreError> {
    let workspace = row.owner.workspace.uuid();
    let in_use: i64 = db
        .prepare_cached("SELECT count(*) FROM api_keys WHERE workspace_id = ?1 AND revoked_at IS NULL")
        .and_then(|mut query| query.query_row([workspace.as_bytes()], |row| row.get(0)))
        .map_err(failed)?;
    if usize::try_from(in_use).unwrap_or(usize::MAX) >= API_KEYS_MAX {
        return Err(StoreError::TooLarge { what: "the number of API keys in use", max: API_KEYS_MAX });
    }
    let access =
        serde_json::to_string(&row.access).map_err(|e| StoreError::unavailable("write an API key", e))?;
    let sql = "INSERT INTO api_keys (id, workspace_id, user_id, name, prefix, digest, access, created_at, \
               expires_at, last_used_at, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    execute_or(
        db,
        sql,
        params![
            row.id.uuid().as_bytes(),
            workspace.as_bytes(),
            row.owner.user.uuid().as_bytes(),
            row.name,
            row.prefix,
            row.digest,
            access,
            row.created_at.0,
            row.expires_at.map(|at| at.0),
            row.last_used_at.map(|at| at.0),
            row.revoked_at.map(|at| at.0),
        ],
        StoreError::Missing { noun: "owner" },
    )
    .map(drop)
}

/// `orphan` is the answer when the row refers to something that is not there.
fn execute_or(
    db: &Connection,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
    orphan: StoreError,
) -> Result<usize, StoreError> {
    use rusqlite::ffi::{
        SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE,
    };
    let result = db.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
    result.map_err(|error| match error.sqlite_error().map(|e| e.extended_code) {
        Some(SQLITE_CONSTRAINT_FOREIGNKEY) => orphan,
        Some(SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE) => {
            StoreError::Conflict { detail: "the API key exists already" }
        }
        _ => failed(error),
    })
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::unavailable("write", error)
}

/// The workspace must exist.
pub(crate) fn check_workspace(db: &Connection, workspace: WorkspaceId) -> Result<(), StoreError> {
    let found = one(db, "SELECT 1 FROM workspaces WHERE id = ?1", params![blob(workspace)], |_| Ok(()))?;
    found.ok_or(StoreError::Missing { noun: "workspace" })
}

/// The owner must exist.
pub(crate) fn check_owner(db: &Connection, owner: Owner) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM users WHERE workspace_id = ?1 AND id = ?2";
    let found = one(db, sql, params![blob(owner.workspace), blob(owner.user)], |_| Ok(()))?;
    found.ok_or(StoreError::Missing { noun: "owner" })
}
