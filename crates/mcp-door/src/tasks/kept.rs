//! Results that came at once to a legacy client that asked for a task: the hub keeps them as tasks that are over.

use std::sync::Arc;

use bytes::Bytes;
use model::{CallKind, Code, Era, Fault, Key};
use tokio::time::Instant;
use wire::task::Status;
use wire::{Method, RpcCode, object, task};

use super::id::KEPT;
use super::{HELD_FOR, TaskRef, check_room};
use crate::door::{Door, Who};
use crate::rescue::{self, Reply};
use crate::session::lock;

/// Largest result that is kept as a task of the hub's own, bytes.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// One of them.
pub(super) struct Kept {
    principal: Arc<str>,
    result: Bytes,
    is_error: bool,
    made: String,
    pub(super) until: Instant,
}

impl Door {
    /// Keeps a result and hands out a task that is over.
    pub(crate) fn keep_result(
        &self,
        who: &Who,
        connection: &Key,
        result: Bytes,
        is_error: bool,
    ) -> Result<Reply, Fault> {
        if result.len() > KEPT_BYTES_MAX {
            return Err(Fault::new(
                Code::TOO_LARGE,
                format!(
                    "the tool answered at once with {} bytes; {KEPT_BYTES_MAX} can be kept for a task",
                    result.len()
                ),
            )
            .with_hint("call it without `task`"));
        }
        let mut number = [0; 16];
        self.parts().entropy.fill(&mut number);
        let number = model::hex(&number);
        let plain = format!("{connection} {KEPT} {number}");
        let shown = self.parts().sealer.seal("task", &who.caller.principal, plain.as_bytes());
        let shown = shown.map_err(|error| Fault::new(Code::BUG, error.to_string()))?;
        let principal = Arc::clone(&who.caller.principal);
        let kept = Kept {
            result,
            is_error,
            made: self.parts().clock.now().to_rfc3339_ms(),
            until: Instant::now() + HELD_FOR,
            principal,
        };
        let mut out = Vec::from(*b"{\"task\":");
        out.extend_from_slice(&kept.task(&shown));
        out.push(b'}');
        let mut all = lock(&self.tasks.kept);
        let theirs = all.values().filter(|other| other.principal == kept.principal).count();
        check_room(all.len(), theirs)?;
        all.insert(number, kept);
        Ok(Reply::Result(out.into()))
    }

    pub(super) fn kept(&self, who: &Who, method: Method, task: &TaskRef, shown: &str) -> Reply {
        let all = lock(&self.tasks.kept);
        let found = all.get(&*task.own).filter(|kept| kept.until > Instant::now());
        let Some(kept) = found else {
            let fault = Fault::new(Code::NOT_FOUND, "this task is over, and its result is not kept any more")
                .with_hint("results that came at once are kept for ten minutes, on the node that got them");
            return rescue::reply(&fault, Some(CallKind::Task), who.peer.era.unwrap_or(Era::Legacy));
        };
        match method {
            Method::TasksGet => Reply::Result(kept.task(shown).into()),
            Method::TasksResult => {
                let result = task::related_to(&kept.result, Some(shown));
                Reply::Result(result.map_or_else(|| kept.result.clone(), Bytes::from))
            }
            _ => Reply::error(RpcCode::INVALID_PARAMS, "the task is over and cannot be cancelled"),
        }
    }
}

impl Kept {
    fn task(&self, shown: &str) -> Vec<u8> {
        let status = if self.is_error { Status::Failed } else { Status::Completed };
        let mut out = Vec::from(*b"{\"taskId\":");
        object::push_str(&mut out, shown);
        let (status, made, ttl) = (status.word(), &self.made, HELD_FOR.as_millis());
        out.extend_from_slice(
            format!(",\"status\":\"{status}\",\"createdAt\":\"{made}\",\"lastUpdatedAt\":\"{made}\",\"ttl\":{ttl}}}")
                .as_bytes(),
        );
        out
    }
}
