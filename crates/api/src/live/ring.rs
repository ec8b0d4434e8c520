//! The newest events, in order: what readers read from, each at its own pace. A reader that is slower than
//! what happens falls out at the end and is told so; nobody waits for it, and it holds nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use model::id::EventId;

use super::event::Event;

/// Events that are kept.
pub(crate) const EVENTS_MAX: usize = 4_096;

/// See the head of the file. A position is the number of an event since the start.
pub(crate) struct Ring {
    events: VecDeque<Arc<Event>>,
    /// Position of the oldest event that is kept.
    first: u64,
    /// Id of the event before it; of none, at first, but one from before all that follow.
    floor: EventId,
}

/// What was read.
pub(crate) struct Read {
    /// The events, oldest first.
    pub(crate) events: Vec<Arc<Event>>,
    /// Where to go on.
    pub(crate) next: u64,
    /// Events before these are gone unread; with the id of the last of them.
    pub(crate) missed: Option<EventId>,
}

/// Where a cursor leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where to go on.
    pub(crate) next: u64,
    /// What came after the cursor may be missing; with the id of the event before `next`.
    pub(crate) missed: Option<EventId>,
}

impl Ring {
    pub(crate) const fn new(floor: EventId) -> Self {
        Self { events: VecDeque::new(), first: 0, floor }
    }

    /// Adds an event, whose id is above all others'; where it stands.
    pub(crate) fn push(&mut self, event: Event) -> u64 {
        if self.events.len() >= EVENTS_MAX
            && let Some(oldest) = self.events.pop_front()
        {
            self.floor = oldest.id;
            self.first += 1;
        }
        self.events.push_back(Arc::new(event));
        self.end()
    }

    /// The position behind the newest event.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Id of the event before a position: what a reader that stands there has seen last.
    pub(crate) fn id_before(&self, position: u64) -> EventId {
        let index = position.checked_sub(self.first + 1).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.events.get(index)).map_or(self.floor, |event| event.id)
    }

    /// Where reading goes on after the event with this id. Only one that is known here proves that nothing is
    /// missing: others are from before the start, from another node, or made up.
    pub(crate) fn find(&self, id: EventId) -> Found {
        let after = self.events.partition_point(|event| event.id <= id);
        let next = self.first + after as u64;
        let last = self.id_before(next);
        Found { next, missed: (last != id).then_some(last) }
    }

    /// At most `max` events from a position on.
    pub(crate) fn read(&self, from: u64, max: usize) -> Read {
        let start = from.max(self.first);
        let missed = (start > from).then_some(self.floor);
        let skip = usize::try_from(start - self.first).unwrap_or(usize::MAX);
        let events: Vec<_> = self.events.iter().skip(skip).take(max).cloned().collect();
        Read { next: start + events.len() as u64, events, missed }
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;
    use model::id::EventId;
    use uuid::Uuid;

    use super::{EVENTS_MAX, Found, Ring};
    use crate::live::event::{Data, Event, KEY_MADE};

    fn id(n: usize) -> EventId {
        EventId::from_uuid(Uuid::from_u128(n as u128))
    }

    /// Ids 10, 20, 30, ... and the floor 5.
    fn ring(count: usize) -> Ring {
        let mut ring = Ring::new(id(5));
        for n in 1..=count {
            let data = Data::Told(serde_json::Value::Null);
            ring.push(Event { id: id(n * 10), kind: KEY_MADE, at: Timestamp(0), data, workspace: None });
        }
        ring
    }

    #[test]
    fn a_cursor_that_is_known_loses_nothing_and_any_other_is_told_so() {
        let ring = ring(3);
        let found = |n| ring.find(id(n));
        assert_eq!(found(10), Found { next: 1, missed: None });
        assert_eq!(found(30), Found { next: 3, missed: None });
        assert_eq!(found(5), Found { next: 0, missed: None }, "from before the first event");
        assert_eq!(found(4), Found { next: 0, missed: Some(id(5)) });
        assert_eq!(found(15), Found { next: 1, missed: Some(id(10)) });
        assert_eq!(found(99), Found { next: 3, missed: Some(id(30)) }, "another node's");
    }

    #[test]
    fn what_falls_out_is_missed_and_the_rest_is_read_in_order() {
        let ring = ring(EVENTS_MAX + 2);
        let read = ring.read(1, 2);
        assert_eq!((read.missed, read.next), (Some(id(20)), 4));
        assert_eq!(read.events.iter().map(|event| event.id).collect::<Vec<_>>(), [id(30), id(40)]);
        let read = ring.read(2, EVENTS_MAX * 2);
        assert_eq!((read.missed, read.events.len(), read.next), (None, EVENTS_MAX, ring.end()));
        assert!(ring.read(ring.end(), 9).events.is_empty());
        assert_eq!(ring.find(id(20)), Found { next: 2, missed: None }, "the last that fell out");
        assert_eq!(ring.find(id(10)).missed, Some(id(20)));
        assert_eq!(ring.id_before(ring.end()), id((EVENTS_MAX + 2) * 10));
    }
}
