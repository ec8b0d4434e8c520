//! Retry: the call is tried again where that is harmless and the operator asked for it. With `retry_count`
//! 0, the default, this is the connector's call and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connector::{AskError, Connector, Ctx, Downstream, Outcome, Question, Request, Tool};
use model::{Code, Entropy, Fault, Retry};
use tokio::time::Instant;

use crate::snapshot::{Mounted, MountedTool};

/// The wait before the second try; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait that is chosen here. A fault that names a longer one is waited for.
const MAX: Duration = Duration::from_secs(5);

/// How far a call may be tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Further tries.
    pub(crate) count: u32,
    /// Doing it twice is as good as doing it once: it may be tried even if it is unknown whether it happened.
    pub(crate) is_repeatable: bool,
    /// When the call's time is over.
    pub(crate) until: Instant,
}

/// Calls, and calls again as far as `plan` goes. `entered` hears `true` before each wait and `false` before
/// each further try.
pub(crate) async fn run(
    plan: Plan,
    entropy: &dyn Entropy,
    connector: &dyn Connector,
    ctx: &Ctx,
    request: Request,
    mut entered: impl FnMut(bool) + Send,
) -> Result<Outcome, Fault> {
    if plan.count == 0 {
        return connector.call(ctx, request).await;
    }
    let way = Arc::new(Noticing { inner: Arc::clone(&ctx.downstream), is_used: AtomicBool::new(false) });
    let ctx = Ctx { downstream: Arc::clone(&way) as Arc<dyn Downstream>, ..ctx.clone() };
    for tries in 0..plan.count {
        let fault = match connector.call(&ctx, request.clone()).await {
            Err(fault) if !way.is_used.load(Ordering::Acquire) => fault,
            done => return done,
        };
        let Some(least) = plan.least_wait(&fault) else { return Err(fault) };
        let wait = jittered(tries, entropy).max(least);
        // The fault is worth more than the news that time has run out while nothing was done.
        if Instant::now() + wait >= plan.until {
            return Err(fault);
        }
        tracing::debug!(call = %ctx.call, code = %fault.code, ?wait, "a call is tried again");
        entered(true);
        tokio::time::sleep(wait).await;
        entered(false);
    }
    connector.call(&ctx, request).await
}

/// 100 ms, 200, 400 and so on, each drawn between half and all of that ("equal jitter", Brooker 2015).
fn jittered(tries: u32, entropy: &dyn Entropy) -> Duration {
    let ceiling = (FIRST * (1 << tries.min(16))).min(MAX);
    let half_us = u64::try_from(ceiling.as_micros() / 2).unwrap_or(u64::MAX);
    ceiling - Duration::from_micros(entropy.next_u64() % (half_us + 1))
}

// === impl Plan ===

impl Plan {
    /// The plan of a call that has to be over at `until`.
    pub(crate) fn new(
        mounted: &Mounted,
        tool: Option<&MountedTool>,
        request: &Request,
        until: Instant,
    ) -> Self {
        let settings = &mounted.settings;
        // What its method says, what the server claims of the tool, or what the operator says. The claim
        // counts only because the operator asked for retries.
        let says_so = |tool: &Tool| {
            tool.claims_read_only
                || tool.claims_idempotent
                || settings.repeatable.iter().any(|pattern| pattern.matches(&tool.name))
        };
        let count = settings.retry_count;
        let is_repeatable =
            count > 0 && (request.is_replayable || tool.is_some_and(|mounted| says_so(&mounted.tool)));
        Self { count, is_repeatable, until }
    }

    /// How long to wait at least before trying again, or `None` when it is over.
    fn least_wait(&self, fault: &Fault) -> Option<Duration> {
        match fault.retry {
            // It would be so again.
            _ if fault.code == Code::ANSWER_TOO_LARGE => None,
            // Nothing was done: that is what it means.
            Retry::Safe => Some(Duration::ZERO),
            // Said by whoever had the request in hand, or by a proxy before it that cannot know.
            Retry::AfterMs(ms) if self.is_repeatable => Some(Duration::from_millis(ms.into())),
            Retry::OutcomeUnknown if self.is_repeatable => Some(Duration::ZERO),
            Retry::AfterMs(_) | Retry::OutcomeUnknown | Retry::Never => None,
        }
    }
}

/// The way back to the caller, which knows whether it was used. Nobody is asked the same twice, and progress
/// does not begin again.
struct Noticing {
    inner: Arc<dyn Downstream>,
    is_used: AtomicBool,
}

#[async_trait]
impl Downstream for Noticing {
    fn notify(&self, method: &str, params: Bytes) {
        if method == "notifications/progress" {
            self.is_used.store(true, Ordering::Release);
        }
        self.inner.notify(method, params);
    }

    fn pause(&self) {
        self.inner.pause();
    }

    async fn ask(&self, question: Question) -> Result<Bytes, AskError> {
        self.is_used.store(true, Ordering::Release);
        self.inner.ask(question).await
    }
}

#[cfg(test)]
mod tests;
