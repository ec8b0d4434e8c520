//! Response bodies: nothing, bytes, or a stream of server-sent events with a call behind it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::exchange::EventStream;

/// What an answer's body is made of.
pub struct DoorBody(Kind);

enum Kind {
    Empty,
    Full(Option<Bytes>),
    /// Parts sent one after the other: a large result is not copied into its envelope.
    Parts(VecDeque<Bytes>),
    Events(Box<EventStream>),
}

impl DoorBody {
    pub(crate) const fn empty() -> Self {
        Self(Kind::Empty)
    }

    pub(crate) const fn full(bytes: Bytes) -> Self {
        Self(Kind::Full(Some(bytes)))
    }

    pub(crate) fn parts(parts: impl IntoIterator<Item = Bytes>) -> Self {
        Self(Kind::Parts(parts.into_iter().collect()))
    }

    pub(crate) fn events(stream: EventStream) -> Self {
        Self(Kind::Events(Box::new(stream)))
    }

    /// Whether this is a stream of events, which may be open and silent for hours.
    #[must_use]
    pub const fn is_events(&self) -> bool {
        matches!(self.0, Kind::Events(_))
    }
}

impl Body for DoorBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.0 {
            Kind::Empty => None,
            Kind::Full(bytes) => bytes.take(),
            Kind::Parts(parts) => parts.pop_front(),
            Kind::Events(stream) => match stream.poll_bytes(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(bytes) => bytes,
            },
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Parts(parts) => parts.is_empty(),
            Kind::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let bytes = match &self.0 {
            Kind::Empty => 0,
            Kind::Full(bytes) => bytes.as_ref().map_or(0, Bytes::len),
            Kind::Parts(parts) => parts.iter().map(Bytes::len).sum(),
            Kind::Events(_) => return SizeHint::default(),
        };
        SizeHint::with_exact(bytes as u64)
    }
}
