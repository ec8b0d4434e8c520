//! `/api/v1/calls`: what was called, newest first, as it was recorded.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ledger::{CallFilter, SEARCH_MAX};
use model::{CallOutcome, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::extract::{Params, limit_of};
use crate::rescue::Problem;

const LIMIT_DEFAULT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallParams {
    /// Text anywhere in the record: an id, a tool's name, words of a fault.
    search: Option<String>,
    connection: Option<String>,
    /// Tool name, resource URI or prompt name.
    target: Option<String>,
    outcome: Option<CallOutcome>,
    /// Accepted at this moment or later, milliseconds since 1970.
    since: Option<i64>,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(crate) struct CallsView {
    /// Each as `model::CallRecord` serialises; times in milliseconds since 1970, durations in microseconds.
    calls: Vec<Value>,
}

pub(crate) async fn list_calls(
    State(app): State<Arc<App>>,
    Params(params): Params<CallParams>,
) -> Result<Json<CallsView>, Problem> {
    let limit = limit_of(params.limit, LIMIT_DEFAULT, SEARCH_MAX)?;
    let filter = CallFilter {
        connection: params.connection,
        target: params.target,
        outcome: params.outcome,
        since: params.since.map(Timestamp),
        text: params.search,
        limit,
        ..CallFilter::default()
    };
    let calls = app.parts.recorder.search(filter).await.map_err(|error| error.fault())?;
    Ok(Json(CallsView { calls }))
}
