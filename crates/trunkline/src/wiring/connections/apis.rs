//! Connections with HTTP APIs: from what an entry says and the catalogue's manifest to a connector.

use std::sync::Arc;

use connector::Connector;
use connector::oauth::{Keeper, KeeperParts, Tokens};
use connector_http::{Grant, HttpApi, Settings};
use model::id::UserId;
use model::{AuthMethod, Code, Fault, Key};
use outbound::{EgressRule, Route};
use serde_json::Value;
use store::ConnectionRow;

use super::Connections;
use crate::config::egress::Egress;
use crate::config::entry::{ApiEntry, Entry, Shape};

/// Why there is no connector.
pub(super) enum Wanting {
    /// Something is to be added.
    More(String),
    /// Something is wrong.
    Mending(String),
}

/// The keeper of a connection's tokens, and the ways to them.
type Kept = (Arc<Keeper>, Vec<Grant>);

impl Connections {
    /// The connector of an entry.
    pub(super) fn api_connector(
        &self,
        key: &Key,
        api: &ApiEntry,
        egress: &Egress,
    ) -> Result<Arc<dyn Connector>, Wanting> {
        let manifest = self.manifest_of(api)?;
        if let Some(native) = &manifest.native {
            let connector = self.native_connector(key, api, &manifest, native, egress)?;
            self.try_out_of_file(key, api, &connector);
            return Ok(connector);
        }
        let mut settings = self.api_settings(key, api, egress)?;
        if let Some(what) = connector_http::lacking(&settings) {
            return Err(Wanting::More(what));
        }
        let kept = self.keeper_of(api, &settings)?;
        if api.row.is_none() && kept.as_ref().is_some_and(|(keeper, _)| keeper.needs_leave()) {
            let what = "signs in with somebody's leave, which a connection of the file has nowhere to keep; make it \
                        with `trunkline connection new`";
            return Err(Wanting::More(what.to_owned()));
        }
        settings.tokens = kept.map(|(keeper, _)| keeper as Arc<dyn Tokens>);
        let connector = HttpApi::new(settings, self.api_parts.clone())
            .map_err(|fault| Wanting::Mending(fault.advice()))?;
        let connector: Arc<dyn Connector> = connector;
        self.try_out_of_file(key, api, &connector);
        Ok(connector)
    }

    fn try_out_of_file(&self, key: &Key, api: &ApiEntry, connector: &Arc<dyn Connector>) {
        if api.row.is_none() {
            // What the file says is tried out at once, as MCP servers are connected to at once.
            let tried = Arc::clone(connector);
            let key = key.clone();
            self.control.spawn(async move {
                if let Err(fault) = tried.refresh().await {
                    tracing::warn!(connection = %key, "its test does not pass: {fault}");
                }
            });
        }
    }

