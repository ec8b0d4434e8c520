//! The owner of everything: one workspace and one user today, rows like any other.

use async_trait::async_trait;
use model::{Owner, Timestamp};

use crate::{Command, StoreError, Transactions};

/// The workspace and user that the first start makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOwner {
    /// Their fresh ids.
    pub owner: Owner,
    /// What people call the workspace.
    pub workspace_name: String,
    /// What people call the user.
    pub user_name: String,
    /// When.
    pub created_at: Timestamp,
}

/// The store of owners.
#[async_trait]
pub trait Owners: Transactions {
    /// The one owner, or `None` before the first start.
    async fn find_owner(&self) -> Result<Option<Owner>, StoreError>;

    /// Makes the one owner unless there is one, and answers with the one there is. Two nodes that start
    /// at the same moment end with the same owner.
    async fn bootstrap_owner(&self, candidate: NewOwner) -> Result<Owner, StoreError> {
        if let Some(owner) = self.find_owner().await? {
            return Ok(owner);
        }
        self.apply(vec![Command::BootstrapOwner(Box::new(candidate))]).await?;
        self.find_owner().await?.ok_or(StoreError::Missing { noun: "owner" })
    }
}
