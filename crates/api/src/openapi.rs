//! The OpenAPI 3.1 document: every tool the caller may use as a path of its own, and the management API.
//!
//! The management part is `openapi/management.json`, written by hand; a test holds it against the route
//! table. Tools come with their schemas as the upstream wrote them.

mod tools;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use model::{Code, Fault};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::App;
use crate::extract::Signed;
use crate::rescue::Problem;

const MANAGEMENT: &str = include_str!("openapi/management.json");

/// The hand-written part.
#[derive(Deserialize)]
struct Management {
    tags: Box<RawValue>,
    paths: Members,
    components: Box<RawValue>,
}

/// Members of an object in the order in which they were written.
#[derive(Default)]
struct Members(Vec<(String, Box<RawValue>)>);

#[derive(Serialize)]
struct Document<'a> {
    openapi: &'static str,
    info: Info<'a>,
    servers: [Server<'a>; 1],
    security: [serde_json::Value; 2],
    tags: Box<RawValue>,
    paths: Members,
    components: Box<RawValue>,
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

pub(crate) async fn show(State(app): State<Arc<App>>, Signed(caller): Signed) -> Result<Response, Problem> {
    let broken = |error: serde_json::Error| Fault::new(Code::BUG, format!("the OpenAPI document: {error}"));
    let Management { tags, mut paths, components } = serde_json::from_str(MANAGEMENT).map_err(broken)?;
    let snapshot = app.parts.pipeline.snapshot();
    for mounted in snapshot.connections() {
        for tool in mounted.tools_for(&caller.access) {
            let path = tools::path(mounted.key.as_str(), &tool.tool.name);
            paths.0.push((path, tools::item(tool).map_err(broken)?));
        }
    }
    let settings = &app.parts.settings;
    let document = Document {
        openapi: "3.1.0",
        info: Info {
            title: "Trunkline",
            version: &settings.version,
            description: "The tools this key may use, and the management API.",
        },
        servers: [Server { url: settings.public_url.trim_end_matches('/') }],
        security: [serde_json::json!({ "bearer": [] }), serde_json::json!({ "api_key": [] })],
        tags,
        paths,
        components,
    };
    let json = serde_json::to_vec(&document).map_err(broken)?;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

// === impl Members ===

impl Serialize for Members {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
