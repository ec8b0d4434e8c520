//! Connections: reading and changing them.

use async_trait::async_trait;
use model::id::ConnectionId;
use model::{ConnectionStatus, Key, Owner};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row};
use store::{
    CONNECTIONS_MAX, Connected, ConnectionCommand, ConnectionCursor, ConnectionQuery, ConnectionRow,
    ConnectionStats, Connections, IntegrationSummary, Page, Scope, StoreError, fold, page_size,
};

use crate::PostgresStore;
use crate::commands::{Failure, check_owner, lock_workspace, written};
use crate::sql::{Select, id, int, json, jsonb, number, rows, time, time_or_none, trouble, word};

/// Every connection with its integration, and the columns that [`connection`] reads.
const SELECT: &str = "SELECT c.id, c.workspace_id, c.user_id, c.key, c.name, c.integration_type_id, t.slug, \
     c.version, c.previous_version, c.connection_config, c.auth_method, c.status, c.last_error, \
     c.last_tested_at, c.connected_at, c.is_shared, c.is_per_user, c.egress_private, c.revision, \
     c.created_at, c.updated_at, t.name, t.type, t.category, t.icon_type, t.version \
     FROM user_integrations c JOIN integration_types t ON t.id = c.integration_type_id";

/// Connections with the integrations of which something is true; ends where the value follows.
macro_rules! of_types {
    ($condition:literal) => {
        concat!(" AND c.integration_type_id IN (SELECT id FROM integration_types WHERE ", $condition)
    };
}

#[async_trait]
impl Connections for PostgresStore {
    async fn list_connections(
        &self,
        scope: Scope,
        query: ConnectionQuery,
    ) -> Result<Page<Connected, ConnectionCursor>, StoreError> {
        let size = page_size(query.limit);
        // What is asked of the integration is asked of the catalogue, once, and not of every row's join.
        let mut select = seen(Select::new(SELECT), scope)
            .with_some(" AND c.status = ", query.status.map(|status| status.as_str()), "")
            .with_some(" AND c.key = ", query.key.as_ref().map(Key::to_string), "")
            .with_some(of_types!("type = "), query.kind.map(|kind| kind.as_str()), ")")
            .with_some(of_types!("category = "), query.category.map(|category| category.as_str()), ")")
            .with_some(of_types!("slug = "), query.integration.clone(), ")");
        if let Some(text) = query.folded_text() {
            // In this form, because the index answers it.
            select = select
                .with(" AND (c.search_text LIKE ", pattern(&text))
                .with(
                    " OR c.integration_type_id IN (SELECT id FROM integration_types \
                      WHERE strpos(search_text, ",
                    text,
                )
                .and(") > 0))");
        }
        if let Some(after) = query.after {
            select =
                select.with(" AND (c.created_at, c.id) < (", after.at.0).with(", ", after.id.uuid()).and(")");
        }
        let select = select.with(" ORDER BY c.created_at DESC, c.id DESC LIMIT ", rows(size + 1));
        let found = select.all(&self.pool, connected).await;
        found
            .map(|found| Page::cut(found, size, Connected::cursor))
            .map_err(|e| trouble("list connections", e))
    }

    async fn find_connection(
        &self,
        scope: Scope,
        id: ConnectionId,
    ) -> Result<Option<ConnectionRow>, StoreError> {
        let found = seen(Select::new(SELECT), scope).with(" AND c.id = ", id.uuid());
        found.one(&self.pool, connection).await.map_err(|e| trouble("find a connection", e))
    }

    async fn find_connection_by_key(
        &self,
        scope: Scope,
        key: &Key,
    ) -> Result<Option<ConnectionRow>, StoreError> {
        let found = seen(Select::new(SELECT), scope).with(" AND c.key = ", key.to_string());
        found.one(&self.pool, connection).await.map_err(|e| trouble("find a connection", e))
    }

    async fn count_connections(&self, scope: Scope) -> Result<ConnectionStats, StoreError> {
        let counts = "SELECT g.status, t.type, t.category, g.count FROM \
                      (SELECT c.integration_type_id, c.status, count(*) AS count FROM user_integrations c";
        let mut stats = ConnectionStats::default();
        let counted = seen(Select::new(counts), scope)
            .and(" GROUP BY 1, 2) g JOIN integration_types t ON t.id = g.integration_type_id")
            .all(&self.pool, |row| {
                stats.add(word(row, 0)?, word(row, 1)?, word(row, 2)?, number(row, 3)?);
                Ok(())
            });
        counted.await.map_err(|e| trouble("count connections", e))?;
        Ok(stats)
    }
}

