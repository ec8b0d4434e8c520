//! The one table of what is served: what each operation needs, and its handler. Method and path stand at
//! the handler (`#[utoipa::path]`). The router, the authorization, the OpenAPI document and the tests all
//! read this table.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use http::{Method, StatusCode};
use model::{Code, Fault};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Paths, RefOr};
use utoipa_axum::routes;

use crate::app::{App, Parts};
use crate::connections::{change, create, credentials, health, lifecycle, list, log};
use crate::rescue::Problem;
use crate::{
    bundle, calls, docs, door, errors, events, guard, idempotency, integrations, keys, oauth, openapi,
    operations, search, status, tools, toolsets,
};

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
    pub path: String,
    /// What it needs.
    pub needs: Needs,
    /// What the OpenAPI document says of it.
    pub(crate) operation: Operation,
    /// The schemas that it refers to, by name.
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
    handler: MethodRouter<Arc<App>>,
}

/// What `utoipa_axum::routes!` makes of a handler.
type Described = (Vec<(String, RefOr<Schema>)>, Paths, MethodRouter<Arc<App>>);

/// Everything that is served. Made when it is asked for and not kept: what stands at the handlers is three
/// megabytes of descriptions, which only the OpenAPI document has a use for.
#[rustfmt::skip]
#[must_use]
pub fn table() -> Vec<Route> {
    use Needs::{Key, Manage, Metrics, Nothing};
    let table: Vec<(Needs, Described)> = vec![
        (Nothing, routes!(operations::show_health)),
        (Nothing, routes!(operations::show_ready)),
        (Metrics, routes!(operations::show_metrics)),
        (Nothing, routes!(errors::show_page)),
        (Nothing, routes!(docs::show_page)),
        (Nothing, routes!(docs::show_script)),
        (Nothing, routes!(docs::show_style)),
        (Nothing, routes!(oauth::client)),
        (Nothing, routes!(oauth::start)),
        (Nothing, routes!(oauth::callback)),
        (Nothing, routes!(oauth::done)),
        (Nothing, routes!(oauth::enter)),
        (Key,     routes!(door::call)),
        (Key,     routes!(openapi::show)),
        (Key,     routes!(openapi::show_v1)),
        (Key,     routes!(tools::list_tools)),
        (Manage,  routes!(status::show_status)),
        (Manage,  routes!(integrations::list_all)),
        (Manage,  routes!(integrations::list_by_type)),
        (Manage,  routes!(integrations::list_by_category)),
        (Manage,  routes!(integrations::find_by_slug)),
        (Manage,  routes!(integrations::icon)),
        (Manage,  routes!(integrations::manifest::show)),
        (Manage,  routes!(integrations::manifest::put)),
        (Manage,  routes!(integrations::change::put)),
        (Manage,  routes!(integrations::change::delete)),
        (Manage,  routes!(search::search)),
        (Manage,  routes!(list::list)),
        (Manage,  routes!(create::create)),
        (Manage,  routes!(list::find)),
        (Manage,  routes!(change::update)),
        (Manage,  routes!(change::delete)),
        (Manage,  routes!(list::count)),
        (Manage,  routes!(lifecycle::test)),
        (Manage,  routes!(lifecycle::connect)),
        (Manage,  routes!(lifecycle::disconnect)),
        (Manage,  routes!(lifecycle::set_status)),
        (Manage,  routes!(oauth::authorize)),
        (Manage,  routes!(log::list)),
        (Manage,  routes!(log::append)),
        (Manage,  routes!(health::list)),
        (Manage,  routes!(health::append)),
        (Manage,  routes!(credentials::list)),
        (Manage,  routes!(credentials::put)),
        (Manage,  routes!(credentials::delete)),
        (Manage,  routes!(credentials::rotate_data_key)),
        (Manage,  routes!(toolsets::list)),
        (Manage,  routes!(toolsets::show)),
        (Manage,  routes!(toolsets::put)),
        (Manage,  routes!(toolsets::delete)),
        (Manage,  routes!(bundle::export)),
        (Manage,  routes!(bundle::export_sealed)),
        (Manage,  routes!(bundle::import::import)),
        (Manage,  routes!(calls::list_calls)),
        (Manage,  routes!(events::stream)),
        (Manage,  routes!(events::socket)),
        (Manage,  routes!(keys::list_keys)),
        (Manage,  routes!(keys::create_key)),
        (Manage,  routes!(keys::rotate_key)),
        (Manage,  routes!(keys::revoke_key)),
    ];
    table.into_iter().flat_map(|(needs, described)| rows(needs, described)).collect()
}

impl Route {
    /// Whether an `Idempotency-Key` is understood by the layer: calls read theirs themselves.
    pub(crate) fn takes_keys(&self) -> bool {
        matches!(self.needs, Needs::Key | Needs::Manage)
            && self.method != Method::GET
            && self.operation.operation_id.as_deref() != Some(door::OPERATION)
    }
}

/// One row per operation; a handler has one.
fn rows(needs: Needs, (schemas, paths, handler): Described) -> impl Iterator<Item = Route> {
    paths.paths.into_iter().flat_map(move |(path, item)| {
        let (schemas, handler) = (schemas.clone(), handler.clone());
        operations_of(item).into_iter().map(move |(method, operation)| Route {
            method,
            path: path.clone(),
            needs,
            operation,
            schemas: schemas.clone(),
            handler: handler.clone(),
        })
    })
}

fn operations_of(item: PathItem) -> Vec<(Method, Operation)> {
    let all = [
        (Method::GET, item.get),
        (Method::POST, item.post),
        (Method::PUT, item.put),
        (Method::PATCH, item.patch),
        (Method::DELETE, item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation?))).collect()
}

/// The router: guards, authorization and handlers. Whatever is not in the table is a 404 problem.
pub fn router(parts: Parts) -> Router {
    let app = Arc::new(App::new(parts));
    let mut router = Router::new();
    for route in table() {
        let authorize = from_fn_with_state((Arc::clone(&app), route.needs), guard::authorize);
        let takes_keys = route.takes_keys();
        let mut handler = route.handler;
        if takes_keys {
            handler = handler.route_layer(from_fn_with_state(Arc::clone(&app), idempotency::layer));
        }
        router = router.route(&route.path, handler.route_layer(authorize));
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
