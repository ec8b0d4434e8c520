//! `Idempotency-Key`: the same request, sent again, is answered with what the first one got.
//!
//! A key counts per principal, connection and tool. While the first request runs, others with its key
//! wait for it; a different body is refused (422). The call goes on when its client leaves. Answers are
//! remembered for 24 hours, and are held in the memory of this node: a restart or another node does not
//! know them. At most 10,000 keys are held, the oldest finished ones go first, and at most 64 MiB of
//! answers: past that the oldest answers go, but their keys stay, and a repetition is refused (409)
//! instead of being run again. What certainly did nothing (a refusal, an unreachable upstream) is not
//! remembered, so that it can be tried again with the same key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use model::id::CallId;
use model::{Clock, Code, Entropy, Fault, Retry, Timestamp};
use tokio::sync::watch;

use crate::rescue::Problem;

/// How long an answer is remembered.
const KEEP_MS: i64 = 24 * 60 * 60 * 1000;
/// How many keys are held.
const SLOTS_MAX: usize = 10_000;
/// How many bytes of answers are held.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest key, bytes.
const KEY_LEN_MAX: usize = 255;

/// What the first request got.
pub(super) type Answer = Arc<Result<Bytes, Problem>>;

/// Principal, connection, tool, key.
pub(super) type SlotKey = Arc<(String, String, String, String)>;

/// Tells different bodies apart: their length and two keyed hashes. A caller who makes two bodies
/// collide only deceives itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest(usize, u64, u64);

/// See the head of the file.
pub(crate) struct Idempotency {
    clock: Arc<dyn Clock>,
    salts: (u64, u64),
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    slots: HashMap<SlotKey, Slot>,
    /// Oldest first.
    order: BTreeMap<u64, SlotKey>,
    /// Those whose answer is still there.
    answered: BTreeSet<u64>,
    answer_bytes: usize,
    serial: u64,
}

struct Slot {
    serial: u64,
    at: Timestamp,
    digest: Digest,
    call_id: CallId,
    is_done: bool,
    /// `None` once the answer had to go.
    answer: Option<watch::Receiver<Option<Answer>>>,
    answer_bytes: usize,
}

/// The key in the headers.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key =
        value.to_str().ok().filter(|key| (1..=KEY_LEN_MAX).contains(&key.len()) && values.next().is_none());
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::bad_message(
            format!("Idempotency-Key has to be one value of 1 to {KEY_LEN_MAX} visible ASCII characters"),
            "use a fresh UUID per call",
        )),
    }
}

// === impl Idempotency ===

impl Idempotency {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Self {
        Self { clock, salts: (entropy.next_u64(), entropy.next_u64()), held: Mutex::default() }
    }

    #[expect(clippy::unused_self, reason = "slots belong to this map")]
    pub(super) fn slot(&self, principal: &str, connection: &str, tool: &str, key: &str) -> SlotKey {
        Arc::new((principal.to_owned(), connection.to_owned(), tool.to_owned(), key.to_owned()))
    }

