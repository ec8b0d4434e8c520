//! Find: the connection, and the tool where a tool is called.

use std::sync::Arc;

use model::{CallKind, Code, Fault};
use tokio::time::Instant;

use crate::snapshot::{Mounted, MountedTool};
use crate::{Pipeline, stage};

/// What was found: where the call goes, and which tool when it is a tool.
pub(crate) struct Found {
    pub(crate) mounted: Arc<Mounted>,
    pub(crate) tool: Option<Arc<MountedTool>>,
}

/// How long a call waits for a connection that is still on its way up.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(10);

pub(crate) async fn run(
    pipeline: &Pipeline,
    connection: &str,
    kind: CallKind,
    target: &str,
) -> Result<Found, Fault> {
    if let Some(found) = look(pipeline, connection, kind, target)? {
        return Ok(found);
    }
    // Only a connection that has never answered gets here: wait for its first inventory.
    pipeline.settle(Some(connection), Instant::now() + SETTLE).await;
    match look(pipeline, connection, kind, target)? {
        Some(found) => Ok(found),
        None => Err(not_up(pipeline, connection)),
    }
}

/// `Ok(None)` = not known yet.
fn look(pipeline: &Pipeline, connection: &str, kind: CallKind, target: &str) -> Result<Option<Found>, Fault> {
    let snapshot = pipeline.snapshot();
    let mounted = snapshot.connection(connection).ok_or_else(|| {
        Fault::new(Code::NOT_FOUND, format!("no connection `{connection}`"))
            .with_hint("`trunkline connection list` shows what is connected")
    })?;
    if kind != CallKind::Tool {
        return Ok(Some(Found { mounted: Arc::clone(mounted), tool: None }));
    }
    if let Some(tool) = mounted.tool(target) {
        return Ok(Some(Found { mounted: Arc::clone(mounted), tool: Some(Arc::clone(tool)) }));
    }
    if mounted.is_settling() {
        return Ok(None);
    }
    if !mounted.is_known() {
        return Err(not_up(pipeline, connection));
    }
    Err(stage::access::refuse("tool", target, connection))
}

fn not_up(pipeline: &Pipeline, connection: &str) -> Fault {
    let reason = pipeline.snapshot().connection(connection).and_then(|m| m.connector.state().reason);
    let reason = reason.unwrap_or_else(|| "it has not answered yet".to_owned());
    Fault::new(Code::UNREACHABLE, format!("connection `{connection}` is not up: {reason}"))
        .with_hint(format!("`trunkline connection test {connection}` says which layer fails"))
}
