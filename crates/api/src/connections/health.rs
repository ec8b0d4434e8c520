//! The health of a connection: how checks went, one by one and added up.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use store::{HEALTH_ERROR_LEN_MAX, HealthRow, Scope};
use utoipa::{IntoParams, ToSchema};

use super::create::unfit;
use super::stored;
use crate::app::App;
use crate::body;
use crate::extract::{Params, Segments, Sent, Signed, limit_of};
use crate::rescue::Problem;

const LIMIT_DEFAULT: usize = 100;
/// The window of the summary when nothing is said: a day.
const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthParams {
    /// How many.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// The summary tells of checks from then on, milliseconds since 1970; a day ago unless said.
    since: Option<i64>,
}

/// How checks went.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthMetrics)]
pub(crate) struct MetricsView {
    /// The last ones, newest first.
    metrics: Vec<MetricView>,
    summary: SummaryView,
}

/// One check.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthMetric)]
pub(crate) struct MetricView {
    /// `evt_...`
    id: String,
    /// `con_...`
    user_integration_id: String,
    response_time_ms: u32,
    success: bool,
    #[schema(required = true)]
    error_message: Option<String>,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    checked_at: Timestamp,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    created_at: Timestamp,
}

/// Checks added up. Percentiles are at most one eighth too large.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthSummary)]
pub(crate) struct SummaryView {
    /// Milliseconds since 1970, UTC.
    since: i64,
    count: u64,
    /// 0 to 1; null without checks.
    #[schema(required = true)]
    success_rate: Option<f64>,
    mean_ms: f64,
    p50_ms: u32,
    p95_ms: u32,
    p99_ms: u32,
    max_ms: u32,
}

/// A check.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewHealthMetric)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMetricBody {
    #[schema(minimum = 0, maximum = 4_294_967_295_u32)]
    #[serde(deserialize_with = "body::whole_required")]
    response_time_ms: u32,
    success: bool,
    #[schema(max_length = 2048)]
    error_message: Option<String>,
    /// When it was asked, milliseconds since 1970; now unless said.
    #[schema(minimum = 0)]
    #[serde(default, deserialize_with = "body::whole")]
    checked_at: Option<i64>,
}

/// How checks of a connection went, newest first, and added up
#[utoipa::path(get, path = "/api/v1/connections/{connection}/health", operation_id = "getHealthMetrics",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id."), HealthParams),
    responses((status = OK, description = "The checks", body = MetricsView)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
    Params(params): Params<HealthParams>,
) -> Result<Json<MetricsView>, Problem> {
    let limit = limit_of(params.limit, LIMIT_DEFAULT, store::PAGE_MAX)?;
    let row = stored(&app, &caller, &named).await?;
    let scope = Scope::from(caller.owner.workspace);
    let rows = app.parts.store.list_health(scope, row.id, limit).await?;
    let now = app.parts.clock.now();
    let since = Timestamp(params.since.unwrap_or(now.0 - WINDOW_MS));
    let until = Timestamp(now.0.saturating_add(1));
    let summary = app.parts.store.summarise_health(scope, row.id, since, until).await?;
    Ok(Json(MetricsView {
        metrics: rows.into_iter().map(view).collect(),
        summary: SummaryView {
            since: since.0,
            count: summary.count,
            success_rate: summary.success_rate,
            mean_ms: summary.mean_ms,
            p50_ms: summary.p50_ms,
            p95_ms: summary.p95_ms,
            p99_ms: summary.p99_ms,
            max_ms: summary.max_ms,
        },
    }))
}

/// Write down how a check of a connection went
///
/// For the hub's own agents and administrators.
#[utoipa::path(post, path = "/api/v1/connections/{connection}/health", operation_id = "recordHealthMetric",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id.")),
    request_body = NewMetricBody, responses((status = NO_CONTENT, description = "It is written.")))]
pub(crate) async fn append(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
    Sent(new): Sent<NewMetricBody>,
) -> Result<StatusCode, Problem> {
    if new.error_message.as_ref().is_some_and(|text| text.len() > HEALTH_ERROR_LEN_MAX) {
        return Err(unfit(format!("error_message: has at most {HEALTH_ERROR_LEN_MAX} bytes")));
    }
    let now = app.parts.clock.now();
    let checked_at = new.checked_at.map_or(now, Timestamp);
    if checked_at > now || checked_at.0 < 0 {
        return Err(unfit(
            "checked_at: lies in the future or before 1970; it is milliseconds since then, UTC",
        ));
    }
    let row = stored(&app, &caller, &named).await?;
    let metric = HealthRow {
        id: app.event_id(),
        workspace: row.owner.workspace,
        connection: row.id,
        response_time_ms: new.response_time_ms,
        success: new.success,
        error_message: new.error_message,
        checked_at,
        created_at: now,
    };
    app.parts.store.append_health(metric).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(row: HealthRow) -> MetricView {
    MetricView {
        id: row.id.to_string(),
        user_integration_id: row.connection.to_string(),
        response_time_ms: row.response_time_ms,
        success: row.success,
        error_message: row.error_message,
        checked_at: row.checked_at,
        created_at: row.created_at,
    }
}
