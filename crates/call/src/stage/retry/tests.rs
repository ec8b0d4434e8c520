//! Scenes of calls that fail and are tried again, or not, in time that the test holds.

use std::sync::Mutex;

use connector::{Event, Inventory, Peer, Silent, State, Tool};
use ledger::Recorder;
use model::id::{UserId, WorkspaceId};
use model::{
    Access, CallKind, CallRecord, Caller, Code, Condition, ConnectionStatus, ManualClock, Owner,
    SeededEntropy, Timestamp,
};
use tokio::sync::{broadcast, watch};

use super::*;
use crate::{Call, Mount, MountSettings, Parts, Pipeline};

/// Fails as it is told, then answers.
struct Shaky {
    faults: Mutex<Vec<Fault>>,
    called_at: Mutex<Vec<Instant>>,
    asks: bool,
    inventory: Arc<Inventory>,
}

impl Shaky {
    /// The first fault first. Has the tools `pay`, which does something, and `look`, which claims to only read.
    fn new(faults: &[Fault]) -> Self {
        let tool = |name: &str| {
            Arc::new(Tool {
                name: name.into(),
                raw: Bytes::from_static(b"{}"),
                description: "".into(),
                input_schema: Bytes::from_static(b"{\"type\":\"object\"}"),
                output_schema: None,
                claims_read_only: name == "look",
                claims_idempotent: false,
            })
        };
        let inventory = Inventory {
            tools: vec![tool("pay"), tool("look")],
            capabilities: Some(Bytes::from_static(b"{}")),
            ..Inventory::default()
        };
        Self {
            faults: Mutex::new(faults.iter().rev().cloned().collect()),
            called_at: Mutex::default(),
            asks: false,
            inventory: Arc::new(inventory),
        }
    }
}

#[async_trait]
impl Connector for Shaky {
    fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(&self.inventory)
    }
    fn changes(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        broadcast::Sender::new(1).subscribe()
    }
    fn state(&self) -> State {
        State {
            status: ConnectionStatus::Connected,
            condition: Condition::Started,
            reason: None,
            code: None,
            transport: "http",
            era: None,
            protocol_version: None,
            server: None,
            pid: None,
            restarts: 0,
        }
    }
    async fn call(&self, ctx: &Ctx, _request: Request) -> Result<Outcome, Fault> {
        self.called_at.lock().unwrap().push(Instant::now());
        if self.asks {
            let question = Question { method: "roots/list".into(), params: Bytes::from_static(b"{}") };
            assert!(ctx.downstream.ask(question).await.is_err(), "nobody answers in these scenes");
        }
        let fault = self.faults.lock().unwrap().pop();
        match fault {
            Some(fault) => Err(fault),
            None => Ok(Outcome::Complete { result: Bytes::from_static(b"{}"), is_error: false }),
        }
    }
    async fn refresh(&self) -> Result<(), Fault> {
        Ok(())
    }
    async fn subscribe(&self, _uri: &str) -> Result<(), Fault> {
        Ok(())
    }
    async fn unsubscribe(&self, _uri: &str) {}
    async fn close(&self) {}
}

/// How a call ended: what came, when the connector was called (milliseconds from the start), and its record.
struct Ended {
    outcome: Result<Outcome, Fault>,
    called_ms: Vec<u128>,
    record: CallRecord,
}

impl Ended {
    fn stages(&self) -> Vec<&'static str> {
        let all = self.record.stages.iter().map(|note| note.stage);
        all.skip_while(|stage| *stage != "connector").collect()
    }
}

async fn call(shaky: Shaky, tool: &str, settings: MountSettings) -> Ended {
    let (clock, entropy) = (Arc::new(ManualClock::at(Timestamp(0))), Arc::new(SeededEntropy::new(7)));
    let recorder = Arc::new(Recorder::memory().unwrap());
    let kept: Arc<Mutex<Vec<CallRecord>>> = Arc::default();
    let keeping = Arc::clone(&kept);
    recorder.observe(move |record| keeping.lock().unwrap().push(record.clone()));
    let owner =
        Owner { workspace: WorkspaceId::new(&*clock, &*entropy), user: UserId::new(&*clock, &*entropy) };
    let pipeline = Pipeline::new(Parts { clock, entropy, recorder: Arc::clone(&recorder) });
    let shaky = Arc::new(shaky);
    let key: model::Key = "shop".parse().unwrap();
    let connector = Arc::clone(&shaky) as Arc<dyn Connector>;
    pipeline.mount(vec![Mount { key: key.clone(), connector, settings }], Vec::new());
    let caller =
        Caller { owner, api_key: None, principal: "ada".into(), access: Arc::new(Access::everything()) };
    let began = Instant::now();
    let outcome = pipeline
        .call(Call {
            id: pipeline.new_id(),
            caller: Arc::new(caller),
            door: "call",
            connection: key,
            request: Request {
                kind: CallKind::Tool,
                method: "tools/call",
                target: tool.into(),
                params: Bytes::from_static(b"{}"),
                is_replayable: false,
            },
            arguments: None,
            peer: Arc::new(Peer::plain()),
            downstream: Arc::new(Silent),
        })
        .await;
    // The ledger's thread shows records to observers; closed, it has shown them all.
    recorder.close().await;
    let record = kept.lock().unwrap().pop().unwrap();
    let called = shaky.called_at.lock().unwrap();
    let called_ms = called.iter().map(|at| at.duration_since(began).as_millis()).collect();
    Ended { outcome, called_ms, record }
}

