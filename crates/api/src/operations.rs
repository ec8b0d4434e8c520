//! `/health`, `/ready`, `/metrics`: for whoever runs the hub. The first two name nothing and need no key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use model::Code;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::metrics;
use crate::rescue::Problem;
use crate::status::{Counts, count};

#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready`, `starting` or `draining`.
    status: &'static str,
    connections: Counts,
}

/// Whether the process answers
#[utoipa::path(get, path = "/health", operation_id = "showHealth", tag = "operations",
    responses((status = OK, description = "It does", body = Health)))]
pub(crate) async fn show_health() -> impl IntoResponse {
    Json(Health { status: "ok" })
}

/// Whether new work is welcome
///
/// A connection that is down does not make the hub unready: the others work.
#[utoipa::path(get, path = "/ready", operation_id = "showReady", tag = "operations",
    responses(
        (status = OK, description = "It is", body = Readiness),
        (status = SERVICE_UNAVAILABLE, description = "Starting or draining", body = Readiness)))]
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

/// Counts and gauges as OpenMetrics text
///
/// Needs a key with `manage`, unless the configuration opens it.
#[utoipa::path(get, path = "/metrics", operation_id = "showMetrics", tag = "operations",
    responses((status = OK, description = "The metrics", body = String, content_type = "application/openmetrics-text")))]
pub(crate) async fn show_metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let text = metrics::text(&app).map_err(|_| Problem::new(Code::BUG, "the metrics cannot be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}
