//! The sources of secrets that the file declares, and what its entries want of them.

use std::time::Duration;

use connector::sources::{
    Aws, AwsSettings, Lasting, Opening, Resolve, SignIn, Systems, Vault, VaultSettings, Wanted,
};
use credential::resolve_reference;
use model::{Fault, Secret};
use outbound::{EgressRule, Route};

use crate::commands::env;
use crate::config::Config;
use crate::config::secrets::Secrets;

/// The systems of a configuration.
///
/// # Errors
/// When the authorities that a source is trusted by cannot be read.
pub(crate) fn of(secrets: &Secrets) -> Result<Systems, Fault> {
    let vault = secrets.vault.as_ref().map(|vault| {
        let sign_in = match (&vault.token, &vault.approle) {
            (Some(token), _) => SignIn::Token(token.clone()),
            (None, Some(role)) => SignIn::AppRole {
                mount: role.mount.clone(),
                role_id: role.role_id.clone(),
                secret_id: role.secret_id.clone(),
            },
            // Refused when the file was read.
            (None, None) => SignIn::Token(Secret::new("")),
        };
        Ok::<_, Fault>(Vault::new(VaultSettings {
            address: vault.address.clone(),
            namespace: vault.namespace.clone(),
            mount: vault.mount.clone(),
            sign_in,
            resolve: resolving(),
            route: route(vault.ca.as_deref(), "secrets.vault.ca")?,
        }))
    });
    let aws = secrets.aws.as_ref().map(|aws| {
        Ok::<_, Fault>(Aws::new(AwsSettings {
            region: aws.region.clone(),
            endpoint: aws.endpoint.clone(),
            access_key_id: aws.access_key_id.clone(),
            secret_access_key: aws.secret_access_key.clone(),
            session_token: aws.session_token.clone(),
            resolve: resolving(),
            route: route(aws.ca.as_deref(), "secrets.aws.ca")?,
        }))
    });
    let lasting =
        Lasting { ttl: Duration::from_secs(secrets.ttl_s), stale: Duration::from_secs(secrets.stale_s) };
    let opening = |from_api: Option<&Vec<String>>| Opening(from_api.cloned().unwrap_or_default());
    Ok(Systems {
        vault: vault.transpose()?,
        aws: aws.transpose()?,
        lasting,
        vault_opening: opening(secrets.vault.as_ref().map(|vault| &vault.from_api)),
        aws_opening: opening(secrets.aws.as_ref().map(|aws| &aws.from_api)),
    })
}

/// What the entries of a configuration want, and for which connections.
pub(crate) fn wanted(config: &Config) -> Wanted {
    let mut wanted = Wanted::new();
    for used in &config.references {
        wanted.entry(used.external.location.clone()).or_default().insert(used.entry.clone());
    }
    wanted
}

/// Everything by which the systems of two configurations differ: what the section says, and the authorities in its
/// files.
pub(crate) fn said(secrets: &Secrets) -> Secret {
    let vault = secrets.vault.as_ref().and_then(|vault| vault.ca.as_deref());
    let aws = secrets.aws.as_ref().and_then(|aws| aws.ca.as_deref());
    let files: Vec<_> = [vault, aws].into_iter().flatten().map(|path| std::fs::read(path).ok()).collect();
    Secret::new(format!("{}{files:?}", secrets.said().expose()))
}

fn resolving() -> Resolve {
    Box::new(|text| resolve_reference(text.expose(), &env).map_err(|error| error.to_string()))
}

/// The administrator names the source in the file, which is leave enough to reach it wherever it is.
fn route(ca: Option<&str>, key: &str) -> Result<Route, Fault> {
    let mut route = Route::builder(EgressRule { private_allowed: true });
    if let Some(path) = ca {
        let pem = std::fs::read_to_string(path).map_err(|error| {
            Fault::new(model::Code::MISCONFIGURED, format!("{key}: {path} cannot be read: {error}"))
                .with_hint("name a PEM file that the hub's user may read")
        })?;
        route = route.root_certificates(&pem);
    }
    Ok(route.build()?)
}
