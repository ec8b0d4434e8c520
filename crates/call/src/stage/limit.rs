//! Limit: how many calls may be open at once on one connection. Rates come with their own issue.

use model::{Code, Fault};
use tokio::sync::SemaphorePermit;

use crate::snapshot::Mounted;

/// A place for the call, given back when dropped.
pub(crate) fn run(mounted: &Mounted) -> Result<SemaphorePermit<'_>, Fault> {
    mounted.places.try_acquire().map_err(|_| {
        let max = mounted.settings.concurrency_max;
        Fault::new(Code::BUSY, format!("connection `{}` already has {max} calls open", mounted.key))
            .with_hint("try again shortly, or raise `concurrency` in its entry")
    })
}
