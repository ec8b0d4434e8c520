//! What the API asks of the binary about connections: where they are written, and trying them out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use connector::Connector;
use mcp_upstream::McpUpstream;
use model::id::UserId;
use model::{AuthMethod, Caller, Code, Fault, IntegrationKind, Key, Secret};
use store::{ConnectionRow, IntegrationRow};

use super::own::{entry_of_all, own_way};
use super::{Connections, natives};
use crate::config::entry::{self, Entry, McpEntry, Shape, Transport};
use crate::wiring::manifests::Manifests;

#[async_trait]
impl api::Directory for Connections {
    fn entries(&self) -> Vec<api::Entry> {
        let held = self.held();
        let file = held.file.as_ref().map(|file| file.display().to_string());
        let entries = held.live.values().map(|live| {
            let state = live.connector.state();
            let source = file.clone().filter(|_| live.is_file_managed);
            api::Entry {
                key: live.entry.key.to_string(),
                status: state.status,
                reason: live.broken.clone(),
                source: source.map(|file| api::Source { file, line: Some(live.entry.line) }),
                is_file_managed: live.is_file_managed,
                transport: Some(state.transport.to_owned()),
            }
        });
        entries.collect()
    }

    fn read_manifest(&self, slug: &str, manifest: &str) -> Result<api::ReadManifest, Fault> {
        let entry = catalog::Entry::read(slug, "manifest", manifest, "<svg/>").map_err(|problems| {
            Fault::new(Code::BAD_ARGUMENTS, problems.to_string())
                .with_hint("docs/reference/catalogue.md tells the grammar")
        })?;
        Ok(api::ReadManifest {
            name: entry.name,
            kind: entry.kind,
            category: entry.category,
            description: entry.description,
            docs_url: entry.docs_url,
            config_schema: entry.config_schema,
            version: entry.version,
        })
    }

