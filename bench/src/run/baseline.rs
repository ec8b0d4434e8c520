//! The saved baseline: the values that must not get more than a tenth worse from one change to the next. Only ratios
//! within a run, and memory, are saved: absolute speeds belong to a machine and its neighbours.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::figure::{Better, Figure};

/// How much worse a value may get.
const WORSE_MAX: f64 = 0.10;

/// What is saved.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// The processor it was measured on.
    pub(crate) cpu: String,
    /// The values by figure and name.
    pub(crate) values: BTreeMap<String, Saved>,
}

/// One saved value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) median: f64,
    pub(crate) better: Better,
}

impl Baseline {
    /// Reads the baseline at `path`; `None` when there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(path)?;
        Ok(Some(
            serde_json::from_str(&text).with_context(|| format!("{} is not a baseline", path.display()))?,
        ))
    }

    /// The baseline that `figures` would be, keeping from `old` what was not measured this time.
    pub(crate) fn of(cpu: &str, figures: &[Figure], old: Option<Self>) -> Self {
        let mut values = old.map(|old| old.values).unwrap_or_default();
        values.extend(comparable(figures).map(|(name, median, better)| (name, Saved { median, better })));
        Self { cpu: cpu.to_owned(), values }
    }

    /// Writes the baseline to `path`.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, format!("{}\n", serde_json::to_string_pretty(self)?))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// One line per value of `figures` that is worse than allowed.
    pub(crate) fn worsened(&self, figures: &[Figure]) -> Vec<String> {
        comparable(figures)
            .filter_map(|(name, now, better)| {
                let before = self.values.get(&name)?.median;
                let is_worse = match better {
                    Better::Higher => now < before * (1.0 - WORSE_MAX),
                    Better::Lower => now > before * (1.0 + WORSE_MAX),
                };
                is_worse.then(|| format!("{name}: {now:.3}, was {before:.3}"))
            })
            .collect()
    }
}

fn comparable(figures: &[Figure]) -> impl Iterator<Item = (String, f64, Better)> {
    figures.iter().flat_map(|figure| {
        figure.values.iter().filter_map(|value| {
            let name = format!("{} {}: {}", figure.id, figure.what, value.name);
            value.compared.map(|better| (name, value.series.median, better))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::figure::Unit;
    use super::super::series::Series;
    use super::*;

    fn figures(ratio: f64, memory: f64) -> Vec<Figure> {
        vec![
            Figure::new("P1", "calls")
                .value("ratio", Unit::Ratio, Series::of([ratio]))
                .compared(Better::Higher)
                .value("rss", Unit::Megabytes, Series::of([memory]))
                .compared(Better::Lower)
                .value("cpu", Unit::MicrosecondsPerCall, Series::of([1.0])),
        ]
    }

    #[test]
    fn a_tenth_worse_is_allowed_and_more_is_not_and_better_always_is() {
        let saved = Baseline::of("cpu", &figures(0.60, 20.0), None);
        assert_eq!(saved.values.len(), 2, "what is only shown is not saved");
        assert!(saved.worsened(&figures(0.545, 21.9)).is_empty());
        assert!(saved.worsened(&figures(0.9, 5.0)).is_empty());
        assert_eq!(saved.worsened(&figures(0.53, 22.1)).len(), 2);
    }

    #[test]
    fn a_part_run_keeps_what_it_did_not_measure() {
        let old = Baseline::of("cpu", &figures(0.6, 20.0), None);
        let other =
            [Figure::new("P6", "x").value("ratio", Unit::Ratio, Series::of([0.4])).compared(Better::Higher)];
        let merged = Baseline::of("cpu", &other, Some(old));
        assert_eq!(merged.values.len(), 3);
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        assert_eq!(Baseline::read(&path).unwrap(), None);
        let saved = Baseline::of("cpu", &figures(0.6, 20.0), None);
        saved.write(&path).unwrap();
        assert_eq!(Baseline::read(&path).unwrap(), Some(saved));
    }
}
