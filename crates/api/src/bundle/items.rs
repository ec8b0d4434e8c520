//! One item of a document: what is there already, what has to be done, and doing it.

use std::collections::{BTreeMap, BTreeSet};

use connector::NewCredential;
use connector::carry::CarriedValue;
use connector::sources::External;
use model::id::ConnectionId;
use model::{Caller, Code, ConnectionStatus, Fault, Key};
use serde_json::json;
use store::{
    Command, ConnectionChange, ConnectionCommand, ConnectionRow, EventType, IntegrationCommand,
    IntegrationRow, Json as StoredJson, Origin, Scope,
};

use super::import::{Done, is_same};
use super::{Document, ExportedConnection, ExportedIntegration, ExportedToolset, ExportedVersion};
use crate::OwnWay;
use crate::app::App;
use crate::connections::create::{check_config, check_consent, check_length, log_entry, unfit};
use crate::connections::credentials::{check_name, reference};
use crate::integrations::change::{IntegrationBody, of_others, row_of};
use crate::integrations::manifest::row_of_manifest;
use crate::rescue::Problem;
use crate::toolsets::{self, ToolsetBody};

/// The most names of secrets of one connection.
const REFERENCES_MAX: usize = 64;

/// An import that is under way.
pub(super) struct Import<'a> {
    app: &'a App,
    caller: &'a Caller,
    document: &'a Document,
    is_dry_run: bool,
    consents: &'a BTreeSet<String>,
}

// === impl Import ===

impl<'a> Import<'a> {
    pub(super) fn new(
        app: &'a App,
        caller: &'a Caller,
        document: &'a Document,
        is_dry_run: bool,
        consents: &'a BTreeSet<String>,
    ) -> Self {
        Self { app, caller, document, is_dry_run, consents }
    }

    pub(super) async fn integration(&self, one: &ExportedIntegration) -> Result<Done, Problem> {
        let store = &self.app.parts.store;
        let workspace = self.caller.owner.workspace;
        let present = self.row(one, None)?;
        let before = store.find_integration(workspace, &one.slug).await?;
        let known: BTreeSet<String> = match &before {
            None => BTreeSet::new(),
            Some(row) if row.origin != Origin::Api => return Err(of_others(row)),
            Some(row) => {
                let known = store.list_integration_versions(workspace, row.id).await?;
                known.into_iter().map(|one| one.version).collect()
            }
        };
        let missing: Vec<&ExportedVersion> =
            one.earlier.iter().filter(|one| !known.contains(&one.version)).collect();
        if before.as_ref().is_some_and(|row| row.says_the_same(&present)) && missing.is_empty() {
            return Ok(Done::Skipped);
        }
        let done = if before.is_some() { Done::Changed } else { Done::Made };
        // Oldest first and the present one last, all or none: each becomes known on its way.
        let mut rows =
            missing.into_iter().map(|one_of| self.row(one, Some(one_of))).collect::<Result<Vec<_>, _>>()?;
        rows.push(present);
        if self.is_dry_run {
            return Ok(done);
        }
        let mut commands = Vec::with_capacity(rows.len());
        for (n, row) in rows.into_iter().enumerate() {
            let row = Box::new(row);
            commands.push(Command::Integration(if n == 0 && before.is_none() {
                IntegrationCommand::Insert(row)
            } else {
                let expected = before.as_ref().filter(|_| n == 0).map(|row| row.revision);
                IntegrationCommand::Update { row, expected }
            }));
        }
        store.apply(commands).await?;
        Ok(done)
    }

    /// The row of an entry, in its present definition or an earlier one.
    fn row(
        &self,
        one: &ExportedIntegration,
        earlier: Option<&ExportedVersion>,
    ) -> Result<IntegrationRow, Problem> {
        crate::integrations::change::check_slug(&one.slug)?;
        let manifest = earlier.map_or(&one.manifest, |earlier| &earlier.manifest);
        if let Some(manifest) = manifest {
            return row_of_manifest(self.app, self.caller, &one.slug, manifest.clone(), one.is_active);
        }
        let (version, config_schema) = earlier.map_or_else(
            || (one.version.clone(), one.config_schema.clone()),
            |earlier| (earlier.version.clone(), earlier.config_schema.clone()),
        );
        let body = IntegrationBody {
            name: one.name.clone(),
            r#type: one.r#type,
            category: one.category,
            description: one.description.clone(),
            icon_type: Some(one.icon_type.clone()),
            docs_url: one.docs_url.clone(),
            is_active: Some(one.is_active),
            config_schema,
            version: Some(version),
        };
        row_of(self.app, self.caller, one.slug.clone(), body)
    }

