//! The task that waits for one child, stops it when asked, and clears up behind it.

use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::exit::Exit;
use crate::group::Group;

/// How long the rest of a group gets to end by itself after its first process crashed.
const SWEEP_GRACE: Duration = Duration::from_millis(500);
/// How long the exit is held back for the last words on stderr. A grandchild may keep it open.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Where a child is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It runs.
    Running,
    /// It ended; others of its group may still run.
    Exited(Exit),
    /// Nothing of its group is left.
    Over(Exit),
}

/// A child and its group. The group comes first, so that a dropped task kills all of it before the
/// runtime takes the child away.
pub(crate) struct Running {
    pub(crate) group: Group,
    pub(crate) leader: tokio::process::Child,
}

/// Runs until nothing of the group is left. `order` is the grace of a stop; when its sender is dropped the
/// group is killed.
pub(crate) async fn supervise(
    mut running: Running,
    order: oneshot::Receiver<Duration>,
    mut stderr: JoinHandle<()>,
    life: watch::Sender<Life>,
) {
    let (status, grace) = tokio::select! {
        status = running.leader.wait() => (status, SWEEP_GRACE),
        order = order => {
            let grace = order.unwrap_or(Duration::ZERO);
            (running.stop(grace).await, grace)
        }
    };
    let exit = status.map_or(Exit { code: None, signal: None }, Exit::from);
    if timeout(LAST_WORDS, &mut stderr).await.is_err() {
        tracing::trace!("stderr is still open in another process");
    }
    life.send_replace(Life::Exited(exit));
    running.group.sweep(grace).await;
    // Whoever still holds stderr has left the group; nobody listens to it any longer.
    stderr.abort();
    life.send_replace(Life::Over(exit));
}

impl Running {
    /// The caller has closed stdin. Grace, SIGTERM, grace, SIGKILL; all at once when there is no grace.
    async fn stop(&mut self, grace: Duration) -> std::io::Result<ExitStatus> {
        if !grace.is_zero() {
            if let Ok(status) = timeout(grace, self.leader.wait()).await {
                return status;
            }
            self.group.signal(Signal::TERM);
            if let Ok(status) = timeout(grace, self.leader.wait()).await {
                return status;
            }
        }
        self.group.signal(Signal::KILL);
        self.leader.wait().await
    }
}
