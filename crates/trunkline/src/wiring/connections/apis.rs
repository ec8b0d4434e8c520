//! Connections with HTTP APIs: from what an entry says and the catalogue's manifest to a connector.

use std::sync::Arc;

use connector_http::{HttpApi, Settings};
use model::{Code, Fault, Key};
use serde_json::Value;

use super::Connections;
use crate::config::entry::{ApiEntry, Entry};

/// Why there is no connector.
pub(super) enum Wanting {
    /// Something is to be added.
    More(String),
    /// Something is wrong.
    Mending(String),
}

impl Connections {
    /// The connector of an entry.
    pub(super) fn api_connector(&self, key: &Key, api: &ApiEntry) -> Result<Arc<HttpApi>, Wanting> {
        let settings = self.api_settings(key, api)?;
        if let Some(what) = connector_http::lacking(&settings) {
            return Err(Wanting::More(what));
        }
        HttpApi::new(settings, self.api_parts.clone()).map_err(|fault| Wanting::Mending(fault.advice()))
    }

    fn api_settings(&self, key: &Key, api: &ApiEntry) -> Result<Settings, Wanting> {
        let manifests = self.stored.manifests();
        let slug = &api.integration;
        let manifest = api.manifest.clone().or_else(|| manifests.newest(slug)).ok_or_else(|| {
            let hint = match manifests.nearest(slug) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`trunkline catalog list` lists what there is".to_owned(),
            };
            Wanting::Mending(format!("integration: there is no `{slug}` in the catalogue; {hint}"))
        })?;
        let Some(spec) = &manifest.api else {
            return Err(Wanting::Mending(format!("integration: `{slug}` is no HTTP API")));
        };
        let (config, _) = manifest
            .settle(&Value::Object(api.config.clone()))
            .map_err(|problems| Wanting::Mending(problems.to_string().replace('\n', "; ")))?;
        let method = api.method.or_else(|| spec.auth.first().map(|auth| auth.method));
        Ok(Settings {
            key: key.clone(),
            config,
            endpoint: api.endpoint.clone(),
            method: method.unwrap_or(model::AuthMethod::None),
            secrets: api.secrets.clone(),
            tokens: None,
            timeout_ms: u32::try_from(api.usage.timeout_ms).unwrap_or(u32::MAX),
            result_bytes_max: self.limits.result_bytes,
            egress_private: api.private_allowed,
            entry: manifest,
        })
    }

    /// What is wrong with a connection's settings, credentials aside.
    pub(super) fn check_api(&self, key: &Key, api: &ApiEntry) -> Result<(), Fault> {
        self.api_settings(key, api).map(|_| ()).map_err(Wanting::fault)
    }

    /// Tries a connection out; how many tools it has.
    pub(super) async fn try_out_api(&self, key: &Key, api: &ApiEntry, entry: &Entry) -> Result<usize, Fault> {
        let running = {
            let held = self.held();
            let live = held.live.get(key).filter(|live| live.entry.is_same_as(entry));
            live.map(|live| Arc::clone(&live.connector))
        };
        let connector = match running {
            Some(running) => running,
            None => self.api_connector(key, api).map_err(Wanting::fault)?,
        };
        connector.refresh().await?;
        Ok(connector.inventory().tools.len())
    }
}

// === impl Wanting ===

impl Wanting {
    fn fault(self) -> Fault {
        let (Self::More(what) | Self::Mending(what)) = self;
        Fault::new(Code::BAD_ARGUMENTS, format!("connection_config: {what}"))
            .with_hint("`trunkline catalog show SLUG` tells what it takes")
    }
}
