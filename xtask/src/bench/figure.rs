//! A figure: what was measured of procmgr, of others and of the floor, and what it ought to be.
//!
//! How it was measured is not known here, and how a table looks neither.

use crate::bench::samples::Samples;

/// A line of the table.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) unit: Unit,
    /// What the machine takes for the same, or what else it is held against.
    pub(super) floor: Option<Samples>,
    pub(super) ours: Samples,
    /// Of each executable that is measured in turn, in their order; `None` if it cannot do it.
    pub(super) others: Vec<Option<Samples>>,
    pub(super) goal: Goal,
}

/// What the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    PerSecond,
    Micros,
    Millis,
    KiB,
    Bytes,
    Count,
}

impl Unit {
    /// Returns the unit as it stands behind a number.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::KiB => "KiB",
            Self::Bytes => "B",
            Self::Count => "",
        }
    }
}

/// What the median ought to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    /// Nobody has said: it is there to be seen.
    None,
    AtMost(f64),
    /// So many times the median of the floor.
    AtMostTimesFloor(f64),
    AtLeastTimesFloor(f64),
}

impl Figure {
    /// Returns a figure that is held against nothing.
    pub(super) fn new(what: impl Into<String>, unit: Unit, ours: Samples) -> Self {
        Self { what: what.into(), unit, floor: None, ours, others: Vec::new(), goal: Goal::None }
    }

    pub(super) fn above(self, floor: Samples) -> Self {
        Self { floor: Some(floor), ..self }
    }

    pub(super) fn beside(self, others: Vec<Option<Samples>>) -> Self {
        Self { others, ..self }
    }

    pub(super) fn with_goal(self, goal: Goal) -> Self {
        Self { goal, ..self }
    }

    /// Returns the median of procmgr as so many times that of the floor.
    pub(super) fn ratio(&self) -> Option<f64> {
        let floor = self.floor.as_ref().filter(|floor| !floor.is_empty())?;
        Some(self.ours.median() / floor.median())
    }

    /// Returns whether it is as it ought to be, unless nobody has said.
    pub(super) fn is_met(&self) -> Option<bool> {
        match self.goal {
            Goal::None => None,
            Goal::AtMost(most) => Some(self.ours.median() <= most),
            Goal::AtMostTimesFloor(most) => self.ratio().map(|ratio| ratio <= most),
            Goal::AtLeastTimesFloor(least) => self.ratio().map(|ratio| ratio >= least),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_about_medians() {
        let samples = |numbers: [f64; 3]| numbers.into_iter().collect::<Samples>();
        let figure = Figure::new("x", Unit::Millis, samples([1.0, 8.0, 2.0]));
        assert_eq!(figure.is_met(), None);
        assert_eq!(figure.clone().with_goal(Goal::AtMost(2.0)).is_met(), Some(true));
        assert_eq!(figure.clone().with_goal(Goal::AtMost(1.9)).is_met(), Some(false));
        let figure = figure.above(samples([4.0, 9.0, 1.0]));
        assert_eq!(figure.clone().with_goal(Goal::AtMostTimesFloor(0.5)).is_met(), Some(true));
        assert_eq!(figure.with_goal(Goal::AtLeastTimesFloor(0.6)).is_met(), Some(false));
    }
}
