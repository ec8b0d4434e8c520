//! Modern servers over byte streams, called from several workers: each has a socket of its own.

use std::sync::{Arc, Mutex};

use connector::{Connector, Event, ListKind};
use mcp_upstream::{McpUpstream, Transport};
use model::{Code, ConnectionStatus, Fault, Retry};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use crate::support::*;

type Out = UnboundedSender<String>;

/// The server's side: its connections in the order in which they came, and the calls it holds back.
#[derive(Default)]
struct Seen {
    connections: Vec<Out>,
    held: Vec<(usize, Value, Out)>,
    calls: usize,
    lists: usize,
}

impl Seen {
    fn connection(&mut self, out: &Out) -> usize {
        self.connections.iter().position(|known| known.same_channel(out)).unwrap_or_else(|| {
            self.connections.push(out.clone());
            self.connections.len() - 1
        })
    }
}

/// A server that says on which connection a call came, and holds back calls that ask for it. Connections beside
/// the first are answered if `is_open`.
async fn server(is_open: bool) -> (String, Arc<Mutex<Seen>>) {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let log = Arc::clone(&seen);
    let (addr, _) = fake_lines(move |message, out| {
        let mut seen = log.lock().unwrap();
        let at = seen.connection(&out);
        if at > 0 && !is_open {
            return;
        }
        let reply = match message["method"].as_str().unwrap_or("") {
            "server/discover" => discovery(),
            "tools/list" => {
                seen.lists += 1;
                json!({"tools":[tool("any")]})
            }
            "tools/call" => {
                seen.calls += 1;
                if message["params"]["arguments"]["hold"] == true {
                    seen.held.push((at, message, out));
                    return;
                }
                json!({"resultType":"complete","at":at})
            }
            _ => return,
        };
        out.send(answer(&message, reply)).unwrap();
    })
    .await;
    (addr, seen)
}

/// A worker of the hub: a thread with a runtime of its own. Ends when dropped.
struct Worker {
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

impl Worker {
    fn start() -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(stopped));
        Self { runtime: handle, _stop: stop }
    }

    /// Calls, and says on which connection the call went.
    async fn call(&self, upstream: &Arc<McpUpstream>) -> usize {
        let upstream = Arc::clone(upstream);
        let result = self.runtime.spawn(async move { done(upstream.call(&plain(), call("any")).await) });
        usize::try_from(result.await.unwrap()["at"].as_u64().unwrap()).unwrap()
    }

    /// Calls until the worker has a lane, and says which.
    async fn lane(&self, upstream: &Arc<McpUpstream>) -> usize {
        loop {
            let at = self.call(upstream).await;
            if at > 0 {
                return at;
            }
        }
    }

    /// A call that the server holds back: the connection it went on, or the fault.
    fn hold(&self, upstream: &Arc<McpUpstream>) -> tokio::task::JoinHandle<Result<Value, Fault>> {
        let upstream = Arc::clone(upstream);
        self.runtime.spawn(async move {
            let asked = request("any", json!({"name":"any","arguments":{"hold":true}}));
            let outcome = upstream.call(&plain(), asked).await;
            if let Err(fault) = outcome { Err(fault) } else { Ok(done(outcome)) }
        })
    }
}

async fn start(addr: &str) -> (Arc<McpUpstream>, [Worker; 2]) {
    (up(settings(Transport::Tcp { addr: addr.to_owned() })).await, [Worker::start(), Worker::start()])
}