    fn manifest_of(&self, api: &ApiEntry) -> Result<Arc<catalog::Entry>, Wanting> {
        let manifests = self.stored.manifests();
        let slug = &api.integration;
        api.manifest.clone().or_else(|| manifests.newest(slug)).ok_or_else(|| {
            let hint = match manifests.nearest(slug) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`trunkline catalog list` lists what there is".to_owned(),
            };
            Wanting::Mending(format!("integration: there is no `{slug}` in the catalogue; {hint}"))
        })
    }

    fn api_settings(&self, key: &Key, api: &ApiEntry, egress: &Egress) -> Result<Settings, Wanting> {
        let slug = &api.integration;
        let manifest = self.manifest_of(api)?;
        let Some(spec) = &manifest.api else {
            return Err(Wanting::Mending(format!("integration: `{slug}` is no HTTP API")));
        };
        let catalog::Settled { config, .. } = manifest
            .settle(&Value::Object(api.config.clone()))
            .map_err(|problems| Wanting::Mending(problems.to_string().replace('\n', "; ")))?;
        let route = route_of(api, egress)?;
        let method = api.method.or_else(|| spec.auth.first().map(|auth| auth.method));
        Ok(Settings {
            key: key.clone(),
            config,
            endpoint: api.endpoint.clone(),
            method: method.unwrap_or(model::AuthMethod::None),
            grant: api.grant,
            is_proven: api.row.is_some(),
            secrets: api.secrets.clone(),
            tokens: None,
            timeout_ms: u32::try_from(api.usage.timeout_ms).unwrap_or(u32::MAX),
            result_bytes_max: api.egress.response_bytes.unwrap_or(self.limits.result_bytes),
            route,
            entry: manifest,
        })
    }

    /// What a keeper of tokens works with; without a row they are kept in memory.
    pub(super) fn keeper_parts(&self, row: Option<&ConnectionRow>, user: Option<UserId>) -> KeeperParts {
        KeeperParts {
            stored: row.map(|row| self.stored.keeping(row)),
            user,
            clock: Arc::clone(&self.api_parts.clock),
            entropy: Arc::clone(&self.api_parts.entropy),
        }
    }

    /// The keeper of a connection's tokens, and the ways to them; `None` where it needs none.
    fn keeper_of(&self, api: &ApiEntry, settings: &Settings) -> Result<Option<Kept>, Wanting> {
        let parts = &self.api_parts;
        let found = connector_http::provider_of(settings, &parts.clock, &parts.entropy);
        let Some((provider, own, grants)) = found.map_err(|fault| Wanting::More(fault.advice()))? else {
            return Ok(None);
        };
        let parts = self.keeper_parts(api.row.as_deref(), api.user);
        Ok(Some((Arc::new(Keeper::new(provider, own, settings.key.to_string(), parts)), grants)))
    }

    /// What asking for leave for a stored connection needs.
    pub(super) fn leave_of(&self, key: &Key, entry: &Entry) -> Result<api::Leave, Fault> {
        let api = match &entry.shape {
            Shape::Api(api) => api,
            Shape::Broken(why) => return Err(Fault::new(Code::BAD_ARGUMENTS, why.clone())),
            _ => return Err(Fault::new(Code::BAD_ARGUMENTS, "it does not sign in with OAuth")),
        };
        let settings = self.api_settings(key, api, &self.egress()).map_err(Wanting::fault)?;
        if let Some(what) = connector_http::lacking(&settings) {
            return Err(Wanting::More(what).fault());
        }
        match self.keeper_of(api, &settings).map_err(Wanting::fault)? {
            Some((keeper, grants)) if keeper.needs_leave() => Ok(api::Leave {
                name: settings.entry.name.clone(),
                keeper,
                has_browser: grants.contains(&Grant::AuthorizationCode),
                has_device: grants.contains(&Grant::DeviceCode),
            }),
            _ => {
                Err(Fault::new(Code::BAD_ARGUMENTS, "it gets its tokens by itself; nobody has to give leave")
                    .with_hint("`trunkline connection connect` tests and connects it"))
            }
        }
    }

    /// What is wrong with a connection's settings, credentials aside.
    pub(super) fn check_api(&self, key: &Key, api: &ApiEntry) -> Result<(), Fault> {
        let manifest = self.manifest_of(api).map_err(Wanting::fault)?;
        match &manifest.native {
            Some(native) => self.check_native(api, &manifest, native).map_err(Wanting::fault),
            None => self.api_settings(key, api, &self.egress()).map(|_| ()).map_err(Wanting::fault),
        }
    }

    /// Tries a connection out; how many tools it has.
    pub(super) async fn try_out_api(&self, key: &Key, api: &ApiEntry, entry: &Entry) -> Result<usize, Fault> {
        let connector = match self.running_as(entry) {
            Some(running) => running,
            None => self.api_connector(key, api, &self.egress()).map_err(Wanting::fault)?,
        };
        connector.refresh().await?;
        Ok(connector.inventory().tools.len())
    }
}

/// How an API is reached. A client certificate belongs to the socket, not to the requests.
pub(super) fn route_of(api: &ApiEntry, egress: &Egress) -> Result<Route, Wanting> {
    let pair = api.secrets.get("certificate").zip(api.secrets.get("private_key"));
    let given = pair.filter(|_| api.method == Some(AuthMethod::Certificate));
    let rule = EgressRule { private_allowed: api.private_allowed };
    let route = api.egress.build(egress, rule, given.map(|(certificate, key)| (certificate.expose(), key)));
    route.map_err(|error| Wanting::Mending(Fault::from(error).advice()))
}

// === impl Wanting ===

impl Wanting {
    pub(super) fn fault(self) -> Fault {
        let (Self::More(what) | Self::Mending(what)) = self;
        Fault::new(Code::BAD_ARGUMENTS, format!("connection_config: {what}"))
            .with_hint("`trunkline catalog show SLUG` tells what it takes")
    }
}