    pub(super) fn digest(&self, body: &[u8]) -> Digest {
        let hash = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(salt);
            hasher.write(body);
            hasher.finish()
        };
        Digest(body.len(), hash(self.salts.0), hash(self.salts.1))
    }

    /// Runs `work` as the call `id`, unless the slot's first request is here already; then its answer
    /// comes, with `true`.
    pub(super) async fn once(
        self: &Arc<Self>,
        key: SlotKey,
        digest: Digest,
        id: CallId,
        work: impl Future<Output = Result<Bytes, Problem>> + Send + 'static,
    ) -> Result<(Answer, bool), Problem> {
        let (mut answer, is_replayed) = self.enter(&key, digest, id, work)?;
        let found = answer.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        // Only a task that panicked, or was shut down with its runtime, ends without an answer.
        let lost =
            || Fault::new(Code::BUG, "the call ended without an answer").with_retry(Retry::OutcomeUnknown);
        found.map(|found| (found, is_replayed)).ok_or_else(|| Problem::from(lost()).with_call(id))
    }

    fn enter(
        self: &Arc<Self>,
        key: &SlotKey,
        digest: Digest,
        id: CallId,
        work: impl Future<Output = Result<Bytes, Problem>> + Send + 'static,
    ) -> Result<(watch::Receiver<Option<Answer>>, bool), Problem> {
        let now = self.clock.now();
        let mut held = self.lock();
        held.expire(key, now);
        if let Some(slot) = held.slots.get(key) {
            return slot.join(digest).map(|answer| (answer, true));
        }
        held.make_room()?;
        let (sender, receiver) = watch::channel(None);
        held.insert(
            key,
            Slot {
                serial: 0,
                at: now,
                digest,
                call_id: id,
                is_done: false,
                answer: Some(receiver.clone()),
                answer_bytes: 0,
            },
        );
        drop(held);
        let running = Running { map: Arc::clone(self), key: Arc::clone(key), sender };
        tokio::spawn(async move {
            let answer = Arc::new(work.await);
            running.finish(&answer);
        });
        Ok((receiver, false))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that runs. Dropped without an answer (a panic), it stays on the books as one that may have
/// happened.
struct Running {
    map: Arc<Idempotency>,
    key: SlotKey,
    sender: watch::Sender<Option<Answer>>,
}

impl Running {
    fn finish(self, answer: &Answer) {
        let mut held = self.map.lock();
        match answer.as_ref() {
            Err(problem) if did_nothing(problem.fault()) => held.remove(&self.key),
            Err(_) => held.keep(&self.key, 512),
            Ok(json) => held.keep(&self.key, json.len()),
        }
        drop(held);
        self.sender.send_replace(Some(Arc::clone(answer)));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.sender.borrow().is_none()
            && let Some(slot) = self.map.lock().slots.get_mut(&self.key)
        {
            slot.is_done = true;
            slot.answer = None;
        }
    }
}

/// Whether the fault says for certain that the tool did not run: the hub refused before it connected, or
/// the upstream was not reached.
const fn did_nothing(fault: &Fault) -> bool {
    matches!(fault.retry, Retry::Safe | Retry::AfterMs(_))
        || matches!(fault.code.0, 1000..=1399 | 1407 | 1410 | 1501)
}

// === impl Held ===

impl Held {
    /// Forgets what is too old, at the front and at `key`.
    fn expire(&mut self, key: &SlotKey, now: Timestamp) {
        let is_old = |slot: &Slot| slot.is_done && now.ms_since(slot.at) >= KEEP_MS;
        if self.slots.get(key).is_some_and(is_old) {
            self.remove(key);
        }
        while let Some(oldest) = self.order.values().next().cloned() {
            if !self.slots.get(&oldest).is_none_or(is_old) {
                return;
            }
            self.remove(&oldest);
        }
    }

    fn make_room(&mut self) -> Result<(), Problem> {
        if self.slots.len() < SLOTS_MAX {
            return Ok(());
        }
        let done =
            self.order.values().find(|key| self.slots.get(*key).is_some_and(|slot| slot.is_done)).cloned();
        let Some(done) = done else {
            let detail = format!("{SLOTS_MAX} calls with an Idempotency-Key are running already");
            return Err(Fault::new(Code::BUSY, detail).with_hint("try again shortly").into());
        };
        self.remove(&done);
        Ok(())
    }

    fn insert(&mut self, key: &SlotKey, mut slot: Slot) {
        self.serial += 1;
        slot.serial = self.serial;
        self.order.insert(slot.serial, Arc::clone(key));
        self.slots.insert(Arc::clone(key), slot);
    }

    fn remove(&mut self, key: &SlotKey) {
        let Some(slot) = self.slots.remove(key) else { return };
        self.order.remove(&slot.serial);
        if self.answered.remove(&slot.serial) {
            self.answer_bytes = self.answer_bytes.saturating_sub(slot.answer_bytes);
        }
    }

    /// Notes the size of an answer, and lets the oldest answers go when they are too many bytes.
    fn keep(&mut self, key: &SlotKey, bytes: usize) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.is_done = true;
        slot.answer_bytes = bytes;
        self.answered.insert(slot.serial);
        self.answer_bytes += bytes;
        while self.answer_bytes > ANSWER_BYTES_MAX {
            let Some(oldest) = self.answered.pop_first() else { return };
            let key = self.order.get(&oldest);
            if let Some(slot) = key.and_then(|key| self.slots.get_mut(key)) {
                slot.answer = None;
                self.answer_bytes = self.answer_bytes.saturating_sub(slot.answer_bytes);
            }
        }
    }
}

