//! Integrations: reading and changing the catalogue.

use async_trait::async_trait;
use model::id::{IntegrationId, WorkspaceId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row};
use store::{
    INTEGRATIONS_MAX, IntegrationCommand, IntegrationQuery, IntegrationRow, IntegrationVersion, Integrations,
    NameCursor, Origin, PAGE_MAX, Page, StoreError, VERSIONS_MAX, fold, page_size,
};

use crate::PostgresStore;
use crate::commands::{Failure, lock_workspace, written};
use crate::sql::{Select, bytes, id, id_or_none, int, json, jsonb, known, number, rows, time, trouble, word};

const SELECT: &str = "SELECT id, workspace_id, slug, name, type, category, description, icon_type, docs_url, \
     is_active, config_schema, version, manifest_digest, manifest, origin, revision, created_at, updated_at \
     FROM integration_types WHERE ";

#[async_trait]
impl Integrations for PostgresStore {
    async fn list_integrations(
        &self,
        workspace: WorkspaceId,
        query: IntegrationQuery,
    ) -> Result<Page<IntegrationRow, NameCursor>, StoreError> {
        let size = page_size(query.limit);
        let mut select = Select::new(SELECT)
            .with("(workspace_id IS NULL OR workspace_id = ", workspace.uuid())
            .and(")")
            .with_some(" AND type = ", query.kind.map(|kind| kind.as_str()), "")
            .with_some(" AND category = ", query.category.map(|category| category.as_str()), "")
            .with_some(" AND origin = ", query.origin.map(Origin::as_str), "")
            .with_some(" AND strpos(search_text, ", query.folded_text(), ") > 0");
        if !query.with_inactive {
            select = select.and(" AND is_active");
        }
        if let Some(after) = query.after {
            select =
                select.with(" AND (name_folded, id) > (", after.name).with(", ", after.id.uuid()).and(")");
        }
        let select = select.with(" ORDER BY name_folded, id LIMIT ", rows(size + 1));
        let found = select.all(&self.pool, integration).await;
        found
            .map(|found| Page::cut(found, size, IntegrationRow::cursor))
            .map_err(|e| trouble("list integrations", e))
    }

    async fn find_integration(
        &self,
        workspace: WorkspaceId,
        slug: &str,
    ) -> Result<Option<IntegrationRow>, StoreError> {
        let found = Select::new(SELECT)
            .with("(workspace_id IS NULL OR workspace_id = ", workspace.uuid())
            .with(") AND slug = ", slug.to_owned())
            .and(" ORDER BY workspace_id NULLS LAST LIMIT 1");
        found.one(&self.pool, integration).await.map_err(|e| trouble("find an integration", e))
    }

    async fn find_integration_by_id(
        &self,
        workspace: WorkspaceId,
        id: IntegrationId,
    ) -> Result<Option<IntegrationRow>, StoreError> {
        find_by_id(&self.pool, workspace, id).await.map_err(|e| trouble("find an integration", e))
    }

    async fn list_integration_versions(
        &self,
        workspace: WorkspaceId,
        id: IntegrationId,
    ) -> Result<Vec<IntegrationVersion>, StoreError> {
        let found = Select::new(
            "SELECT v.version, v.manifest_digest, v.config_schema, v.manifest, v.created_at \
             FROM integration_versions v JOIN integration_types t ON t.id = v.integration_type_id WHERE ",
        )
        .with("t.id = ", id.uuid())
        .with(" AND (t.workspace_id IS NULL OR t.workspace_id = ", workspace.uuid())
        .with(") ORDER BY v.created_at DESC, v.version DESC LIMIT ", rows(PAGE_MAX))
        .all(&self.pool, |row| {
            Ok(IntegrationVersion {
                version: row.try_get(0)?,
                manifest_digest: bytes(row, 1)?,
                config_schema: json(row, 2)?,
                manifest: row.try_get(3)?,
                created_at: time(row, 4)?,
            })
        });
        found.await.map_err(|e| trouble("list versions of an integration", e))
    }
}

