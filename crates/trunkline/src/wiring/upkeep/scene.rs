//! A store with one connection, for the tests of what the hub does by itself.

use std::sync::Arc;

use model::id::{ConnectionId, IntegrationId, UserId, WorkspaceId};
use model::{
    AuthMethod, Category, Clock, ConnectionStatus, Entropy, IntegrationKind, ManualClock, Owner,
    SeededEntropy, Timestamp,
};
use store::{
    ConnectionCommand, ConnectionRow, IntegrationCommand, IntegrationRow, Json, MemoryStore, NewOwner,
    Origin, Scope, StatusMove, Store,
};

/// When scenes begin.
pub(crate) const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// See the head of the file.
pub(crate) struct Scene {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) owner: Owner,
    pub(crate) connection: ConnectionId,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let (clock, entropy) = (Arc::new(ManualClock::at(NOW)), Arc::new(SeededEntropy::new(1)));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let owner =
            Owner { workspace: WorkspaceId::new(&*clock, &*entropy), user: UserId::new(&*clock, &*entropy) };
        let new = NewOwner { owner, workspace_name: "w".into(), user_name: "u".into(), created_at: NOW };
        store.bootstrap_owner(new).await.unwrap();
        let integration = IntegrationId::new(&*clock, &*entropy);
        let connection = ConnectionId::new(&*clock, &*entropy);
        let seed = IntegrationCommand::Seed(Box::new(plain(integration)));
        store.change_integration(seed).await.unwrap();
        store.insert_connection(row(owner, integration, connection)).await.unwrap();
        Self { store, clock, entropy, owner, connection }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    pub(crate) fn entropy(&self) -> Arc<dyn Entropy> {
        Arc::clone(&self.entropy) as Arc<dyn Entropy>
    }

    /// The connection as it is now.
    pub(crate) async fn row(&self) -> ConnectionRow {
        self.store.find_connection(Scope::from(self.owner), self.connection).await.unwrap().unwrap()
    }

    /// Moves it, as somebody does who has tried it out.
    pub(crate) async fn step(&self, to: ConnectionStatus) {
        let (scope, id, at) = (Scope::from(self.owner), self.connection, self.clock.now());
        let step = StatusMove { scope, id, expected: None, to, error: None, at };
        self.store.change_connection(ConnectionCommand::Move(Box::new(step))).await.unwrap();
    }
}

fn plain(id: IntegrationId) -> IntegrationRow {
    IntegrationRow {
        id,
        workspace: None,
        slug: "plain".into(),
        name: "Plain".into(),
        kind: IntegrationKind::Mcp,
        category: Category::Other,
        description: String::new(),
        icon_type: "plug".into(),
        docs_url: String::new(),
        is_active: true,
        config_schema: Json::empty(),
        version: "1".into(),
        manifest_digest: [0; 32],
        manifest: None,
        origin: Origin::Builtin,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn row(owner: Owner, integration_id: IntegrationId, id: ConnectionId) -> ConnectionRow {
    ConnectionRow {
        id,
        owner,
        key: "plain".parse().unwrap(),
        name: "Plain".into(),
        integration_id,
        integration: "plain".into(),
        version: "1".into(),
        previous_version: None,
        config: Json::empty(),
        auth_method: AuthMethod::None,
        status: ConnectionStatus::Configuring,
        last_error: None,
        last_tested_at: None,
        connected_at: None,
        is_shared: false,
        is_per_user: false,
        egress_private: false,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}
