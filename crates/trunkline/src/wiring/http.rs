//! The HTTP listeners: one thread, one runtime and one socket per core. A request stays on the core that
//! accepted it. The byte-stream doors' listeners live on the same threads. `/mcp` goes to the MCP door, everything else to the API.

mod connection;
mod events;
mod head;
mod memory;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ::http::Request;
use axum::Router;
use http_body_util::Either;
use hyper::body::Incoming;
use mcp_door::Door;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tower::ServiceExt;

use self::connection::{Answering, Answers, Serving};
use super::clients::Clients;
use super::lines::Listeners;
use super::tls::Certificates;
use crate::config::hub::Limits;
use crate::say::Quit;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when the system has no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often a worker that stops looks whether its connections are over.
const LOOK: Duration = Duration::from_millis(10);

/// What every worker serves.
#[derive(Clone)]
pub(crate) struct Served {
    /// What answers.
    pub(crate) faces: Arc<Faces>,
    /// Limits of connections.
    pub(crate) limits: Limits,
    /// Certificates, where TLS is spoken.
    pub(crate) certificates: Option<Arc<Certificates>>,
    /// Client connections that are open, on all doors.
    pub(crate) places: Places,
    /// Where the hub is in its life.
    pub(crate) phase: watch::Receiver<Phase>,
}

/// What answers requests, by path.
pub(crate) struct Faces {
    /// MCP.
    pub(crate) door: Arc<Door>,
    /// Everything else.
    pub(crate) router: Router,
    /// Whose requests they are.
    pub(crate) clients: Clients,
}

/// Where a hub is in its life. Only moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Takes work.
    Running,
    /// Takes no new connections; what was asked is still answered.
    Draining,
    /// What is still open is closed.
    Over,
}

/// Counts client connections against `limits.connections`.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Counted>);

#[derive(Default)]
struct Counted {
    open: AtomicUsize,
    /// That they are all taken has been said, until one is free again.
    is_told: AtomicBool,
}

/// One of them; gives it back when dropped.
pub(crate) struct Place(Arc<Counted>);

// === impl Places ===

impl Places {
    /// A place, unless all `max` are taken, which is then said once.
    pub(crate) fn take(&self, max: usize) -> Option<Place> {
        let counted = &self.0;
        let more = |open: usize| (open < max).then(|| open + 1);
        if counted.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok() {
            return Some(Place(Arc::clone(counted)));
        }
        if !counted.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(max, "client connections are refused: limits.connections are open");
        }
        None
    }

    /// How many are taken.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.is_told.store(false, Ordering::Relaxed);
    }
}

/// Waits until the hub has come so far; at once when it is gone.
pub(crate) async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // An error means that the hub was dropped, which is over.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// Starts one worker thread per socket. They end when `stopping` turns true and their connections are over.
pub(crate) fn start(
    sockets: Vec<std::net::TcpListener>,
    lines: Vec<Listeners>,
    served: &Served,
) -> Result<Vec<JoinHandle<()>>, Quit> {
    let mut threads = Vec::with_capacity(sockets.len());
    let mut lines = lines.into_iter();
    for (index, socket) in sockets.into_iter().enumerate() {
        let lines = lines.next().unwrap_or_default();
        let served = served.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Quit::failed(format!("no runtime for a worker: {error}")))?;
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || runtime.block_on(work(socket, lines, served)))
            .map_err(|error| Quit::failed(format!("no thread for a worker: {error}")))?;
        threads.push(thread);
    }
    Ok(threads)
}

async fn work(socket: std::net::TcpListener, lines: Listeners, served: Served) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a worker cannot use its socket");
            return;
        }
    };
    let mut phase = served.phase.clone();
    let own = Places::default();
    let let_go = Arc::default();
    lines.serve(&served, &own);
    tokio::spawn(memory::give_back(Arc::clone(&let_go)));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = reached(&mut phase, Phase::Draining) => break,
        };
        match accepted {
            Ok((stream, peer)) => accept(stream, peer, &served, &own, &let_go),
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // The worker's runtime has to live for as long as its connections do, and they end when the hub does.
    while own.open() > 0 {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = reached(&mut phase, Phase::Over) => return,
        }
    }
}

fn accept(mut stream: TcpStream, peer: SocketAddr, served: &Served, own: &Places, let_go: &Arc<Notify>) {
    let Some(place) = served.places.take(served.limits.connections) else {
        tokio::spawn(async move {
            let full = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(full)).await;
        });
        return;
    };
    let places = [Some(place), own.take(usize::MAX)];
    // Answers are small and complete: waiting to fill a packet only adds latency.
    let _ = stream.set_nodelay(true);
    let serving = Serving {
        answers: Arc::clone(&served.faces),
        peer: peer.ip(),
        header_bytes: served.limits.header_bytes,
        phase: served.phase.clone(),
        let_go: Arc::clone(let_go),
    };
    let acceptor = served.certificates.as_ref().map(|certificates| certificates.acceptor());
    tokio::spawn(async move {
        match acceptor {
            None => connection::serve(stream, places, &serving).await,
            // In a box: without TLS, nobody should hold room for its state.
            Some(acceptor) => Box::pin(serve_tls(acceptor, stream, places, peer, &serving)).await,
        }
    });
}

async fn serve_tls(
    acceptor: tokio_rustls::TlsAcceptor,
    stream: TcpStream,
    places: wire::Places,
    peer: SocketAddr,
    serving: &Serving<Faces>,
) {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => connection::serve(stream, places, serving).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
    }
}

impl Answers for Faces {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: IpAddr) -> Answering {
        Box::pin(async move {
            let client = self.clients.address(peer, request.headers());
            let path = request.uri().path();
            let answered = if path == "/mcp" || path.starts_with("/mcp/") {
                self.door.handle(request).await.map(Either::Left)
            } else {
                let Ok(answered) = self.router.clone().oneshot(request).await;
                answered.map(Either::Right)
            };
            self.clients.refused(client, answered.status());
            answered
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn places_are_bounded_and_come_back() {
        let places = Places::default();
        let first = places.take(2);
        let second = places.take(2);
        assert!(first.is_some() && second.is_some() && places.take(2).is_none());
        drop(first);
        assert_eq!(places.open(), 1);
        assert!(places.take(2).is_some());
    }
}
