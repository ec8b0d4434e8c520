//! `trunkline key new|list|rotate|revoke`: through a running hub, or on its data folder while it is stopped.

use identity::{MadeKey, NewKey};
use model::id::ApiKeyId;
use model::{Access, Timestamp};
use policy::Pattern;
use serde_json::{Value, json};
use store::{FolderLock, StoreError};

use super::client::{Remote, block_on, cell, escape};
use super::{configuration, env};
use crate::cli::{KeyVerb, Shared};
use crate::config::data_folder;
use crate::say::{Quit, note, out, table};
use crate::wiring::house::{self, House, Purpose};

/// How long a rotated key goes on working: a day, as over the API.
const OVERLAP_MS: u32 = 24 * 60 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Runs one of them.
pub(crate) fn run(shared: &Shared, verb: &KeyVerb) -> Result<(), Quit> {
    check(verb)?;
    let answer = block_on(async {
        if is_local(shared)? { locally(shared, verb).await } else { remotely(shared, verb).await }
    })?;
    tell(shared.json, verb, &answer);
    Ok(())
}

/// On the data folder, unless a hub is named, a key is given, or a running hub holds the folder.
fn is_local(shared: &Shared) -> Result<bool, Quit> {
    let has_key = shared.key.is_some() || env("TRUNKLINE_KEY").is_some_and(|key| !key.is_empty());
    if has_key || Remote::is_named(shared) {
        return Ok(false);
    }
    let data = data_folder(shared.data.as_deref(), &env);
    if !data.exists() {
        return Ok(true);
    }
    match FolderLock::take(&data) {
        Ok(_free) => Ok(true),
        Err(StoreError::Locked { .. }) => Ok(false),
        Err(error) => Err(Quit::from(error.fault())),
    }
}

fn check(verb: &KeyVerb) -> Result<(), Quit> {
    let KeyVerb::New { allow, deny, .. } = verb else { return Ok(()) };
    for text in allow.iter().chain(deny) {
        Pattern::compile(text).map_err(|error| Quit::usage(error.to_string()))?;
    }
    Ok(())
}

async fn remotely(shared: &Shared, verb: &KeyVerb) -> Result<Value, Quit> {
    let hub = Remote::of(shared);
    match verb {
        KeyVerb::New { name, expires, .. } => {
            let expires_at = expires.map(|days| now().plus_ms(i64::from(days) * DAY_MS));
            let body = json!({ "name": name, "access": access(verb), "expires_at": expires_at });
            hub.ask("POST", "/api/v1/keys", Some(&body)).await
        }
        KeyVerb::List => hub.get("/api/v1/keys").await,
        KeyVerb::Rotate { id } => hub.ask("POST", &format!("/api/v1/keys/{}/rotate", escape(id)), None).await,
        KeyVerb::Revoke { id } => hub.ask("DELETE", &format!("/api/v1/keys/{}", escape(id)), None).await,
        // Has a file of its own, and never comes here.
        KeyVerb::RotateMaster { .. } => Ok(Value::Null),
    }
}

async fn locally(shared: &Shared, verb: &KeyVerb) -> Result<Value, Quit> {
    let config = configuration(shared, None);
    if config.is_fatal() {
        return Err(Quit::usage("the configuration has errors").with_hint("`trunkline check` names them"));
    }
    if matches!(config.hub.store, crate::config::hub::Store::Memory) {
        return Err(Quit::failed("the store is memory: there are no keys while the hub does not run")
            .with_hint("start the hub and use its key with --key"));
    }
    let house = house::enter(&config, &data_folder(shared.data.as_deref(), &env), Purpose::MakeKey).await?;
    let answer = on_house(&house, verb).await;
    house.leave().await;
    answer
}

async fn on_house(house: &House, verb: &KeyVerb) -> Result<Value, Quit> {
    let (identity, owner) = (&house.identity, house.owner);
    let failed = |error: identity::IdentityError| Quit::from(error.fault());
    let parse = |id: &str| id.parse::<ApiKeyId>().map_err(|error| Quit::usage(error.to_string()));
    match verb {
        KeyVerb::New { name, expires, .. } => {
            let expires_at = expires.map(|days| house.clock.now().plus_ms(i64::from(days) * DAY_MS));
            let new = NewKey { owner, name: name.clone(), access: access(verb), expires_at };
            Ok(made(&identity.make_key(new).await.map_err(failed)?))
        }
        KeyVerb::List => {
            let rows = identity.list_keys(owner.workspace).await.map_err(failed)?;
            Ok(json!({ "keys": rows.iter().map(row).collect::<Vec<_>>() }))
        }
        KeyVerb::Rotate { id } => {
            Ok(made(&identity.rotate_key(owner.workspace, parse(id)?, OVERLAP_MS).await.map_err(failed)?))
        }
        KeyVerb::Revoke { id } => {
            identity.revoke_key(owner.workspace, parse(id)?).await.map_err(failed)?;
            Ok(Value::Null)
        }
        KeyVerb::RotateMaster { .. } => Ok(Value::Null),
    }
}

fn access(verb: &KeyVerb) -> Access {
    let KeyVerb::New { allow, deny, manage, .. } = verb else {
        return Access { allow: Vec::new(), deny: Vec::new(), manage: false };
    };
    let allow = if allow.is_empty() { vec!["*".to_owned()] } else { allow.clone() };
    Access { allow, deny: deny.clone(), manage: *manage }
}

fn made(made: &MadeKey) -> Value {
    let mut value = row(&made.row);
    if let Some(map) = value.as_object_mut() {
        map.insert("key".to_owned(), made.secret.expose().into());
    }
    value
}

/// The same members as over the API.
fn row(row: &store::ApiKeyRow) -> Value {
    json!({
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "access": row.access,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
        "revoked_at": row.revoked_at,
    })
}

fn now() -> Timestamp {
    model::Clock::now(&model::SystemClock::new())
}

fn tell(is_json: bool, verb: &KeyVerb, answer: &Value) {
    if is_json {
        out(&if answer.is_null() { json!({ "revoked": true }).to_string() } else { answer.to_string() });
        return;
    }
    match verb {
        KeyVerb::New { .. } | KeyVerb::Rotate { .. } => {
            out(&cell(answer, "key"));
            note(&format!("{} `{}`: this key is shown only now", cell(answer, "id"), cell(answer, "name")));
            if matches!(verb, KeyVerb::Rotate { .. }) {
                note("the old key goes on working for a day; `trunkline key revoke` ends it now");
            }
        }
        KeyVerb::List => {
            let mut rows = vec![["ID", "KEY", "NAME", "STATE", "MAY"].map(str::to_owned).to_vec()];
            for key in answer.get("keys").and_then(Value::as_array).into_iter().flatten() {
                let state = match (key.get("revoked_at"), key.get("expires_at").and_then(Value::as_i64)) {
                    (Some(Value::Number(_)), _) => "revoked",
                    (_, Some(end)) if end <= now().0 => "expired",
                    (_, Some(_)) => "expires",
                    _ => "live",
                };
                let may = key.pointer("/access/allow").map(Value::to_string).unwrap_or_default();
                let manage =
                    if key.pointer("/access/manage") == Some(&Value::Bool(true)) { " manage" } else { "" };
                rows.push(vec![
                    cell(key, "id"),
                    format!("{}...", cell(key, "prefix")),
                    cell(key, "name"),
                    state.to_owned(),
                    format!("{may}{manage}"),
                ]);
            }
            out(&table(&rows));
        }
        KeyVerb::Revoke { id } => out(&format!("{id}: revoked")),
        KeyVerb::RotateMaster { .. } => {}
    }
}
