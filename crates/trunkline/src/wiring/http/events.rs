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
pub(super) struct Loan<B = DoorBody> {
    body: B,
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
pub(super) async fn go_on<S, B>(wire: &mut Wire<S>, loan: Loan<B>) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes, Error = Infallible> + Unpin,
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use ::http::{HeaderMap, header};
    use bytes::Bytes;
    use http_body::{Body, Frame};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::{Loan, go_on, says_close};
    use crate::wiring::http::wire::Wire;

    /// What a test says, as a body.
    struct Said(mpsc::UnboundedReceiver<&'static [u8]>);

    impl Body for Said {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(cx).map(|said| said.map(|said| Ok(Frame::data(Bytes::from_static(said)))))
        }
    }

    fn stream() -> (mpsc::UnboundedSender<&'static [u8]>, Said) {
        let (say, said) = mpsc::unbounded_channel();
        (say, Said(said))
    }

    #[tokio::test]
    async fn a_stream_goes_on_in_chunks_and_its_connection_after_it() {
        for is_last in [false, true] {
            let (mut client, server) = tokio::io::duplex(1024);
            let (say, body) = stream();
            for said in [&b"data: one\n\n"[..], b"", b"data: two and more\n\n"] {
                say.send(said).unwrap();
            }
            drop(say);
            let mut wire = Wire::new(server, [None, None]);
            assert_eq!(go_on(&mut wire, Loan { body, is_last }).await.unwrap(), !is_last);
            drop(wire);
            let mut heard = String::new();
            client.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "b\r\ndata: one\n\n\r\n14\r\ndata: two and more\n\n\r\n0\r\n\r\n");
        }
    }

    #[tokio::test]
    async fn a_client_that_goes_ends_its_stream_and_what_works_for_it() {
        let (client, server) = tokio::io::duplex(1024);
        let (say, body) = stream();
        let streaming = tokio::spawn(async move {
            let mut wire = Wire::new(server, [None, None]);
            go_on(&mut wire, Loan { body, is_last: false }).await
        });
        tokio::task::yield_now().await;
        assert!(!say.is_closed());
        drop(client);
        assert!(!streaming.await.unwrap().unwrap(), "there is nobody to go on with");
        assert!(say.is_closed(), "nobody works for it any more");
    }

    #[tokio::test]
    async fn what_a_client_says_meanwhile_waits_for_its_turn() {
        let (mut client, server) = tokio::io::duplex(1024);
        let (say, body) = stream();
        let streaming = tokio::spawn(async move {
            let mut wire = Wire::new(server, [None, None]);
            let goes_on = go_on(&mut wire, Loan { body, is_last: false }).await.unwrap();
            let mut rest = vec![0; 37];
            wire.read_exact(&mut rest).await.unwrap();
            (goes_on, rest)
        });
        let next = b"GET /the/next/request/after HTTP/1.1\r\n";
        client.write_all(&next[..20]).await.unwrap();
        tokio::task::yield_now().await;
        client.write_all(&next[20..]).await.unwrap();
        say.send(b"data: x\n\n").unwrap();
        drop(say);
        let (goes_on, rest) = streaming.await.unwrap();
        assert!(goes_on);
        assert_eq!(rest, &next[..37], "not a byte of it is lost");
    }

    #[test]
    fn the_word_close_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert!(!says_close(&headers));
        headers.insert(header::CONNECTION, "keep-alive, upgrade".parse().unwrap());
        assert!(!says_close(&headers));
        headers.append(header::CONNECTION, "te, Close".parse().unwrap());
        assert!(says_close(&headers));
    }
}
