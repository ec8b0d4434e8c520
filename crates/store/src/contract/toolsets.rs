//! Scenes about toolsets.

use std::sync::Arc;

use model::{Key, Owner};

use super::given::{at, colleague};
use super::{NOW, owner, stranger};
use crate::{Json, Store, StoreError, ToolsetCommand, ToolsetRow};

pub(crate) fn toolset(owner: Owner, key: &str) -> ToolsetRow {
    ToolsetRow {
        owner,
        key: key.parse().unwrap(),
        name: format!("The {key}"),
        description: "it's \"chosen\"".into(),
        tools: Json::parse("tools", r#"[{"tool":"files__read"}]"#).unwrap(),
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

pub async fn toolsets_are_made_edited_and_removed(store: Arc<dyn Store>) {
    let owner = owner(&store).await;
    let insert = |row: ToolsetRow| store.change_toolset(ToolsetCommand::Insert(Box::new(row)));
    for key in ["office", "code"] {
        insert(toolset(owner, key)).await.unwrap();
    }
    let taken = insert(toolset(owner, "code")).await;
    assert!(matches!(taken, Err(StoreError::Taken { field: "key", .. })), "{taken:?}");
    for foreign in [stranger(), colleague(owner)] {
        let refused = insert(toolset(foreign, "theirs")).await;
        assert!(matches!(refused, Err(StoreError::Missing { noun: "owner" })), "{refused:?}");
    }
    let listed = store.list_toolsets(owner.workspace).await.unwrap();
    assert_eq!(listed, [toolset(owner, "code"), toolset(owner, "office")]);
    assert!(store.list_toolsets(stranger().workspace).await.unwrap().is_empty());
    let code: Key = "code".parse().unwrap();
    assert_eq!(store.find_toolset(stranger().workspace, &code).await.unwrap(), None);

    let edited = ToolsetRow { name: "New".into(), updated_at: at(5), ..toolset(owner, "code") };
    let update = |expected| ToolsetCommand::Update { row: Box::new(edited.clone()), expected };
    store.change_toolset(update(Some(1))).await.unwrap();
    let late = store.change_toolset(update(Some(1))).await;
    assert!(matches!(late, Err(StoreError::StaleRevision { expected: 1, found: 2 })), "{late:?}");
    let found = store.find_toolset(owner.workspace, &code).await.unwrap();
    assert_eq!(found, Some(ToolsetRow { revision: 2, ..edited.clone() }));

    let delete = |workspace| ToolsetCommand::Delete { workspace, key: code.clone() };
    let elsewhere = store.change_toolset(delete(stranger().workspace)).await;
    assert!(matches!(elsewhere, Err(StoreError::Missing { noun: "toolset" })));
    store.change_toolset(delete(owner.workspace)).await.unwrap();
    let gone = store.change_toolset(update(None)).await;
    assert!(matches!(gone, Err(StoreError::Missing { noun: "toolset" })));
    assert_eq!(store.list_toolsets(owner.workspace).await.unwrap().len(), 1);
}
