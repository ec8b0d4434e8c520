//! What was learnt about MCP servers, kept in the store: one opaque value per connection.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use model::{Clock, Key, Owner};
use store::{Fact, FactKind, Store};

/// Facts of one owner's connections.
pub(crate) struct StoredFacts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) owner: Owner,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl mcp_upstream::Facts for StoredFacts {
    async fn load(&self, key: &Key) -> Option<Bytes> {
        match self.store.find_fact(self.owner.workspace, key, FactKind::Catalogue).await {
            Ok(fact) => fact.map(|fact| fact.bytes.into()),
            Err(error) => {
                tracing::warn!(connection = %key, %error, "what was known about it cannot be read");
                None
            }
        }
    }

    async fn save(&self, key: &Key, facts: Bytes) {
        let fact = Fact { bytes: facts.to_vec(), updated_at: self.clock.now() };
        if let Err(error) = self.store.put_fact(self.owner.workspace, key, FactKind::Catalogue, fact).await {
            tracing::warn!(connection = %key, %error, "what was learnt about it is not remembered");
        }
    }
}
