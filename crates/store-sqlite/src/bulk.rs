//! Whole tables, out and in.

use async_trait::async_trait;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, ToSql};
use store::{Bulk, Cell, CellRow, ColumnKind, CopiedRows, StoreError, Table};

use crate::SqliteStore;
use crate::sql::{all, execute, one, rows, spoilt};

#[async_trait]
impl Bulk for SqliteStore {
    async fn read_rows(
        &self,
        table: &'static Table,
        after: Option<CellRow>,
        limit: usize,
    ) -> Result<Vec<CellRow>, StoreError> {
        self.readers
            .look("read a table", move |db| {
                let key = table.key.join(", ");
                let (columns, name) = (table.column_list(), table.name);
                let beyond = after
                    .as_ref()
                    .map_or(String::new(), |after| format!("WHERE ({key}) > ({})", marks(after.len())));
                let sql = format!("SELECT {columns} FROM {name} {beyond} ORDER BY {key} LIMIT ?");
                let mut values: Vec<Value> = after.unwrap_or_default().into_iter().map(value).collect();
                values.push(Value::Integer(rows(limit)));
                let params: Vec<&dyn ToSql> = values.iter().map(|value| value as &dyn ToSql).collect();
                all(db, &sql, &params, |row| cells(table, row))
            })
            .await
    }

    async fn count_rows(&self, table: &'static Table) -> Result<u64, StoreError> {
        let found = self.readers.look("count a table", move |db| {
            let sql = format!("SELECT count(*) FROM {}", table.name);
            one(db, &sql, &[], |row| row.get::<_, i64>(0))
        });
        Ok(found.await?.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }
}

/// Puts rows into a table inside the transaction that is open; those that are there stay as they are.
pub(crate) fn copy(db: &Connection, copied: &CopiedRows) -> Result<(), StoreError> {
    let CopiedRows { table, rows } = copied;
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO NOTHING",
        table.name,
        table.column_list(),
        marks(table.columns.len()),
        table.key.join(", ")
    );
    for row in rows {
        let values: Vec<Value> = row.iter().cloned().map(value).collect();
        let params: Vec<&dyn ToSql> = values.iter().map(|value| value as &dyn ToSql).collect();
        execute(db, &sql, &params)?;
    }
    Ok(())
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

fn cells(table: &Table, row: &Row<'_>) -> rusqlite::Result<CellRow> {
    let mut cells = Vec::with_capacity(table.columns.len());
    for (at, column) in table.columns.iter().enumerate() {
        cells.push(match row.get_ref(at)? {
            ValueRef::Null => Cell::Null,
            _ => match column.kind {
                ColumnKind::Id => Cell::Id(row.get(at)?),
                ColumnKind::Bytes => Cell::Bytes(row.get(at)?),
                ColumnKind::Text => Cell::Text(row.get(at)?),
                ColumnKind::Json => Cell::Json(row.get(at)?),
                ColumnKind::Int => Cell::Int(row.get(at)?),
                ColumnKind::Flag => match row.get::<_, i64>(at)? {
                    0 => Cell::Flag(false),
                    1 => Cell::Flag(true),
                    _ => return Err(spoilt(at)),
                },
            },
        });
    }
    Ok(cells)
}

fn value(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Id(id) => Value::Blob(id.to_vec()),
        Cell::Bytes(bytes) => Value::Blob(bytes),
        Cell::Text(text) | Cell::Json(text) => Value::Text(text),
        Cell::Int(number) => Value::Integer(number),
        Cell::Flag(flag) => Value::Integer(i64::from(flag)),
    }
}
