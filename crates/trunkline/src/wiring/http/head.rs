//! How long the head of a request is waited for. The same timer says, on the way there, that the connection is idle:
//! it runs exactly while the library has nothing to do but wait for a head, and costs a busy connection nothing more.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use tokio::time::Instant;

use super::wire::{Signs, lock};

/// How long the head of a request may take, counted from the end of the one before.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection is silent before it is parked.
pub(super) const PARK_AFTER: Duration = Duration::from_secs(2);

/// The library's timer for one connection.
pub(super) struct HeadTimer(pub(super) Arc<Signs>);

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    /// The library begins to wait for a head.
    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        let signs = Arc::clone(&self.0);
        signs.has_heard.store(false, Ordering::Relaxed);
        // The first head of what was parked has the time that was left; and before a request has been answered here
        // there is nothing to park.
        let (deadline, look) = match lock(&signs.head_deadline).take() {
            Some(left) => (left, None),
            None => {
                let deadline = Instant::from(deadline);
                (deadline, (deadline - HEAD_TIMEOUT).checked_add(PARK_AFTER))
            }
        };
        let at = look.unwrap_or(deadline);
        // The timer is used again: to move one on is cheaper than to make one for every request.
        let timer = match lock(&signs.timer).take() {
            Some(mut timer) => {
                timer.as_mut().reset(at);
                timer
            }
            None => Box::pin(tokio::time::sleep_until(at)),
        };
        Box::pin(HeadWait { signs, deadline, is_looking: look.is_some(), timer: Some(timer) })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }
}

/// Waits for the deadline, and looks on the way whether the connection is idle.
struct HeadWait {
    signs: Arc<Signs>,
    deadline: Instant,
    is_looking: bool,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Sleep for HeadWait {}

impl Future for HeadWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(timer) = &mut this.timer else { return Poll::Ready(()) };
        ready!(timer.as_mut().poll(cx));
        if !this.is_looking {
            return Poll::Ready(());
        }
        this.is_looking = false;
        if !this.signs.has_heard.load(Ordering::Relaxed) {
            this.signs.set_idle(this.deadline);
        }
        timer.as_mut().reset(this.deadline);
        timer.as_mut().poll(cx)
    }
}

impl Drop for HeadWait {
    fn drop(&mut self) {
        self.signs.unset_idle();
        *lock(&self.signs.timer) = self.timer.take();
    }
}
