//! The one table of what is served: method, path, what it needs, and its handler. The router, the
//! authorization, the OpenAPI document's check and the tests all read it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post};
use http::{Method, StatusCode};
use model::{Code, Fault};

use crate::app::{App, Parts};
use crate::rescue::Problem;
use crate::{calls, connections, door, errors, guard, keys, openapi, operations, status, tools};

/// What a caller has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: answers are the same for everyone and name nothing.
    Nothing,
    /// Any key; what is shown and done is what the key may use.
    Key,
    /// A key with `access.manage`.
    Manage,
    /// A key with `access.manage`, unless `Settings::is_metrics_open`.
    Metrics,
}

/// One row.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{parameters}`.
    pub path: &'static str,
    /// What it needs.
    pub needs: Needs,
    handler: fn() -> MethodRouter<Arc<App>>,
}

const fn route(
    method: Method,
    path: &'static str,
    needs: Needs,
    handler: fn() -> MethodRouter<Arc<App>>,
) -> Route {
    Route { method, path, needs, handler }
}

/// Everything that is served.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    route(Method::GET,    "/health",                         Needs::Nothing, || get(operations::show_health)),
    route(Method::GET,    "/ready",                          Needs::Nothing, || get(operations::show_ready)),
    route(Method::GET,    "/metrics",                        Needs::Metrics, || get(operations::show_metrics)),
    route(Method::GET,    "/errors/{code}",                  Needs::Nothing, || get(errors::show_page)),
    route(Method::POST,   "/call/{connection}/{tool}",       Needs::Key,     || post(door::call)),
    route(Method::GET,    "/openapi.json",                   Needs::Key,     || get(openapi::show)),
    route(Method::GET,    "/api/v1/openapi.json",            Needs::Key,     || get(openapi::show)),
    route(Method::GET,    "/api/v1/tools",                   Needs::Key,     || get(tools::list_tools)),
    route(Method::GET,    "/api/v1/status",                  Needs::Manage,  || get(status::show_status)),
    route(Method::GET,    "/api/v1/connections",             Needs::Manage,  || get(connections::list_connections)),
    route(Method::GET,    "/api/v1/connections/{key}",       Needs::Manage,  || get(connections::show_connection)),
    route(Method::POST,   "/api/v1/connections/{key}/test",  Needs::Manage,  || post(connections::test_connection)),
    route(Method::GET,    "/api/v1/calls",                   Needs::Manage,  || get(calls::list_calls)),
    route(Method::GET,    "/api/v1/keys",                    Needs::Manage,  || get(keys::list_keys)),
    route(Method::POST,   "/api/v1/keys",                    Needs::Manage,  || post(keys::create_key)),
    route(Method::POST,   "/api/v1/keys/{id}/rotate",        Needs::Manage,  || post(keys::rotate_key)),
    route(Method::DELETE, "/api/v1/keys/{id}",               Needs::Manage,  || delete(keys::revoke_key)),
];

/// The router: guards, authorization and handlers. Whatever is not in the table is a 404 problem.
pub fn router(parts: Parts) -> Router {
    let app = Arc::new(App::new(parts));
    let mut router = Router::new();
    for route in ROUTES {
        let authorize = from_fn_with_state((Arc::clone(&app), route.needs), guard::authorize);
        router = router.route(route.path, (route.handler)().route_layer(authorize));
    }
    router
        .method_not_allowed_fallback(refuse_method)
        .fallback(refuse_path)
        .layer(from_fn_with_state(Arc::clone(&app), guard::enter))
        .with_state(app)
}

async fn refuse_path(request: Request) -> Problem {
    Problem::no_page(request.uri().path())
}

async fn refuse_method(request: Request) -> Problem {
    let fault = Fault::new(Code::UNSUPPORTED, format!("{} is not served here", request.method()))
        .with_hint("the `Allow` header lists the methods that are");
    Problem::from(fault).with_status(StatusCode::METHOD_NOT_ALLOWED)
}
