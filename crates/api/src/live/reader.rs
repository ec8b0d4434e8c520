//! One who follows the events: from where, which, and until when.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use identity::Standing;
use ledger::Closely;
use model::Caller;
use model::id::EventId;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::event::{Data, Event, GAP};
use super::filter::Filter;
use super::{Live, gap_data};

/// How often a silent stream shows that it is alive.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that are handed out at once.
const BATCH: usize = 64;

/// See the head of the file.
pub(crate) struct Reader {
    live: Arc<Live>,
    caller: Arc<Caller>,
    filter: Filter,
    next: u64,
    waiting: VecDeque<Arc<Event>>,
    moved: watch::Receiver<u64>,
    standing: watch::Receiver<Arc<Standing>>,
    over: watch::Receiver<bool>,
    heartbeat: Interval,
    _closely: Option<Closely>,
}

/// What there is to show.
pub(crate) enum Next {
    /// These happened.
    Events(Vec<Arc<Event>>),
    /// Nothing happened; everything up to this event has been seen.
    Nothing(EventId),
    /// The key is not what it was.
    Fallen,
    /// The hub takes no more work.
    Over,
}

impl Reader {
    /// Reads what comes after the event `after`, or from now on.
    pub(crate) fn new(live: &Arc<Live>, caller: Arc<Caller>, filter: Filter, after: Option<EventId>) -> Self {
        let mut waiting = VecDeque::new();
        let next = {
            let ring = live.ring();
            match after.map(|id| ring.find(id)) {
                None => ring.end(),
                Some(found) => {
                    waiting.extend(found.missed.map(|id| gap(live, id, "too_old")));
                    found.next
                }
            }
        };
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closely = filter.has_calls().then(|| live.recorder.look_closely());
        Self {
            live: Arc::clone(live),
            caller,
            filter,
            next,
            waiting,
            moved: live.moved.subscribe(),
            standing: live.standing.subscribe(),
            over: live.over.subscribe(),
            heartbeat,
            _closely: closely,
        }
    }

    /// Id of the last event before those that are still to come: where to go on from later.
    pub(crate) fn cursor(&self) -> EventId {
        self.live.ring().id_before(self.next)
    }

    /// Waits until there is something to show. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Next {
        loop {
            if let Some(end) = self.ended() {
                return end;
            }
            if !self.waiting.is_empty() {
                return Next::Events(self.waiting.drain(..).collect());
            }
            if self.fill() {
                continue;
            }
            // Live, Recorder and hub end together: a sender that is gone is the end of the hub.
            tokio::select! {
                moved = self.moved.changed() => if moved.is_err() { return Next::Over },
                looked = self.standing.changed() => if looked.is_err() { return Next::Over },
                over = self.over.changed() => if over.is_err() { return Next::Over },
                _ = self.heartbeat.tick() => return Next::Nothing(self.cursor()),
            }
        }
    }

    /// Waits for the end alone, while something is on its way to the reader.
    pub(crate) async fn end(&mut self) -> Next {
        loop {
            if let Some(end) = self.ended() {
                return end;
            }
            tokio::select! {
                looked = self.standing.changed() => if looked.is_err() { return Next::Over },
                over = self.over.changed() => if over.is_err() { return Next::Over },
            }
        }
    }

    fn ended(&mut self) -> Option<Next> {
        if *self.over.borrow_and_update() {
            return Some(Next::Over);
        }
        // A key that was made a moment ago may not have been seen yet: the last word is the keys' own.
        let is_good = self.standing.borrow_and_update().still_is(&self.caller)
            || self.live.identity.standing(self.live.clock.now()).still_is(&self.caller);
        (!is_good).then_some(Next::Fallen)
    }

    /// Takes more from the ring; false when there is nothing more.
    fn fill(&mut self) -> bool {
        self.moved.mark_unchanged();
        let read = self.live.ring().read(self.next, BATCH);
        let is_more = read.next > self.next;
        self.next = read.next;
        self.waiting.extend(read.missed.map(|id| gap(&self.live, id, "too_slow")));
        let workspace = self.caller.owner.workspace;
        let wanted = read
            .events
            .into_iter()
            .filter(|event| event.workspace.is_none_or(|own| own == workspace) && self.filter.passes(event));
        self.waiting.extend(wanted);
        is_more
    }
}

/// An event that stands in the place of those that are missing, the last of which had this id.
fn gap(live: &Live, id: EventId, why: &str) -> Arc<Event> {
    let data = Data::Told(gap_data(why));
    Arc::new(Event { id, kind: GAP, at: live.clock.now(), data, workspace: None })
}
