//! Event streams over HTTP/1 that go on without the HTTP library.
//!
//! A stream may be open and silent for hours, and the library holds its buffers for all that time. So the body is
//! only lent to it: the library writes the head and what comes at first, and once the stream has been silent for a
//! while it is taken back, between two chunks, with the socket.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use ::http::{HeaderMap, header};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use mcp_door::DoorBody;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Sleep;

use super::head::PARK_AFTER;
use super::wire::{Signs, Wire, lock};

/// An event stream, and whether its connection ends with it.
pub(super) struct Loan {
    body: DoorBody,
    is_last: bool,
}

/// Whether a request says that its connection ends with it.
pub(super) fn says_close(headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("close"))
}

/// A body as the library reads it: the door's own, or one that is lent.
pub(super) enum Outgoing {
    /// The library's for good.
    Own(DoorBody),
    /// To be taken back.
    Lent(Lent),
}

/// A body that lies in the signs of its connection.
pub(super) struct Lent {
    signs: Arc<Signs>,
    /// Runs while the stream is silent.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Outgoing {
    /// Lends a stream of events.
    pub(super) fn lend(body: DoorBody, is_last: bool, signs: Arc<Signs>) -> Self {
        *lock(&signs.loan) = Some(Loan { body, is_last });
        Self::Lent(Lent { signs, silence: None })
    }
}

impl Lent {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = lock(&self.signs.loan).as_mut().map(|loan| Pin::new(&mut loan.body).poll_frame(cx));
        match frame {
            None => Poll::Ready(None),
            Some(Poll::Ready(frame)) => {
                self.silence = None;
                self.signs.is_streaming.store(false, Ordering::Relaxed);
                Poll::Ready(frame)
            }
            Some(Poll::Pending) => {
                let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(PARK_AFTER)));
                if silence.as_mut().poll(cx).is_ready() {
                    self.signs.is_streaming.store(true, Ordering::Relaxed);
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Its client is gone: what works for it has to stop. Of a stream that was taken back nothing is left here.
        self.signs.is_streaming.store(false, Ordering::Relaxed);
        let loan = lock(&self.signs.loan).take();
        drop(loan);
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Own(body) => Pin::new(body).poll_frame(cx),
            Self::Lent(lent) => lent.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Lent(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Lent(_) => SizeHint::default(),
        }
    }
}

/// Goes on with a stream whose head has been sent, chunk by chunk, until it ends or its client does. True when the
/// connection may be used again.
pub(super) async fn go_on<S>(wire: &mut Wire<S>, loan: Loan) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Loan { mut body, is_last } = loan;
    loop {
        let is_quiet = wire.ahead().is_empty();
        let frame = tokio::select! {
            biased;
            frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)) => frame,
            // A client that says more waits for its turn; as long as it is silent, its end is noticed.
            is_there = wire.hear(), if is_quiet => {
                if is_there? {
                    continue;
                }
                return Ok(false);
            }
        };
        match frame {
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                // A chunk without bytes would be the end.
                if !data.is_empty() {
                    let opening = format!("{:x}\r\n", data.len());
                    wire.write_all(&[opening.as_bytes(), &data, b"\r\n"].concat()).await?;
                    wire.flush().await?;
                }
            }
            Some(Err(never)) => match never {},
            None => {
                wire.write_all(b"0\r\n\r\n").await?;
                wire.flush().await?;
                return Ok(!is_last);
            }
        }
    }
}
