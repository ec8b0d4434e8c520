//! One byte stream to the outside, whatever it runs over.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// TLS within the TLS of a proxy.
    Nested(Box<TlsStream<TlsStream<TcpStream>>>),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Whether bytes on it are encrypted for the server.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Nested(_))
    }

    /// Acknowledges what has come without the kernel's usual delay. Servers that leave Nagle's algorithm on hold
    /// back the next small event until the last one is acknowledged, which otherwise takes 40 ms.
    pub(crate) fn ack_now(&self) {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
            Self::Nested(tls) => tls.get_ref().0.get_ref().0,
            Self::Unix(_) => return,
        };
        // Only ever a hint.
        let _ = rustix::net::sockopt::set_tcp_quickack(tcp, true);
    }

    /// True when an idle connection still looks usable: open, and nothing unasked for has come.
    ///
    /// Asks the kernel, not the reactor: between two polls of the reactor a closed socket looks open.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0_u8; 1];
        let peek = |fd: &dyn std::os::fd::AsFd, byte: &mut [u8]| {
            matches!(
                rustix::net::recv(
                    fd.as_fd(),
                    byte,
                    rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT
                ),
                Err(rustix::io::Errno::AGAIN)
            )
        };
        match self {
            Self::Tcp(tcp) => peek(tcp, &mut byte),
            Self::Unix(unix) => peek(unix, &mut byte),
            // Session tickets arrive unasked for; only the TLS layer can tell them from data or the end.
            Self::Tls(tls) => is_silent(&mut **tls, &mut byte),
            Self::Nested(tls) => is_silent(&mut **tls, &mut byte),
        }
    }
}

fn is_silent(io: &mut (impl AsyncRead + Unpin), byte: &mut [u8]) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    Pin::new(io).poll_read(&mut context, &mut ReadBuf::new(byte)).is_pending()
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(&mut **io).poll_read(cx, buf),
            Self::Nested(io) => Pin::new(&mut **io).poll_read(cx, buf),
            Self::Unix(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(&mut **io).poll_write(cx, buf),
            Self::Nested(io) => Pin::new(&mut **io).poll_write(cx, buf),
            Self::Unix(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(&mut **io).poll_flush(cx),
            Self::Nested(io) => Pin::new(&mut **io).poll_flush(cx),
            Self::Unix(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(&mut **io).poll_shutdown(cx),
            Self::Nested(io) => Pin::new(&mut **io).poll_shutdown(cx),
            Self::Unix(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
