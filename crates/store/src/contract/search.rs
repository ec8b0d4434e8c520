//! Scenes about looking for connections.

use std::sync::Arc;

use model::{Category, ConnectionStatus, IntegrationKind, Owner};

use super::given::{at, connection, connection_id, connections, integration, integration_id, move_to};
use super::owner;
use crate::{ConnectionQuery, ConnectionRow, IntegrationCommand, IntegrationRow, Store};

async fn names(store: &Arc<dyn Store>, owner: Owner, query: ConnectionQuery) -> Vec<String> {
    let query = ConnectionQuery { limit: 100, ..query };
    let page = store.list_connections(owner.into(), query).await.unwrap();
    page.items.into_iter().map(|row| row.connection.name).collect()
}

/// Two integrations, four connections.
async fn estate(store: &Arc<dyn Store>) -> Owner {
    let owner = owner(store).await;
    let chat = IntegrationRow {
        description: "Messages for Teams".into(),
        kind: IntegrationKind::Mcp,
        category: Category::Messaging,
        ..integration(1, "chat")
    };
    let disk = IntegrationRow { category: Category::Storage, ..integration(2, "disk") };
    for row in [chat, disk] {
        store.change_integration(IntegrationCommand::Seed(Box::new(row))).await.unwrap();
    }
    let rows =
        [(1, "chat", "Alpha 100%"), (1, "chat", "beta_x"), (2, "disk", "it's \\ here"), (2, "disk", "Ärger")];
    for (n, (integration, slug, name)) in (1..).zip(rows) {
        let row = ConnectionRow {
            name: name.into(),
            integration_id: integration_id(integration),
            integration: slug.into(),
            ..connection(owner, n)
        };
        store.insert_connection(row).await.unwrap();
    }
    owner
}

pub async fn connections_are_searched_literally_whatever_the_case(store: Arc<dyn Store>) {
    let owner = estate(&store).await;
    for (text, expected) in [
        ("ALPHA", &["Alpha 100%"][..]),
        ("äRGER", &["Ärger"]),
        ("%", &["Alpha 100%"]),
        ("_", &["beta_x"]),
        ("'", &["it's \\ here"]),
        ("\\", &["it's \\ here"]),
        ("a%a", &[]),
        ("alpha\0", &[]),
        ("\"alpha 1\" OR \"beta\"", &[]),
        ("al* OR be*", &[]),
        ("alph", &["Alpha 100%"]),
        ("s \\ h", &["it's \\ here"]),
        ("ERG", &[]),
        ("ÄRGE", &["Ärger"]),
        ("' OR '1'='1", &[]),
        ("teams", &["beta_x", "Alpha 100%"]),
        ("KEY-3", &["it's \\ here"]),
        ("", &["Ärger", "it's \\ here", "beta_x", "Alpha 100%"]),
    ] {
        let query = ConnectionQuery { text: Some(text.into()), ..ConnectionQuery::default() };
        assert_eq!(names(&store, owner, query).await, expected, "{text}");
    }
}

pub async fn connections_are_filtered_by_kind_category_status_and_integration(store: Arc<dyn Store>) {
    let owner = estate(&store).await;
    move_to(&store, owner, 1, ConnectionStatus::Testing, at(50)).await.unwrap();
    let of = |query: ConnectionQuery| names(&store, owner, query);
    let none = ConnectionQuery::default;
    assert_eq!(of(ConnectionQuery { kind: Some(IntegrationKind::Mcp), ..none() }).await.len(), 2);
    assert_eq!(of(ConnectionQuery { category: Some(Category::Crm), ..none() }).await.len(), 0);
    let testing = ConnectionQuery { status: Some(ConnectionStatus::Testing), ..none() };
    assert_eq!(of(testing.clone()).await, ["Alpha 100%"]);
    assert_eq!(of(ConnectionQuery { integration: Some("disk".into()), ..testing }).await.len(), 0);
    assert_eq!(of(ConnectionQuery { integration: Some("disk".into()), ..none() }).await.len(), 2);
    let key = Some("key-2".parse().unwrap());
    assert_eq!(of(ConnectionQuery { key, ..none() }).await, ["beta_x"]);

    let page = store.list_connections(owner.into(), none()).await.unwrap();
    assert_eq!((page.items.len(), page.next.is_some()), (1, true), "a page has at least one row");
    let newest = &page.items[0];
    assert_eq!((newest.connection.id, newest.integration.name.as_str()), (connection_id(4), "The disk"));
    assert_eq!(newest.integration.category, Category::Storage);

    let stats = store.count_connections(owner.into()).await.unwrap();
    assert_eq!(stats.total, 4);
    let status: Vec<_> = stats.by_status.into_iter().collect();
    assert_eq!(status, [(ConnectionStatus::Configuring, 3), (ConnectionStatus::Testing, 1)]);
    let kinds: Vec<_> = stats.by_kind.into_iter().collect();
    assert_eq!(kinds, [(IntegrationKind::Mcp, 2), (IntegrationKind::Vendor, 2)]);
    let categories: Vec<_> = stats.by_category.into_iter().collect();
    assert_eq!(categories, [(Category::Messaging, 2), (Category::Storage, 2)]);
}

pub async fn pages_of_connections_stay_put_while_others_are_made(store: Arc<dyn Store>) {
    let owner = connections(&store, 0).await;
    // Made at the same moment: the id decides.
    for n in 1..=8 {
        store.insert_connection(ConnectionRow { created_at: at(0), ..connection(owner, n) }).await.unwrap();
    }
    let (mut seen, mut after, mut n) = (Vec::new(), None, 100);
    loop {
        let query = ConnectionQuery { limit: 3, after, ..ConnectionQuery::default() };
        let page = store.list_connections(owner.into(), query).await.unwrap();
        seen.extend(page.items.iter().map(|row| row.connection.id));
        let Some(next) = page.next else { break };
        after = Some(next);
        n += 1;
        store.insert_connection(connection(owner, n)).await.unwrap();
    }
    let expected: Vec<_> = (1..=8).rev().map(connection_id).collect();
    assert_eq!(seen, expected, "each once, none twice, none of the new ones");
}
