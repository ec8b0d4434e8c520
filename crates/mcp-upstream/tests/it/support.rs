//! Fake servers, a fake client, and the settings that every scene starts from.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connector::{Abilities, AskError, Connector, Ctx, Downstream, Outcome, Peer, Question, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use mcp_upstream::{EraChoice, McpUpstream, Parts, Sessions, Settings, Transport};
use model::{Access, CallKind, Caller, Era, Fault, Owner, SeededEntropy, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

/// One request as a fake HTTP server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub verb: String,
    pub path: String,
    pub headers: hyper::HeaderMap,
    pub body: Value,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    pub fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or("")
    }

    /// A result for this request.
    pub fn result(&self, result: Value) -> Reply {
        Reply::json(200, json!({"jsonrpc":"2.0","id":self.body["id"],"result":result}))
    }

    pub fn error(&self, status: u16, code: i64, data: Value) -> Reply {
        Reply::json(
            status,
            json!({"jsonrpc":"2.0","id":self.body["id"],"error":{"code":code,"message":"no","data":data}}),
        )
    }
}

/// What a fake HTTP server answers.
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: mpsc::Receiver<String>,
}

impl Reply {
    pub fn text(status: u16, kind: &str, text: String) -> Self {
        let (sender, body) = mpsc::channel(1);
        sender.try_send(text).unwrap();
        Self { status, headers: vec![("content-type", kind.to_owned())], body }
    }

    pub fn json(status: u16, body: Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: mpsc::channel(1).1 }
    }

    /// A stream of raw event text; it ends when the sender is dropped.
    pub fn events() -> (mpsc::Sender<String>, Self) {
        let (sender, body) = mpsc::channel(64);
        (sender, Self { status: 200, headers: vec![("content-type", "text/event-stream".to_owned())], body })
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// The text of one event.
pub fn event(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}

/// A fake HTTP server.
pub struct FakeHttp {
    pub url: String,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    /// Response bodies that were dropped by the client before their end.
    pub cut: Arc<AtomicUsize>,
}

impl FakeHttp {
    pub async fn start(handler: impl Fn(Seen) -> Future<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let cut: Arc<AtomicUsize> = Arc::default();
        let handler = Arc::new(handler);
        let (log, cuts) = (Arc::clone(&seen), Arc::clone(&cut));
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (handler, log, cuts) = (Arc::clone(&handler), Arc::clone(&log), Arc::clone(&cuts));
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
                        let (handler, log, cuts) =
                            (Arc::clone(&handler), Arc::clone(&log), Arc::clone(&cuts));
                        async move {
                            let (head, body) = request.into_parts();
                            let body = body.collect().await.unwrap().to_bytes();
                            let seen = Seen {
                                verb: head.method.to_string(),
                                path: head.uri.to_string(),
                                headers: head.headers,
                                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                            };
                            log.lock().unwrap().push(seen.clone());
                            let reply = handler(seen).await;
                            let mut response =
                                Response::builder().status(StatusCode::from_u16(reply.status).unwrap());
                            for (name, value) in reply.headers {
                                response = response.header(name, value);
                            }
                            let state = (reply.body, CutGuard(cuts, false));
                            let stream =
                                futures_util::stream::unfold(state, |(mut body, mut guard)| async move {
                                    match body.recv().await {
                                        Some(text) => Some((
                                            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(text))),
                                            (body, guard),
                                        )),
                                        None => {
                                            guard.finished();
                                            None
                                        }
                                    }
                                });
                            Ok::<_, std::convert::Infallible>(response.body(StreamBody::new(stream)).unwrap())
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Self { url, seen, cut }
    }

    pub fn seen(&self, method: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.method() == method).cloned().collect()
    }
}

struct CutGuard(Arc<AtomicUsize>, bool);

impl CutGuard {
    fn finished(&mut self) {
        self.1 = true;
    }
}

impl Drop for CutGuard {
    fn drop(&mut self) {
        if !self.1 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A fake server over TCP lines: `handler` gets each message and a way to send.
pub async fn fake_lines(
    handler: impl Fn(Value, mpsc::UnboundedSender<String>) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let handler = Arc::new(handler);
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
            tokio::spawn(async move {
                let (read, mut write) = socket.into_split();
                let (out, mut queue) = mpsc::unbounded_channel::<String>();
                tokio::spawn(async move {
                    while let Some(line) = queue.recv().await {
                        if line == "HANG UP" || write.write_all(format!("{line}\n").as_bytes()).await.is_err()
                        {
                            break;
                        }
                    }
                });
                let mut lines = BufReader::new(read).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let message: Value = serde_json::from_str(&line).unwrap();
                    log.lock().unwrap().push(message.clone());
                    handler(message, out.clone());
                }
            });
        }
    });
    (address, seen)
}

pub fn answer(message: &Value, result: Value) -> String {
    json!({"jsonrpc":"2.0","id":message["id"],"result":result}).to_string()
}