// === impl Slot ===

impl Slot {
    fn join(&self, digest: Digest) -> Result<watch::Receiver<Option<Answer>>, Problem> {
        if self.digest != digest {
            let fault = Fault::new(Code::KEY_REUSED, "this Idempotency-Key was used with other arguments")
                .with_hint("use a fresh key for every different call");
            return Err(Problem::from(fault).with_call(self.call_id));
        }
        self.answer.clone().ok_or_else(|| {
            let fault = Fault::new(
                Code::KEY_REUSED,
                "the call with this Idempotency-Key was made; its answer is not held any more",
            )
            .with_hint("look up its call_id under /api/v1/calls before making it again with a fresh key");
            Problem::from(fault).with_call(self.call_id).with_status(StatusCode::CONFLICT)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use model::id::CallId;
    use model::{Clock, Code, ManualClock, SeededEntropy, Timestamp};

    use super::{ANSWER_BYTES_MAX, Held, Idempotency, SLOTS_MAX, Slot, SlotKey};

    fn key(n: usize) -> SlotKey {
        Arc::new((String::new(), String::new(), String::new(), n.to_string()))
    }

    fn map() -> (Arc<Idempotency>, CallId) {
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        let entropy = SeededEntropy::new(1);
        let id = CallId::new(&*clock, &entropy);
        (Arc::new(Idempotency::new(clock as Arc<dyn Clock>, &entropy)), id)
    }

    fn running(map: &Idempotency, id: CallId) -> Slot {
        let (_, receiver) = tokio::sync::watch::channel(None);
        let digest = map.digest(b"{}");
        Slot {
            serial: 0,
            at: Timestamp(0),
            digest,
            call_id: id,
            is_done: false,
            answer: Some(receiver),
            answer_bytes: 0,
        }
    }

    #[test]
    fn too_many_bytes_let_the_oldest_answers_go_and_keep_their_keys() {
        let (map, id) = map();
        let mut held = Held::default();
        for n in 0..3 {
            held.insert(&key(n), running(&map, id));
            held.keep(&key(n), ANSWER_BYTES_MAX / 2);
        }
        let refused = held.slots[&key(0)].join(map.digest(b"{}")).unwrap_err();
        assert_eq!(refused.fault().code, Code::KEY_REUSED);
        assert!(held.slots[&key(1)].join(map.digest(b"{}")).is_ok());
        assert!(held.slots[&key(2)].join(map.digest(b"{}")).is_ok());
        for n in 0..3 {
            held.remove(&key(n));
        }
        assert_eq!((held.answer_bytes, held.order.len(), held.answered.len()), (0, 0, 0));
    }

    #[test]
    fn too_many_keys_let_the_oldest_finished_one_go_and_never_a_running_one() {
        let (map, id) = map();
        let mut held = Held::default();
        for n in 0..SLOTS_MAX {
            held.make_room().unwrap();
            held.insert(&key(n), running(&map, id));
        }
        assert_eq!(held.make_room().unwrap_err().fault().code, Code::BUSY);
        held.keep(&key(5), 10);
        held.make_room().unwrap();
        assert!(!held.slots.contains_key(&key(5)) && held.slots.contains_key(&key(0)));
    }

    #[tokio::test]
    async fn a_call_that_ends_without_an_answer_may_have_happened_and_is_not_run_again() {
        let (map, id) = map();
        let digest = map.digest(b"{}");
        let lost = map.once(key(1), digest, id, async { panic!("a scene about panics") }).await;
        assert_eq!(lost.unwrap_err().fault().code, Code::BUG);
        let again = map.once(key(1), digest, id, async { Ok(Bytes::new()) }).await;
        assert_eq!(again.unwrap_err().fault().code, Code::KEY_REUSED);
    }
}
