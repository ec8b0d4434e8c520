//! Connections with systems that have a connector of their own: from an entry of the catalogue that names one to
//! the connector, where this hub was built with it.

use std::sync::Arc;

use catalog::{Native, Settled};
use connector::Connector;
use model::Key;
use serde_json::Value;

use super::Connections;
use super::apis::Wanting;
use crate::config::egress::Egress;
use crate::config::entry::ApiEntry;

/// Why an entry that names this connector cannot be connected; `None` where it can.
pub(crate) fn absent(connector: &str) -> Option<String> {
    match connector {
        "sftp" if cfg!(feature = "sftp") => None,
        "sftp" => Some("this hub was built without its connector (the feature `sftp`)".to_owned()),
        other => Some(format!("its connector (`{other}`) comes with a later version")),
    }
}

impl Connections {
    /// What is wrong with a connection's settings, credentials aside.
    pub(super) fn check_native(
        &self,
        api: &ApiEntry,
        manifest: &catalog::Entry,
        native: &Native,
    ) -> Result<(), Wanting> {
        let settled = settled(api, manifest, native)?;
        #[cfg(feature = "sftp")]
        if native.connector == "sftp" {
            return connector_sftp::check(&settled.config).map_err(|fault| Wanting::Mending(fault.advice()));
        }
        drop(settled);
        Ok(())
    }

    /// The connector of an entry.
    pub(super) fn native_connector(
        &self,
        key: &Key,
        api: &ApiEntry,
        manifest: &catalog::Entry,
        native: &Native,
        egress: &Egress,
    ) -> Result<Arc<dyn Connector>, Wanting> {
        let settled = settled(api, manifest, native)?;
        match native.connector {
            #[cfg(feature = "sftp")]
            "sftp" => {
                let first = native.ways.first().map(|way| way.method);
                let settings = connector_sftp::Settings {
                    key: key.clone(),
                    config: settled.config,
                    method: api.method.or(first).unwrap_or(model::AuthMethod::None),
                    secrets: api.secrets.clone(),
                    timeout_ms: u32::try_from(api.usage.timeout_ms).unwrap_or(u32::MAX),
                    result_bytes_max: self.limits.result_bytes,
                    is_proven: api.row.is_some(),
                    route: super::apis::route_of(api, egress)?,
                };
                if let Some(what) = connector_sftp::lacking(&settings) {
                    return Err(Wanting::More(what));
                }
                let made = connector_sftp::Sftp::new(settings, Arc::clone(&self.api_parts.entropy));
                let made = made.map_err(|fault| Wanting::Mending(fault.advice()))?;
                Ok(made)
            }
            other => {
                drop(settled);
                let why = absent(other).unwrap_or_else(|| "it has no connector".to_owned());
                Err(Wanting::More(format!("`{key}` cannot be connected yet: {why}")))
            }
        }
    }
}

fn settled(api: &ApiEntry, manifest: &catalog::Entry, native: &Native) -> Result<Settled, Wanting> {
    if let Some(why) = absent(native.connector) {
        return Err(Wanting::More(format!("`{}` cannot be connected yet: {why}", manifest.slug)));
    }
    if api.endpoint.is_some() {
        return Err(Wanting::Mending(format!("endpoint: `{}` takes `config.host` instead", manifest.slug)));
    }
    manifest
        .settle(&Value::Object(api.config.clone()))
        .map_err(|problems| Wanting::Mending(problems.to_string().replace('\n', "; ")))
}
