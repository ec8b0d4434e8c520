//! Task ids as clients hold them: as good as passwords, so that they get sealed ones, bound to the caller.

use std::sync::Arc;

use call::Abilities;
use model::{Code, Fault, Key};

use crate::door::{Door, Who};
use crate::endpoint::Endpoint;

/// What stands behind a task id.
pub(crate) struct TaskRef {
    pub(crate) connection: Key,
    /// The upstream's own id; of a task of the hub's own, its number.
    pub(crate) own: Arc<str>,
    /// What the client could answer when the task was made: where the session is that knows it.
    pub(crate) abilities: Abilities,
    /// A result that the hub keeps, because the client asked for a task and the upstream answered at once.
    pub(crate) is_kept: bool,
}

impl Door {
    pub(crate) fn seal_task(&self, who: &Who, connection: &Key, own: &str) -> Option<String> {
        let plain = format!("{connection} {} {own}", bits(who.peer.abilities));
        self.parts().sealer.seal("task", &who.caller.principal, plain.as_bytes()).ok()
    }

    pub(crate) fn open_task(&self, who: &Who, shown: &str) -> Result<TaskRef, Fault> {
        let absent = || {
            Fault::new(Code::NOT_FOUND, "no such task")
                .with_hint("task ids are valid only for the caller that started the task")
        };
        let plain = self.parts().sealer.open("task", &who.caller.principal, shown).map_err(|_| absent())?;
        let plain = String::from_utf8(plain).map_err(|_| absent())?;
        let (key, rest) = plain.split_once(' ').ok_or_else(absent)?;
        let (mark, own) = rest.split_once(' ').ok_or_else(absent)?;
        let connection: Key = key.parse().map_err(|_| absent())?;
        if let Endpoint::Connection(only) = &who.endpoint
            && *only != connection
        {
            return Err(absent());
        }
        let is_kept = mark == KEPT;
        let abilities =
            if is_kept { Abilities::default() } else { mark.parse().map(from_bits).map_err(|_| absent())? };
        Ok(TaskRef { connection, own: own.into(), abilities, is_kept })
    }
}

/// Instead of abilities in the ids of kept results.
pub(super) const KEPT: &str = "k";

fn bits(a: Abilities) -> u8 {
    [a.elicit_form, a.elicit_url, a.sampling, a.sampling_tools, a.roots]
        .into_iter()
        .enumerate()
        .map(|(n, is_on)| u8::from(is_on) << n)
        .sum()
}

const fn from_bits(bits: u8) -> Abilities {
    Abilities {
        elicit_form: bits & 1 != 0,
        elicit_url: bits & 2 != 0,
        sampling: bits & 4 != 0,
        sampling_tools: bits & 8 != 0,
        roots: bits & 16 != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{bits, from_bits};

    #[test]
    fn abilities_survive_in_an_id() {
        for n in 0..32 {
            assert_eq!(bits(from_bits(n)), n);
        }
    }
}
