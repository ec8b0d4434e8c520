//! Scenes about the catalogue.

use std::sync::Arc;

use model::{Category, IntegrationKind};

use super::given::{at, connection, integration, integration_id, seed};
use super::{owner, stranger};
use crate::{
    IntegrationCommand, IntegrationQuery, IntegrationRow, Json, MANIFEST_LEN_MAX, Origin, Store, StoreError,
};

fn made_here(owner: model::Owner, n: u128, slug: &str) -> IntegrationRow {
    IntegrationRow {
        workspace: Some(owner.workspace),
        origin: Origin::Api,
        manifest: Some("name: it's \"quoted\" \u{1F511}\n".into()),
        ..integration(n, slug)
    }
}

async fn insert(store: &Arc<dyn Store>, row: IntegrationRow) -> Result<(), StoreError> {
    store.change_integration(IntegrationCommand::Insert(Box::new(row))).await
}

async fn slugs(store: &Arc<dyn Store>, owner: model::Owner, query: IntegrationQuery) -> Vec<String> {
    let page =
        store.list_integrations(owner.workspace, IntegrationQuery { limit: 100, ..query }).await.unwrap();
    page.items.into_iter().map(|row| row.slug).collect()
}

pub async fn an_integration_comes_back_as_it_was_stored(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let mut row = made_here(owner, 7, "o'hara");
    row.config_schema = Json::parse("schema", r#"{"b":[1,2.5,-3e-7],"a":{"é":null}}"#).unwrap();
    insert(&store, row.clone()).await.unwrap();
    let found = store.find_integration(owner.workspace, "o'hara").await.unwrap();
    assert_eq!(found, Some(row.clone()));
    assert_eq!(store.find_integration_by_id(owner.workspace, row.id).await.unwrap(), Some(row));
    assert_eq!(store.find_integration(owner.workspace, "absent").await.unwrap(), None);
}

pub async fn one_workspaces_integrations_are_not_there_for_another(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    insert(&store, made_here(owner, 7, "ours")).await.unwrap();
    seed(&store).await;
    let elsewhere = stranger().workspace;
    assert_eq!(store.find_integration(elsewhere, "ours").await.unwrap(), None);
    assert_eq!(store.find_integration_by_id(elsewhere, integration_id(7)).await.unwrap(), None);
    assert!(store.list_integration_versions(elsewhere, integration_id(7)).await.unwrap().is_empty());
    assert!(store.find_integration(elsewhere, "plain").await.unwrap().is_some(), "everybody has this one");
    let removed = IntegrationCommand::Delete { workspace: elsewhere, slug: "ours".into() };
    let refused = store.change_integration(removed).await;
    assert!(matches!(refused, Err(StoreError::Missing { noun: "integration" })));
    let foreign = insert(&store, made_here(stranger(), 8, "theirs")).await;
    assert!(matches!(foreign, Err(StoreError::Missing { noun: "workspace" })), "{foreign:?}");
    assert!(store.find_integration(owner.workspace, "ours").await.unwrap().is_some());
}

pub async fn a_slug_is_taken_once(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    seed(&store).await;
    insert(&store, made_here(owner, 7, "ours")).await.unwrap();
    for slug in ["ours", "plain"] {
        let refused = insert(&store, made_here(owner, 8, slug)).await;
        assert!(matches!(refused, Err(StoreError::Taken { field: "slug", .. })), "{refused:?}");
    }
    assert_eq!(slugs(&store, owner, IntegrationQuery::default()).await, ["ours", "plain"]);
    // The program may bring one of that name later; the workspace's own goes before it.
    let seeded = IntegrationCommand::Seed(Box::new(integration(9, "ours")));
    store.change_integration(seeded).await.unwrap();
    let found = store.find_integration(owner.workspace, "ours").await.unwrap().unwrap();
    assert_eq!(found.id, integration_id(7));
    let all = store.all_integrations(owner.workspace, IntegrationQuery::default()).await.unwrap();
    assert_eq!(all.len(), 3);
    let own = IntegrationQuery { origin: Some(Origin::Api), ..IntegrationQuery::default() };
    let own = store.all_integrations(owner.workspace, own).await.unwrap();
    assert_eq!(own.iter().map(|row| row.id).collect::<Vec<_>>(), [integration_id(7)]);
}

pub async fn seeding_twice_changes_nothing_and_a_new_version_keeps_the_old(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let first = seed(&store).await;
    let again =
        IntegrationRow { id: integration_id(99), created_at: at(5), updated_at: at(5), ..first.clone() };
    store.change_integration(IntegrationCommand::Seed(Box::new(again.clone()))).await.unwrap();
    assert_eq!(store.find_integration(owner.workspace, "plain").await.unwrap(), Some(first.clone()));

    let newer = IntegrationRow { version: "2.0.0".into(), manifest_digest: [8; 32], ..again };
    store.change_integration(IntegrationCommand::Seed(Box::new(newer))).await.unwrap();
    let now = store.find_integration(owner.workspace, "plain").await.unwrap().unwrap();
    assert_eq!((now.id, now.created_at, now.updated_at), (first.id, first.created_at, at(5)));
    assert_eq!((now.version.as_str(), now.revision), ("2.0.0", 2));
    let versions = store.list_integration_versions(owner.workspace, first.id).await.unwrap();
    let known: Vec<_> = versions.iter().map(|one| (one.version.as_str(), one.manifest_digest[0])).collect();
    assert_eq!(known, [("2.0.0", 8), ("1.0.0", 7)]);

    let gone = IntegrationCommand::Withdraw { slug: "plain".into(), at: at(9) };
    store.change_integration(gone).await.unwrap();
    assert!(slugs(&store, owner, IntegrationQuery::default()).await.is_empty());
    let with_inactive = IntegrationQuery { with_inactive: true, ..IntegrationQuery::default() };
    assert_eq!(slugs(&store, owner, with_inactive).await, ["plain"]);
}

pub async fn an_edit_of_an_integration_must_have_seen_the_newest(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    insert(&store, made_here(owner, 7, "ours")).await.unwrap();
    let edit = |name: &str, expected| {
        let row = IntegrationRow { name: name.into(), updated_at: at(3), ..made_here(owner, 1000, "ours") };
        IntegrationCommand::Update { row: Box::new(row), expected: Some(expected) }
    };
    store.change_integration(edit("Second", 1)).await.unwrap();
    let late = store.change_integration(edit("Late", 1)).await;
    assert!(matches!(late, Err(StoreError::StaleRevision { expected: 1, found: 2 })), "{late:?}");
    let found = store.find_integration(owner.workspace, "ours").await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.revision, found.id), ("Second", 2, integration_id(7)));
}

