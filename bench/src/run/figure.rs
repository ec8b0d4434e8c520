//! One figure of the report: what was measured, its values, the gates they must hold, and the line that is printed.

use std::fmt;

use serde::Serialize;

use super::series::Series;

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// The target's number (`P1`).
    pub(crate) id: String,
    /// What was measured, in words.
    pub(crate) what: String,
    /// The values, in the order they are printed.
    pub(crate) values: Vec<Value>,
    /// The gates.
    pub(crate) gates: Vec<Gate>,
    /// What a reader must know beside the numbers.
    pub(crate) notes: Vec<String>,
    /// How it came out.
    pub(crate) verdict: Verdict,
}

/// A named value.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) series: Series,
    /// Which way is better, for values that are compared with the baseline.
    pub(crate) compared: Option<Better>,
}

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    PerSecond,
    Ratio,
    Microseconds,
    MicrosecondsPerCall,
    Milliseconds,
    Megabytes,
    Kilobytes,
    Count,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// A bound that the median of a value must hold.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Gate {
    pub(crate) value: String,
    pub(crate) better: Better,
    pub(crate) bound: f64,
    pub(crate) goal: f64,
    pub(crate) is_held: bool,
}

/// How a figure came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It has no gate.
    Measured,
    /// Every gate held.
    Pass,
    /// A gate did not hold.
    Fail,
    /// It could not be measured here, for a reason that is not a fault.
    Skipped,
    /// Its measurement failed.
    Invalid,
}

impl Figure {
    /// A figure without values yet.
    pub(crate) fn new(id: &str, what: impl Into<String>) -> Self {
        Self {
            id: id.to_owned(),
            what: what.into(),
            values: Vec::new(),
            gates: Vec::new(),
            notes: Vec::new(),
            verdict: Verdict::Measured,
        }
    }

    /// A figure that could not be measured here.
    pub(crate) fn skipped(id: &str, what: impl Into<String>, why: impl Into<String>) -> Self {
        let mut figure = Self::new(id, what).note(why);
        figure.verdict = Verdict::Skipped;
        figure
    }

    /// A figure whose measurement failed.
    pub(crate) fn invalid(id: &str, what: impl Into<String>, why: impl Into<String>) -> Self {
        let mut figure = Self::new(id, what).note(why);
        figure.verdict = Verdict::Invalid;
        figure
    }

    /// Adds a value that is only shown; nothing when there was no repetition.
    pub(crate) fn value(mut self, name: &str, unit: Unit, series: Option<Series>) -> Self {
        if let Some(series) = series {
            self.values.push(Value { name: name.to_owned(), unit, series, compared: None });
        }
        self
    }

    /// Marks the last value as one that is compared with the baseline.
    pub(crate) fn compared(mut self, better: Better) -> Self {
        if let Some(last) = self.values.last_mut() {
            last.compared = Some(better);
        }
        self
    }

    /// Sets a gate on the median of the last value.
    pub(crate) fn gate(mut self, better: Better, bound: f64, goal: f64) -> Self {
        if let Some(last) = self.values.last() {
            let median = last.series.median;
            let is_held = match better {
                Better::Higher => median >= bound,
                Better::Lower => median <= bound,
            };
            self.gates.push(Gate { value: last.name.clone(), better, bound, goal, is_held });
            self.verdict = match (is_held, &self.verdict) {
                (true, Verdict::Measured | Verdict::Pass) => Verdict::Pass,
                _ => Verdict::Fail,
            };
        }
        self
    }

    /// Adds what a reader must know.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}:", self.id, self.what)?;
        for Value { name, unit, series, .. } in &self.values {
            write!(out, " {name} {}", unit.show(series.median))?;
            let (min, max) = (unit.bare(series.min), unit.bare(series.max));
            if min != max {
                write!(out, " ({min}..{max})")?;
            }
        }
        for gate in &self.gates {
            let sign = if gate.better == Better::Higher { ">=" } else { "<=" };
            let held = if gate.is_held { "" } else { " (missed)" };
            write!(out, " gate {}{sign}{}{held}", gate.value, trim(gate.bound))?;
        }
        for note in &self.notes {
            write!(out, " [{note}]")?;
        }
        match self.verdict {
            Verdict::Measured => Ok(()),
            Verdict::Pass => write!(out, " PASS"),
            Verdict::Fail => write!(out, " FAIL"),
            Verdict::Skipped => write!(out, " SKIPPED"),
            Verdict::Invalid => write!(out, " INVALID"),
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        let bare = self.bare(value);
        match self {
            Self::PerSecond => format!("{bare}/s"),
            Self::Ratio | Self::Count => bare,
            Self::Microseconds => format!("{bare} µs"),
            Self::MicrosecondsPerCall => format!("{bare} µs/call"),
            Self::Milliseconds => format!("{bare} ms"),
            Self::Megabytes => format!("{bare} MB"),
            Self::Kilobytes => format!("{bare} kB"),
        }
    }

    fn bare(self, value: f64) -> String {
        match self {
            Self::PerSecond if value.abs() >= 1000.0 => format!("{:.1}k", value / 1000.0),
            Self::Ratio => format!("{value:.2}"),
            Self::PerSecond | Self::Microseconds | Self::Count => format!("{value:.0}"),
            Self::MicrosecondsPerCall | Self::Milliseconds | Self::Megabytes | Self::Kilobytes => {
                format!("{value:.1}")
            }
        }
    }
}

/// A bound as it is written in the targets.
fn trim(bound: f64) -> String {
    if bound >= 1000.0 { format!("{}k", bound / 1000.0) } else { format!("{bound}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three(min: f64, median: f64, max: f64) -> Option<Series> {
        Series::of([max, min, median])
    }

    #[test]
    fn a_line_tells_values_gate_and_verdict() {
        let figure = Figure::new("P1", "tools/call c=64")
            .value("trunkline", Unit::PerSecond, three(40_000.0, 41_200.0, 43_000.0))
            .value("ratio", Unit::Ratio, three(0.6, 0.62, 0.64))
            .gate(Better::Higher, 0.6, 1.0)
            .value("cpu", Unit::MicrosecondsPerCall, Series::of([19.0]));
        assert_eq!(
            figure.to_string(),
            "P1 tools/call c=64: trunkline 41.2k/s (40.0k..43.0k) ratio 0.62 (0.60..0.64) cpu 19.0 µs/call \
             gate ratio>=0.6 PASS"
        );
    }

    #[test]
    fn one_missed_gate_fails_the_figure_and_a_later_one_does_not_mend_it() {
        let figure = Figure::new("P5", "latency")
            .value("p50", Unit::Microseconds, Series::of([70.0]))
            .gate(Better::Lower, 60.0, 30.0)
            .value("p99", Unit::Microseconds, Series::of([90.0]))
            .gate(Better::Lower, 150.0, 80.0);
        assert_eq!(figure.verdict, Verdict::Fail);
        assert!(figure.to_string().contains("gate p50<=60 (missed)"), "{figure}");
        assert!(figure.to_string().contains("gate p99<=150 FAIL"), "{figure}");
    }
}