fn retries(count: u32) -> MountSettings {
    MountSettings { retry_count: count, ..MountSettings::default() }
}

fn unsent() -> Fault {
    Fault::new(Code::UNREACHABLE, "nobody is there").with_retry(Retry::Safe)
}

fn unknown() -> Fault {
    Fault::new(Code::GONE_MIDWAY, "closed the connection")
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_tried_again_after_growing_waits_and_each_try_is_in_the_record() {
    let ended = call(Shaky::new(&[unsent(), unsent()]), "pay", retries(3)).await;
    assert!(ended.outcome.is_ok());
    let [first, second, third] = ended.called_ms[..] else { panic!("{:?}", ended.called_ms) };
    assert!(first == 0 && (50..=101).contains(&second) && (100..=202).contains(&(third - second)));
    assert_eq!(ended.stages(), ["connector", "retry", "connector", "retry", "connector"]);
    assert_eq!((ended.record.refused_by, ended.record.code), (None, None));
}

#[tokio::test(start_paused = true)]
async fn without_a_retry_count_nothing_is_tried_again() {
    let ended = call(Shaky::new(&[unsent()]), "look", retries(0)).await;
    assert_eq!(ended.outcome.unwrap_err(), unsent());
    assert_eq!(ended.called_ms, [0]);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_try_its_fault_is_the_answer() {
    let last = Fault::new(Code::UNREACHABLE, "still nobody").with_retry(Retry::Safe);
    let ended = call(Shaky::new(&[unsent(), unsent(), last.clone(), unsent()]), "pay", retries(2)).await;
    assert_eq!(ended.called_ms.len(), 3);
    assert_eq!(ended.record.refused_by, Some("connector"));
    assert_eq!(ended.outcome.unwrap_err(), last);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_happened_happens_again_only_where_somebody_said_that_it_may() {
    let patient = Fault::new(Code::UNREACHABLE, "HTTP 503").with_retry(Retry::AfterMs(3000));
    for fault in [unknown(), patient] {
        let ended = call(Shaky::new(std::slice::from_ref(&fault)), "pay", retries(5)).await;
        assert_eq!((ended.called_ms.len(), ended.outcome.unwrap_err()), (1, fault.clone()), "a payment");

        let ended = call(Shaky::new(std::slice::from_ref(&fault)), "look", retries(5)).await;
        assert!(ended.outcome.is_ok() && ended.called_ms.len() == 2, "it claims that it only reads");
        assert!(fault.retry == Retry::OutcomeUnknown || ended.called_ms[1] >= 3000, "it asked for patience");

        let repeatable = vec![policy::Pattern::compile("p*").unwrap()];
        let ended = call(Shaky::new(&[fault]), "pay", MountSettings { repeatable, ..retries(5) }).await;
        assert!(ended.outcome.is_ok() && ended.called_ms.len() == 2, "the operator says that it may");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_the_same_way_again_is_not_tried_again() {
    let never = Fault::new(Code::UPSTREAM_REFUSED, "HTTP 403");
    let too_large = Fault::new(Code::ANSWER_TOO_LARGE, "a gigabyte").with_retry(Retry::OutcomeUnknown);
    for fault in [never, too_large] {
        let ended = call(Shaky::new(&[fault]), "look", retries(5)).await;
        assert!(ended.outcome.is_err() && ended.called_ms == [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_the_same_twice() {
    let shaky = Shaky { asks: true, ..Shaky::new(&[unsent()]) };
    let ended = call(shaky, "look", retries(5)).await;
    assert_eq!((ended.called_ms.len(), ended.outcome.unwrap_err()), (1, unsent()));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_leads_beyond_the_time_of_the_call_is_not_begun() {
    let patient = Fault::new(Code::UNREACHABLE, "HTTP 503").with_retry(Retry::AfterMs(3000));
    let settings = MountSettings { timeout_ms: 2000, ..retries(5) };
    let ended = call(Shaky::new(std::slice::from_ref(&patient)), "look", settings).await;
    assert_eq!((ended.called_ms, ended.outcome.unwrap_err()), (vec![0], patient));
}

#[test]
fn waits_double_up_to_the_longest_and_are_not_the_same_for_all() {
    let entropy = SeededEntropy::new(7);
    for (tries, ceiling_ms) in [(0, 100), (1, 200), (5, 3200), (6, 5000), (u32::MAX, 5000)] {
        let waits: Vec<_> = (0..50).map(|_| jittered(tries, &entropy)).collect();
        let ceiling = Duration::from_millis(ceiling_ms);
        assert!(waits.iter().all(|wait| (ceiling / 2..=ceiling).contains(wait)), "{tries}: {waits:?}");
        assert!(waits.iter().any(|wait| wait != &waits[0]));
    }
}
