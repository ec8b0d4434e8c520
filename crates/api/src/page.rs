//! Cursors as text. One says where a page ends and nothing else: what may be read is decided anew for every
//! page, so that a made-up cursor shows nobody more than the first page would.

use model::id::{Id, Kind};
use model::{Code, Fault, Timestamp};
use store::{NameCursor, TimeCursor};

use crate::rescue::Problem;

/// How long a cursor may be, bytes: an id, and a name of the longest kind.
const CURSOR_LEN_MAX: usize = 1_024;

/// Writes the cursor of a list by time: `<milliseconds>.<id>`.
pub(crate) fn write_time<K: Kind>(cursor: &TimeCursor<Id<K>>) -> String {
    format!("{}.{}", cursor.at.0, cursor.id)
}

/// Reads what [`write_time`] wrote.
pub(crate) fn read_time<K: Kind>(text: Option<&str>) -> Result<Option<TimeCursor<Id<K>>>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let read = || {
        let (at, id) = text.split_once('.')?;
        Some(TimeCursor { at: Timestamp(at.parse().ok()?), id: id.parse().ok()? })
    };
    read().map(Some).ok_or_else(bad)
}

/// Writes the cursor of a list by name: `<id>.<name>`.
pub(crate) fn write_name(cursor: &NameCursor) -> String {
    format!("{}.{}", cursor.id, cursor.name)
}

/// Reads what [`write_name`] wrote.
pub(crate) fn read_name(text: Option<&str>) -> Result<Option<NameCursor>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let read = || {
        let (id, name) = text.split_once('.')?;
        let fits = text.len() <= CURSOR_LEN_MAX && !name.contains('\0');
        fits.then_some(NameCursor { name: name.to_owned(), id: id.parse().ok()? })
    };
    read().map(Some).ok_or_else(bad)
}

fn bad() -> Problem {
    Fault::new(Code::BAD_ARGUMENTS, "cursor: is not one that this list gave")
        .with_hint("send `next_cursor` of the page before as it came, or leave it out for the first page")
        .into()
}

#[cfg(test)]
mod tests {
    use model::Timestamp;
    use model::id::{EventId, IntegrationId};
    use store::{NameCursor, TimeCursor};
    use uuid::Uuid;

    #[test]
    fn cursors_come_back_as_they_were_and_others_are_refused() {
        let time = TimeCursor { at: Timestamp(-5), id: EventId::from_uuid(Uuid::from_u128(7)) };
        assert_eq!(super::read_time(Some(&super::write_time(&time))).unwrap(), Some(time));
        let name = NameCursor { name: "a.b ü".to_owned(), id: IntegrationId::from_uuid(Uuid::from_u128(7)) };
        assert_eq!(super::read_name(Some(&super::write_name(&name))).unwrap(), Some(name));
        for bad in ["", ".", "1", "1.evt_x", "x.evt_00000000000000000000000007", "int_.a"] {
            assert!(super::read_time::<model::id::EventTag>(Some(bad)).is_err(), "{bad}");
            assert!(super::read_name(Some(bad)).is_err(), "{bad}");
        }
    }
}
