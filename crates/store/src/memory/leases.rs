//! Leases, in memory.

use std::sync::Arc;

use async_trait::async_trait;
use model::Timestamp;

use super::{MemoryStore, State};
use crate::{Lease, LeaseCommand, Leases, StoreError};

#[async_trait]
impl Leases for MemoryStore {
    async fn find_lease(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        self.read(|state| state.leases.get(name).cloned())
    }
}

// === impl State ===

impl State {
    pub(super) fn run_lease(&mut self, command: LeaseCommand) -> Result<(), StoreError> {
        match command {
            LeaseCommand::Acquire { name, holder, now, expires_at } => {
                let there = self.leases.get(&name);
                if there.is_some_and(|lease| lease.expires_at > now) {
                    return Err(StoreError::LeaseHeld);
                }
                let token =
                    there.map_or_else(|| crate::first_token(now), |lease| lease.token.saturating_add(1));
                let lease = Lease { name: name.clone(), holder, token, expires_at };
                Arc::make_mut(&mut self.leases).insert(name, lease);
            }
            LeaseCommand::Renew { name, token, now, expires_at } => {
                self.lease(&name, token, now)?.expires_at = expires_at;
            }
            LeaseCommand::Release { name, token } => {
                let lease = Arc::make_mut(&mut self.leases).get_mut(&name);
                if let Some(lease) = lease.filter(|lease| lease.token == token) {
                    lease.expires_at = Timestamp(0);
                }
            }
            LeaseCommand::Expire { before, limit } => {
                let over: Vec<String> = self.old_leases(before, limit);
                for name in over {
                    Arc::make_mut(&mut self.leases).remove(&name);
                }
            }
            LeaseCommand::Require { name, token, now } => {
                self.lease(&name, token, now)?;
            }
        }
        Ok(())
    }

    pub(super) fn old_leases(&self, before: Timestamp, limit: usize) -> Vec<String> {
        let newest = crate::first_token(before);
        let over = self.leases.values().filter(|one| one.expires_at <= before && one.token <= newest);
        over.take(limit).map(|one| one.name.clone()).collect()
    }

    fn lease(&mut self, name: &str, token: u64, now: Timestamp) -> Result<&mut Lease, StoreError> {
        let lease = Arc::make_mut(&mut self.leases).get_mut(name);
        lease.filter(|lease| lease.is_held_by(token, now)).ok_or(StoreError::LeaseLost)
    }
}
