//! In front of everything: is the request from where it may come from? Then: who is it, and may it?
//!
//! Host and Origin are checked against pages in browsers that reach for local servers (DNS rebinding).
//! A Host that is an IP address cannot be rebound, so a hub that listens on every address accepts any.

mod place;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, HOST, HeaderName, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use model::{Caller, Code, Fault};

use crate::Settings;
use crate::app::App;
use crate::rescue::Problem;
use crate::routes::Needs;
use place::{Origin, Place};

/// Where requests may come from.
#[derive(Debug)]
pub(crate) struct Guard {
    hosts: Vec<Place>,
    origins: Vec<Origin>,
    /// Listening on `0.0.0.0` or `[::]`.
    is_everywhere: bool,
}

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The outermost layer.
pub(crate) async fn enter(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match app.guard.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(fault) => Problem::from(fault).into_response(),
    };
    // Answers are one caller's own: never kept by anything between, never read as something else.
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The layer of one route: what it needs stands in the table.
pub(crate) async fn authorize(
    State((app, needs)): State<(Arc<App>, Needs)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let is_open = match needs {
        Needs::Nothing => true,
        Needs::Metrics => app.parts.settings.is_metrics_open,
        Needs::Key | Needs::Manage => false,
    };
    if is_open {
        return Ok(next.run(request).await);
    }
    let caller = authenticate(&app, request.headers())?;
    if needs != Needs::Key && !caller.access.manage {
        let fault = Fault::new(Code::FORBIDDEN, "this key may not use the management API")
            .with_hint("use a key whose access has `manage`");
        return Err(fault.into());
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Who is calling, from `Authorization: Bearer` or `X-Api-Key`.
fn authenticate(app: &App, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let (bearer, api_key) = (text(&AUTHORIZATION), text(&API_KEY));
    // RFC 6750 §3.1: who presented nothing is told how, who presented the wrong thing is told so.
    let challenge = if bearer.is_none() && api_key.is_none() {
        "Bearer realm=\"trunkline\""
    } else {
        "Bearer realm=\"trunkline\", error=\"invalid_token\""
    };
    identity::bearer(bearer, api_key)
        .and_then(|presented| app.parts.identity.authenticate(presented, app.parts.clock.now()))
        .map_err(|fault| Problem::from(fault).with_challenge(challenge))
}

// === impl Guard ===

impl Guard {
    pub(crate) fn new(settings: &Settings) -> Self {
        let own = Origin::parse(&settings.public_url);
        let listen = Place::parse(&settings.listen);
        let is_everywhere = listen.as_ref().and_then(Place::ip).is_some_and(|ip| ip.is_unspecified());
        let hosts = settings.allowed_hosts.iter().filter_map(|text| Place::parse(text));
        let hosts = hosts.chain(listen).chain(own.as_ref().map(|own| own.place.any_port())).collect();
        let origins =
            settings.allowed_origins.iter().filter_map(|text| Origin::parse(text)).chain(own).collect();
        Self { hosts, origins, is_everywhere }
    }

    fn check(&self, uri: &http::Uri, headers: &HeaderMap) -> Result<(), Fault> {
        let mut hosts = headers.get_all(HOST).iter();
        // HTTP/2 says it in the target; a Host beside it has to agree with the list as well.
        let target = uri.authority().map(|authority| authority.as_str());
        let named = hosts.next().map(|value| value.to_str().unwrap_or("?"));
        if hosts.next().is_some() || (target.is_none() && named.is_none()) {
            return Err(foreign("Host", named.unwrap_or("(none)")));
        }
        for host in [target, named].into_iter().flatten() {
            if !Place::parse(host).is_some_and(|place| self.is_own_host(&place)) {
                return Err(foreign("Host", host));
            }
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let text = origin.to_str().unwrap_or("?");
        let is_own = Origin::parse(text).is_some_and(|origin| self.is_own_origin(&origin));
        if is_own && origins.next().is_none() { Ok(()) } else { Err(foreign("Origin", text)) }
    }

    fn is_own_host(&self, host: &Place) -> bool {
        host.is_loopback()
            || (self.is_everywhere && host.ip().is_some())
            || self.hosts.iter().any(|own| own.covers(host))
    }

    fn is_own_origin(&self, origin: &Origin) -> bool {
        origin.place.is_loopback() || self.origins.contains(origin)
    }
}

fn foreign(what: &str, value: &str) -> Fault {
    let value: String = value.chars().take(200).collect();
    let list = if what == "Host" { "allowed_hosts" } else { "allowed_origins" };
    Fault::new(Code::FOREIGN_ORIGIN, format!("{what} `{value}` is not allowed here"))
        .with_hint(format!("add it to `{list}` in the configuration if it should be"))
}
