//! HTTP+SSE, the transport of revision 2024-11-05 (deprecated by the protocol, kept for old clients):
//! a GET stream whose first event names the URL to post to, and answers that come over the stream.

use std::sync::{Arc, LazyLock, Mutex};

use ahash::AHashMap;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{Method as Verb, Request, Response, StatusCode};
use model::{Caller, Code, Fault};
use tokio::sync::mpsc;
use wire::sse;

use crate::Door;
use crate::conversation::{Conversation, Task};
use crate::endpoint::Endpoint;
use crate::http::{DoorBody, EventStream, empty, read, refusal, streamed};
use crate::session::lock;

/// Streams open at once on this node.
const STREAMS_MAX: usize = 50_000;

struct Open {
    conversation: Arc<Conversation>,
    tasks: mpsc::Sender<Task>,
    principal: Arc<str>,
    endpoint: Endpoint,
}

/// The open streams of this process by the random name in their posting URL.
static STREAMS: LazyLock<Mutex<AHashMap<String, Open>>> = LazyLock::new(Mutex::default);

pub(crate) async fn handle(
    door: &Arc<Door>,
    caller: Arc<Caller>,
    endpoint: Endpoint,
    request: Request<hyper::body::Incoming>,
) -> Response<DoorBody> {
    if !door.settings().has_sse {
        let fault = Fault::new(Code::UNSUPPORTED, "HTTP+SSE is switched off")
            .with_hint("set `mcp.sse: true`, or use Streamable HTTP");
        return refusal(StatusCode::NOT_FOUND, &fault);
    }
    match *request.method() {
        Verb::GET => open(door, caller, endpoint),
        Verb::POST => post(door, &caller, &endpoint, request).await,
        _ => refusal(StatusCode::METHOD_NOT_ALLOWED, &Fault::new(Code::BAD_MESSAGE, "use GET or POST here")),
    }
}

fn open(door: &Arc<Door>, caller: Arc<Caller>, endpoint: Endpoint) -> Response<DoorBody> {
    let mut random = [0; 16];
    door.parts().entropy.fill(&mut random);
    let name = model::hex(&random);
    let conversation = Conversation::new(door, Arc::clone(&caller), None, endpoint.clone());
    let (tasks, received) = mpsc::channel(64);
    let open = Open {
        conversation: Arc::clone(&conversation),
        tasks,
        principal: Arc::clone(&caller.principal),
        endpoint: endpoint.clone(),
    };
    {
        let mut streams = lock(&STREAMS);
        if streams.len() >= STREAMS_MAX {
            let fault = Fault::new(Code::BUSY, format!("{STREAMS_MAX} streams are open already"));
            return refusal(StatusCode::SERVICE_UNAVAILABLE, &fault);
        }
        streams.insert(name.clone(), open);
    }
    let work = tokio::spawn(run(received, door.settings().open_calls_max));
    let url = format!("{endpoint}/sse?sessionId={name}");
    let first = sse::named_event("endpoint", None, url.as_bytes());
    let stream =
        EventStream::new(Arc::clone(&conversation.outbox), None, Some(Box::new(Closing { name, work })));
    streamed(stream.starting_with_event(&first))
}

/// Runs what messages ask for, until the stream is closed.
async fn run(mut received: mpsc::Receiver<Task>, open_calls_max: usize) {
    let mut tasks = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = tasks.next(), if !tasks.is_empty() => {}
            task = received.recv(), if tasks.len() < open_calls_max => match task {
                Some(task) => tasks.push(task),
                None => return,
            },
        }
    }
}

async fn post(
    door: &Arc<Door>,
    caller: &Caller,
    endpoint: &Endpoint,
    request: Request<hyper::body::Incoming>,
) -> Response<DoorBody> {
    let query = request.uri().query().unwrap_or_default();
    let name =
        query.split('&').find_map(|pair| pair.strip_prefix("sessionId=")).unwrap_or_default().to_owned();
    let found = {
        let streams = lock(&STREAMS);
        let open = streams.get(&name).filter(|o| o.principal == caller.principal && o.endpoint == *endpoint);
        open.map(|o| (Arc::clone(&o.conversation), o.tasks.clone()))
    };
    let Some((conversation, tasks)) = found else {
        let fault = Fault::new(Code::STALE_STATE, "no stream is open under this sessionId")
            .with_hint("open it with GET first");
        return refusal(StatusCode::NOT_FOUND, &fault);
    };
    let body = match read(request.into_body(), door.settings().body_bytes_max).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    if let Some(task) = conversation.take(&body)
        && tasks.send(task).await.is_err()
    {
        return refusal(
            StatusCode::NOT_FOUND,
            &Fault::new(Code::STALE_STATE, "the stream has just been closed"),
        );
    }
    empty(StatusCode::ACCEPTED)
}

/// Ends a conversation with its stream.
struct Closing {
    name: String,
    work: tokio::task::JoinHandle<()>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        lock(&STREAMS).remove(&self.name);
        self.work.abort();
    }
}
