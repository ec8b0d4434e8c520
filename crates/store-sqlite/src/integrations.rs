//! Integrations: reading and changing the catalogue.

use async_trait::async_trait;
use model::Timestamp;
use model::id::{IntegrationId, WorkspaceId};
use rusqlite::{Connection, Row, params};
use store::{
    INTEGRATIONS_MAX, IntegrationCommand, IntegrationQuery, IntegrationRow, IntegrationVersion, Integrations,
    NameCursor, Origin, PAGE_MAX, Page, StoreError, VERSIONS_MAX, fold, page_size,
};

use crate::SqliteStore;
use crate::rows::id;
use crate::sql::{Select, all, blob, execute, int, json, known, one, rows, time, uint, word};

const COLUMNS: &str = "id, workspace_id, slug, name, type, category, description, icon_type, docs_url, \
     is_active, config_schema, version, manifest_digest, manifest, origin, revision, created_at, updated_at";

#[async_trait]
impl Integrations for SqliteStore {
    async fn list_integrations(
        &self,
        workspace: WorkspaceId,
        query: IntegrationQuery,
    ) -> Result<Page<IntegrationRow, NameCursor>, StoreError> {
        let size = page_size(query.limit);
        let found = self.readers.look("list integrations", move |db| {
            let mut select = Select::new(&format!("SELECT {COLUMNS} FROM integration_types"))
                .with(" WHERE (workspace_id IS NULL OR workspace_id = ?)", blob(workspace))
                .with_some(" AND type = ?", query.kind.map(|kind| kind.as_str()))
                .with_some(" AND category = ?", query.category.map(|category| category.as_str()))
                .with_some(" AND origin = ?", query.origin.map(Origin::as_str))
                .with_some(" AND instr(search_text, ?) > 0", query.folded_text());
            if !query.with_inactive {
                select = select.and(" AND is_active");
            }
            if let Some(after) = query.after {
                select = select.with(" AND (name_folded, id) > (?", after.name).with(", ?)", blob(after.id));
            }
            select.with(" ORDER BY name_folded, id LIMIT ?", rows(size + 1)).all(db, integration)
        });
        Ok(Page::cut(found.await?, size, IntegrationRow::cursor))
    }

    async fn find_integration(
        &self,
        workspace: WorkspaceId,
        slug: &str,
    ) -> Result<Option<IntegrationRow>, StoreError> {
        let slug = slug.to_owned();
        self.readers
            .look("find an integration", move |db| {
                // Two look-ups by index, the workspace's own first.
                let own = find(db, Some(workspace), &slug)?;
                if own.is_some() { Ok(own) } else { find(db, None, &slug) }
            })
            .await
    }

    async fn find_integration_by_id(
        &self,
        workspace: WorkspaceId,
        id: IntegrationId,
    ) -> Result<Option<IntegrationRow>, StoreError> {
        self.readers.look("find an integration", move |db| find_by_id(db, workspace, id)).await
    }

    async fn list_integration_versions(
        &self,
        workspace: WorkspaceId,
        id: IntegrationId,
    ) -> Result<Vec<IntegrationVersion>, StoreError> {
        self.readers
            .look("list versions of an integration", move |db| {
                if find_by_id(db, workspace, id)?.is_none() {
                    return Ok(Vec::new());
                }
                let sql = "SELECT version, manifest_digest, config_schema, manifest, created_at \
                           FROM integration_versions WHERE integration_type_id = ?1 \
                           ORDER BY created_at DESC, version DESC LIMIT ?2";
                all(db, sql, params![blob(id), rows(PAGE_MAX)], |row| {
                    Ok(IntegrationVersion {
                        version: row.get(0)?,
                        manifest_digest: row.get(1)?,
                        config_schema: json(row, 2)?,
                        manifest: row.get(3)?,
                        created_at: time(row, 4)?,
                    })
                })
            })
            .await
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) fn run(db: &Connection, command: &IntegrationCommand) -> Result<(), StoreError> {
    let missing = StoreError::Missing { noun: "integration" };
    match command {
        IntegrationCommand::Insert(row) => insert(db, row),
        IntegrationCommand::Update { row, expected } => {
            let there = find(db, row.workspace, &row.slug)?.ok_or(missing)?;
            StoreError::check_revision(*expected, there.revision)?;
            replace(db, &row.in_place_of(&there))
        }
        IntegrationCommand::Seed(row) => match find(db, None, &row.slug)? {
            None => add(db, row),
            Some(there) if there.says_the_same(row) => Ok(()),
            Some(there) => replace(db, &row.in_place_of(&there)),
        },
        IntegrationCommand::Delete { workspace, slug } => {
            let there = find(db, Some(*workspace), slug)?.ok_or(missing)?;
            let in_use = "SELECT 1 FROM user_integrations WHERE integration_type_id = ?1 LIMIT 1";
            if one(db, in_use, params![blob(there.id)], |_| Ok(()))?.is_some() {
                return Err(StoreError::Conflict { detail: "the integration has connections" });
            }
            execute(db, "DELETE FROM integration_types WHERE id = ?1", params![blob(there.id)]).map(drop)
        }
        IntegrationCommand::Withdraw { slug, at } => {
            let there = find(db, None, slug)?.ok_or(missing)?;
            if there.is_active { replace(db, &there.withdrawn(*at)) } else { Ok(()) }
        }
    }
}

/// One that the workspace sees.
pub(crate) fn find_by_id(
    db: &Connection,
    workspace: WorkspaceId,
    id: IntegrationId,
) -> Result<Option<IntegrationRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM integration_types WHERE id = ?1");
    let found = one(db, &sql, params![blob(id)], integration)?;
    Ok(found.filter(|row| row.is_for(workspace)))
}