#[tokio::test]
async fn a_lane_that_ends_takes_only_its_own_calls_along() {
    let (addr, seen) = server(true).await;
    let (upstream, [one, two]) = start(&addr).await;
    let lanes = (one.lane(&upstream).await, two.lane(&upstream).await);
    assert_ne!(lanes.0, lanes.1, "each worker has its own");
    assert_eq!(one.call(&upstream).await, lanes.0, "and stays on it");
    let before = seen.lock().unwrap().calls;

    let (cut, kept) = (one.hold(&upstream), two.hold(&upstream));
    eventually("both calls arrive", || seen.lock().unwrap().held.len() == 2).await;
    seen.lock().unwrap().connections[lanes.0].send("HANG UP".to_owned()).unwrap();
    let fault = cut.await.unwrap().unwrap_err();
    assert_eq!((fault.code, fault.retry), (Code::GONE_MIDWAY, Retry::OutcomeUnknown));
    assert!(!kept.is_finished());
    let (at, message, out) =
        seen.lock().unwrap().held.iter().find(|(at, ..)| *at == lanes.1).cloned().unwrap();
    out.send(answer(&message, json!({"resultType":"complete","at":at}))).unwrap();
    assert_eq!(kept.await.unwrap().unwrap()["at"], lanes.1);

    assert_eq!(seen.lock().unwrap().calls, before + 2, "nothing was sent twice");
    let state = upstream.state();
    assert_eq!((state.status, state.restarts), (ConnectionStatus::Connected, 0), "the server is not down");
    let again = one.lane(&upstream).await;
    assert!(again > lanes.0.max(lanes.1), "the lane is opened again: {again}");
    assert_eq!(two.call(&upstream).await, lanes.1, "the other one never moved");
}

#[tokio::test]
async fn what_a_server_tells_everyone_is_heard_once() {
    let (addr, seen) = server(true).await;
    let (upstream, [one, two]) = start(&addr).await;
    let _ = (one.lane(&upstream).await, two.lane(&upstream).await);
    let (lists, mut events) = (seen.lock().unwrap().lists, upstream.events());
    for out in &seen.lock().unwrap().connections {
        for told in [
            json!({"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:b"}}),
            json!({"jsonrpc":"2.0","method":"notifications/tools/list_changed"}),
        ] {
            out.send(told.to_string()).unwrap();
        }
    }
    let _ = (one.call(&upstream).await, two.call(&upstream).await);
    assert!(matches!(events.recv().await.unwrap(), Event::ResourceUpdated { .. }));
    assert!(matches!(events.recv().await.unwrap(), Event::ListChanged(ListKind::Tools)));
    assert!(events.try_recv().is_err(), "not from every lane again");
    assert_eq!(seen.lock().unwrap().lists, lists + 1);
}

#[tokio::test]
async fn a_server_that_takes_one_connection_at_a_time_is_called_on_the_first() {
    let (addr, seen) = server(false).await;
    let (upstream, [one, two]) = start(&addr).await;
    for _ in 0..20 {
        assert_eq!((one.call(&upstream).await, two.call(&upstream).await), (0, 0));
    }
    eventually("lanes were tried", || seen.lock().unwrap().connections.len() == 3).await;
    assert_eq!((one.call(&upstream).await, two.call(&upstream).await), (0, 0));
    assert_eq!(seen.lock().unwrap().connections.len(), 3, "one try per worker, not one per call");
}

#[tokio::test]
async fn a_server_killed_in_the_middle_is_one_fault_per_call_and_one_restart() {
    let (addr, seen) = server(true).await;
    let (upstream, [one, two]) = start(&addr).await;
    let _ = (one.lane(&upstream).await, two.lane(&upstream).await);
    let before = seen.lock().unwrap().calls;
    let held = [one.hold(&upstream), two.hold(&upstream)];
    eventually("both calls arrive", || seen.lock().unwrap().held.len() == 2).await;
    for out in &seen.lock().unwrap().connections {
        out.send("HANG UP".to_owned()).unwrap();
    }
    for call in held {
        let fault = call.await.unwrap().unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::GONE_MIDWAY, Retry::OutcomeUnknown));
    }
    eventually("it is connected again", || {
        let state = upstream.state();
        state.status == ConnectionStatus::Connected && state.restarts == 1
    })
    .await;
    assert_eq!(seen.lock().unwrap().calls, before + 2, "nothing was sent twice");
    // The first three connections are gone for good.
    assert!(one.call(&upstream).await > 2 && two.call(&upstream).await > 2);
    assert_eq!(upstream.state().restarts, 1);
}
