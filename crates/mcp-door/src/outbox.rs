//! Frames on their way to one client: a bounded queue that never makes the sender wait.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// How many frames may wait before notifications are lost.
const FRAMES_MAX: usize = 1024;
/// How many bytes may wait before notifications are lost.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// A queue with one reader.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    ready: Notify,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    is_closed: bool,
}

impl Outbox {
    /// Queues what must arrive (answers, questions). Their number is bounded where they are made.
    pub(crate) fn push(&self, frame: Bytes) {
        let mut queue = self.lock();
        if !queue.is_closed {
            queue.bytes += frame.len();
            queue.frames.push_back(frame);
            drop(queue);
            self.ready.notify_one();
        }
    }

    /// Queues what may be lost (notifications) when the client does not keep up.
    pub(crate) fn offer(&self, frame: Bytes) {
        let queue = self.lock();
        if queue.frames.len() < FRAMES_MAX && queue.bytes + frame.len() < BYTES_MAX {
            drop(queue);
            self.push(frame);
        }
    }

    /// Asks the reader to hang up for now, after what is queued: an empty frame says so. Readers that cannot
    /// pass over it.
    pub(crate) fn hang_up(&self) {
        self.push(Bytes::new());
    }

    /// Nothing will be read any more, or nothing more will come.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.ready.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// The next frame, if one is waiting.
    pub(crate) fn try_next(&self) -> Option<Bytes> {
        let mut queue = self.lock();
        let frame = queue.frames.pop_front()?;
        queue.bytes -= frame.len();
        if queue.frames.is_empty() && queue.frames.capacity() > 64 {
            // An idle stream should not keep the memory of its busiest moment.
            queue.frames = VecDeque::new();
        }
        Some(frame)
    }

    /// Waits for the next frame; `None` once closed and empty.
    pub(crate) async fn next(&self) -> Option<Bytes> {
        loop {
            let ready = self.ready.notified();
            if let Some(frame) = self.try_next() {
                return Some(frame);
            }
            if self.is_closed() {
                return None;
            }
            ready.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{FRAMES_MAX, Outbox};
    use bytes::Bytes;

    #[tokio::test]
    async fn notifications_are_lost_before_memory_is_and_answers_never() {
        let outbox = Outbox::default();
        for _ in 0..FRAMES_MAX * 2 {
            outbox.offer(Bytes::from_static(b"n"));
        }
        outbox.push(Bytes::from_static(b"answer"));
        outbox.close();
        let mut count = 0;
        let mut last = Bytes::new();
        while let Some(frame) = outbox.next().await {
            count += 1;
            last = frame;
        }
        assert_eq!((count, last.as_ref()), (FRAMES_MAX + 1, b"answer".as_ref()));
    }
}