    fn of_template(
        &self,
        entry: &api::ReadManifest,
        slug: &str,
    ) -> Result<Option<(String, Vec<String>)>, Fault> {
        if !catalog::import::is_template(&entry.config_schema) {
            return Ok(None);
        }
        let about = catalog::import::About {
            slug: slug.to_owned(),
            name: entry.name.clone(),
            kind: entry.kind,
            category: entry.category,
            description: entry.description.clone(),
            docs_url: entry.docs_url.clone(),
            version: entry.version.clone(),
        };
        let imported = catalog::import::template(&about, &entry.config_schema).map_err(|why| {
            Fault::new(Code::BAD_ARGUMENTS, format!("config_schema: {why}"))
                .with_hint("give a JSON Schema, or a manifest: PUT .../manifest")
        })?;
        let notes = imported.report.iter().map(|note| format!("{}: {}", note.place, note.what));
        Ok(Some((imported.manifest, notes.collect())))
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    async fn retest(&self, key: &Key) -> Result<(), Fault> {
        let found = self.held().live.get(key).map(|live| Arc::clone(&live.connector));
        let connector =
            found.ok_or_else(|| Fault::new(Code::NOT_FOUND, format!("there is no connection `{key}`")))?;
        connector.refresh().await
    }

    fn file_toolsets(&self) -> BTreeSet<Key> {
        self.held().file_sets.iter().map(|set| set.key.clone()).collect()
    }

    fn describe(&self, integration: &IntegrationRow) -> api::Described {
        let manifest = self.stored.manifests().present(integration.id);
        let native = manifest.as_ref().and_then(|entry| entry.native.as_ref());
        let is_api = manifest.as_ref().is_some_and(|entry| entry.api.is_some() || entry.native.is_some());
        let is_served = integration.kind == IntegrationKind::Mcp || is_api;
        let unavailable = match native {
            Some(native) => natives::absent(native.connector),
            None => (!is_served).then(|| "its connector comes with a later version".to_owned()),
        };
        api::Described {
            unavailable,
            hub_keys: if is_api { catalog::API_CONNECTION_KEYS } else { &[] },
            auth: manifest.as_ref().map(|entry| ways(entry)).unwrap_or_default(),
            tool_count: manifest.as_ref().and_then(|entry| entry.api.as_ref()).map(|api| api.tools.len()),
            proof: self.stored.manifests().proof(integration.id),
        }
    }

    fn icon(&self, integration: &IntegrationRow) -> Option<String> {
        self.stored.manifests().present(integration.id).map(|entry| entry.icon.clone())
    }

    fn command_line(&self, row: &ConnectionRow) -> Result<Option<String>, Fault> {
        // Credentials come after the connection that they are for: here they count as there.
        let entry = entry_of(row, &stand_ins(row.auth_method), self.stored.manifests());
        if let Shape::Api(api) = &entry.shape {
            // What can be told before there are credentials: settings that fit, a way in that there is.
            self.check_api(&row.key, api)?;
            return Ok(None);
        }
        if matches!(entry.shape, Shape::Later(_)) {
            return Ok(None);
        }
        let mcp = usable(&entry)?;
        match &mcp.transport {
            Transport::Stdio { command, args, env, cwd, .. } => {
                let mut line = String::new();
                if let Some(cwd) = cwd {
                    line.push_str(&format!("cd {} && ", quoted(&cwd.display().to_string())));
                }
                for (name, value) in env {
                    line.push_str(&format!("{name}={} ", quoted(value.expose())));
                }
                let words = std::iter::once(command).chain(args).map(|word| quoted(word));
                line.push_str(&words.collect::<Vec<_>>().join(" "));
                Ok(Some(line))
            }
            Transport::Unix(_) if !mcp.private_allowed => Err(Fault::new(
                Code::BAD_ARGUMENTS,
                "connection_config: a Unix socket is on this machine, and the connection may not reach it",
            )
            .with_hint("set `egress_private` if it is meant to")),
            _ => Ok(None),
        }
    }

    fn check_field(&self, row: &ConnectionRow, field: &str) -> Result<(), Fault> {
        if let Ok(Some(manifest)) = self.stored.manifests().find(row)
            && (manifest.api.is_some() || manifest.native.is_some())
        {
            let known = manifest.credentials_of(row.auth_method);
            if known.iter().any(|one| one.field == field) {
                return Ok(());
            }
            let words: Vec<&str> = known.iter().map(|one| one.field.as_str()).collect();
            let what = format!("field: `{field}` is no credential of `{}`", manifest.slug);
            return Err(
                Fault::new(Code::BAD_ARGUMENTS, what).with_hint(format!("one of: {}", words.join(", ")))
            );
        }
        let is_known = match field.split_once('.') {
            Some(("auth", rest)) => rest.strip_prefix("credentials.").is_some_and(|name| !name.contains('.')),
            Some(("headers" | "env", name)) => !name.is_empty() && !name.contains('.'),
            _ => false,
        };
        if is_known {
            return Ok(());
        }
        Err(Fault::new(Code::BAD_ARGUMENTS, format!("field: `{field}` is no place for a credential"))
            .with_hint("for an MCP server: auth.credentials.NAME, headers.NAME or env.NAME"))
    }

    fn own_way(&self, row: &ConnectionRow) -> Result<Option<api::OwnWay>, Fault> {
        own_way(row, self.stored.manifests())
    }

    async fn try_out(&self, row: &ConnectionRow, caller: &Caller) -> Result<usize, Fault> {
        if row.is_per_user {
            return self.try_out_own(row, caller).await;
        }
        let secrets = self.stored.credentials().open(row).await?;
        let entry = whole_entry_of(row, &secrets, self.stored.manifests());
        if let Shape::Api(api) = &entry.shape {
            return self.try_out_api(&row.key, api, &entry).await;
        }
        let mcp = usable(&entry)?;
        let manifest = self.stored.manifests().find(row).ok().flatten();
        let min_tools = manifest.map_or(0, |manifest| manifest.test.min_tools);
        // What runs with these settings already is asked itself: a second program would be another one.
        if let Some(running) = self.running_as(&entry) {
            running.refresh().await?;
            return count_tools(&running.inventory(), min_tools);
        }
        let (settings, parts) = (self.settings_of(&row.key, mcp, &self.egress())?, self.parts.clone());
        let trial = self.control.spawn(async move {
            let upstream = McpUpstream::start(settings, parts);
            let tried = upstream.refresh().await.and_then(|()| count_tools(&upstream.inventory(), min_tools));
            upstream.close().await;
            tried
        });
        trial.await.unwrap_or_else(|_| Err(Fault::new(Code::BUG, "the test of the connection broke off")))
    }

    async fn leave(
        &self,
        row: &ConnectionRow,
        public_url: &str,
        is_fresh: bool,
        user: UserId,
    ) -> Result<api::Leave, Fault> {
        let secrets = self.stored.credentials().open(row).await?;
        let entry = match row.is_per_user {
            true => entry_of_all(row, secrets, self.stored.manifests()).of_user(user),
            false => whole_entry_of(row, &secrets, self.stored.manifests()),
        };
        match &entry.shape {
            Shape::Mcp(mcp) => self.mcp_leave_of(row, mcp, public_url, is_fresh).await,
            _ => self.leave_of(&row.key, &entry),
        }
    }

    async fn settle(&self) {
        self.read_store().await;
    }
}

/// The ways to prove oneself that a manifest has.
fn ways(entry: &catalog::Entry) -> Vec<api::AuthWay> {
    if let Some(native) = &entry.native {
        let way = |way: &catalog::Way| api::AuthWay {
            method: way.method,
            title: way.title.clone(),
            credentials: entry.credentials_of(way.method).into_iter().map(credential_field).collect(),
            needs_leave: false,
        };
        return native.ways.iter().map(way).collect();
    }
    let Some(http) = &entry.api else {
        let credentials: Vec<_> = entry.credentials.iter().cloned().map(credential_field).collect();
        let way = |credentials| api::AuthWay {
            method: AuthMethod::None,
            title: "As the program takes it".to_owned(),
            credentials,
            needs_leave: false,
        };
        return if credentials.is_empty() { Vec::new() } else { vec![way(credentials)] };
    };
    let way = |auth: &catalog::api::Auth| api::AuthWay {
        method: auth.method,
        title: auth.title.clone(),
        credentials: entry.credentials_of(auth.method).into_iter().map(credential_field).collect(),
        needs_leave: matches!(&auth.scheme, catalog::api::Scheme::OAuth(oauth)
            if oauth.grants.first() != Some(&catalog::api::Grant::ClientCredentials)),
    };
    http.auth.iter().map(way).collect()
}

/// A secret that a manifest asks for.
pub(super) fn credential_field(one: catalog::Credential) -> api::CredentialField {
    let catalog::Credential { field, title, help, required } = one;
    api::CredentialField { field, title, help, required }
}

/// What a stored connection says, as an entry that is to be used: its manifest's required secrets are there.
pub(super) fn whole_entry_of(
    row: &ConnectionRow,
    secrets: &BTreeMap<String, Secret>,
    manifests: &Manifests,
) -> Entry {
    if let Ok(Some(manifest)) = manifests.find(row)
        && let Some(missing) =
            manifest.missing_credential(row.auth_method, |field| secrets.contains_key(field))
    {
        let what = format!(
            "needs the credential `{field}` ({title}): `trunkline connection rotate {key} {field}`",
            field = missing.field,
            title = missing.title,
            key = row.key,
        );
        // Removed is removed: what ran with it ends.
        return Entry::broken(row.key.clone(), what).starved();
    }
    entry_of(row, secrets, manifests)
}

/// What a stored connection says, as an entry.
pub(super) fn entry_of(
    row: &ConnectionRow,
    secrets: &BTreeMap<String, Secret>,
    manifests: &Manifests,
) -> Entry {
    let found = manifests.find(row);
    if let Ok(Some(manifest)) = &found
        && (manifest.api.is_some() || manifest.native.is_some())
    {
        return entry::of_stored_api(row, manifest, secrets);
    }
    let resolved = match found {
        Ok(None) => Ok(row.config.value()),
        Ok(Some(manifest)) => {
            manifest.resolve(&row.config.value()).map_err(|problems| problems.to_string().replace('\n', "; "))
        }
        Err(why) => Err(why),
    };
    let mut config = match resolved {
        Ok(config) => config,
        Err(why) => return Entry::broken(row.key.clone(), why),
    };
    // Its way to prove itself stands in a column of its own; in an entry it is `auth.type`.
    if row.auth_method != AuthMethod::None
        && let Some(members) = config.as_object_mut()
        && !members.contains_key("auth")
    {
        let kind = if row.auth_method == AuthMethod::Oauth { "oauth2" } else { row.auth_method.as_str() };
        members.insert("auth".to_owned(), serde_json::json!({ "type": kind }));
    }
    entry::of_row(row, &config, secrets)
}

/// How many tools it offers, if that is as many as its manifest says that it does.
pub(super) fn count_tools(inventory: &connector::Inventory, min_tools: usize) -> Result<usize, Fault> {
    let there = inventory.tools.len();
    if there >= min_tools {
        return Ok(there);
    }
    let what =
        format!("it answers, but lists {there} tools; its entry of the catalogue says at least {min_tools}");
    Err(Fault::new(Code::MISCONFIGURED, what)
        .with_hint("see what the program says: `trunkline connection logs`"))
}

/// Credentials that have every part that a way to prove oneself asks for, to read a connection without its own.
fn stand_ins(method: AuthMethod) -> BTreeMap<String, Secret> {
    let names: &[&str] = match method {
        AuthMethod::ApiKey => &["key"],
        AuthMethod::Basic => &["username", "password"],
        _ => &[],
    };
    let value = |name: &&str| (format!("auth.credentials.{name}"), Secret::new("absent".to_owned()));
    names.iter().map(value).collect()
}

fn usable(entry: &Entry) -> Result<&McpEntry, Fault> {
    match &entry.shape {
        Shape::Mcp(mcp) => Ok(mcp),
        Shape::Api(_) => Err(Fault::new(Code::BUG, "an HTTP API is no MCP server")),
        Shape::Broken(reason) => Err(Fault::new(Code::BAD_ARGUMENTS, reason.clone())
            .with_hint("docs/reference/configuration.md tells what an MCP connection may say")),
        Shape::Later(later) => Err(Fault::new(Code::MISCONFIGURED, later.reason.clone())),
        Shape::Off => Err(Fault::new(Code::BAD_ARGUMENTS, "connection_config.enabled: is false")
            .with_hint("leave it out; connect and disconnect switch a connection on and off")),
    }
}

/// A word as a shell would have to read it; as it is where nothing in it could be read otherwise.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_quoted_where_a_shell_would_read_them_otherwise() {
        assert_eq!(super::quoted("npx"), "npx");
        assert_eq!(super::quoted(""), "''");
        assert_eq!(super::quoted("a b; rm"), "'a b; rm'");
        assert_eq!(super::quoted("it's"), r"'it'\''s'");
    }
}
