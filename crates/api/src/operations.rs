//! `/health`, `/ready`, `/metrics`: for whoever runs the hub. The first two name nothing and need no key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use model::Code;
use serde::Serialize;

use crate::app::App;
use crate::metrics;
use crate::rescue::Problem;
use crate::status::{Counts, count};

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Readiness {
    /// `ready`, `starting` or `draining`.
    status: &'static str,
    connections: Counts,
}

/// The process answers: that is all this says.
pub(crate) async fn show_health() -> impl IntoResponse {
    Json(Health { status: "ok" })
}

/// 200 while new work is welcome. A connection that is down does not make the hub unready: the others work.
pub(crate) async fn show_ready(State(app): State<Arc<App>>) -> impl IntoResponse {
    let (code, status) = if app.parts.directory.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if app.parts.pipeline.snapshot().generation == 0 {
        (StatusCode::SERVICE_UNAVAILABLE, "starting")
    } else {
        (StatusCode::OK, "ready")
    };
    (code, Json(Readiness { status, connections: count(&app) }))
}

pub(crate) async fn show_metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let text = metrics::text(&app).map_err(|_| Problem::new(Code::BUG, "the metrics cannot be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}
