//! Signing in at the suite's authorization servers: the hub's own discovery, registration and tokens, with a
//! browser that gives leave to whoever asks.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use connector::oauth::{Ask, Challenge, Identity, Keeper, KeeperParts, Own, Pkce, Registered, discover};
use credential::SystemEntropy;
use mcp_upstream::challenge_of;
use model::{Clock as _, Secret, SystemClock};
use outbound::{EgressRule, Route};
use serde_json::Value;

use crate::http::send;

/// Where the suite's servers send the browser back to. Nobody listens there: the browser is this program.
const REDIRECT_URI: &str = "http://127.0.0.1:3000/oauth/callback";
/// A client document that servers may take as a name.
const DOCUMENT: &str = "https://conformance-test.local/client-metadata.json";
/// The state of the one leave that is asked for.
const STATE: &str = "state-of-the-only-leave";

/// A client with its leave.
pub(super) struct Leave {
    pub(super) keeper: Arc<Keeper>,
    registered: Registered,
}

/// Gets leave for the server at `url`: the first, or further leave after `before`.
pub(super) async fn leave(url: &str, context: &Value, before: Option<&Leave>) -> anyhow::Result<Leave> {
    let route = Route::new(EgressRule { private_allowed: true }, Duration::from_secs(10));
    let text = |name: &str| context.get(name).and_then(Value::as_str).map(str::to_owned);
    let identity = Identity {
        client_id: text("client_id"),
        client_secret: text("client_secret").map(Secret::new),
        document: Some(DOCUMENT.to_owned()),
        redirect_uri: REDIRECT_URI.to_owned(),
    };
    let challenge = told(challenge_of(url, &route).await)?.unwrap_or_else(Challenge::default);
    let found = told(discover(url, &challenge, &route).await)?;
    let known = before.map(|before| &before.registered).filter(|known| known.is_good_for(&found, &identity));
    let registered = match known {
        Some(known) => known.clone(),
        None => told(found.register(&identity, &route).await)?,
    };
    let wanted = match before {
        Some(before) => before.keeper.wanted(),
        None => None,
    };
    let registered = registered.wanting(wanted.as_deref().unwrap_or_default());
    let is_machine = found.is_for_machines();
    let clock = Arc::new(SystemClock::new());
    let parts =
        KeeperParts { stored: None, user: None, clock: clock.clone(), entropy: Arc::new(SystemEntropy) };
    let own = if is_machine { Own::Client } else { Own::Leave };
    let keeper = Arc::new(Keeper::new(registered.provider("peer", route), own, "peer".to_owned(), parts));
    if !is_machine {
        let provider = keeper.provider();
        let pkce = Pkce::new(&SystemEntropy);
        let link = provider.authorization_link(REDIRECT_URI, STATE, Some(&pkce.challenge));
        let back = browse(&link).await?;
        let query = |name: &str| {
            let pairs = back.split_once('?').map_or("", |(_, query)| query).split('&');
            let mut values = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            values.next().map(decoded)
        };
        ensure!(query("state").as_deref() == Some(STATE), "the state is another one: {back}");
        told(provider.check_issuer(query("iss").as_deref(), Some(&registered.issuer)))?;
        let code = Secret::new(query("code").with_context(|| format!("no code: {back}"))?);
        let ask = Ask::Code { code: &code, verifier: Some(&pkce.verifier), redirect_uri: REDIRECT_URI };
        let set = provider.ask(ask, clock.now()).await;
        let set = set.map_err(|refusal| anyhow::anyhow!("no token: {refusal:?}"))?;
        told(keeper.put(set).await)?;
    }
    Ok(Leave { keeper, registered })
}

fn told<T>(result: Result<T, model::Fault>) -> anyhow::Result<T> {
    result.map_err(|fault| anyhow::anyhow!("{fault}"))
}

/// Follows a link until it leads back.
async fn browse(link: &str) -> anyhow::Result<String> {
    let mut url = link.to_owned();
    for _ in 0..10 {
        let reply = send(hyper::Method::GET, &url, &[], "").await?;
        let next = reply.header("location").to_owned();
        if next.is_empty() {
            bail!("the authorization server shows a page ({}) where it should lead on", reply.status);
        }
        if next.starts_with(REDIRECT_URI) {
            return Ok(next);
        }
        url = next;
    }
    bail!("the authorization server leads round and round")
}

fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                out.push(hex.unwrap_or(b'?'));
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
