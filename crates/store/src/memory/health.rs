//! Health, in memory.

use std::sync::Arc;

use async_trait::async_trait;
use model::Timestamp;
use model::id::{ConnectionId, WorkspaceId};

use super::logs::{append, take};
use super::{MemoryStore, State};
use crate::{
    Health, HealthCommand, HealthRow, HealthSummary, PAGE_MAX, RollupRow, SUMMARY_ROWS_MAX, Scope,
    StoreError, Tally, hour_of, page_size,
};

#[async_trait]
impl Health for MemoryStore {
    async fn list_health(
        &self,
        scope: Scope,
        connection: ConnectionId,
        limit: usize,
    ) -> Result<Vec<HealthRow>, StoreError> {
        self.read(|state| {
            let rows = state.checks(scope, connection).rev();
            rows.take(page_size(limit)).map(|row| (**row).clone()).collect()
        })
    }

    async fn list_rollups(
        &self,
        scope: Scope,
        connection: ConnectionId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<RollupRow>, StoreError> {
        self.read(|state| state.hours(scope, connection, since, until).take(PAGE_MAX).collect())
    }

    async fn summarise_health(
        &self,
        scope: Scope,
        connection: ConnectionId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<HealthSummary, StoreError> {
        self.read(|state| {
            let mut tally = Tally::default();
            let within = |row: &&Arc<HealthRow>| row.checked_at >= since && row.checked_at < until;
            let rows: Vec<_> =
                state.checks(scope, connection).filter(within).take(SUMMARY_ROWS_MAX + 1).collect();
            if rows.len() > SUMMARY_ROWS_MAX {
                let what = "the number of single checks of a summary";
                return Err(StoreError::TooLarge { what, max: SUMMARY_ROWS_MAX });
            }
            rows.iter().for_each(|row| tally.add(row.response_time_ms, row.success));
            state.hours(scope, connection, since, until).for_each(|hour| tally.merge(&hour.tally));
            Ok(tally.summary())
        })?
    }

    async fn oldest_health(&self, workspace: WorkspaceId) -> Result<Option<Timestamp>, StoreError> {
        self.read(|state| state.oldest(&state.health, workspace).into_iter().next().map(|(_, (at, _))| at))
    }
}

// === impl State ===

impl State {
    fn checks(
        &self,
        scope: Scope,
        connection: ConnectionId,
    ) -> impl DoubleEndedIterator<Item = &Arc<HealthRow>> {
        let is_seen = self.seen_connection(scope, connection).is_some();
        self.health.get(&connection).filter(|_| is_seen).into_iter().flat_map(|rows| rows.values())
    }

    fn hours(
        &self,
        scope: Scope,
        connection: ConnectionId,
        since: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = RollupRow> {
        let is_seen = self.seen_connection(scope, connection).is_some();
        let hours = self
            .rollups
            .iter()
            .filter(move |((of, hour), _)| is_seen && *of == connection && *hour >= since && *hour < until);
        hours.map(|((connection, hour), tally)| RollupRow {
            connection: *connection,
            hour: *hour,
            tally: (**tally).clone(),
        })
    }

    pub(super) fn run_health(&mut self, command: HealthCommand) -> Result<(), StoreError> {
        match command {
            HealthCommand::Append(row) => {
                self.check_connection(row.workspace, row.connection)?;
                let place = (row.checked_at, row.id);
                append(&mut self.health, row.connection, place, *row)
            }
            HealthCommand::RollUp { workspace, before, limit } => {
                let mut old = self.oldest(&self.health, workspace);
                old.retain(|(_, (at, _))| *at < before);
                old.truncate(limit);
                for (connection, place) in old {
                    if let Some(row) = take(&mut self.health, connection, place) {
                        let hours = Arc::make_mut(&mut self.rollups);
                        let hour = hours.entry((connection, hour_of(row.checked_at))).or_default();
                        Arc::make_mut(hour).add(row.response_time_ms, row.success);
                    }
                }
                Ok(())
            }
            HealthCommand::PruneRollups { workspace, before, limit } => {
                let own = |id| self.seen_connection(Scope::from(workspace), id).is_some();
                let old = self.rollups.keys().filter(|(id, hour)| *hour < before && own(*id));
                let mut old: Vec<_> = old.copied().collect();
                old.sort_by_key(|(id, hour)| (*hour, *id));
                for place in old.into_iter().take(limit) {
                    Arc::make_mut(&mut self.rollups).remove(&place);
                }
                Ok(())
            }
        }
    }
}
