//! What the scenes about connections start from.

use std::sync::Arc;

use model::id::{ConnectionId, CredentialId, EventId, IntegrationId, UserId};
use model::{AuthMethod, Category, ConnectionStatus, IntegrationKind, Owner, Timestamp};
use uuid::Uuid;

use super::{NOW, owner};
use crate::{
    ConnectionCommand, ConnectionRow, CredentialRow, EventType, HealthRow, IntegrationCommand,
    IntegrationRow, Json, LogRow, Origin, Scope, StatusMove, Store, StoreError,
};

/// A moment of the scene.
pub(crate) fn at(ms: i64) -> Timestamp {
    NOW.plus_ms(ms)
}

pub(crate) fn connection_id(n: u128) -> ConnectionId {
    ConnectionId::from_uuid(Uuid::from_u128(n))
}

pub(crate) fn integration_id(n: u128) -> IntegrationId {
    IntegrationId::from_uuid(Uuid::from_u128(n))
}

pub(crate) fn credential_id(n: u128) -> CredentialId {
    CredentialId::from_uuid(Uuid::from_u128(n))
}

pub(crate) fn event_id(n: u128) -> EventId {
    EventId::from_uuid(Uuid::from_u128(n))
}

/// Somebody else in the same workspace.
pub(crate) fn colleague(owner: Owner) -> Owner {
    Owner { user: UserId::from_uuid(Uuid::from_u128(0xc0)), ..owner }
}

/// An integration that every workspace has.
pub(crate) fn integration(n: u128, slug: &str) -> IntegrationRow {
    IntegrationRow {
        id: integration_id(n),
        workspace: None,
        slug: slug.into(),
        name: format!("The {slug}"),
        kind: IntegrationKind::Vendor,
        category: Category::Other,
        description: String::new(),
        icon_type: "plug".into(),
        docs_url: String::new(),
        is_active: true,
        config_schema: Json::parse("schema", r#"{"type":"object"}"#).unwrap(),
        version: "1.0.0".into(),
        manifest_digest: [7; 32],
        manifest: None,
        origin: Origin::Builtin,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

/// The integration that connections of the scenes are with.
pub(crate) async fn seed(store: &Arc<dyn Store>) -> IntegrationRow {
    let row = integration(1, "plain");
    store.change_integration(IntegrationCommand::Seed(Box::new(row.clone()))).await.unwrap();
    row
}

/// A connection that nothing is special about; higher numbers are newer.
pub(crate) fn connection(owner: Owner, n: u128) -> ConnectionRow {
    let created_at = at(i64::try_from(n).unwrap());
    ConnectionRow {
        id: connection_id(n),
        owner,
        key: format!("key-{n}").parse().unwrap(),
        name: format!("Name {n}"),
        integration_id: integration_id(1),
        integration: "plain".into(),
        version: "1.0.0".into(),
        previous_version: None,
        config: Json::parse("config", r#"{"url":"https://example.org/"}"#).unwrap(),
        auth_method: AuthMethod::ApiKey,
        status: ConnectionStatus::Configuring,
        last_error: None,
        last_tested_at: None,
        connected_at: None,
        is_shared: false,
        is_per_user: false,
        egress_private: false,
        revision: 1,
        created_at,
        updated_at: created_at,
    }
}

/// The owner, with so many connections.
pub(crate) async fn connections(store: &Arc<dyn Store>, count: u128) -> Owner {
    let owner = owner(store).await;
    seed(store).await;
    for n in 1..=count {
        store.insert_connection(connection(owner, n)).await.unwrap();
    }
    owner
}

/// The connection as it is now.
pub(crate) async fn found(store: &Arc<dyn Store>, owner: Owner, n: u128) -> ConnectionRow {
    store.find_connection(owner.into(), connection_id(n)).await.unwrap().unwrap()
}

/// Moves a connection.
pub(crate) async fn move_to(
    store: &Arc<dyn Store>,
    owner: Owner,
    n: u128,
    to: ConnectionStatus,
    at: Timestamp,
) -> Result<(), StoreError> {
    let scope = Scope::from(owner);
    let step = StatusMove { scope, id: connection_id(n), expected: None, to, error: None, at };
    store.change_connection(ConnectionCommand::Move(Box::new(step))).await
}

pub(crate) fn credential(owner: Owner, connection: u128, n: u128, field: &str) -> CredentialRow {
    CredentialRow {
        id: credential_id(n),
        connection: connection_id(connection),
        owner,
        user: None,
        field: field.into(),
        sealed: vec![0, 1, 0xff],
        key_version: 1,
        fingerprint: [u8::try_from(n).unwrap(); 8],
        last_four: "wxyz".into(),
        expires_at: None,
        last_rotated_at: None,
        created_at: NOW,
        previous: None,
    }
}

pub(crate) fn log(owner: Owner, connection: u128, n: u128, message: &str) -> LogRow {
    LogRow {
        id: event_id(n),
        workspace: owner.workspace,
        connection: connection_id(connection),
        event_type: EventType::Tested,
        message: message.into(),
        metadata: Json::empty(),
        created_at: at(i64::try_from(n).unwrap()),
    }
}

pub(crate) fn check(owner: Owner, connection: u128, n: u128, ms: u32, at: Timestamp) -> HealthRow {
    HealthRow {
        id: event_id(n),
        workspace: owner.workspace,
        connection: connection_id(connection),
        response_time_ms: ms,
        success: true,
        error_message: None,
        checked_at: at,
        created_at: at,
    }
}
