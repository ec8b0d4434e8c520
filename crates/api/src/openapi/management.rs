//! The management half of the OpenAPI document, made from the route table once: what an operation needs
//! decides its `security`, and every operation can end in a problem.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::SecurityRequirement;

use super::schema;
use crate::rescue::View;
use crate::routes::{Needs, table};

/// Parts of the document that are the same for every caller.
pub(super) struct Management {
    pub(super) tags: Box<RawValue>,
    /// Path items, in the order of the table.
    pub(super) paths: Vec<(String, Box<RawValue>)>,
    pub(super) components: Box<RawValue>,
}

/// `None` would be a mistake of ours: a schema that is not JSON.
pub(super) static MANAGEMENT: LazyLock<Option<Management>> = LazyLock::new(|| make().ok());

fn make() -> Result<Management, serde_json::Error> {
    let mut order: Vec<&str> = Vec::new();
    let mut items: BTreeMap<&str, BTreeMap<String, Operation>> = BTreeMap::new();
    let mut schemas = BTreeMap::from([("Problem".to_owned(), serde_json::to_value(View::schema())?)]);
    let routes = table();
    for route in &routes {
        for (name, schema) in &route.schemas {
            schemas.insert(name.clone(), serde_json::to_value(schema)?);
        }
        let mut operation = route.operation.clone();
        if route.needs == Needs::Nothing {
            operation.security = Some(Vec::<SecurityRequirement>::new());
        }
        if route.takes_keys() {
            operation.parameters.get_or_insert_default().push(schema::idempotency_key().into());
        }
        if !items.contains_key(route.path.as_str()) {
            order.push(&route.path);
        }
        items.entry(&route.path).or_default().insert(route.method.as_str().to_lowercase(), operation);
    }
    let paths = order.into_iter().map(|path| {
        let mut item = serde_json::to_value(items.get(path))?;
        for operation in item.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
            // A body that may be left out is not one that may be `null`, which is how it is described.
            if let Some(schema) = operation.pointer_mut("/requestBody/content/application~1json/schema") {
                take_null_out(schema);
            }
            // Nor is a parameter.
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for schema in parameters.into_iter().flatten().filter_map(|one| one.get_mut("schema")) {
                take_null_out(schema);
            }
            if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
                responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
            }
        }
        Ok((path.to_owned(), to_raw_value(&item)?))
    });
    Ok(Management {
        paths: paths.collect::<Result<_, serde_json::Error>>()?,
        tags: to_raw_value(&json!([
            { "name": "call", "description": "Tools" },
            { "name": "integrations", "description": "What can be connected" },
            { "name": "connections", "description": "What is connected" },
            { "name": "toolsets", "description": "Chosen tools, each set an endpoint" },
            { "name": "tools", "description": "What there is to call" },
            { "name": "management", "description": "Needs a key with `manage`" },
            { "name": "operations", "description": "For whoever runs the hub" },
        ]))?,
        components: to_raw_value(&json!({
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "api_key": { "type": "apiKey", "in": "header", "name": "X-Api-Key" },
            },
            "parameters": { "IdempotencyKey": schema::idempotency_key() },
            "responses": {
                "Problem": {
                    "description": "What went wrong, whose fault it is and what to do",
                    "content": {
                        "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
                    },
                },
            },
            "schemas": schemas,
        }))?,
    })
}

/// Of `T or null` leaves `T`.
fn take_null_out(schema: &mut Value) {
    let is_null = |one: &Value| one == "null" || one.get("type").is_some_and(|kind| kind == "null");
    for choices in ["oneOf", "type"] {
        if let Some(choices) = schema.get_mut(choices).and_then(Value::as_array_mut) {
            choices.retain(|one| !is_null(one));
        }
    }
}
