//! The figures, one function each, in the order of their numbers.

mod bytes;
mod held;
mod http;
mod list;
mod start;

use anyhow::{Result, bail};

use super::figure::Figure;
use super::stage::Stage;

/// One target and how it is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leg {
    id: &'static str,
    what: &'static str,
    /// Whether there is something to measure without the hub.
    is_useful_alone: bool,
    measure: fn(&mut Stage) -> Result<Vec<Figure>>,
}

const ALL: &[Leg] = &[
    Leg { id: "P1", what: "mcp tools/call http->http", is_useful_alone: true, measure: http::throughput },
    Leg { id: "P4", what: "the four cells of eras", is_useful_alone: false, measure: http::cells },
    Leg { id: "P5", what: "latency added at one connection", is_useful_alone: true, measure: http::latency },
    Leg { id: "P6", what: "tcp door", is_useful_alone: false, measure: bytes::tcp },
    Leg { id: "P7", what: "stdio door and stdio upstream", is_useful_alone: false, measure: bytes::stdio },
    Leg { id: "P8", what: "websocket door", is_useful_alone: false, measure: bytes::websocket },
    Leg { id: "P9", what: "tools/list of many tools", is_useful_alone: false, measure: list::all },
    Leg { id: "P10", what: "memory per idle connection", is_useful_alone: false, measure: held::memory },
    Leg { id: "P11", what: "connections held at once", is_useful_alone: false, measure: held::at_once },
    Leg { id: "P12", what: "start, idle memory, size", is_useful_alone: false, measure: start::all },
];

/// The legs with these numbers, in order; all of them when none is named.
pub(crate) fn chosen(ids: &[String]) -> Result<Vec<Leg>> {
    for id in ids {
        if !ALL.iter().any(|leg| leg.id.eq_ignore_ascii_case(id)) {
            let known: Vec<_> = ALL.iter().map(|leg| leg.id).collect();
            bail!("{id} is not one of {}", known.join(", "));
        }
    }
    let is_chosen = |leg: &&Leg| ids.is_empty() || ids.iter().any(|id| leg.id.eq_ignore_ascii_case(id));
    Ok(ALL.iter().filter(is_chosen).copied().collect())
}

impl Leg {
    /// Measures it. What goes wrong becomes an invalid figure, so that the other legs are still measured.
    pub(crate) fn run(&self, stage: &mut Stage) -> Vec<Figure> {
        if !stage.has_trunkline() && !self.is_useful_alone {
            return vec![Figure::invalid(self.id, self.what, "there is no trunkline to measure")];
        }
        (self.measure)(stage)
            .unwrap_or_else(|error| vec![Figure::invalid(self.id, self.what, format!("{error:#}"))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_are_chosen_by_number_in_their_own_order() {
        let ids: Vec<_> =
            chosen(&["p6".to_owned(), "P1".to_owned()]).unwrap().iter().map(|leg| leg.id).collect();
        assert_eq!(ids, ["P1", "P6"]);
        assert_eq!(chosen(&[]).unwrap().len(), ALL.len());
        assert!(chosen(&["P99".to_owned()]).is_err());
    }
}
