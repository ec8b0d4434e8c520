//! OAuth 2 of a security scheme: its flows as grants.

use serde_json::{Map, Value};

use super::super::super::names::line;
use super::super::super::write::Tree;
use super::super::super::{members, text};
use super::super::Reading;
use super::super::servers::Base;
use super::SCOPES_MAX;

/// The flows that are known, as one way with several grants; `None` where none of them maps.
pub(super) fn oauth(
    scheme: &Value,
    title: &str,
    asked: &[&str],
    base: &Base,
    place: &str,
    reading: &mut Reading<'_>,
) -> Option<Tree> {
    let flows: Map<String, Value> =
        members(scheme, "flows").map(|(name, flow)| (name.clone(), flow.clone())).collect();
    let known = [
        ("authorizationCode", "authorization_code"),
        ("clientCredentials", "client_credentials"),
        ("deviceAuthorization", "device_code"),
    ];
    for other in
        flows.keys().filter(|name| !known.iter().any(|(known, _)| known == name) && !name.starts_with("x-"))
    {
        reading.report.add(place, format!("its flow `{}` is left out", line(other)));
    }
    let address = |flow: &Value, key: &str| text(flow, key).and_then(|url| absolute(&url, base));
    let mut token_url: Option<String> = None;
    let (mut grants, mut urls, mut scopes) = (Vec::new(), Vec::new(), Vec::<String>::new());
    for (name, grant) in known {
        let Some(flow) = flows.get(name) else { continue };
        let Some(token) = address(flow, "tokenUrl") else {
            reading
                .report
                .add(place, format!("its flow `{name}` is left out: its token URL is no whole address"));
            continue;
        };
        if token_url.as_ref().is_some_and(|known| *known != token) {
            reading.report.add(place, format!("its flow `{name}` is left out: it has another token URL"));
            continue;
        }
        let extra = match name {
            "authorizationCode" => Some(("authorization_url", address(flow, "authorizationUrl"))),
            "deviceAuthorization" => Some(("device_url", address(flow, "deviceAuthorizationUrl"))),
            _ => None,
        };
        match extra {
            Some((_, None)) => {
                reading
                    .report
                    .add(place, format!("its flow `{name}` is left out: an address of it is not whole"));
                continue;
            }
            Some((key, Some(url))) => urls.push((key, Tree::text(url))),
            None => {}
        }
        if address(flow, "refreshUrl").is_some_and(|url| url != token) {
            reading
                .report
                .add(place, "its `refreshUrl` is left out: tokens are refreshed where they come from");
        }
        let more: Vec<String> = members(flow, "scopes")
            .map(|(scope, _)| scope.clone())
            .filter(|scope| !scopes.contains(scope))
            .collect();
        scopes.extend(more);
        token_url = Some(token);
        grants.push(grant);
    }
    let token_url = token_url?;
    // Only what the tools need is asked for, where they say it.
    if !asked.is_empty() {
        scopes = asked.iter().map(|scope| (*scope).to_owned()).collect();
    }
    scopes.truncate(SCOPES_MAX);
    let mut out =
        vec![("type", Tree::text("oauth2")), ("title", Tree::text(title)), ("grants", Tree::texts(grants))];
    out.extend(urls);
    out.push(("token_url", Tree::text(token_url)));
    if !scopes.is_empty() {
        out.push(("scopes", Tree::texts(scopes)));
    }
    Some(Tree::map(out))
}

/// A whole address; one that is relative stands on the server, where that is known.
fn absolute(url: &str, base: &Base) -> Option<String> {
    let is_whole = url.starts_with("https://") || url.starts_with("http://");
    let whole = if is_whole {
        url.to_owned()
    } else {
        format!("{}/{}", base.origin.as_ref()?, url.strip_prefix('/')?)
    };
    let is_fit = whole.len() <= 2_000 && !whole.contains(|c: char| c.is_whitespace() || c.is_control());
    is_fit.then(|| whole.replace('{', "{{").replace('}', "}}"))
}
