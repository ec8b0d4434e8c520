//! `/api/v1/status`: how the hub stands, on one page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Condition, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::connections;

/// How the hub stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Status)]
pub(crate) struct StatusView {
    version: String,
    /// Milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    started_at: Timestamp,
    uptime_ms: i64,
    listen: String,
    public_url: String,
    is_draining: bool,
    /// Grows with every change of what is connected.
    generation: u64,
    connections: Counts,
    tool_count: usize,
    open_call_count: usize,
    /// Call records that were lost because the disk did not keep up.
    dropped_record_count: u64,
}

/// How many connections there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConnectionCounts)]
pub(crate) struct Counts {
    /// Answering, even if from memory.
    pub(crate) up: usize,
    /// Still on their way up.
    pub(crate) starting: usize,
    /// Neither, entries that never became a connection included.
    pub(crate) down: usize,
}

/// How the hub stands
#[utoipa::path(get, path = "/api/v1/status", operation_id = "showStatus", tag = "management",
    responses((status = OK, description = "The status", body = StatusView)))]
pub(crate) async fn show_status(State(app): State<Arc<App>>) -> Json<StatusView> {
    let parts = &app.parts;
    let snapshot = parts.pipeline.snapshot();
    Json(StatusView {
        version: parts.settings.version.clone(),
        started_at: parts.settings.started_at,
        uptime_ms: parts.clock.now().ms_since(parts.settings.started_at),
        listen: parts.settings.listen.clone(),
        public_url: parts.settings.public_url.clone(),
        is_draining: parts.directory.is_draining(),
        generation: snapshot.generation,
        connections: count(&app),
        tool_count: snapshot.connections().map(|mounted| connections::offered(mounted).count()).sum(),
        open_call_count: parts.pipeline.open_calls().values().sum(),
        dropped_record_count: parts.recorder.dropped(),
    })
}

/// Counts the connections, mounted or not.
pub(crate) fn count(app: &App) -> Counts {
    let snapshot = app.parts.pipeline.snapshot();
    let mut counts = Counts::default();
    for mounted in snapshot.connections() {
        match mounted.connector.state().condition {
            Condition::Started | Condition::Degraded => counts.up += 1,
            Condition::Starting => counts.starting += 1,
            Condition::Stopped => counts.down += 1,
        }
    }
    let entries = app.parts.directory.entries();
    counts.down += entries.iter().filter(|entry| snapshot.connection(&entry.key).is_none()).count();
    counts
}
