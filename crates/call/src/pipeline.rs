//! The pipeline itself: the stages of a call, in order, and the snapshot they read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ahash::AHashMap;
use arc_swap::ArcSwap;
use bytes::Bytes;
use connector::{Ctx, Downstream, Outcome, Peer, Request};
use ledger::Recorder;
use model::id::CallId;
use model::{CallKind, CallOutcome, CallRecord, Caller, Clock, Code, Entropy, Fault, Key, StageNote};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use crate::pausing::Pausing;
use crate::snapshot::{Mount, Mounted, Snapshot, Toolset};
use crate::{keeper, stage};

/// What the pipeline is made of.
pub struct Parts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Where records go.
    pub recorder: Arc<Recorder>,
}

/// One use of one connection, as a door asks for it.
pub struct Call {
    /// Its id, from [`Pipeline::new_id`]: the door tells it to the caller, the record keeps it.
    pub id: CallId,
    /// Who asks; the door has authenticated it.
    pub caller: Arc<Caller>,
    /// Which door: `mcp`, `call`.
    pub door: &'static str,
    /// Of which connection.
    pub connection: Key,
    /// What, with the upstream's own names.
    pub request: Request,
    /// The raw `arguments` of a tool call, for checking; `None` counts as `{}`.
    pub arguments: Option<Bytes>,
    /// What the calling client is.
    pub peer: Arc<Peer>,
    /// The way back to it.
    pub downstream: Arc<dyn Downstream>,
}

/// The one way in which connections are used.
pub struct Pipeline {
    parts: Parts,
    snapshot: ArcSwap<Snapshot>,
    generation: watch::Sender<u64>,
    mounts: Mutex<Mounts>,
    woken: Arc<Notify>,
}

#[derive(Default)]
struct Mounts {
    mounts: BTreeMap<Key, (Mount, JoinHandle<()>)>,
    toolsets: BTreeMap<Key, Arc<Toolset>>,
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for (_, watcher) in self.mounts.values() {
            watcher.abort();
        }
    }
}

/// How much longer than its timeout a call may take while its caller is being asked.
const ASKING_MAX: Duration = Duration::from_secs(3600);
/// How many bytes of arguments a record keeps.
const RECORDED_ARGUMENTS_MAX: usize = 16 * 1024;

