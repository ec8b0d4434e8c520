//! Toolsets, in memory.

use std::sync::Arc;

use async_trait::async_trait;
use model::Key;
use model::id::WorkspaceId;

use super::{MemoryStore, State};
use crate::{StoreError, TOOLSETS_MAX, ToolsetCommand, ToolsetRow, Toolsets};

#[async_trait]
impl Toolsets for MemoryStore {
    async fn list_toolsets(&self, workspace: WorkspaceId) -> Result<Vec<ToolsetRow>, StoreError> {
        self.read(|state| {
            let own = state.toolsets.values().filter(|row| row.owner.workspace == workspace);
            own.map(|row| (**row).clone()).collect()
        })
    }

    async fn find_toolset(
        &self,
        workspace: WorkspaceId,
        key: &Key,
    ) -> Result<Option<ToolsetRow>, StoreError> {
        self.read(|state| state.toolsets.get(&(workspace, key.clone())).map(|row| (**row).clone()))
    }
}

// === impl State ===

impl State {
    pub(super) fn run_toolset(&mut self, command: ToolsetCommand) -> Result<(), StoreError> {
        let missing = StoreError::Missing { noun: "toolset" };
        match command {
            ToolsetCommand::Insert(row) => {
                if self.owner != Some(row.owner) {
                    return Err(StoreError::Missing { noun: "owner" });
                }
                let place = (row.owner.workspace, row.key.clone());
                if self.toolsets.contains_key(&place) {
                    return Err(StoreError::Taken { field: "key", value: row.key.to_string() });
                }
                let of_workspace = self.toolsets.keys().filter(|(workspace, _)| *workspace == place.0);
                if of_workspace.count() >= TOOLSETS_MAX {
                    let what = "the number of toolsets of a workspace";
                    return Err(StoreError::TooLarge { what, max: TOOLSETS_MAX });
                }
                Arc::make_mut(&mut self.toolsets).insert(place, Arc::new(row.as_new()));
            }
            ToolsetCommand::Update { row, expected } => {
                let place = (row.owner.workspace, row.key.clone());
                let there = self.toolsets.get(&place).ok_or(missing)?;
                StoreError::check_revision(expected, there.revision)?;
                let row = row.in_place_of(there);
                Arc::make_mut(&mut self.toolsets).insert(place, Arc::new(row));
            }
            ToolsetCommand::Delete { workspace, key } => {
                Arc::make_mut(&mut self.toolsets).remove(&(workspace, key)).ok_or(missing)?;
            }
        }
        Ok(())
    }
}
