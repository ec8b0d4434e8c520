//! Whole tables, out and in.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};
use store::{Bulk, Cell, CellRow, ColumnKind, CopiedRows, StoreError, Table};
use uuid::Uuid;

use crate::PostgresStore;
use crate::commands::Failure;
use crate::error::unavailable;
use crate::sql::{rows, spoilt, trouble};

#[async_trait]
impl Bulk for PostgresStore {
    async fn read_rows(
        &self,
        table: &'static Table,
        after: Option<CellRow>,
        limit: usize,
    ) -> Result<Vec<CellRow>, StoreError> {
        let key = table.key.join(", ");
        let mut query = QueryBuilder::<Postgres>::new("SELECT ");
        query.push(table.column_list()).push(" FROM ").push(table.name);
        if let Some(after) = after {
            query.push(format!(" WHERE ({key}) > ("));
            for (at, (cell, kind)) in after.into_iter().zip(table.key_kinds()).enumerate() {
                if at > 0 {
                    query.push(", ");
                }
                bind(&mut query, cell, kind).map_err(|error| trouble("read a table", error))?;
            }
            query.push(")");
        }
        query.push(format!(" ORDER BY {key} LIMIT ")).push_bind(rows(limit));
        let found = query.build().fetch_all(&self.pool).await;
        let found = found.map_err(|error| unavailable("read a table", error))?;
        let read = found.iter().map(|row| cells(table, row)).collect::<sqlx::Result<_>>();
        read.map_err(|error| trouble("read a table", error))
    }

    async fn count_rows(&self, table: &'static Table) -> Result<u64, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new("SELECT count(*) FROM ");
        query.push(table.name);
        let count = query.build_query_scalar::<i64>().fetch_one(&self.pool).await;
        let count = count.map_err(|error| unavailable("count a table", error))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

/// Puts rows into a table inside the transaction that is open; those that are there stay as they are.
pub(crate) async fn copy(db: &mut PgConnection, copied: &CopiedRows) -> Result<(), Failure> {
    let CopiedRows { table, rows } = copied;
    for row in rows {
        let mut query = QueryBuilder::<Postgres>::new("INSERT INTO ");
        query.push(table.name).push(" (").push(table.column_list()).push(") VALUES (");
        for (at, (cell, column)) in row.iter().zip(table.columns).enumerate() {
            if at > 0 {
                query.push(", ");
            }
            bind(&mut query, cell.clone(), column.kind)?;
        }
        query.push(format!(") ON CONFLICT ({}) DO NOTHING", table.key.join(", ")));
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// Adds a parameter of its column's type.
fn bind(query: &mut QueryBuilder<Postgres>, cell: Cell, kind: ColumnKind) -> sqlx::Result<()> {
    match (cell, kind) {
        (Cell::Id(id), ColumnKind::Id) => query.push_bind(Uuid::from_bytes(id)),
        (Cell::Null, ColumnKind::Id) => query.push_bind(None::<Uuid>),
        (Cell::Bytes(bytes), ColumnKind::Bytes) => query.push_bind(bytes),
        (Cell::Null, ColumnKind::Bytes) => query.push_bind(None::<Vec<u8>>),
        (Cell::Text(text), ColumnKind::Text) => query.push_bind(text),
        (Cell::Null, ColumnKind::Text) => query.push_bind(None::<String>),
        (Cell::Json(text), ColumnKind::Json) => {
            let value: serde_json::Value =
                serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            query.push_bind(sqlx::types::Json(value))
        }
        (Cell::Null, ColumnKind::Json) => query.push_bind(None::<sqlx::types::Json<serde_json::Value>>),
        (Cell::Int(number), ColumnKind::Int) => query.push_bind(number),
        (Cell::Null, ColumnKind::Int) => query.push_bind(None::<i64>),
        (Cell::Flag(flag), ColumnKind::Flag) => query.push_bind(flag),
        (Cell::Null, ColumnKind::Flag) => query.push_bind(None::<bool>),
        _ => return Err(spoilt(0)),
    };
    Ok(())
}

fn cells(table: &Table, row: &PgRow) -> sqlx::Result<CellRow> {
    let mut cells = Vec::with_capacity(table.columns.len());
    for (at, column) in table.columns.iter().enumerate() {
        let cell = match column.kind {
            ColumnKind::Id => row.try_get::<Option<Uuid>, _>(at)?.map(|id| Cell::Id(*id.as_bytes())),
            ColumnKind::Bytes => row.try_get::<Option<Vec<u8>>, _>(at)?.map(Cell::Bytes),
            ColumnKind::Text => row.try_get::<Option<String>, _>(at)?.map(Cell::Text),
            ColumnKind::Json => {
                let json: Option<sqlx::types::Json<serde_json::Value>> = row.try_get(at)?;
                json.map(|json| Cell::Json(json.0.to_string()))
            }
            ColumnKind::Int => row.try_get::<Option<i64>, _>(at)?.map(Cell::Int),
            ColumnKind::Flag => row.try_get::<Option<bool>, _>(at)?.map(Cell::Flag),
        };
        cells.push(cell.unwrap_or(Cell::Null));
    }
    Ok(cells)
}
