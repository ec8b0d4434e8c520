//! The OpenAPI 3.1 document: every tool the caller may use as a path of its own, and the management API.
//!
//! The management part is made from the handlers' own descriptions ([`management`]). Tools come with their
//! schemas as the upstream wrote them.

mod management;
pub(crate) mod schema;
mod tools;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use model::{Code, Fault};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use self::management::MANAGEMENT;
use crate::app::App;
use crate::extract::Signed;
use crate::rescue::Problem;

#[derive(Serialize)]
struct Document<'a> {
    openapi: &'static str,
    info: Info<'a>,
    servers: [Server<'a>; 1],
    security: [serde_json::Value; 2],
    tags: &'a RawValue,
    #[serde(serialize_with = "members")]
    paths: Vec<(&'a str, &'a RawValue)>,
    components: &'a RawValue,
}

#[derive(Serialize)]
struct Info<'a> {
    title: &'static str,
    version: &'a str,
    description: &'static str,
}

#[derive(Serialize)]
struct Server<'a> {
    url: &'a str,
}

/// This document
///
/// Every tool that the key may use, and the management API.
#[utoipa::path(get, path = "/openapi.json", operation_id = "showOpenapi", tag = "tools",
    responses((status = OK, description = "An OpenAPI 3.1 document", body = Object)))]
pub(crate) async fn show(State(app): State<Arc<App>>, Signed(caller): Signed) -> Result<Response, Problem> {
    let broken = |error: serde_json::Error| Fault::new(Code::BUG, format!("the OpenAPI document: {error}"));
    let management =
        MANAGEMENT.as_ref().ok_or_else(|| Fault::new(Code::BUG, "the OpenAPI document cannot be made"))?;
    let snapshot = app.parts.pipeline.snapshot();
    let mut tools = Vec::new();
    for mounted in snapshot.connections() {
        for tool in mounted.tools_for(&caller.access) {
            let path = tools::path(mounted.key.as_str(), &tool.tool.name);
            tools.push((path, tools::item(tool).map_err(broken)?));
        }
    }
    let settings = &app.parts.settings;
    let paths = management.paths.iter().chain(&tools);
    let document = Document {
        openapi: "3.1.0",
        info: Info {
            title: "Trunkline",
            version: &settings.version,
            description: "The tools this key may use, and the management API.",
        },
        servers: [Server { url: settings.public_url.trim_end_matches('/') }],
        security: [serde_json::json!({ "bearer": [] }), serde_json::json!({ "api_key": [] })],
        tags: &management.tags,
        paths: paths.map(|(path, item)| (path.as_str(), &**item)).collect(),
        components: &management.components,
    };
    let json = serde_json::to_vec(&document).map_err(broken)?;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

/// This document
///
/// The same as `/openapi.json`.
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "showOpenapiV1", tag = "tools",
    responses((status = OK, description = "An OpenAPI 3.1 document", body = Object)))]
pub(crate) async fn show_v1(app: State<Arc<App>>, signed: Signed) -> Result<Response, Problem> {
    show(app, signed).await
}

/// Members of an object in the order in which they stand.
fn members<S: Serializer>(members: &[(&str, &RawValue)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(members.iter().copied())
}
