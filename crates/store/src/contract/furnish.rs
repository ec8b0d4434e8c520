//! A store with a row of everything, for scenes that move whole stores.

use std::sync::Arc;

use super::given::{at, check, connections, credential, log};
use super::toolsets::toolset;
use super::{NOW, candidate, key};
use crate::{
    Command, CredentialCommand, CredentialRow, DataKeyCommand, DataKeyRow, DataKeyState, Fact, FactKind,
    HealthCommand, Json, LogCommand, LogRow, PreviousValue, Replaces, RequestCommand, RequestKey, RequestRow,
    Store, ToolsetCommand, hour_of,
};

/// Fills an empty store whose owner is number `n`.
pub async fn furnish(store: &Arc<dyn Store>, n: u128) {
    store.bootstrap_owner(candidate(n)).await.unwrap();
    let owner = connections(store, 20).await;
    let workspace = owner.workspace;
    store.insert_api_key(key(owner, 1)).await.unwrap();
    let name = "files".parse().unwrap();
    let fact = Fact { bytes: vec![0, 0xff, 7], updated_at: NOW };
    store.put_fact(workspace, &name, FactKind::Catalogue, fact).await.unwrap();
    for version in 1..=2 {
        let row = DataKeyRow {
            workspace,
            version,
            wrapped: vec![0, 0xff],
            master_key_id: [1; 8],
            state: DataKeyState::Active,
            created_at: NOW,
        };
        store.change_data_key(DataKeyCommand::Insert(Box::new(row))).await.unwrap();
    }
    let previous = Some(PreviousValue { sealed: vec![9, 0], overlap_until: at(5) });
    for row in [
        credential(owner, 1, 1, "auth.credentials.key"),
        CredentialRow { previous, user: Some(owner.user), ..credential(owner, 2, 2, "env.TOKEN") },
    ] {
        let put = CredentialCommand::Put { row: Box::new(row), replaces: Replaces::Nothing };
        store.change_credential(put).await.unwrap();
    }
    let metadata = Json::parse("metadata", r#"{"b":1,"a":[null,"é ' \\",1.5]}"#).unwrap();
    let mut commands = Vec::new();
    for n in 0..600 {
        let row = LogRow { metadata: metadata.clone(), ..log(owner, 1 + n % 20, n, "ÄRGER it's \\ %") };
        commands.push(Command::Log(LogCommand::Append(Box::new(row))));
        let at = hour_of(NOW).plus_ms(i64::try_from(n).unwrap() * 60_000);
        let row = Box::new(check(owner, 1 + n % 20, n, 3, at));
        commands.push(Command::Health(HealthCommand::Append(row)));
    }
    store.apply(commands).await.unwrap();
    let before = hour_of(NOW).plus_ms(2 * crate::HOUR_MS);
    store.change_health(HealthCommand::RollUp { workspace, before, limit: 1_000 }).await.unwrap();
    for name in ["office", "code"] {
        store.change_toolset(ToolsetCommand::Insert(Box::new(toolset(owner, name)))).await.unwrap();
    }
    let key = RequestKey { workspace, caller: "key_it's".into(), key: "order 1".into() };
    let (created_at, expires_at, digest) = (NOW, at(1_000), [7; 32]);
    let row = RequestRow { key: key.clone(), digest, response: None, created_at, expires_at };
    store.claim_request(row, NOW).await.unwrap();
    let finish = RequestCommand::Finish { key, digest, response: vec![0xff; 1_000], expires_at: at(5_000) };
    store.change_request(finish).await.unwrap();
}
