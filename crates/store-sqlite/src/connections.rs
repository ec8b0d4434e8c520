//! Connections: reading and changing them.

use async_trait::async_trait;
use model::id::ConnectionId;
use model::{ConnectionStatus, Key, Owner};
use rusqlite::{Connection, Row, params};
use store::{
    CONNECTIONS_MAX, Connected, ConnectionCommand, ConnectionCursor, ConnectionQuery, ConnectionRow,
    ConnectionStats, Connections, IntegrationSummary, Page, Scope, StoreError, fold, page_size,
};

use crate::SqliteStore;
use crate::rows::id;
use crate::sql::{Select, all, blob, execute, int, json, one, rows, time, time_or_none, uint, word};

/// The columns that [`connected`] and [`connection`] read.
macro_rules! columns {
    () => {
        "SELECT c.id, c.workspace_id, c.user_id, c.key, c.name, c.integration_type_id, t.slug, c.version, \
         c.previous_version, c.connection_config, c.auth_method, c.status, c.last_error, c.last_tested_at, \
         c.connected_at, c.is_shared, c.is_per_user, c.egress_private, c.revision, c.created_at, \
         c.updated_at, t.name, t.type, t.category, t.icon_type, t.version"
    };
}

/// Every connection with its integration.
const SELECT: &str = concat!(
    columns!(),
    " FROM user_integrations c CROSS JOIN integration_types t ON t.id = c.integration_type_id"
);

/// Those that a search has found, read one by one.
const SELECT_FOUND: &str = concat!(
    columns!(),
    " FROM found CROSS JOIN user_integrations c ON c.id = found.id \
     CROSS JOIN integration_types t ON t.id = c.integration_type_id"
);

/// How many a search may find and still read them one by one. Where there are more, the newest of them are near
/// the end of the list, and the list is read from there.
const FOUND_MAX: usize = 1_000;
/// The index knows texts of so many characters and more.
const INDEXED_CHARS: usize = 3;

/// Connections with the integrations of which something is true.
macro_rules! of_types {
    ($condition:literal) => {
        concat!(" AND c.integration_type_id IN (SELECT id FROM integration_types WHERE ", $condition, ")")
    };
}

#[async_trait]
impl Connections for SqliteStore {
    async fn list_connections(
        &self,
        scope: Scope,
        query: ConnectionQuery,
    ) -> Result<Page<Connected, ConnectionCursor>, StoreError> {
        let size = page_size(query.limit);
        let found = self.readers.look("list connections", move |db| {
            let text = query.folded_text();
            let rare = text.as_deref().filter(|text| text.chars().count() >= INDEXED_CHARS);
            let rare = match rare {
                Some(text) if is_rare(db, scope, text)? => Some(text),
                _ => None,
            };
            let select = match rare {
                Some(text) => found(scope, text).and(SELECT_FOUND),
                None => Select::new(SELECT),
            };
            // What is asked of the integration is asked of the catalogue, once, and not of every row's join:
            // then the index alone tells which connections to fetch.
            let mut select = seen(select, scope)
                .with_some(" AND c.status = ?", query.status.map(|status| status.as_str()))
                .with_some(" AND c.key = ?", query.key.as_ref().map(Key::to_string))
                .with_some(of_types!("type = ?"), query.kind.map(|kind| kind.as_str()))
                .with_some(of_types!("category = ?"), query.category.map(|category| category.as_str()))
                .with_some(of_types!("slug = ?"), query.integration.clone());
            if let Some(text) = text.clone().filter(|_| rare.is_none()) {
                select = select.with(" AND (instr(c.search_text, ?) > 0", text.clone()).with(
                    " OR c.integration_type_id IN (SELECT id FROM integration_types \
                          WHERE instr(search_text, ?) > 0))",
                    text,
                );
            }
            if let Some(after) = query.after {
                select =
                    select.with(" AND (c.created_at, c.id) < (?", after.at.0).with(", ?)", blob(after.id));
            }
            select.with(" ORDER BY c.created_at DESC, c.id DESC LIMIT ?", rows(size + 1)).all(db, connected)
        });
        Ok(Page::cut(found.await?, size, Connected::cursor))
    }

    async fn find_connection(
        &self,
        scope: Scope,
        id: ConnectionId,
    ) -> Result<Option<ConnectionRow>, StoreError> {
        self.readers
            .look("find a connection", move |db| {
                let found = seen(Select::new(SELECT), scope).with(" AND c.id = ?", blob(id));
                Ok(found.all(db, connection)?.pop())
            })
            .await
    }

    async fn find_connection_by_key(
        &self,
        scope: Scope,
        key: &Key,
    ) -> Result<Option<ConnectionRow>, StoreError> {
        let key = key.to_string();
        self.readers
            .look("find a connection", move |db| {
                let found = seen(Select::new(SELECT), scope).with(" AND c.key = ?", key);
                Ok(found.all(db, connection)?.pop())
            })
            .await
    }

