//! Find: the connection, and the tool where a tool is called.

use std::sync::Arc;

use model::{Access, CallKind, Code, Fault, Key};
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
    access: &Access,
    connection: &Key,
    kind: CallKind,
    target: &str,
) -> Result<Found, Fault> {
    let key = connection.as_str();
    match look(pipeline, key, kind, target) {
        Ok(Some(found)) => return Ok(found),
        // What the caller may not use is refused in one wording and at once: neither the words nor the
        // waiting may tell whether it is there.
        _ if !stage::access::is_allowed_part(access, connection, target) => {
            return Err(stage::access::refuse("tool", target, key));
        }
        Err(fault) => return Err(fault),
        Ok(None) => {}
    }
    // Only a connection that has never answered gets here: wait for its first inventory.
    pipeline.settle(Some(key), Instant::now() + SETTLE).await;
    match look(pipeline, key, kind, target)? {
        Some(found) => Ok(found),
        None => Err(not_up(pipeline, key)),
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
    match pipeline.snapshot().connection(connection) {
        Some(mounted) => mounted.not_up(),
        None => Fault::new(Code::NOT_FOUND, format!("no connection `{connection}`")),
    }
}