/// A pattern of everything with this text in it; every character of the text means itself.
fn pattern(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

/// Only what reads of this scope may find; see [`Scope`].
pub(crate) fn seen(select: Select, scope: Scope) -> Select {
    let select = select.with(" WHERE c.workspace_id = ", scope.workspace.uuid());
    select.with_some(" AND (c.is_shared OR c.user_id = ", scope.user.map(|user| user.uuid()), ")")
}

/// Whether reads of this scope find the connection.
pub(crate) async fn is_seen(db: impl PgExecutor<'_>, scope: Scope, id: ConnectionId) -> sqlx::Result<bool> {
    let found = seen(Select::new("SELECT 1 FROM user_integrations c"), scope).with(" AND c.id = ", id.uuid());
    Ok(found.one(db, |_| Ok(())).await?.is_some())
}

/// Runs one command inside the transaction that is open.
pub(crate) async fn run(db: &mut PgConnection, command: &ConnectionCommand) -> Result<(), Failure> {
    match command {
        ConnectionCommand::Insert(row) => insert(db, row).await,
        ConnectionCommand::Update { scope, id, expected, change, at } => {
            let mut row = own(db, *scope, *id).await?;
            StoreError::check_revision(*expected, row.revision)?;
            let is_renamed = change.name.is_some();
            row.edit((**change).clone(), *at);
            if is_renamed {
                lock_workspace(db, row.owner.workspace).await?;
                check_name_is_free(db, &row).await?;
            }
            replace(db, &row).await
        }
        ConnectionCommand::Move(step) => {
            let mut row = own(db, step.scope, step.id).await?;
            StoreError::check_revision(step.expected, row.revision)?;
            row.step(step.to, step.error.as_deref(), step.at)?;
            replace(db, &row).await
        }
        ConnectionCommand::FailTesting { workspace, before, at, reason } => {
            let stuck = Select::new(SELECT)
                .with(" WHERE c.workspace_id = ", workspace.uuid())
                .with(" AND c.status = ", ConnectionStatus::Testing.as_str())
                .with(" AND c.updated_at < ", before.0)
                .and(" ORDER BY c.id FOR UPDATE OF c")
                .all(&mut *db, connection)
                .await?;
            for mut row in stuck {
                row.step(ConnectionStatus::Error, Some(reason), *at)?;
                replace(db, &row).await?;
            }
            Ok(())
        }
        ConnectionCommand::Delete { scope, id } => {
            let row = own(db, *scope, *id).await?;
            delete(db, row).await
        }
    }
}

/// The connection, if a write of this scope may change it; locked to the end of the transaction.
async fn own(db: &mut PgConnection, scope: Scope, id: ConnectionId) -> Result<ConnectionRow, Failure> {
    let found = Select::new(SELECT).with(" WHERE c.id = ", id.uuid()).and(" FOR UPDATE OF c");
    let found = found.one(db, connection).await?.filter(|row| scope.may_change(row.owner));
    Ok(found.ok_or(StoreError::Missing { noun: "connection" })?)
}

async fn delete(db: &mut PgConnection, row: ConnectionRow) -> Result<(), Failure> {
    let workspace = row.owner.workspace.uuid();
    sqlx::query("DELETE FROM user_integrations WHERE id = $1").bind(row.id.uuid()).execute(&mut *db).await?;
    sqlx::query("DELETE FROM connection_facts WHERE workspace_id = $1 AND connection_key = $2")
        .bind(workspace)
        .bind(row.key.as_str())
        .execute(&mut *db)
        .await?;
    sqlx::query("UPDATE workspaces SET connection_count = connection_count - 1 WHERE id = $1")
        .bind(workspace)
        .execute(db)
        .await?;
    Ok(())
}

async fn insert(db: &mut PgConnection, row: &ConnectionRow) -> Result<(), Failure> {
    let workspace = row.owner.workspace;
    check_owner(db, row.owner).await?;
    let integration = crate::integrations::find_by_id(&mut *db, workspace, row.integration_id).await?;
    let integration = integration.filter(|integration| integration.slug == row.integration);
    if !integration.ok_or(StoreError::Missing { noun: "integration" })?.is_active {
        return Err(StoreError::Conflict { detail: "the integration is not active" }.into());
    }
    // The count is also a lock: two nodes look for the same name one after the other.
    let counted = sqlx::query(
        "UPDATE workspaces SET connection_count = connection_count + 1 \
         WHERE id = $1 AND connection_count < $2",
    )
    .bind(workspace.uuid())
    .bind(rows(CONNECTIONS_MAX))
    .execute(&mut *db)
    .await?;
    if counted.rows_affected() == 0 {
        let what = "the number of connections of a workspace";
        return Err(StoreError::TooLarge { what, max: CONNECTIONS_MAX }.into());
    }
    let taken: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM user_integrations WHERE workspace_id = $1 AND key = $2)",
    )
    .bind(workspace.uuid())
    .bind(row.key.as_str())
    .fetch_one(&mut *db)
    .await?;
    if taken {
        return Err(StoreError::Taken { field: "key", value: row.key.to_string() }.into());
    }
    check_name_is_free(db, row).await?;
    let sql = "INSERT INTO user_integrations (id, workspace_id, user_id, key, name, name_folded, \
               search_text, integration_type_id, version, previous_version, connection_config, auth_method, status, \
               last_error, last_tested_at, connected_at, is_shared, is_per_user, egress_private, revision, \
               created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
               $15, $16, $17, $18, $19, $20, $21, $22)";
    write(db, sql, &row.as_new()).await
}

