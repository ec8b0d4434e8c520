//! The socket under HTTP/1, and the signs by which it is seen from outside that the library above it has nothing in
//! hand: only then can its state be thrown away and the socket be kept.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::Place;
use super::events::Loan;

/// What is read at first, after a silence: as much as tells HTTP/2 from HTTP/1.
pub(super) const FIRST_READ: usize = 24;

/// What is known of a connection beside the library that serves it. All of it is of one task.
#[derive(Default)]
pub(super) struct Signs {
    /// Bytes came since the head of a request is waited for.
    pub(super) has_heard: AtomicBool,
    /// Something was written whose flush has not come back yet.
    has_unsent: AtomicBool,
    /// It has been idle for long enough to be parked.
    is_idle: AtomicBool,
    /// By when the head that is waited for has to be there, where it is idle.
    idle_until: Mutex<Option<Instant>>,
    /// It streams, and has been silent for long enough to go on without the library.
    pub(super) is_streaming: AtomicBool,
    /// By when the next head has to be there, where that has been decided before the library waits for it.
    pub(super) head_deadline: Mutex<Option<Instant>>,
    /// The timer of the heads, between two of them.
    pub(super) timer: Mutex<Option<Pin<Box<Sleep>>>>,
    /// The event stream that the library is reading for us.
    pub(super) loan: Mutex<Option<Loan>>,
}

impl Signs {
    /// The connection is idle, and has until then to begin another request.
    pub(super) fn set_idle(&self, until: Instant) {
        *lock(&self.idle_until) = Some(until);
        self.is_idle.store(true, Ordering::Relaxed);
    }

    /// When the next head has to be there, once: when the connection has become idle and all that was said on it is
    /// sent.
    pub(super) fn take_idle(&self) -> Option<Instant> {
        // Looked at after every turn of a busy connection, so it has to cost nothing there.
        if !self.is_idle.load(Ordering::Relaxed) {
            return None;
        }
        self.is_idle.store(false, Ordering::Relaxed);
        lock(&self.idle_until).take().filter(|_| self.is_clear() && !self.has_heard.load(Ordering::Relaxed))
    }

    /// A request has begun after all.
    pub(super) fn unset_idle(&self) {
        self.is_idle.store(false, Ordering::Relaxed);
    }

    /// The event stream that can go on without the library: whole chunks of it have been sent, and no part of one.
    pub(super) fn take_stream(&self) -> Option<Loan> {
        if !self.is_streaming.load(Ordering::Relaxed) || !self.is_clear() {
            return None;
        }
        self.is_streaming.store(false, Ordering::Relaxed);
        lock(&self.loan).take()
    }

    /// Everything that was written has been flushed.
    fn is_clear(&self) -> bool {
        !self.has_unsent.load(Ordering::Relaxed)
    }
}

/// Locks; a poisoned lock is of a task that is gone.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket, with what was read from it and not yet used in front.
pub(super) struct Wire<S> {
    stream: S,
    ahead: Bytes,
    pub(super) signs: Arc<Signs>,
    /// What it counts as. Here, because this is what becomes a WebSocket: that counts for as long as it is open.
    _places: Places,
}

/// The places that a connection takes.
pub(super) type Places = [Option<Place>; 2];

impl<S: AsyncRead + Unpin> Wire<S> {
    pub(super) fn new(stream: S, places: Places) -> Self {
        Self { stream, ahead: Bytes::new(), signs: Arc::default(), _places: places }
    }

    /// What was read and not used.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Puts back what was read and not used. Without anything, whatever buffer it came in is let go.
    pub(super) fn put_back(&mut self, unused: Bytes) {
        if !unused.is_empty() {
            self.ahead = if self.ahead.is_empty() {
                unused
            } else {
                [unused, self.ahead.split_off(0)].concat().into()
            };
        }
    }

    /// Waits for bytes and puts them in front, `FIRST_READ` of them at most; nothing larger is held meanwhile.
    /// False when the other side has ended. Cancel-safe.
    pub(super) async fn hear(&mut self) -> io::Result<bool> {
        let mut first = [0; FIRST_READ];
        let room = FIRST_READ.saturating_sub(self.ahead.len()).max(1);
        let count = self.stream.read(first.get_mut(..room).unwrap_or_default()).await?;
        let heard = first.get(..count).unwrap_or_default();
        self.ahead = [&self.ahead, heard].concat().into();
        Ok(count > 0)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ahead.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            if buf.filled().len() > before {
                this.signs.has_heard.store(true, Ordering::Relaxed);
            }
        } else {
            let count = this.ahead.len().min(buf.remaining());
            buf.put_slice(this.ahead.get(..count).unwrap_or_default());
            this.ahead.advance(count);
            if this.ahead.is_empty() {
                this.ahead = Bytes::new();
            }
            this.signs.has_heard.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.signs.has_unsent.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.signs.has_unsent.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    /// The library flushes only when it has handed over all that it had to say.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.signs.has_unsent.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::Wire;
    use bytes::Bytes;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn what_was_read_ahead_comes_first_and_once() {
        let mut wire = Wire::new(&b"GET /path/that/is/longer/than/one/look HTTP/1.1"[..], [None, None]);
        assert!(wire.hear().await.unwrap());
        assert_eq!(wire.ahead(), b"GET /path/that/is/longer");
        wire.put_back(Bytes::from_static(b"before "));
        let mut all = String::new();
        wire.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "before GET /path/that/is/longer/than/one/look HTTP/1.1");
        assert!(!wire.hear().await.unwrap(), "the other side has ended");
    }
}