impl Pipeline {
    /// An empty pipeline. Has to be made inside a runtime: it keeps its snapshot up to date from there.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let pipeline = Arc::new(Self {
            parts,
            snapshot: ArcSwap::default(),
            generation: watch::Sender::new(0),
            mounts: Mutex::default(),
            woken: Arc::new(Notify::new()),
        });
        tokio::spawn(keeper::run(Arc::downgrade(&pipeline), Arc::clone(&pipeline.woken)));
        pipeline
    }

    /// What is connected right now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Changes with every new snapshot.
    #[must_use]
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Where records are kept.
    #[must_use]
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.parts.recorder
    }

    /// Replaces what is mounted. Connections that stay (the same connector) are not disturbed; calls in
    /// flight finish on what they started with. Has to be called inside a runtime.
    pub fn mount(&self, mounts: Vec<Mount>, toolsets: Vec<Toolset>) {
        {
            let mut held = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
            let mut before = std::mem::take(&mut held.mounts);
            for mount in mounts {
                let kept = before.remove(&mount.key);
                let watcher = match kept {
                    Some((old, watcher)) if Arc::ptr_eq(&old.connector, &mount.connector) => watcher,
                    other => {
                        if let Some((_, watcher)) = other {
                            watcher.abort();
                        }
                        keeper::watch(&mount, &self.woken)
                    }
                };
                held.mounts.insert(mount.key.clone(), (mount, watcher));
            }
            for (_, watcher) in before.into_values() {
                watcher.abort();
            }
            held.toolsets = toolsets.into_iter().map(|set| (set.key.clone(), Arc::new(set))).collect();
        }
        self.rebuild();
    }

    /// Makes a new snapshot from what is mounted.
    pub(crate) fn rebuild(&self) {
        // The lock is held to the end: two rebuilds at once must not publish in the wrong order.
        let held = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot.load();
        let connections = held
            .mounts
            .iter()
            .map(|(key, (mount, _))| {
                (key.clone(), Arc::new(Mounted::new(mount, before.connection(key.as_str()).map(Arc::as_ref))))
            })
            .collect();
        let generation = before.generation + 1;
        self.snapshot.store(Arc::new(Snapshot::new(generation, connections, held.toolsets.clone())));
        self.generation.send_replace(generation);
    }

    /// Waits for what a gathering list shows: until every connection has answered once or failed, but for each at
    /// most `patience` from the first list on that waited for it. Who comes later does not wait again.
    pub async fn gather(&self, patience: Duration) {
        let mut generations = self.generation.subscribe();
        loop {
            let now = Instant::now();
            let snapshot = self.snapshot.load_full();
            let settling = snapshot.connections().filter(|m| m.is_settling());
            let until = settling.map(|m| *m.awaited.get_or_init(|| now) + patience).max();
            drop(snapshot);
            let Some(until) = until.filter(|until| *until > now) else { return };
            if tokio::time::timeout_at(until, generations.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Waits until the connection (or every one) has answered once or failed, at most until `deadline`.
    pub async fn settle(&self, connection: Option<&str>, deadline: Instant) {
        let mut generations = self.generation.subscribe();
        loop {
            let is_settling = {
                let snapshot = self.snapshot.load();
                match connection {
                    Some(key) => snapshot.connection(key).is_some_and(|m| m.is_settling()),
                    None => snapshot.connections().any(|m| m.is_settling()),
                }
            };
            if !is_settling || tokio::time::timeout_at(deadline, generations.changed()).await.is_err() {
                return;
            }
        }
    }

    /// An id for the next call.
    #[must_use]
    pub fn new_id(&self) -> CallId {
        CallId::new(self.parts.clock.as_ref(), self.parts.entropy.as_ref())
    }

    /// Does one call: every stage, in this order, and a record whatever happens.
    ///
    /// # Errors
    /// The [`Fault`] of the stage that refused, or of the connector when no answer came. Dropping the
    /// future cancels the call upstream and is recorded as cancelled.
    pub async fn call(&self, call: Call) -> Result<Outcome, Fault> {
        let mut trace = Trace::start(self, &call);
        let outcome = self.run_stages(call, &mut trace).await;
        trace.finish(&outcome);
        outcome
    }

    async fn run_stages(&self, call: Call, trace: &mut Trace<'_>) -> Result<Outcome, Fault> {
        let Call { caller, connection, request, arguments, peer, downstream, .. } = call;

        // Find: which connection, and which tool. What is not there cannot be refused for a better reason.
        trace.enter(stage::name::FIND);
        let found =
            stage::find::run(self, &caller.access, &connection, request.kind, &request.target).await?;
        let mounted = &found.mounted;
        trace.found(mounted, arguments.as_deref());

        // Policy: before anything is allocated or sent, and the same answer as for a list. Approvals,
        // rules with conditions and redaction are added here by the policy issue.
        trace.enter(stage::name::POLICY);
        let is_allowed = match &found.tool {
            Some(tool) => stage::access::is_allowed(&caller.access, &tool.full_name),
            None if request.kind == CallKind::Task => {
                stage::access::is_allowed_part(&caller.access, &mounted.key, "")
            }
            None => mounted.may_reach(&caller.access, &request.target),
        };
        if !is_allowed {
            return Err(stage::access::refuse(noun(request.kind), &request.target, mounted.key.as_str()));
        }

        // Validate: arguments against the schema that the caller was shown.
        if let Some(tool) = &found.tool {
            trace.enter(stage::name::VALIDATE);
            stage::validate::run(tool, arguments.as_deref())?;
        }

        // Limit: a place among the calls that may be open at once. Rates, quotas, cache and breaker come
        // between here and the connector; with none configured there is nothing to run.
        trace.enter(stage::name::LIMIT);
        let place = stage::limit::run(mounted)?;

        // Connector: the call itself, for as long as its connection allows. Within that time and holding its
        // place, it is tried again where the connection says so and where it is harmless; what may have
        // happened and must not happen twice is not: a tool runs at most once.
        trace.enter(stage::name::CONNECTOR);
        let timeout = Duration::from_millis(mounted.settings.timeout_ms);
        let plan =
            stage::retry::Plan::new(mounted, found.tool.as_deref(), &request, Instant::now() + timeout);
        let ctx = Ctx { call: trace.id, caller: Arc::clone(&caller), peer, downstream, deadline: plan.until };
        let outcome = self.connect(trace, mounted, ctx, request, plan, timeout).await;
        drop(place);
        outcome
    }

    async fn connect(
        &self,
        trace: &mut Trace<'_>,
        mounted: &Mounted,
        mut ctx: Ctx,
        request: Request,
        plan: stage::retry::Plan,
        timeout: Duration,
    ) -> Result<Outcome, Fault> {
        let late = || {
            let ms = timeout.as_millis();
            Fault::new(Code::TIMEOUT, format!("connection `{}` did not answer within {ms} ms", mounted.key))
                .with_hint("raise `timeout` in its entry if its tools need longer")
        };
        // Each wait and each try has its own time in the record.
        let entered =
            |waits: bool| trace.enter(if waits { stage::name::RETRY } else { stage::name::CONNECTOR });
        let (entropy, connector) = (self.parts.entropy.as_ref(), mounted.connector.as_ref());
        if ctx.peer.abilities == crate::Abilities::default() {
            // Nobody to ask: the clock never stops.
            let work = stage::retry::run(plan, entropy, connector, &ctx, request, entered);
            return tokio::time::timeout_at(ctx.deadline, work).await.unwrap_or_else(|_| Err(late()));
        }
        // The clock is kept here, where it can stop; what the connector sees is only a backstop.
        ctx.deadline += ASKING_MAX;
        let pausing = Arc::new(Pausing::new(Arc::clone(&ctx.downstream)));
        ctx.downstream = Arc::clone(&pausing) as Arc<dyn Downstream>;
        let work = stage::retry::run(plan, entropy, connector, &ctx, request, entered);
        pausing.run(timeout, work).await.unwrap_or_else(|| Err(late()))
    }

    /// How often each connection's calls are open right now, for status pages.
    #[must_use]
    pub fn open_calls(&self) -> AHashMap<Key, usize> {
        let snapshot = self.snapshot.load();
        snapshot
            .connections()
            .map(|m| {
                let max = m.settings.concurrency_max.min(tokio::sync::Semaphore::MAX_PERMITS);
                (m.key.clone(), max.saturating_sub(m.places.available_permits()))
            })
            .collect()
    }
}

const fn noun(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Tool => "tool",
        CallKind::Resource => "resource",
        CallKind::Prompt => "prompt",
        CallKind::Completion => "completion",
        CallKind::Task => "task",
        CallKind::Proxy | CallKind::Test | CallKind::Secret => "way in",
    }
}

/// Writes the record as the call goes. Dropped before it is finished = the caller went away.
struct Trace<'a> {
    pipeline: &'a Pipeline,
    id: CallId,
    started_us: u64,
    entered_us: u64,
    stage: Option<&'static str>,
    /// Taken when it goes to the recorder.
    record: Option<Box<CallRecord>>,
}