async fn check_name_is_free(db: &mut PgConnection, row: &ConnectionRow) -> Result<(), Failure> {
    let taken: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM user_integrations \
         WHERE workspace_id = $1 AND user_id = $2 AND name_folded = $3 AND id <> $4)",
    )
    .bind(row.owner.workspace.uuid())
    .bind(row.owner.user.uuid())
    .bind(fold(&row.name))
    .bind(row.id.uuid())
    .fetch_one(db)
    .await?;
    if taken { Err(StoreError::Taken { field: "name", value: row.name.clone() }.into()) } else { Ok(()) }
}

async fn replace(db: &mut PgConnection, row: &ConnectionRow) -> Result<(), Failure> {
    let sql = "UPDATE user_integrations SET workspace_id = $2, user_id = $3, key = $4, name = $5, \
               name_folded = $6, search_text = $7, integration_type_id = $8, version = $9, previous_version = $10, \
               connection_config = $11, auth_method = $12, status = $13, last_error = $14, \
               last_tested_at = $15, connected_at = $16, is_shared = $17, is_per_user = $18, \
               egress_private = $19, revision = $20, created_at = $21, updated_at = $22 WHERE id = $1";
    write(db, sql, row).await
}

async fn write(db: &mut PgConnection, sql: &'static str, row: &ConnectionRow) -> Result<(), Failure> {
    let done = sqlx::query(sql)
        .bind(row.id.uuid())
        .bind(row.owner.workspace.uuid())
        .bind(row.owner.user.uuid())
        .bind(row.key.as_str())
        .bind(&row.name)
        .bind(fold(&row.name))
        .bind(row.search_text())
        .bind(row.integration_id.uuid())
        .bind(&row.version)
        .bind(&row.previous_version)
        .bind(jsonb(&row.config))
        .bind(row.auth_method.as_str())
        .bind(row.status.as_str())
        .bind(&row.last_error)
        .bind(row.last_tested_at.map(|at| at.0))
        .bind(row.connected_at.map(|at| at.0))
        .bind(row.is_shared)
        .bind(row.is_per_user)
        .bind(row.egress_private)
        .bind(int(row.revision))
        .bind(row.created_at.0)
        .bind(row.updated_at.0)
        .execute(db)
        .await;
    written(done, "integration", "the connection exists already")
}

fn connection(row: &PgRow) -> sqlx::Result<ConnectionRow> {
    Ok(ConnectionRow {
        id: id(row, 0)?,
        owner: Owner { workspace: id(row, 1)?, user: id(row, 2)? },
        key: word(row, 3)?,
        name: row.try_get(4)?,
        integration_id: id(row, 5)?,
        integration: row.try_get(6)?,
        version: row.try_get(7)?,
        previous_version: row.try_get(8)?,
        config: json(row, 9)?,
        auth_method: word(row, 10)?,
        status: word(row, 11)?,
        last_error: row.try_get(12)?,
        last_tested_at: time_or_none(row, 13)?,
        connected_at: time_or_none(row, 14)?,
        is_shared: row.try_get(15)?,
        is_per_user: row.try_get(16)?,
        egress_private: row.try_get(17)?,
        revision: number(row, 18)?,
        created_at: time(row, 19)?,
        updated_at: time(row, 20)?,
    })
}

fn connected(row: &PgRow) -> sqlx::Result<Connected> {
    Ok(Connected {
        connection: connection(row)?,
        integration: IntegrationSummary {
            name: row.try_get(21)?,
            kind: word(row, 22)?,
            category: word(row, 23)?,
            icon_type: row.try_get(24)?,
            version: row.try_get(25)?,
        },
    })
}
