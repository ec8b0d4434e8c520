//! Keeps the snapshot true: one watcher per mount, and a swap whenever one of them has something new.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use crate::{Mount, Pipeline};

/// Watches one mount until its connector is gone or it is replaced.
pub(crate) fn watch(mount: &Mount, woken: &Arc<Notify>) -> tokio::task::JoinHandle<()> {
    let mut changes = mount.connector.changes();
    let woken = Arc::clone(woken);
    tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            woken.notify_one();
        }
    })
}

/// Rebuilds the snapshot each time it is woken. Several changes at once make one rebuild.
pub(crate) async fn run(pipeline: Weak<Pipeline>, woken: Arc<Notify>) {
    loop {
        woken.notified().await;
        let Some(pipeline) = pipeline.upgrade() else { return };
        pipeline.rebuild();
    }
}
