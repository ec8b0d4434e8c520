//! What parked connections gave up goes back to the system.
//!
//! The allocator keeps what is freed for a second, in case it is wanted again, and looks at it only when it is used
//! then. On a hub whose clients have all fallen silent nobody does, and the memory of its busiest moment would stay.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// How long after connections were parked the allocator is made to look; longer than it keeps what is freed.
const LATER: Duration = Duration::from_secs(3);
/// Larger than what any allocator serves from its own lists. Never touched, so it costs addresses and no memory.
const LARGE_BYTES: usize = 4 << 20;

/// Gives memory back some time after each connection that was let go of, on this worker, for as long as it runs.
pub(super) async fn give_back(let_go: Arc<Notify>) {
    loop {
        let_go.notified().await;
        tokio::time::sleep(LATER).await;
        drop(black_box(Vec::<u8>::with_capacity(LARGE_BYTES)));
    }
}