    async fn count_connections(&self, scope: Scope) -> Result<ConnectionStats, StoreError> {
        self.readers
            .look("count connections", move |db| {
                let counts = "SELECT g.status, t.type, t.category, g.count FROM \
                              (SELECT c.integration_type_id, c.status, count(*) AS count \
                               FROM user_integrations c";
                let mut stats = ConnectionStats::default();
                let counted = seen(Select::new(counts), scope)
                    .and(" GROUP BY 1, 2) g JOIN integration_types t ON t.id = g.integration_type_id")
                    .all(db, |row| {
                        stats.add(word(row, 0)?, word(row, 1)?, word(row, 2)?, uint(row, 3)?);
                        Ok(())
                    });
                counted.map(|_| stats)
            })
            .await
    }
}

/// In front of a query: the connections that a text is in, or in whose integration it is, as a table `found`. At most
/// one more than [`FOUND_MAX`] of either.
fn found(scope: Scope, text: &str) -> Select {
    // One phrase: whatever is in it means itself.
    let phrase = format!("\"{}\"", text.replace('"', "\"\""));
    let most = rows(FOUND_MAX + 1);
    Select::new("WITH named AS MATERIALIZED (SELECT n.id FROM connection_texts x")
        .with(" JOIN connection_numbers n ON n.number = x.rowid WHERE connection_texts MATCH ?", phrase)
        .with(
            " LIMIT ?), of_types AS MATERIALIZED (SELECT c.id FROM user_integrations c \
               INDEXED BY user_integrations_counts",
            most,
        )
        .with(" WHERE c.workspace_id = ?", blob(scope.workspace))
        .with(of_types!("instr(search_text, ?) > 0"), text.to_owned())
        .with(" LIMIT ?), found AS (SELECT id FROM named UNION SELECT id FROM of_types) ", most)
}

/// Whether a text is in few enough of them.
fn is_rare(db: &Connection, scope: Scope, text: &str) -> Result<bool, StoreError> {
    let counts = "SELECT max((SELECT count(*) FROM named), (SELECT count(*) FROM of_types))";
    let counted = found(scope, text).and(counts).all(db, |row| row.get::<_, i64>(0))?;
    Ok(counted.first().is_some_and(|count| *count <= rows(FOUND_MAX)))
}

/// Only what reads of this scope may find; see [`Scope`].
pub(crate) fn seen(select: Select, scope: Scope) -> Select {
    let select = select.with(" WHERE c.workspace_id = ?", blob(scope.workspace));
    select.with_some(" AND (c.is_shared OR c.user_id = ?)", scope.user.map(blob))
}

/// Whether reads of this scope find the connection.
pub(crate) fn is_seen(db: &Connection, scope: Scope, id: ConnectionId) -> Result<bool, StoreError> {
    let found = seen(Select::new("SELECT 1 FROM user_integrations c"), scope).with(" AND c.id = ?", blob(id));
    Ok(!found.all(db, |_| Ok(()))?.is_empty())
}

/// Runs one command inside the transaction that is open.
pub(crate) fn run(db: &Connection, command: &ConnectionCommand) -> Result<(), StoreError> {
    match command {
        ConnectionCommand::Insert(row) => insert(db, row),
        ConnectionCommand::Update { scope, id, expected, change, at } => {
            let mut row = own(db, *scope, *id)?;
            StoreError::check_revision(*expected, row.revision)?;
            row.edit((**change).clone(), *at);
            check_name_is_free(db, &row)?;
            replace(db, &row)
        }
        ConnectionCommand::Move(step) => {
            let mut row = own(db, step.scope, step.id)?;
            StoreError::check_revision(step.expected, row.revision)?;
            row.step(step.to, step.error.as_deref(), step.at)?;
            replace(db, &row)
        }
        ConnectionCommand::FailTesting { workspace, before, at, reason } => {
            let sql = format!("{SELECT} WHERE c.workspace_id = ?1 AND c.status = ?2 AND c.updated_at < ?3");
            let testing = ConnectionStatus::Testing.as_str();
            let stuck = all(db, &sql, params![blob(*workspace), testing, before.0], connection)?;
            stuck.into_iter().try_for_each(|mut row| {
                row.step(ConnectionStatus::Error, Some(reason), *at)?;
                replace(db, &row)
            })
        }
        ConnectionCommand::Delete { scope, id } => {
            let row = own(db, *scope, *id)?;
            let workspace = blob(row.owner.workspace);
            execute(db, "DELETE FROM user_integrations WHERE id = ?1", params![blob(*id)])?;
            let sql = "DELETE FROM connection_facts WHERE workspace_id = ?1 AND connection_key = ?2";
            execute(db, sql, params![workspace, row.key.as_str()])?;
            let sql = "UPDATE workspaces SET connection_count = connection_count - 1 WHERE id = ?1";
            execute(db, sql, params![workspace]).map(drop)
        }
    }
}

/// The connection, if a write of this scope may change it.
fn own(db: &Connection, scope: Scope, id: ConnectionId) -> Result<ConnectionRow, StoreError> {
    let sql = format!("{SELECT} WHERE c.id = ?1");
    let found = one(db, &sql, params![blob(id)], connection)?.filter(|row| scope.may_change(row.owner));
    found.ok_or(StoreError::Missing { noun: "connection" })
}