pub fn refuse(message: &Value, code: i64) -> String {
    json!({"jsonrpc":"2.0","id":message["id"],"error":{"code":code,"message":"no"}}).to_string()
}

/// What an `initialize` is answered with.
pub fn greeting() -> Value {
    json!({"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"logging":{},"resources":{"subscribe":true}},
        "serverInfo":{"name":"fake","version":"1"},"instructions":"be kind"})
}

/// What a `server/discover` is answered with.
pub fn discovery() -> Value {
    json!({"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,
        "cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"fake","version":"2"}}})
}

pub fn tool(name: &str) -> Value {
    json!({"name":name,"description":"d","inputSchema":{"type":"object"},"vendorField":1.5})
}

pub fn settings(transport: Transport) -> Settings {
    Settings {
        key: "up".parse().unwrap(),
        transport,
        headers: Vec::new(),
        era: EraChoice::Auto,
        sessions: Sessions::Auto,
        timeout_ms: 20_000,
        connect_timeout_ms: 20_000,
        line_bytes_max: 1 << 20,
        result_bytes_max: 1 << 20,
        route: outbound::Route::new(
            outbound::EgressRule { private_allowed: true },
            outbound::target::CONNECT_TIMEOUT,
        ),
        tokens: None,
        idle_stop_ms: None,
    }
}

pub fn parts() -> Parts {
    Parts {
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SeededEntropy::new(1)),
        client: outbound::Client::new(),
        // `cat` ends with the pipe it reads, and so with this test.
        guard: Arc::new(process::Guard::start("/bin/cat".as_ref(), "-").unwrap()),
        facts: None,
    }
}

/// Starts an upstream and waits until it answers.
pub async fn up(settings: Settings) -> Arc<McpUpstream> {
    let upstream = McpUpstream::start(settings, parts());
    eventually("the upstream is connected", || {
        let state = upstream.state();
        state.status == model::ConnectionStatus::Connected && upstream.inventory().generation > 0
    })
    .await;
    upstream
}

/// Waits for something to become true.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// A client that writes down what it hears and answers every question the same way.
#[derive(Default)]
pub struct Client {
    pub heard: Mutex<Vec<(String, Value)>>,
    pub asked: Mutex<Vec<(String, Value)>>,
    pub answer: Option<Value>,
}

#[async_trait]
impl Downstream for Client {
    fn notify(&self, method: &str, params: Bytes) {
        let params = serde_json::from_slice(&params).unwrap();
        self.heard.lock().unwrap().push((method.to_owned(), params));
    }

    async fn ask(&self, question: Question) -> Result<Bytes, AskError> {
        let params = serde_json::from_slice(&question.params).unwrap();
        self.asked.lock().unwrap().push((question.method.to_string(), params));
        match &self.answer {
            Some(answer) => Ok(Bytes::from(answer.to_string())),
            None => Err(AskError::NoAnswer),
        }
    }
}

/// The surroundings of a call.
pub fn ctx(peer: Peer, client: &Arc<Client>, principal: &str) -> Ctx {
    let (clock, entropy) = (SystemClock::new(), SeededEntropy::new(2));
    let owner = Owner { workspace: model::Id::new(&clock, &entropy), user: model::Id::new(&clock, &entropy) };
    Ctx {
        call: model::Id::new(&clock, &entropy),
        caller: Arc::new(Caller {
            owner,
            api_key: None,
            principal: principal.into(),
            access: Arc::new(Access::everything()),
        }),
        peer: Arc::new(peer),
        downstream: Arc::clone(client) as Arc<dyn Downstream>,
        deadline: tokio::time::Instant::now() + Duration::from_secs(20),
    }
}

pub fn plain() -> Ctx {
    ctx(Peer::plain(), &Arc::default(), "someone")
}

/// A legacy client that can fill in forms.
pub fn form_peer() -> Peer {
    Peer {
        era: Some(Era::Legacy),
        abilities: Abilities { elicit_form: true, ..Abilities::default() },
        ..Peer::plain()
    }
}

pub fn modern_peer() -> Peer {
    Peer { era: Some(Era::Modern), protocol_version: "2026-07-28".into(), ..Peer::plain() }
}

pub fn request(target: &str, params: Value) -> Request {
    Request {
        kind: CallKind::Tool,
        method: "tools/call",
        target: target.into(),
        params: Bytes::from(params.to_string()),
        is_replayable: false,
    }
}

pub fn call(target: &str) -> Request {
    request(target, json!({"name":target,"arguments":{}}))
}

/// The result of a call that was answered.
pub fn done(outcome: Result<Outcome, Fault>) -> Value {
    match outcome {
        Ok(Outcome::Complete { result, .. }) => serde_json::from_slice(&result).unwrap(),
        other => panic!("not complete: {other:?}"),
    }
}

/// A legacy client that can answer everything.
pub fn all_peer() -> Peer {
    Peer { era: Some(Era::Legacy), abilities: Abilities::ALL, ..Peer::plain() }
}
