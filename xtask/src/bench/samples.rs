//! Numbers that were measured, and what is quoted of them.
//!
//! What they are numbers of is not known here.

use std::time::Duration;

/// What was measured, one number for each time.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number in the middle; of two in the middle, what is between them.
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        f64::midpoint(middle(sorted.len().saturating_sub(1) / 2), middle(sorted.len() / 2))
    }

    pub(super) fn minimum(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    pub(super) fn maximum(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }

    /// Returns the number that so many of a hundred do not exceed.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let sorted = self.sorted();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Self {
        Self(numbers.into_iter().collect())
    }
}

/// Returns a time in microseconds.
pub(super) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Returns a time in milliseconds.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_of_what_was_measured() {
        let samples: Samples = [9.0, 1.0, 4.0].into_iter().collect();
        assert!((samples.median() - 4.0).abs() < f64::EPSILON);
        let samples: Samples = [9.0, 1.0, 4.0, 6.0].into_iter().collect();
        assert!((samples.median() - 5.0).abs() < f64::EPSILON);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn a_percentile_is_what_so_many_do_not_exceed() {
        let samples: Samples = (1..=200).rev().map(f64::from).collect();
        for (percent, expected) in [(50, 100.0), (99, 198.0), (100, 200.0)] {
            assert!((samples.percentile(percent) - expected).abs() < f64::EPSILON);
        }
        assert!((samples.minimum() - 1.0).abs() < f64::EPSILON);
        assert!((samples.maximum() - 200.0).abs() < f64::EPSILON);
    }
}
