//! What changes are called outside: the store speaks of ids, people know connections by their keys.

use std::collections::HashMap;
use std::sync::Arc;

use model::Key;
use model::id::{ConnectionId, WorkspaceId};
use serde_json::{Value, json};
use store::{Change, Changed, ConnectionQuery, Scope, Store};

use super::event::{
    CONNECTION_CHANGED, CONNECTION_CHECKED, CONNECTION_MADE, CONNECTION_REMOVED, CONNECTION_STATUS_CHANGED,
    CREDENTIAL_REMOVED, CREDENTIAL_ROTATED, CREDENTIAL_STORED, INTEGRATION_CHANGED, INTEGRATION_MADE,
    INTEGRATION_REMOVED, KEY_MADE, KEY_RETIRED, KEY_REVOKED, STORE_CHANGED, TOOLSET_CHANGED, TOOLSET_MADE,
    TOOLSET_REMOVED,
};

/// Keys that are remembered. Others are looked up, for as long as they can be.
const NAMES_MAX: usize = 20_000;

/// The keys of connections, also of those that have just been removed.
pub(super) struct Names {
    store: Arc<dyn Store>,
    known: HashMap<ConnectionId, Key>,
}

impl Names {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, known: HashMap::new() }
    }

    /// Learns those that are there. What cannot be read is looked up when it is needed.
    pub(super) async fn load(&mut self) {
        let Ok(Some(owner)) = self.store.find_owner().await else { return };
        let mut after = None;
        while self.known.len() < NAMES_MAX {
            let query = ConnectionQuery { limit: store::PAGE_MAX, after, ..ConnectionQuery::default() };
            let Ok(page) = self.store.list_connections(owner.workspace.into(), query).await else { return };
            self.known.extend(page.items.into_iter().map(|one| (one.connection.id, one.connection.key)));
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    }

    async fn key_of(&mut self, workspace: Option<WorkspaceId>, id: ConnectionId) -> Option<Key> {
        if let Some(key) = self.known.get(&id) {
            return Some(key.clone());
        }
        let found = self.store.find_connection(Scope::from(workspace?), id).await.ok().flatten()?;
        self.remember(id, &found.key);
        Some(found.key)
    }

    fn remember(&mut self, id: ConnectionId, key: &Key) {
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        self.known.insert(id, key.clone());
    }

    /// What the event about a change is called and says.
    pub(super) async fn describe(&mut self, change: &Change) -> (&'static str, Value) {
        let about = match &change.what {
            Changed::ConnectionMade { id, key, .. } => {
                self.remember(*id, key);
                Some(*id)
            }
            Changed::ConnectionChanged { id, .. }
            | Changed::ConnectionMoved { id, .. }
            | Changed::ConnectionChecked { id, .. }
            | Changed::ConnectionRemoved { id }
            | Changed::CredentialStored { connection: id, .. }
            | Changed::CredentialRemoved { connection: id, .. } => Some(*id),
            _ => None,
        };
        let (kind, mut data) = describe(&change.what);
        if let Some(id) = about {
            let key = self.key_of(change.workspace, id).await;
            let members = [
                ("connection", key.map_or(Value::Null, |key| key.as_str().into())),
                ("connection_id", id.to_string().into()),
            ];
            if let Some(data) = data.as_object_mut() {
                data.extend(members.map(|(name, value)| (name.to_owned(), value)));
            }
            if matches!(change.what, Changed::ConnectionRemoved { .. }) {
                self.known.remove(&id);
            }
        }
        (kind, data)
    }
}

/// The same without the connection's names.
fn describe(what: &Changed) -> (&'static str, Value) {
    match what {
        Changed::ConnectionMade { name, integration, status, .. } => {
            let data = json!({ "name": name, "integration": integration, "status": status.as_str(),
                "is_file_managed": false });
            (CONNECTION_MADE, data)
        }
        Changed::ConnectionChanged { members, .. } => {
            (CONNECTION_CHANGED, json!({ "members": members, "is_file_managed": false }))
        }
        Changed::ConnectionMoved { to, error, .. } => {
            (CONNECTION_STATUS_CHANGED, json!({ "status": to.as_str(), "reason": error }))
        }
        Changed::ConnectionChecked { response_time_ms, is_ok, error, .. } => {
            let data = json!({ "is_ok": is_ok, "response_time_ms": response_time_ms, "reason": error });
            (CONNECTION_CHECKED, data)
        }
        Changed::ConnectionRemoved { .. } => (CONNECTION_REMOVED, json!({ "is_file_managed": false })),
        Changed::CredentialStored { id, field, user, is_rotation, .. } => {
            let kind = if *is_rotation { CREDENTIAL_ROTATED } else { CREDENTIAL_STORED };
            (kind, json!({ "credential_id": id, "field": field, "user_id": user }))
        }
        Changed::CredentialRemoved { id, .. } => (CREDENTIAL_REMOVED, json!({ "credential_id": id })),
        Changed::IntegrationMade { slug } => (INTEGRATION_MADE, json!({ "integration": slug })),
        Changed::IntegrationChanged { slug } => (INTEGRATION_CHANGED, json!({ "integration": slug })),
        Changed::IntegrationRemoved { slug } => (INTEGRATION_REMOVED, json!({ "integration": slug })),
        Changed::ToolsetMade { key } => (TOOLSET_MADE, json!({ "toolset": key.as_str() })),
        Changed::ToolsetChanged { key } => (TOOLSET_CHANGED, json!({ "toolset": key.as_str() })),
        Changed::ToolsetRemoved { key } => (TOOLSET_REMOVED, json!({ "toolset": key.as_str() })),
        Changed::KeyMade { id, name } => (KEY_MADE, json!({ "key_id": id, "name": name })),
        Changed::KeyRetired { id, expires_at } => {
            (KEY_RETIRED, json!({ "key_id": id, "expires_at": expires_at }))
        }
        Changed::KeyRevoked { id } => (KEY_REVOKED, json!({ "key_id": id })),
        Changed::Something => (STORE_CHANGED, json!({ "hint": "read the lists again" })),
    }
}
