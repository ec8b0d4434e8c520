//! MCP over bytes: newline-delimited JSON-RPC on a TCP address and a Unix socket. The door speaks; this
//! only accepts. A connection stays on the worker that accepted it.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;
use std::time::Duration;

use mcp_door::{Door, LineAuth};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::http::{Phase, Places, Served, reached};
use crate::say::Quit;

/// How long to wait when the system has no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The byte-stream listeners of one worker.
#[derive(Default)]
pub(crate) struct Listeners {
    tcp: Option<std::net::TcpListener>,
    unix: Option<StdUnixListener>,
}

/// What accepting takes.
#[derive(Clone)]
struct Lines {
    served: Served,
    /// The worker's own connections, for which its runtime has to live.
    own: Places,
}

// === impl Listeners ===

impl Listeners {
    /// Spreads listeners over `workers`: each gets its own TCP socket of the same address, and a handle on the
    /// one Unix socket, from which whoever is free takes the next connection.
    pub(crate) fn spread(
        tcp: Vec<std::net::TcpListener>,
        unix: Option<&StdUnixListener>,
        workers: usize,
    ) -> Result<Vec<Self>, Quit> {
        let cannot = |error: io::Error| Quit::failed(format!("a listener cannot be used: {error}"));
        let mut tcp = tcp.into_iter();
        let one = |_| {
            let unix = unix.map(StdUnixListener::try_clone).transpose().map_err(cannot)?;
            Ok(Self { tcp: tcp.next(), unix })
        };
        (0..workers).map(one).collect()
    }

    /// Accepts on the worker's runtime, which this is called in, until the hub stops.
    pub(crate) fn serve(self, served: &Served, own: &Places) {
        let lines = Lines { served: served.clone(), own: own.clone() };
        let failed = |error: io::Error| tracing::error!(%error, "a worker cannot use its socket");
        match self.tcp.map(TcpListener::from_std).transpose() {
            Ok(Some(listener)) => drop(tokio::spawn(lines.clone().serve_tcp(listener))),
            Ok(None) => {}
            Err(error) => failed(error),
        }
        match self.unix.map(UnixListener::from_std).transpose() {
            Ok(Some(listener)) => drop(tokio::spawn(lines.serve_unix(listener))),
            Ok(None) => {}
            Err(error) => failed(error),
        }
    }
}

// === impl Lines ===

impl Lines {
    async fn serve_tcp(self, listener: TcpListener) {
        let mut phase = self.served.phase.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = reached(&mut phase, Phase::Draining) => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    let (reader, writer) = stream.into_split();
                    self.converse(reader, writer);
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn serve_unix(self, listener: UnixListener) {
        let mut phase = self.served.phase.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = reached(&mut phase, Phase::Draining) => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (reader, writer) = stream.into_split();
                    self.converse(reader, writer);
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    fn converse<R, W>(&self, reader: R, writer: W)
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let served = &self.served;
        // A connection too many is closed at once: there is no line yet in which to say why.
        let Some(place) = served.places.take(served.limits.connections) else {
            return;
        };
        let mine = self.own.take(usize::MAX);
        let door: Arc<Door> = Arc::clone(&served.faces.door);
        let mut phase = served.phase.clone();
        tokio::spawn(async move {
            let (_place, _mine) = (place, mine);
            tokio::select! {
                () = door.serve_lines(reader, writer, LineAuth::FirstLine) => {}
                () = reached(&mut phase, Phase::Over) => {}
            }
        });
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "a connection was not accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
