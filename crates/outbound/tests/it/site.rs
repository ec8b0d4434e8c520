//! What the scenes have in common: listeners that count, sites that answer, and one request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbound::{Client, Head, OutboundError, Outgoing, Response, Route, Target};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// A `GET` of this URL by this route.
pub(crate) async fn get(url: &str, route: &Route) -> Result<Response, OutboundError> {
    let target = Target::parse(url, route)?;
    let head = Head::new();
    Client::new().send(&target, outgoing("GET", &head)).await
}

/// A request without a body.
pub(crate) fn outgoing<'a>(method: &'a str, head: &'a Head) -> Outgoing<'a> {
    let deadline = Instant::now() + Duration::from_secs(10);
    Outgoing { method, head, body: &[], is_replayable: true, deadline }
}

/// Somebody who counts who comes, and says nothing.
pub(crate) struct Listener {
    pub(crate) port: u16,
    seen: Arc<AtomicUsize>,
}

pub(crate) async fn listener(at: &str) -> Listener {
    let listener = TcpListener::bind(at).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    Listener { port, seen }
}

impl Listener {
    pub(crate) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }

    /// A connection is made by the kernel before the listener hears of it.
    pub(crate) async fn wait_for(&self, count: usize) {
        for _ in 0..200 {
            if self.seen() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} connections instead of {count}", self.seen());
    }
}

/// An HTTP server: one answer per request, made from the request's text.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) port: u16,
    /// The requests that came, heads only.
    pub(crate) log: Arc<Mutex<Vec<String>>>,
    /// Whether each connection showed a client certificate.
    pub(crate) certified: Arc<Mutex<Vec<bool>>>,
    /// How many connections are open.
    open: Arc<AtomicUsize>,
}

type Answer = Arc<dyn Fn(&str) -> String + Send + Sync>;

impl Site {
    pub(crate) async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::start_with(None, answer).await
    }

    pub(crate) async fn start_with(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let site = Self { port, log: Arc::default(), certified: Arc::default(), open: Arc::default() };
        let (mine, answer): (Self, Answer) = (site.clone(), Arc::new(answer));
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (site, answer, tls) = (mine.clone(), Arc::clone(&answer), tls.clone());
                site.open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    match tls {
                        None => site.serve(socket, &answer).await,
                        // A handshake that fails is the client's to tell about.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(socket).await {
                                let shown = stream.get_ref().1.peer_certificates().is_some();
                                site.certified.lock().unwrap().push(shown);
                                site.serve(stream, &answer).await;
                            }
                        }
                    }
                    site.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        site
    }

    async fn serve(&self, mut socket: impl AsyncRead + AsyncWrite + Unpin, answer: &Answer) {
        let mut text = Vec::new();
        loop {
            let mut byte = [0];
            if !matches!(socket.read(&mut byte).await, Ok(1)) {
                return;
            }
            text.push(byte[0]);
            if text.ends_with(b"\r\n\r\n") {
                let request = String::from_utf8(std::mem::take(&mut text)).unwrap();
                let said = answer(&request);
                self.log.lock().unwrap().push(request);
                socket.write_all(said.as_bytes()).await.unwrap();
                socket.flush().await.unwrap();
            }
        }
    }

    /// Until nobody is connected any more.
    pub(crate) async fn wait_for_silence(&self) {
        for _ in 0..200 {
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("connections are still open");
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

/// An answer with this body.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A redirect to this place.
pub(crate) fn to(status: u16, place: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n")
}

/// The path of a request.
pub(crate) fn path(request: &str) -> &str {
    request.split(' ').nth(1).unwrap()
}

/// The body of an answer.
pub(crate) async fn text(response: Response) -> String {
    String::from_utf8(response.body.collect(10_000).await.unwrap().to_vec()).unwrap()
}