/// Runs one command inside the transaction that is open.
pub(crate) async fn run(db: &mut PgConnection, command: &IntegrationCommand) -> Result<(), Failure> {
    let missing = StoreError::Missing { noun: "integration" };
    match command {
        IntegrationCommand::Insert(row) => insert(db, row).await,
        IntegrationCommand::Update { row, expected } => {
            let there = find_to_change(db, row.workspace, &row.slug).await?.ok_or(missing)?;
            StoreError::check_revision(*expected, there.revision)?;
            replace(db, &row.in_place_of(&there)).await
        }
        IntegrationCommand::Seed(row) => {
            // Nodes that start at once would both find nothing; the second waits here.
            sqlx::query("LOCK TABLE integration_types IN SHARE ROW EXCLUSIVE MODE").execute(&mut *db).await?;
            match find_to_change(db, None, &row.slug).await? {
                None => add(db, row).await,
                Some(there) if there.says_the_same(row) => Ok(()),
                Some(there) => replace(db, &row.in_place_of(&there)).await,
            }
        }
        IntegrationCommand::Delete { workspace, slug } => {
            let there = find_to_change(db, Some(*workspace), slug).await?.ok_or(missing)?;
            let in_use: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM user_integrations WHERE integration_type_id = $1)",
            )
            .bind(there.id.uuid())
            .fetch_one(&mut *db)
            .await?;
            if in_use {
                return Err(StoreError::Conflict { detail: "the integration has connections" }.into());
            }
            sqlx::query("DELETE FROM integration_types WHERE id = $1")
                .bind(there.id.uuid())
                .execute(db)
                .await?;
            Ok(())
        }
        IntegrationCommand::Withdraw { slug, at } => {
            let there = find_to_change(db, None, slug).await?.ok_or(missing)?;
            if there.is_active { replace(db, &there.withdrawn(*at)).await } else { Ok(()) }
        }
    }
}

/// One that the workspace sees.
pub(crate) async fn find_by_id(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    id: IntegrationId,
) -> sqlx::Result<Option<IntegrationRow>> {
    let found = Select::new(SELECT)
        .with("(workspace_id IS NULL OR workspace_id = ", workspace.uuid())
        .with(") AND id = ", id.uuid());
    found.one(db, integration).await
}

async fn find_to_change(
    db: &mut PgConnection,
    workspace: Option<WorkspaceId>,
    slug: &str,
) -> sqlx::Result<Option<IntegrationRow>> {
    let found = Select::new(SELECT)
        .with("workspace_id IS NOT DISTINCT FROM ", workspace.map(|workspace| workspace.uuid()))
        .with(" AND slug = ", slug.to_owned())
        .and(" FOR UPDATE");
    found.one(db, integration).await
}

async fn insert(db: &mut PgConnection, row: &IntegrationRow) -> Result<(), Failure> {
    let missing = StoreError::Missing { noun: "workspace" };
    let workspace = row.workspace.ok_or(missing)?;
    lock_workspace(db, workspace).await?;
    let taken: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM integration_types \
         WHERE (workspace_id IS NULL OR workspace_id = $1) AND slug = $2)",
    )
    .bind(workspace.uuid())
    .bind(&row.slug)
    .fetch_one(&mut *db)
    .await?;
    if taken {
        return Err(StoreError::Taken { field: "slug", value: row.slug.clone() }.into());
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM integration_types WHERE workspace_id = $1")
        .bind(workspace.uuid())
        .fetch_one(&mut *db)
        .await?;
    if count >= rows(INTEGRATIONS_MAX) {
        let what = "the number of integrations of a workspace";
        return Err(StoreError::TooLarge { what, max: INTEGRATIONS_MAX }.into());
    }
    add(db, row).await
}

