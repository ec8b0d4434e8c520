//! Connections on which everybody uses their own credentials: what of them is a user's own, what all share, and the
//! entry that comes of it, for all of them or for one.

use std::collections::BTreeMap;

use api::{CredentialField, OwnWay};
use catalog::api::{Grant, Scheme};
use connector::oauth::TOKENS_FIELD;
use model::id::UserId;
use model::{AuthMethod, Code, Fault, Secret};
use store::ConnectionRow;

use super::directory::{credential_field, entry_of, whole_entry_of};
use crate::config::entry::{Entry, Shared};
use crate::wiring::manifests::Manifests;

/// What stands in the place of a user's own credential where nobody's is meant. Nothing is ever sent with it.
const STAND_IN: &str = "absent";

/// What each user gives; `None` for a connection whose credentials all users share.
///
/// # Errors
/// When there is nothing that could be a user's own.
pub(super) fn own_way(row: &ConnectionRow, manifests: &Manifests) -> Result<Option<OwnWay>, Fault> {
    if !row.is_per_user {
        return Ok(None);
    }
    let misfit = |why: String| Fault::new(Code::BAD_ARGUMENTS, format!("is_per_user: {why}"));
    let manifest = manifests.find(row).map_err(misfit)?;
    let config = row.config.value();
    let is_machine = config.get("grant").and_then(serde_json::Value::as_str) == Some("client_credentials");
    let mut fields: Vec<CredentialField> = Vec::new();
    if let Some(entry) = &manifest {
        fields.extend(entry.credentials_of(row.auth_method).into_iter().map(credential_field));
    }
    match manifest.as_ref().and_then(|entry| entry.api.as_ref()) {
        Some(http) => {
            if let Some(Scheme::OAuth(oauth)) = http.auth_of(row.auth_method).map(|auth| &auth.scheme)
                && oauth.grants.first() != Some(&Grant::ClientCredentials)
                && !is_machine
            {
                return Ok(Some(OwnWay::Leave));
            }
        }
        None => {
            let said = config.pointer("/auth/type").and_then(serde_json::Value::as_str);
            let names: &[&str] = match (said, row.auth_method) {
                (Some("oauth" | "oauth2"), _) | (None, AuthMethod::Oauth) => return Ok(Some(OwnWay::Leave)),
                (Some("bearer"), _) => &["token"],
                (Some("api_key"), _) | (None, AuthMethod::ApiKey) => &["key"],
                (Some("basic"), _) | (None, AuthMethod::Basic) => &["username", "password"],
                _ => &[],
            };
            for name in names {
                let field = format!("auth.credentials.{name}");
                let (title, help) = ((*name).to_owned(), String::new());
                if !fields.iter().any(|known| known.field == field) {
                    fields.push(CredentialField { field, title, help, required: true });
                }
            }
        }
    }
    if fields.is_empty() {
        let why = format!("`{}` takes no credential that could be a user's own", row.integration);
        return Err(misfit(why).with_hint(
            "choose how it proves itself (`auth_method`), or let all users share the connection",
        ));
    }
    Ok(Some(OwnWay::Entered(fields)))
}

/// The entry of such a connection for all its users: it is mounted once, and says what they share.
pub(super) fn entry_of_all(
    row: &ConnectionRow,
    secrets: BTreeMap<String, Secret>,
    manifests: &Manifests,
) -> Entry {
    let shared = match own_way(row, manifests) {
        Ok(way) => shared(way.as_ref(), secrets),
        Err(fault) => return Entry::broken(row.key.clone(), fault.advice()),
    };
    let mut all = shared.clone();
    if let Ok(Some(OwnWay::Entered(fields))) = own_way(row, manifests) {
        all.extend(fields.into_iter().map(|field| (field.field, Secret::new(STAND_IN.to_owned()))));
    }
    whole_entry_of(row, &all, manifests).shared_by(row, shared)
}

/// The entry of one user: with what all share and what is their own, and with nothing else.
///
/// # Errors
/// Which of their own is missing.
pub(super) fn entry_of_user(
    all: &Shared,
    user: UserId,
    own: BTreeMap<String, Secret>,
    manifests: &Manifests,
) -> Result<Entry, String> {
    let row = &all.row;
    let way = own_way(row, manifests).map_err(|fault| fault.advice())?;
    let mut secrets = all.secrets.clone();
    match way {
        Some(OwnWay::Entered(fields)) => {
            if let Some(missing) = fields.iter().find(|one| one.required && !own.contains_key(&one.field)) {
                return Err(format!("your {} ({}) is missing", missing.title, missing.field));
            }
            secrets.extend(own);
        }
        Some(OwnWay::Leave) => {
            let tokens = own.into_iter().find(|(field, _)| field == TOKENS_FIELD);
            secrets.extend([tokens.ok_or_else(|| "you have not given leave".to_owned())?]);
        }
        None => return Err("its users share its credentials".to_owned()),
    }
    Ok(entry_of(row, &secrets, manifests).of_user(user))
}

/// Of what is stored for all, what is theirs to share: with leave the client; of what everybody enters nothing.
fn shared(way: Option<&OwnWay>, mut secrets: BTreeMap<String, Secret>) -> BTreeMap<String, Secret> {
    match way {
        Some(OwnWay::Leave) => {
            secrets.remove(TOKENS_FIELD);
            secrets
        }
        _ => BTreeMap::new(),
    }
}