pub async fn an_integration_in_use_stays(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    insert(&store, made_here(owner, 1, "plain")).await.unwrap();
    store.insert_connection(connection(owner, 1)).await.unwrap();
    let delete = || IntegrationCommand::Delete { workspace: owner.workspace, slug: "plain".into() };
    let refused = store.change_integration(delete()).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    let gone = crate::ConnectionCommand::Delete { scope: owner.into(), id: connection(owner, 1).id };
    store.change_connection(gone).await.unwrap();
    store.change_integration(delete()).await.unwrap();
    assert_eq!(store.find_integration(owner.workspace, "plain").await.unwrap(), None);
}

pub async fn the_catalogue_is_searched_by_text_kind_and_category(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let rows = [
        ("chat", "Zulu Chat", "messages for TEAMS", IntegrationKind::Mcp, Category::Messaging),
        ("mail", "alpha mail", "100% letters_only", IntegrationKind::Vendor, Category::Email),
        ("disk", "Ärger", "it's a \\ disk", IntegrationKind::Vendor, Category::Storage),
    ];
    for (n, (slug, name, description, kind, category)) in (1..).zip(rows) {
        let row = IntegrationRow {
            name: name.into(),
            description: description.into(),
            kind,
            category,
            ..integration(n, slug)
        };
        store.change_integration(IntegrationCommand::Seed(Box::new(row))).await.unwrap();
    }
    let by_text = |text: &str| IntegrationQuery { text: Some(text.into()), ..IntegrationQuery::default() };
    assert_eq!(slugs(&store, owner, IntegrationQuery::default()).await, ["mail", "chat", "disk"]);
    for (text, expected) in [
        ("teams", &["chat"][..]),
        ("CHAT", &["chat"]),
        ("äRGER", &["disk"]),
        ("%", &["mail"]),
        ("_", &["mail"]),
        ("'", &["disk"]),
        ("\\", &["disk"]),
        ("a%l", &[]),
        ("chat\0", &[]),
        ("' OR 1=1 --", &[]),
        ("", &["mail", "chat", "disk"]),
    ] {
        assert_eq!(slugs(&store, owner, by_text(text)).await, expected, "{text}");
    }
    let vendors = IntegrationQuery { kind: Some(IntegrationKind::Vendor), ..IntegrationQuery::default() };
    assert_eq!(slugs(&store, owner, vendors).await, ["mail", "disk"]);
    let storage = IntegrationQuery { category: Some(Category::Storage), ..by_text("e") };
    assert_eq!(slugs(&store, owner, storage).await, ["disk"]);
}

pub async fn the_catalogue_is_turned_over_page_by_page(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    for n in 0..7 {
        // Two of each name: the id decides between them.
        let row = IntegrationRow { name: format!("Name {}", n / 2), ..integration(n + 1, &format!("s{n}")) };
        store.change_integration(IntegrationCommand::Seed(Box::new(row))).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let query = IntegrationQuery { limit: 3, after, ..IntegrationQuery::default() };
        let page = store.list_integrations(owner.workspace, query).await.unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(page.items.into_iter().map(|row| row.slug));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["s0", "s1", "s2", "s3", "s4", "s5", "s6"]);
}

pub async fn an_integration_that_cannot_be_stored_is_refused_by_name(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let nul = IntegrationRow { description: "a\0b".into(), ..made_here(owner, 7, "ours") };
    let refused = insert(&store, nul).await.unwrap_err();
    assert!(refused.to_string().contains("description"), "{refused}");
    let huge =
        IntegrationRow { manifest: Some("x".repeat(MANIFEST_LEN_MAX + 1)), ..made_here(owner, 7, "ours") };
    assert!(matches!(insert(&store, huge).await, Err(StoreError::TooLarge { max: MANIFEST_LEN_MAX, .. })));
    let nameless = IntegrationRow { name: " ".into(), ..made_here(owner, 7, "ours") };
    assert!(matches!(insert(&store, nameless).await, Err(StoreError::Malformed { .. })));
    assert!(slugs(&store, owner, IntegrationQuery::default()).await.is_empty());
}