fn find(
    db: &Connection,
    workspace: Option<WorkspaceId>,
    slug: &str,
) -> Result<Option<IntegrationRow>, StoreError> {
    match workspace {
        None => {
            let sql =
                format!("SELECT {COLUMNS} FROM integration_types WHERE workspace_id IS NULL AND slug = ?1");
            one(db, &sql, params![slug], integration)
        }
        Some(workspace) => {
            let sql =
                format!("SELECT {COLUMNS} FROM integration_types WHERE workspace_id = ?1 AND slug = ?2");
            one(db, &sql, params![blob(workspace), slug], integration)
        }
    }
}

fn insert(db: &Connection, row: &IntegrationRow) -> Result<(), StoreError> {
    let missing = StoreError::Missing { noun: "workspace" };
    let Some(workspace) = row.workspace else { return Err(missing) };
    crate::commands::check_workspace(db, workspace)?;
    if find(db, Some(workspace), &row.slug)?.is_some() || find(db, None, &row.slug)?.is_some() {
        return Err(StoreError::Taken { field: "slug", value: row.slug.clone() });
    }
    let sql = "SELECT count(*) FROM integration_types WHERE workspace_id = ?1";
    let count = one(db, sql, params![blob(workspace)], |row| row.get::<_, i64>(0))?.unwrap_or(0);
    if count >= rows(INTEGRATIONS_MAX) {
        let what = "the number of integrations of a workspace";
        return Err(StoreError::TooLarge { what, max: INTEGRATIONS_MAX });
    }
    add(db, row)
}

fn add(db: &Connection, row: &IntegrationRow) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM integration_types WHERE id = ?1";
    if one(db, sql, params![blob(row.id)], |_| Ok(()))?.is_some() {
        return Err(StoreError::Conflict { detail: "the integration exists already" });
    }
    let row = row.as_new();
    let sql = "INSERT INTO integration_types (id, workspace_id, slug, name, name_folded, search_text, type, \
               category, description, icon_type, docs_url, is_active, config_schema, version, \
               manifest_digest, manifest, origin, revision, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, \
               ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";
    write(db, sql, &row)
}

fn replace(db: &Connection, row: &IntegrationRow) -> Result<(), StoreError> {
    let sql = "UPDATE integration_types SET workspace_id = ?2, slug = ?3, name = ?4, name_folded = ?5, \
               search_text = ?6, type = ?7, category = ?8, description = ?9, icon_type = ?10, \
               docs_url = ?11, is_active = ?12, config_schema = ?13, version = ?14, manifest_digest = ?15, \
               manifest = ?16, origin = ?17, revision = ?18, created_at = ?19, updated_at = ?20 \
               WHERE id = ?1";
    write(db, sql, row)
}

fn write(db: &Connection, sql: &str, row: &IntegrationRow) -> Result<(), StoreError> {
    execute(
        db,
        sql,
        params![
            blob(row.id),
            row.workspace.map(blob),
            row.slug,
            row.name,
            fold(&row.name),
            row.search_text(),
            row.kind.as_str(),
            row.category.as_str(),
            row.description,
            row.icon_type,
            row.docs_url,
            row.is_active,
            row.config_schema.as_str(),
            row.version,
            row.manifest_digest,
            row.manifest,
            row.origin.as_str(),
            int(row.revision),
            row.created_at.0,
            row.updated_at.0,
        ],
    )?;
    keep_version(db, row.id, &row.present_version())
}

fn keep_version(
    db: &Connection,
    integration: IntegrationId,
    version: &IntegrationVersion,
) -> Result<(), StoreError> {
    let sql = "SELECT count(*), max(version = ?2) FROM integration_versions WHERE integration_type_id = ?1";
    let counted = one(db, sql, params![blob(integration), version.version], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<bool>>(1)?.unwrap_or(false)))
    })?;
    if counted.is_some_and(|(count, is_known)| !is_known && count >= rows(VERSIONS_MAX)) {
        let what = "the number of versions of an integration";
        return Err(StoreError::TooLarge { what, max: VERSIONS_MAX });
    }
    let sql = "INSERT INTO integration_versions (integration_type_id, version, manifest_digest, \
               config_schema, manifest, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
               ON CONFLICT (integration_type_id, version) DO UPDATE SET \
               manifest_digest = excluded.manifest_digest, config_schema = excluded.config_schema, \
               manifest = excluded.manifest";
    let Timestamp(created_at) = version.created_at;
    execute(
        db,
        sql,
        params![
            blob(integration),
            version.version,
            version.manifest_digest,
            version.config_schema.as_str(),
            version.manifest,
            created_at
        ],
    )
    .map(drop)
}

fn integration(row: &Row<'_>) -> rusqlite::Result<IntegrationRow> {
    Ok(IntegrationRow {
        id: id(row, 0)?,
        workspace: if row.get_ref(1)? == rusqlite::types::ValueRef::Null { None } else { Some(id(row, 1)?) },
        slug: row.get(2)?,
        name: row.get(3)?,
        kind: word(row, 4)?,
        category: word(row, 5)?,
        description: row.get(6)?,
        icon_type: row.get(7)?,
        docs_url: row.get(8)?,
        is_active: row.get(9)?,
        config_schema: json(row, 10)?,
        version: row.get(11)?,
        manifest_digest: row.get(12)?,
        manifest: row.get(13)?,
        origin: known(row, 14, Origin::from_word)?,
        revision: uint(row, 15)?,
        created_at: time(row, 16)?,
        updated_at: time(row, 17)?,
    })
}