impl<'a> Trace<'a> {
    fn start(pipeline: &'a Pipeline, call: &Call) -> Self {
        let clock = &pipeline.parts.clock;
        let started_us = clock.monotonic_us();
        let id = call.id;
        let record = CallRecord {
            id,
            at: clock.now(),
            principal: Arc::clone(&call.caller.principal),
            door: call.door,
            kind: call.request.kind,
            connection: None,
            target: Arc::clone(&call.request.target),
            outcome: CallOutcome::Cancelled,
            code: Some(Code::CANCELLED),
            detail: None,
            refused_by: None,
            duration_us: 0,
            bytes_in: u32::try_from(call.request.params.len()).unwrap_or(u32::MAX),
            bytes_out: 0,
            stages: Vec::with_capacity(5),
            arguments: None,
        };
        Self { pipeline, id, started_us, entered_us: started_us, stage: None, record: Some(Box::new(record)) }
    }

    fn enter(&mut self, stage: &'static str) {
        self.leave();
        self.stage = Some(stage);
    }

    fn leave(&mut self) {
        let now = self.pipeline.parts.clock.monotonic_us();
        if let (Some(stage), Some(record)) = (self.stage, &mut self.record) {
            let us = u32::try_from(now.saturating_sub(self.entered_us)).unwrap_or(u32::MAX);
            record.stages.push(StageNote { stage, us });
        }
        self.entered_us = now;
    }

    fn found(&mut self, mounted: &Mounted, arguments: Option<&[u8]>) {
        let Some(record) = &mut self.record else { return };
        record.connection = Some(mounted.key.clone());
        if mounted.settings.is_recording_arguments {
            let kept = arguments.unwrap_or(b"{}");
            let kept = kept.get(..RECORDED_ARGUMENTS_MAX).unwrap_or(kept);
            record.arguments = Some(String::from_utf8_lossy(kept).into_owned());
        }
    }

    fn finish(&mut self, outcome: &Result<Outcome, Fault>) {
        let Some(record) = &mut self.record else { return };
        match outcome {
            Ok(outcome) => {
                record.code = None;
                record.bytes_out = u32::try_from(outcome.bytes().len()).unwrap_or(u32::MAX);
                record.outcome = match outcome {
                    Outcome::Complete { is_error: false, .. } => CallOutcome::Ok,
                    Outcome::Complete { is_error: true, .. } => CallOutcome::ToolError,
                    Outcome::InputRequired { .. } => CallOutcome::InputRequired,
                    Outcome::Task { .. } => CallOutcome::TaskStarted,
                    Outcome::RpcError { .. } => CallOutcome::RpcError,
                };
            }
            Err(fault) => {
                record.outcome = CallOutcome::Fault;
                record.code = Some(fault.code);
                record.detail = Some(fault.detail.clone());
                record.refused_by = self.stage;
            }
        }
    }
}

impl Drop for Trace<'_> {
    fn drop(&mut self) {
        self.leave();
        if let Some(mut record) = self.record.take() {
            record.duration_us = self.entered_us.saturating_sub(self.started_us);
            self.pipeline.parts.recorder.record(*record);
        }
    }
}