async fn add(db: &mut PgConnection, row: &IntegrationRow) -> Result<(), Failure> {
    let sql = "INSERT INTO integration_types (id, workspace_id, slug, name, name_folded, search_text, type, \
               category, description, icon_type, docs_url, is_active, config_schema, version, \
               manifest_digest, manifest, origin, revision, created_at, updated_at) VALUES ($1, $2, $3, $4, \
               $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";
    write(db, sql, &row.as_new()).await
}

async fn replace(db: &mut PgConnection, row: &IntegrationRow) -> Result<(), Failure> {
    let sql = "UPDATE integration_types SET workspace_id = $2, slug = $3, name = $4, name_folded = $5, \
               search_text = $6, type = $7, category = $8, description = $9, icon_type = $10, \
               docs_url = $11, is_active = $12, config_schema = $13, version = $14, manifest_digest = $15, \
               manifest = $16, origin = $17, revision = $18, created_at = $19, updated_at = $20 \
               WHERE id = $1";
    write(db, sql, row).await
}

async fn write(db: &mut PgConnection, sql: &'static str, row: &IntegrationRow) -> Result<(), Failure> {
    let done = sqlx::query(sql)
        .bind(row.id.uuid())
        .bind(row.workspace.map(|workspace| workspace.uuid()))
        .bind(&row.slug)
        .bind(&row.name)
        .bind(fold(&row.name))
        .bind(row.search_text())
        .bind(row.kind.as_str())
        .bind(row.category.as_str())
        .bind(&row.description)
        .bind(&row.icon_type)
        .bind(&row.docs_url)
        .bind(row.is_active)
        .bind(jsonb(&row.config_schema))
        .bind(&row.version)
        .bind(row.manifest_digest.as_slice())
        .bind(&row.manifest)
        .bind(row.origin.as_str())
        .bind(int(row.revision))
        .bind(row.created_at.0)
        .bind(row.updated_at.0)
        .execute(&mut *db)
        .await;
    written(done, "workspace", "the integration exists already")?;
    keep_version(db, row.id, &row.present_version()).await
}

async fn keep_version(
    db: &mut PgConnection,
    integration: IntegrationId,
    version: &IntegrationVersion,
) -> Result<(), Failure> {
    let others: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM integration_versions WHERE integration_type_id = $1 AND version <> $2",
    )
    .bind(integration.uuid())
    .bind(&version.version)
    .fetch_one(&mut *db)
    .await?;
    if others >= rows(VERSIONS_MAX) {
        let what = "the number of versions of an integration";
        return Err(StoreError::TooLarge { what, max: VERSIONS_MAX }.into());
    }
    sqlx::query(
        "INSERT INTO integration_versions (integration_type_id, version, manifest_digest, config_schema, \
         manifest, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (integration_type_id, version) DO UPDATE SET \
         manifest_digest = excluded.manifest_digest, config_schema = excluded.config_schema, \
         manifest = excluded.manifest",
    )
    .bind(integration.uuid())
    .bind(&version.version)
    .bind(version.manifest_digest.as_slice())
    .bind(jsonb(&version.config_schema))
    .bind(&version.manifest)
    .bind(version.created_at.0)
    .execute(db)
    .await?;
    Ok(())
}

fn integration(row: &PgRow) -> sqlx::Result<IntegrationRow> {
    Ok(IntegrationRow {
        id: id(row, 0)?,
        workspace: id_or_none(row, 1)?,
        slug: row.try_get(2)?,
        name: row.try_get(3)?,
        kind: word(row, 4)?,
        category: word(row, 5)?,
        description: row.try_get(6)?,
        icon_type: row.try_get(7)?,
        docs_url: row.try_get(8)?,
        is_active: row.try_get(9)?,
        config_schema: json(row, 10)?,
        version: row.try_get(11)?,
        manifest_digest: bytes(row, 12)?,
        manifest: row.try_get(13)?,
        origin: known(row, 14, Origin::from_word)?,
        revision: number(row, 15)?,
        created_at: time(row, 16)?,
        updated_at: time(row, 17)?,
    })
}
