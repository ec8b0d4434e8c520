//! In front of everything: is the request from where it may come from? Then: who is it, and may it?

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, HOST, HeaderName, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use identity::Origins;
use model::{Caller, Code, Fault};

use crate::app::App;
use crate::rescue::Problem;
use crate::routes::Needs;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The outermost layer.
pub(crate) async fn enter(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match check_origin(&app.origins, request.uri(), request.headers()) {
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

/// Host and Origin, by the rules that all HTTP doors share.
fn check_origin(origins: &Origins, uri: &http::Uri, headers: &HeaderMap) -> Result<(), Fault> {
    let texts =
        |name: HeaderName| headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or("?"));
    origins.check(uri.authority().map(http::uri::Authority::as_str), texts(HOST), texts(ORIGIN))
}
