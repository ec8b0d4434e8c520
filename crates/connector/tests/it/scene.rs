//! A store with one owner, one integration and one connection.

use std::sync::Arc;

use connector::credentials::Credentials;
use credential::{MasterKey, SystemEntropy};
use model::id::{ConnectionId, IntegrationId, UserId, WorkspaceId};
use model::{AuthMethod, Category, ConnectionStatus, IntegrationKind, ManualClock, Owner, Timestamp};
use store::{
    ConnectionCommand, ConnectionRow, Connections, IntegrationCommand, IntegrationRow, Integrations, Json,
    MemoryStore, NewOwner, Origin, Owners, Store,
};
use uuid::Uuid;

pub(crate) const NOW: Timestamp = Timestamp(1_790_000_000_000);
pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
pub(crate) const OTHER: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

pub(crate) struct Scene {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) owner: Owner,
    pub(crate) connection: ConnectionRow,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let owner = Owner {
            workspace: WorkspaceId::from_uuid(Uuid::from_u128(1)),
            user: UserId::from_uuid(Uuid::from_u128(2)),
        };
        let new = NewOwner { owner, workspace_name: "w".into(), user_name: "u".into(), created_at: NOW };
        store.bootstrap_owner(new).await.unwrap();
        let integration = IntegrationRow {
            id: IntegrationId::from_uuid(Uuid::from_u128(3)),
            workspace: None,
            slug: "server".into(),
            name: "Server".into(),
            kind: IntegrationKind::Mcp,
            category: Category::Other,
            description: String::new(),
            icon_type: "default".into(),
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
        };
        store.change_integration(IntegrationCommand::Seed(Box::new(integration))).await.unwrap();
        let connection = connection(owner, 10, "one");
        let scene = Self { store, clock: Arc::new(ManualClock::at(NOW)), owner, connection };
        scene.add(&scene.connection).await;
        scene
    }

    pub(crate) async fn add(&self, row: &ConnectionRow) {
        self.store.change_connection(ConnectionCommand::Insert(Box::new(row.clone()))).await.unwrap();
    }

    pub(crate) fn credentials(&self, key: &str) -> Credentials {
        let wrapping = MasterKey::parse(key, "test").unwrap().wrapping_key();
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        Credentials::new(store, wrapping, Arc::clone(&self.clock) as _, Arc::new(SystemEntropy))
    }
}

pub(crate) fn connection(owner: Owner, n: u128, key: &str) -> ConnectionRow {
    ConnectionRow {
        id: ConnectionId::from_uuid(Uuid::from_u128(n)),
        owner,
        key: key.parse().unwrap(),
        name: key.to_owned(),
        integration_id: IntegrationId::from_uuid(Uuid::from_u128(3)),
        integration: "server".into(),
        version: "1".into(),
        previous_version: None,
        config: Json::empty(),
        auth_method: AuthMethod::ApiKey,
        status: ConnectionStatus::Configuring,
        last_error: None,
        last_tested_at: None,
        connected_at: None,
        is_shared: true,
        is_per_user: false,
        egress_private: false,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}
