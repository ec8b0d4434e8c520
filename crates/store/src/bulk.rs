//! Whole tables, for moving everything from one store into another: rows as they are, sealed values sealed,
//! ids and revisions kept. What the rows mean is not looked at; which columns there are is in [`tables`].

mod tables;

use async_trait::async_trait;
use model::{Clock, Timestamp};

pub use tables::{Column, ColumnKind, TABLES, Table};

use crate::{Command, Store, StoreError, Taken};

/// The lease that marks a store into which everything is being moved. It is held until all is there.
pub const MOVE_LEASE: &str = "move";
/// How long it is held, milliseconds: a store that is half there stays marked for weeks.
const MOVE_LEASE_MS: u32 = u32::MAX;

/// One value of a row.
#[derive(Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// An id: 16 bytes.
    Id([u8; 16]),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A text.
    Text(String),
    /// JSON, as a text.
    Json(String),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Flag(bool),
}

/// The values of a row, in the order of its table's columns.
pub type CellRow = Vec<Cell>;

/// Rows on their way into a table.
#[derive(Clone)]
pub struct CopiedRows {
    /// Which table.
    pub table: &'static Table,
    /// The rows. One whose key is there already is left as it is there.
    pub rows: Vec<CellRow>,
}

/// A store that gives and counts whole tables.
#[async_trait]
pub trait Bulk: Store {
    /// Rows of a table in the order of its key, after the row with this key.
    async fn read_rows(
        &self,
        table: &'static Table,
        after: Option<CellRow>,
        limit: usize,
    ) -> Result<Vec<CellRow>, StoreError>;

    /// How many rows a table has.
    async fn count_rows(&self, table: &'static Table) -> Result<u64, StoreError>;
}

/// How far a move is: the table, its rows that are there, and all it will have.
pub type Progress<'p> = &'p (dyn Fn(&'static str, u64, u64) + Send + Sync);

/// Moves everything from one store into another, which is empty or has the beginning of the same move; how
/// many rows of each table are there at the end, as many as in `from`. Nobody else may use either.
///
/// # Errors
/// [`StoreError::Conflict`] for a target with something else in it, and where the counts differ at the end;
/// whatever the stores say. What is there stays, and the next move goes on.
pub async fn move_all(
    from: &dyn Bulk,
    to: &dyn Bulk,
    clock: &dyn Clock,
    progress: Progress<'_>,
) -> Result<Vec<(&'static str, u64)>, StoreError> {
    let owner = from.find_owner().await?.ok_or(StoreError::Missing { noun: "owner" })?;
    let token = mark(to, &owner.workspace.to_string(), clock.now()).await?;
    let mut counts = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let total = count(from, table).await?;
        let mut after = None;
        let mut done = 0;
        progress(table.name, 0, total);
        loop {
            let mut rows = from.read_rows(table, after, table.batch).await?;
            let Some(last) = rows.last() else { break };
            after = Some(table.key_of(last));
            let is_end = rows.len() < table.batch;
            rows.retain(|row| !is_mark(table, row));
            done += u64::try_from(rows.len()).unwrap_or(0);
            if !rows.is_empty() {
                to.apply(vec![Command::Copy(CopiedRows { table, rows })]).await?;
            }
            progress(table.name, done, total);
            if is_end {
                break;
            }
        }
    }
    for table in TABLES {
        let (ours, theirs) = (count(from, table).await?, count(to, table).await?);
        if ours != theirs {
            // The last word about it is the table that falls short.
            progress(table.name, theirs, ours);
            return Err(StoreError::Conflict { detail: "a table has another number of rows than it had" });
        }
        counts.push((table.name, theirs));
    }
    to.change_lease(crate::LeaseCommand::Release { name: MOVE_LEASE.to_owned(), token }).await?;
    Ok(counts)
}

/// Whether a move into this store was cut off.
///
/// # Errors
/// The store.
pub async fn is_half_moved(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.find_lease(MOVE_LEASE).await?.is_some_and(|lease| lease.expires_at > Timestamp(0)))
}

/// Marks the target as ours, where it is empty or is already; the token of the mark.
async fn mark(to: &dyn Bulk, source: &str, now: Timestamp) -> Result<u64, StoreError> {
    if let Some(lease) = to.find_lease(MOVE_LEASE).await?
        && lease.expires_at > Timestamp(0)
    {
        if lease.holder == source {
            return Ok(lease.token);
        }
        return Err(StoreError::Conflict { detail: "another store's move into this one was cut off" });
    }
    for table in TABLES {
        if count(to, table).await? > 0 {
            return Err(StoreError::Conflict { detail: "the store to move into is not empty" });
        }
    }
    match to.acquire_lease(MOVE_LEASE, source, MOVE_LEASE_MS, now).await? {
        Taken::Ours(token) => Ok(token),
        Taken::Theirs(_) => Err(StoreError::LeaseHeld),
    }
}

/// The rows of a table, the mark of a move not counted.
async fn count(store: &dyn Bulk, table: &'static Table) -> Result<u64, StoreError> {
    let count = store.count_rows(table).await?;
    let has_mark = table.name == "leases" && store.find_lease(MOVE_LEASE).await?.is_some();
    Ok(count - u64::from(has_mark && count > 0))
}

fn is_mark(table: &Table, row: &CellRow) -> bool {
    table.name == "leases" && row.first() == Some(&Cell::Text(MOVE_LEASE.to_owned()))
}

impl std::fmt::Debug for CopiedRows {
    /// Rows stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopiedRows")
            .field("table", &self.table.name)
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}
