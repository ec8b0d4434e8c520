//! What a manifest says about tokens, filled in for one connection: the client at its provider.

use std::sync::Arc;

use catalog::api::{ClientProof, Grant, OAuth, Path, Scheme};
use catalog::template::Template;
use connector::oauth::{self, Own, Provider, ResponsePaths, Signer};
use model::{Clock, Entropy, Fault};

use crate::Settings;
use crate::authorize::{fill, sign_assertion, sign_client};

/// The client of a connection, and how it comes to tokens; `None` where it needs none that are given.
///
/// # Errors
/// A setting or a secret that is missing.
pub fn provider_of(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<Option<(Provider, Own, Vec<Grant>)>, Fault> {
    let Some(auth) = settings.entry.api.as_ref().and_then(|api| api.auth_of(settings.method)) else {
        return Ok(None);
    };
    let filled = |template: &Template| fill(template, &settings.config, &settings.secrets, &|_| None);
    match &auth.scheme {
        Scheme::OAuth(oauth) => {
            let grants = grants(oauth, settings);
            let own = match grants.first() {
                Some(Grant::ClientCredentials) => Own::Client,
                _ => Own::Leave,
            };
            let mut provider = provider(settings, oauth, own.clone())?;
            provider.client_assertion = client_assertion(settings, &provider, clock, entropy);
            Ok(Some((provider, own, grants)))
        }
        Scheme::Jwt(assertion) if assertion.token_url.is_some() => {
            let token_url = assertion.token_url.as_ref().map(filled).transpose()?.unwrap_or_default();
            let provider = Provider { client_id: String::new(), token_url, ..bare(settings) };
            let (entry, method) = (Arc::clone(&settings.entry), settings.method);
            let (config, secrets) = (settings.config.clone(), settings.secrets.clone());
            let (clock, entropy) = (Arc::clone(clock), Arc::clone(entropy));
            let sign = move || {
                let scheme = entry.api.as_ref().and_then(|api| api.auth_of(method)).map(|auth| &auth.scheme);
                let Some(Scheme::Jwt(assertion)) = scheme else {
                    return Err(Fault::new(model::Code::BUG, "the entry signs no tokens"));
                };
                let now = clock.now().0.div_euclid(1000);
                sign_assertion(assertion, now, &*entropy, |template| {
                    fill(template, &config, &secrets, &|_| None)
                })
            };
            Ok(Some((provider, Own::Assertion(Arc::new(sign)), Vec::new())))
        }
        _ => Ok(None),
    }
}

/// The ways to a token whose URLs are filled in.
fn grants(oauth: &OAuth, settings: &Settings) -> Vec<Grant> {
    let is_there = |url: &Option<Template>| {
        url.as_ref().is_some_and(|url| fill(url, &settings.config, &settings.secrets, &|_| None).is_ok())
    };
    let is_chosen = |grant: &Grant| settings.grant.is_none_or(|chosen| chosen == *grant);
    let is_open = |grant: &Grant| match grant {
        Grant::AuthorizationCode => is_there(&oauth.authorization_url),
        Grant::DeviceCode => is_there(&oauth.device_url),
        Grant::ClientCredentials => true,
    };
    oauth.grants.iter().copied().filter(|grant| is_open(grant) && is_chosen(grant)).collect()
}

fn provider(settings: &Settings, oauth: &OAuth, own: Own) -> Result<Provider, Fault> {
    let filled = |template: &Template| fill(template, &settings.config, &settings.secrets, &|_| None);
    let optional = |template: &Option<Template>| template.as_ref().and_then(|one| filled(one).ok());
    // A parameter whose setting is not filled in is left out.
    let params = |all: &[(String, Template)]| -> Vec<(String, String)> {
        all.iter().filter_map(|(name, template)| Some((name.clone(), filled(template).ok()?))).collect()
    };
    let steps = |path: &Path| path.0.clone();
    let scope = optional(&oauth.scope).unwrap_or_else(|| oauth.scopes.join(&oauth.scope_separator));
    let client_id = settings.secrets.get("client_id").map(|id| id.expose().to_owned()).unwrap_or_default();
    Ok(Provider {
        authorization_url: optional(&oauth.authorization_url).unwrap_or_default(),
        token_url: filled(&oauth.token_url)?,
        device_url: optional(&oauth.device_url),
        client_id,
        client_secret: settings.secrets.get("client_secret").cloned(),
        client: match oauth.client {
            ClientProof::Basic => oauth::ClientProof::Basic,
            ClientProof::Body => oauth::ClientProof::Body,
            ClientProof::None => oauth::ClientProof::None,
        },
        scope,
        authorization_params: params(&oauth.authorization_params),
        token_params: params(&oauth.token_params),
        is_pkce: oauth.is_pkce && matches!(own, Own::Leave),
        response: ResponsePaths {
            access_token: steps(&oauth.response.access_token),
            refresh_token: steps(&oauth.response.refresh_token),
            expires_in: steps(&oauth.response.expires_in),
            keep: oauth.response.keep.clone(),
        },
        expires_in_s: oauth.expires_in_s,
        refresh_before_s: oauth.refresh_before_s,
        is_json: oauth.is_json,
        ..bare(settings)
    })
}

/// What a client proves itself with that has a private key (`private_key_jwt`).
fn client_assertion(
    settings: &Settings,
    provider: &Provider,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Option<Signer> {
    let key = settings.secrets.get("private_key")?.clone();
    let key_id = settings.secrets.get("key_id").cloned();
    let (id, audience) = (provider.client_id.clone(), provider.token_url.clone());
    let (clock, entropy) = (Arc::clone(clock), Arc::clone(entropy));
    Some(Signer(Arc::new(move || {
        let now = clock.now().0.div_euclid(1000);
        sign_client(&id, &audience, &key, key_id.as_ref(), now, &*entropy)
    })))
}

fn bare(settings: &Settings) -> Provider {
    Provider {
        name: settings.entry.name.clone(),
        authorization_url: String::new(),
        token_url: String::new(),
        device_url: None,
        client_id: String::new(),
        client_secret: None,
        client: oauth::ClientProof::None,
        client_assertion: None,
        scope: String::new(),
        authorization_params: Vec::new(),
        token_params: Vec::new(),
        is_pkce: false,
        response: ResponsePaths::default(),
        expires_in_s: None,
        refresh_before_s: 300,
        is_json: false,
        issuer: None,
        route: settings.route.clone(),
    }
}
