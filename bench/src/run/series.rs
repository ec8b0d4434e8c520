//! Repeated measurements of one thing: the median is quoted, the smallest and the largest show how steady it was.

use serde::Serialize;

/// The median of some repetitions, with their extremes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Series {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Series {
    /// Sums up `values`; `None` when there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let lower = if values.len().is_multiple_of(2) { *values.get(middle.checked_sub(1)?)? } else { upper };
        Some(Self { median: f64::midpoint(lower, upper), min: *values.first()?, max: *values.last()? })
    }

    /// Compares repetition with repetition: what ran next to each other shared the same noise.
    pub(crate) fn paired(left: &[f64], right: &[f64], compare: impl Fn(f64, f64) -> f64) -> Option<Self> {
        Self::of(left.iter().zip(right).map(|(left, right)| compare(*left, *right)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_middles() {
        assert_eq!(Series::of([5.0, 1.0, 3.0]), Some(Series { median: 3.0, min: 1.0, max: 5.0 }));
        assert_eq!(Series::of([4.0, 1.0, 2.0, 9.0]).unwrap().median, 3.0);
        assert_eq!(Series::of([]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_repetition() {
        // The machine was half as fast in the second repetition, for both.
        let ratio = Series::paired(&[100.0, 50.0, 90.0], &[200.0, 100.0, 180.0], |a, b| a / b).unwrap();
        assert_eq!(ratio, Series { median: 0.5, min: 0.5, max: 0.5 });
    }
}
