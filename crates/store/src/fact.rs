//! What was learnt about the system behind a connection and is worth remembering over a restart.

use async_trait::async_trait;
use model::id::WorkspaceId;
use model::{Key, Timestamp};

use crate::{Command, StoreError, Transactions};

/// The largest fact, in bytes.
pub const FACT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a fact is about. One of each per connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// Which era of MCP it speaks.
    Era,
    /// Which protocol version was agreed on.
    ProtocolVersion,
    /// Digest of the command line that an administrator approved.
    CommandConsent,
    /// The last good catalogue: tools, resources, prompts.
    Catalogue,
}

/// One remembered fact. The bytes are the business of whoever wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What was learnt.
    pub bytes: Vec<u8>,
    /// When.
    pub updated_at: Timestamp,
}

/// The store of facts.
#[async_trait]
pub trait Facts: Transactions {
    /// One fact of one connection.
    async fn find_fact(
        &self,
        workspace: WorkspaceId,
        connection: &Key,
        kind: FactKind,
    ) -> Result<Option<Fact>, StoreError>;

    /// Remembers a fact in place of the last one of its kind.
    async fn put_fact(
        &self,
        workspace: WorkspaceId,
        connection: &Key,
        kind: FactKind,
        fact: Fact,
    ) -> Result<(), StoreError> {
        self.apply(vec![Command::PutFact { workspace, connection: connection.clone(), kind, fact }]).await
    }

    /// Forgets everything about a connection; nothing to forget is fine.
    async fn forget_facts(&self, workspace: WorkspaceId, connection: &Key) -> Result<(), StoreError> {
        self.apply(vec![Command::ForgetFacts { workspace, connection: connection.clone() }]).await
    }
}

// === impl FactKind ===

impl FactKind {
    /// The word in the column `kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Era => "era",
            Self::ProtocolVersion => "protocol_version",
            Self::CommandConsent => "command_consent",
            Self::Catalogue => "catalogue",
        }
    }
}