    pub(super) async fn connection(
        &self,
        one: &ExportedConnection,
        values: Option<&BTreeMap<String, CarriedValue>>,
    ) -> Result<Done, Problem> {
        let key = one.key.parse::<Key>().map_err(|error| unfit(format!("key: {error}")))?;
        check_length("name", &one.name, store::NAME_LEN_MAX)?;
        check_length("version", &one.version, 64)?;
        let entries = self.app.parts.directory.entries();
        if entries.iter().any(|entry| entry.key == one.key && entry.is_file_managed) {
            let what = format!("the key `{key}` is taken by a connection of the configuration file");
            return Err(Fault::new(Code::CONFLICT, what).with_hint("change it there").into());
        }
        let integration = self.integration_of(one).await?;
        check_config(self.app, &integration, &one.connection_config)?;
        let scope = Scope::from(self.caller.owner.workspace);
        let before = self.app.parts.store.find_connection_by_key(scope, &key).await?;
        if before.as_ref().is_some_and(|row| row.integration != one.integration) {
            let what = format!("`{key}` is here already, as a connection with something else");
            return Err(Fault::new(Code::CONFLICT, what)
                .with_hint("remove the one that is here first")
                .into());
        }
        let wanted = self.wanted(one, key, &integration, before.as_ref())?;
        let line = self.app.parts.directory.command_line(&wanted)?;
        let consent = line.as_deref().filter(|line| self.consents.contains(*line));
        check_consent(self.app, &wanted, before.as_ref(), consent)?;
        for field in values.into_iter().flat_map(BTreeMap::keys) {
            check_name(field)?;
            if field != connector::oauth::TOKENS_FIELD {
                self.app.parts.directory.check_field(&wanted, field)?;
            }
        }
        if one.references.len() > REFERENCES_MAX {
            return Err(unfit(format!(
                "references: has {}, and at most {REFERENCES_MAX}",
                one.references.len()
            )));
        }
        if !one.references.is_empty()
            && matches!(self.app.parts.directory.own_way(&wanted)?, Some(OwnWay::Entered(_)))
        {
            return Err(unfit("references: everybody uses their own credentials here, which are values"));
        }
        let mut references = BTreeMap::new();
        for (field, text) in &one.references {
            check_name(field)?;
            self.app.parts.directory.check_field(&wanted, field)?;
            let external = reference(text)?;
            self.app.parts.credentials.check_reference(&external)?;
            references.insert(field, external);
        }
        let mut done = match &before {
            None => Done::Made,
            Some(row) if is_same(row, &wanted) => Done::Skipped,
            Some(_) => Done::Changed,
        };
        if !self.is_dry_run && done != Done::Skipped {
            self.write(before.as_ref(), &wanted, consent).await?;
        }
        let is_new = done == Done::Made;
        let mut stored = self.references(&wanted, references, is_new).await?;
        if let Some(values) = values {
            stored += self.credentials(&wanted, values, is_new).await?;
        }
        if stored > 0 && done == Done::Skipped {
            done = Done::Changed;
        }
        Ok(done)
    }

    /// What it is a connection with, in the version that it is pinned to.
    async fn integration_of(&self, one: &ExportedConnection) -> Result<IntegrationRow, Problem> {
        let (store, workspace) = (&self.app.parts.store, self.caller.owner.workspace);
        let Some(mut row) = store.find_integration(workspace, &one.integration).await? else {
            let carried = self.document.integrations.iter().find(|other| other.slug == one.integration);
            if let Some(carried) = carried.filter(|_| self.is_dry_run) {
                return self.row(carried, None);
            }
            let what = format!("integration: there is no `{}` here", one.integration);
            return Err(Fault::new(Code::BAD_ARGUMENTS, what)
                .with_hint("GET /api/v1/integrations lists what there is")
                .into());
        };
        if row.version == one.version {
            return Ok(row);
        }
        let known = store.list_integration_versions(workspace, row.id).await?;
        let Some(pinned) = known.into_iter().find(|known| known.version == one.version) else {
            let what = format!("version: `{}` has no version `{}` here", one.integration, one.version);
            return Err(Fault::new(Code::BAD_ARGUMENTS, what)
                .with_hint(format!("the newest here is `{}`: write that into the document", row.version))
                .into());
        };
        row.config_schema = pinned.config_schema;
        Ok(row)
    }

