//! `/api/v1/calls`: what was called, newest first, as it was recorded.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ledger::{CallFilter, SEARCH_MAX};
use model::{CallKind, CallOutcome, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::extract::{Params, limit_of};
use crate::openapi::schema;
use crate::rescue::Problem;

const LIMIT_DEFAULT: usize = 100;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallParams {
    /// Text anywhere in the record: an id, a tool's name, words of a fault.
    search: Option<String>,
    /// Key of the connection.
    connection: Option<String>,
    /// Tool name, resource URI or prompt name.
    target: Option<String>,
    /// How it ended.
    #[param(value_type = Option<schema::CallOutcome>, inline)]
    outcome: Option<CallOutcome>,
    /// What it asked for. `secret`: reads of secrets that other systems keep, which are told only when asked for.
    #[param(value_type = Option<schema::CallKind>, inline)]
    kind: Option<CallKind>,
    /// Accepted at this moment or later, milliseconds since 1970.
    since: Option<i64>,
    /// How many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Calls)]
pub(crate) struct CallsView {
    /// Each as `model::CallRecord` serialises; times in milliseconds since 1970, durations in microseconds.
    #[schema(value_type = Vec<schema::CallRecord>)]
    calls: Vec<Value>,
}

/// What was called, newest first
#[utoipa::path(get, path = "/api/v1/calls", operation_id = "listCalls", tag = "management",
    params(CallParams), responses((status = OK, description = "The records", body = CallsView)))]
pub(crate) async fn list_calls(
    State(app): State<Arc<App>>,
    Params(params): Params<CallParams>,
) -> Result<Json<CallsView>, Problem> {
    let limit = limit_of(params.limit, LIMIT_DEFAULT, SEARCH_MAX)?;
    let filter = CallFilter {
        connection: params.connection,
        target: params.target,
        outcome: params.outcome,
        kind: params.kind,
        since: params.since.map(Timestamp),
        text: params.search,
        limit,
        ..CallFilter::default()
    };
    let calls = app.parts.recorder.search(filter).await.map_err(|error| error.fault())?;
    Ok(Json(CallsView { calls }))
}
