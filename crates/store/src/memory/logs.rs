//! The log of connections, in memory.

use std::sync::Arc;

use async_trait::async_trait;
use model::Timestamp;
use model::id::{ConnectionId, EventId, WorkspaceId};

use super::{Events, MemoryStore, State};
use crate::{LogCommand, LogCursor, LogQuery, LogRow, Logs, Page, Scope, StoreError, fold, page_size};

#[async_trait]
impl Logs for MemoryStore {
    async fn list_logs(
        &self,
        scope: Scope,
        connection: ConnectionId,
        query: LogQuery,
    ) -> Result<Page<LogRow, LogCursor>, StoreError> {
        let (text, size) = (query.folded_text(), page_size(query.limit));
        self.read(|state| {
            let is_seen = state.seen_connection(scope, connection).is_some();
            let of_it = state.logs.get(&connection).filter(|_| is_seen);
            let all = of_it.into_iter().flat_map(|rows| rows.values().rev()).filter(|row| {
                query.since.is_none_or(|since| row.created_at >= since)
                    && query.until.is_none_or(|until| row.created_at < until)
                    && query.after.is_none_or(|after| row.cursor() < after)
            });
            let most = query.looks_at().unwrap_or(usize::MAX);
            let last = all.clone().nth(most - 1).map(|row| row.cursor());
            let rows = all.take(most).filter(|row| {
                query.event_type.is_none_or(|event_type| event_type == row.event_type)
                    && text.as_ref().is_none_or(|text| fold(&row.message).contains(text))
            });
            let rows = rows.take(size + 1).map(|row| (**row).clone()).collect();
            Page::cut(rows, size, LogRow::cursor).going_on(last)
        })
    }

    async fn oldest_log(&self, workspace: WorkspaceId) -> Result<Option<Timestamp>, StoreError> {
        self.read(|state| state.oldest(&state.logs, workspace).into_iter().next().map(|(_, (at, _))| at))
    }
}

// === impl State ===

impl State {
    pub(super) fn run_log(&mut self, command: LogCommand) -> Result<(), StoreError> {
        match command {
            LogCommand::Append(row) => {
                self.check_connection(row.workspace, row.connection)?;
                let place = (row.created_at, row.id);
                append(&mut self.logs, row.connection, place, *row)
            }
            LogCommand::Prune { workspace, before, limit } => {
                let mut old = self.oldest(&self.logs, workspace);
                old.retain(|(_, (at, _))| *at < before);
                old.truncate(limit);
                for (connection, place) in old {
                    take(&mut self.logs, connection, place);
                }
                Ok(())
            }
        }
    }

    pub(super) fn check_connection(
        &self,
        workspace: WorkspaceId,
        connection: ConnectionId,
    ) -> Result<(), StoreError> {
        let found = self.seen_connection(workspace.into(), connection);
        found.map(drop).ok_or(StoreError::Missing { noun: "connection" })
    }

    /// Every event of a workspace, oldest first.
    pub(super) fn oldest<V>(
        &self,
        events: &Events<V>,
        workspace: WorkspaceId,
    ) -> Vec<(ConnectionId, (Timestamp, EventId))> {
        let own = events.iter().filter(|(id, _)| self.seen_connection(workspace.into(), **id).is_some());
        let mut places: Vec<_> = own.flat_map(|(id, rows)| rows.keys().map(|place| (*id, *place))).collect();
        places.sort_by_key(|(_, place)| *place);
        places
    }
}

/// Adds one event.
pub(super) fn append<V: Clone>(
    events: &mut Events<V>,
    connection: ConnectionId,
    place: (Timestamp, EventId),
    row: V,
) -> Result<(), StoreError> {
    let of_it = Arc::make_mut(events).entry(connection).or_default();
    if Arc::make_mut(of_it).insert(place, Arc::new(row)).is_some() {
        return Err(StoreError::Conflict { detail: "the event exists already" });
    }
    Ok(())
}

/// Takes one event out.
pub(super) fn take<V: Clone>(
    events: &mut Events<V>,
    connection: ConnectionId,
    place: (Timestamp, EventId),
) -> Option<Arc<V>> {
    Arc::make_mut(Arc::make_mut(events).get_mut(&connection)?).remove(&place)
}