    fn wanted(
        &self,
        one: &ExportedConnection,
        key: Key,
        integration: &IntegrationRow,
        before: Option<&ConnectionRow>,
    ) -> Result<ConnectionRow, Problem> {
        let parts = &self.app.parts;
        let now = parts.clock.now();
        Ok(ConnectionRow {
            id: before.map_or_else(|| ConnectionId::new(&*parts.clock, &*parts.entropy), |row| row.id),
            owner: before.map_or(self.caller.owner, |row| row.owner),
            key,
            name: one.name.trim().to_owned(),
            integration_id: integration.id,
            integration: one.integration.clone(),
            version: one.version.clone(),
            previous_version: one.previous_version.clone(),
            config: StoredJson::from_value("connection_config", &one.connection_config)?,
            auth_method: one.auth_method,
            status: ConnectionStatus::Configuring,
            last_error: None,
            last_tested_at: None,
            connected_at: None,
            is_shared: one.is_shared,
            is_per_user: one.is_per_user,
            egress_private: one.egress_private,
            revision: 1,
            created_at: now,
            updated_at: now,
        })
    }

    async fn write(
        &self,
        before: Option<&ConnectionRow>,
        wanted: &ConnectionRow,
        consent: Option<&str>,
    ) -> Result<(), Problem> {
        let metadata = json!({ "consent_to": consent, "by": &*self.caller.principal });
        let entry = log_entry(self.app, wanted, EventType::ConfigUpdated, "was imported", &metadata)?;
        let command = match before {
            None => ConnectionCommand::Insert(Box::new(wanted.clone())),
            Some(row) => ConnectionCommand::Update {
                scope: Scope::from(row.owner.workspace),
                id: row.id,
                expected: Some(row.revision),
                change: Box::new(ConnectionChange {
                    name: Some(wanted.name.clone()),
                    config: Some(wanted.config.clone()),
                    auth_method: Some(wanted.auth_method),
                    version: Some(wanted.version.clone()),
                    is_shared: Some(wanted.is_shared),
                    is_per_user: Some(wanted.is_per_user),
                    egress_private: Some(wanted.egress_private),
                }),
                at: self.app.parts.clock.now(),
            },
        };
        Ok(self.app.parts.store.apply(vec![Command::Connection(command), entry]).await?)
    }

    /// Stores the values that are not there yet; how many those are.
    async fn credentials(
        &self,
        row: &ConnectionRow,
        values: &BTreeMap<String, CarriedValue>,
        is_new: bool,
    ) -> Result<usize, Problem> {
        let credentials = &self.app.parts.credentials;
        let there = if is_new { BTreeMap::new() } else { credentials.carried(row).await? };
        let mut stored = 0;
        for (field, one) in values {
            let is_there = there.get(field).is_some_and(|there| {
                there.value.expose() == one.value.expose() && there.expires_at == one.expires_at
            });
            if is_there {
                continue;
            }
            stored += 1;
            if !self.is_dry_run {
                let (field, value) = (field.clone(), one.value.clone());
                let expires_at = one.expires_at;
                let new = NewCredential { field, user: None, value, expires_at, overlap_ms: 0 };
                credentials.put(row, new).await?;
            }
        }
        Ok(stored)
    }

    /// Stores the names of secrets that are not there yet; how many those are.
    async fn references(
        &self,
        row: &ConnectionRow,
        wanted: BTreeMap<&String, External>,
        is_new: bool,
    ) -> Result<usize, Problem> {
        let credentials = &self.app.parts.credentials;
        let there = if is_new { BTreeMap::new() } else { credentials.references(row).await? };
        let mut stored = 0;
        for (field, external) in wanted.into_iter().filter(|(field, one)| there.get(*field) != Some(one)) {
            stored += 1;
            if !self.is_dry_run {
                credentials.put_reference(row, field.clone(), &external).await?;
            }
        }
        Ok(stored)
    }

    pub(super) async fn toolset(&self, one: &ExportedToolset) -> Result<Done, Problem> {
        let key = one.key.parse::<Key>().map_err(|error| unfit(format!("key: {error}")))?;
        let body = ToolsetBody {
            name: one.name.clone(),
            description: one.description.clone(),
            tools: one.tools.clone(),
        };
        let before = self.app.parts.store.find_toolset(self.caller.owner.workspace, &key).await?;
        let command = toolsets::command(self.app, self.caller, &key, body, before.as_ref())?;
        let done = match (&before, &command) {
            (None, _) => Done::Made,
            (Some(_), None) => return Ok(Done::Skipped),
            (Some(_), Some(_)) => Done::Changed,
        };
        if let Some(command) = command.filter(|_| !self.is_dry_run) {
            self.app.parts.store.change_toolset(command).await?;
        }
        Ok(done)
    }
}