fn insert(db: &Connection, row: &ConnectionRow) -> Result<(), StoreError> {
    let workspace = row.owner.workspace;
    crate::commands::check_owner(db, row.owner)?;
    let integration = crate::integrations::find_by_id(db, workspace, row.integration_id)?;
    let integration = integration.filter(|integration| integration.slug == row.integration);
    if !integration.ok_or(StoreError::Missing { noun: "integration" })?.is_active {
        return Err(StoreError::Conflict { detail: "the integration is not active" });
    }
    let sql = "UPDATE workspaces SET connection_count = connection_count + 1 \
               WHERE id = ?1 AND connection_count < ?2";
    if execute(db, sql, params![blob(workspace), rows(CONNECTIONS_MAX)])? == 0 {
        let what = "the number of connections of a workspace";
        return Err(StoreError::TooLarge { what, max: CONNECTIONS_MAX });
    }
    let sql = "SELECT 1 FROM user_integrations WHERE workspace_id = ?1 AND key = ?2";
    if one(db, sql, params![blob(workspace), row.key.as_str()], |_| Ok(()))?.is_some() {
        return Err(StoreError::Taken { field: "key", value: row.key.to_string() });
    }
    let sql = "SELECT 1 FROM user_integrations WHERE id = ?1";
    if one(db, sql, params![blob(row.id)], |_| Ok(()))?.is_some() {
        return Err(StoreError::Conflict { detail: "the connection exists already" });
    }
    check_name_is_free(db, row)?;
    let sql = "INSERT INTO user_integrations (id, workspace_id, user_id, key, name, name_folded, \
               search_text, integration_type_id, version, previous_version, connection_config, auth_method, status, \
               last_error, last_tested_at, connected_at, is_shared, is_per_user, egress_private, revision, \
               created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
               ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)";
    write(db, sql, &row.as_new())
}

fn check_name_is_free(db: &Connection, row: &ConnectionRow) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM user_integrations \
               WHERE workspace_id = ?1 AND user_id = ?2 AND name_folded = ?3 AND id <> ?4";
    let Owner { workspace, user } = row.owner;
    let params = params![blob(workspace), blob(user), fold(&row.name), blob(row.id)];
    match one(db, sql, params, |_| Ok(()))? {
        Some(()) => Err(StoreError::Taken { field: "name", value: row.name.clone() }),
        None => Ok(()),
    }
}

fn replace(db: &Connection, row: &ConnectionRow) -> Result<(), StoreError> {
    let sql = "UPDATE user_integrations SET workspace_id = ?2, user_id = ?3, key = ?4, name = ?5, \
               name_folded = ?6, search_text = ?7, integration_type_id = ?8, version = ?9, previous_version = ?10, \
               connection_config = ?11, auth_method = ?12, status = ?13, last_error = ?14, \
               last_tested_at = ?15, connected_at = ?16, is_shared = ?17, is_per_user = ?18, \
               egress_private = ?19, revision = ?20, created_at = ?21, updated_at = ?22 WHERE id = ?1";
    write(db, sql, row)
}

fn write(db: &Connection, sql: &str, row: &ConnectionRow) -> Result<(), StoreError> {
    execute(
        db,
        sql,
        params![
            blob(row.id),
            blob(row.owner.workspace),
            blob(row.owner.user),
            row.key.as_str(),
            row.name,
            fold(&row.name),
            row.search_text(),
            blob(row.integration_id),
            row.version,
            row.previous_version,
            row.config.as_str(),
            row.auth_method.as_str(),
            row.status.as_str(),
            row.last_error,
            row.last_tested_at.map(|at| at.0),
            row.connected_at.map(|at| at.0),
            row.is_shared,
            row.is_per_user,
            row.egress_private,
            int(row.revision),
            row.created_at.0,
            row.updated_at.0,
        ],
    )
    .map(drop)
}

fn connection(row: &Row<'_>) -> rusqlite::Result<ConnectionRow> {
    Ok(ConnectionRow {
        id: id(row, 0)?,
        owner: Owner { workspace: id(row, 1)?, user: id(row, 2)? },
        key: word(row, 3)?,
        name: row.get(4)?,
        integration_id: id(row, 5)?,
        integration: row.get(6)?,
        version: row.get(7)?,
        previous_version: row.get(8)?,
        config: json(row, 9)?,
        auth_method: word(row, 10)?,
        status: word(row, 11)?,
        last_error: row.get(12)?,
        last_tested_at: time_or_none(row, 13)?,
        connected_at: time_or_none(row, 14)?,
        is_shared: row.get(15)?,
        is_per_user: row.get(16)?,
        egress_private: row.get(17)?,
        revision: uint(row, 18)?,
        created_at: time(row, 19)?,
        updated_at: time(row, 20)?,
    })
}

fn connected(row: &Row<'_>) -> rusqlite::Result<Connected> {
    Ok(Connected {
        connection: connection(row)?,
        integration: IntegrationSummary {
            name: row.get(21)?,
            kind: word(row, 22)?,
            category: word(row, 23)?,
            icon_type: row.get(24)?,
            version: row.get(25)?,
        },
    })
}
