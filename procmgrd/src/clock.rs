//! Instants as numbers that mean the same to another process of this machine, until it is booted again.
//!
//! What happens when is not known here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::supervisor::event::Timestamp;

/// An instant, in nanoseconds of the system's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(u64);

/// A [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredTimestamp {
    moment: Moment,
    time: u64,
}

/// The bridge between the two: one point in time, by both of its names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    instant: Instant,
    moment: Moment,
}

/// Looks at both clocks.
pub(crate) fn timestamp() -> Timestamp {
    Timestamp { instant: Instant::now(), time: milliseconds(SystemTime::now()) }
}

/// Returns the milliseconds since 1970; 0 by a clock that is set before that.
pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Clock {
    /// Looks at the time. The bridge holds for as long as the process lives: both names are of one clock.
    pub(crate) fn now() -> Self {
        let elapsed = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        Self { instant: Instant::now(), moment: Moment(nanoseconds(elapsed)) }
    }

    /// Returns the numbers of a timestamp.
    pub(crate) fn stored(self, timestamp: Timestamp) -> StoredTimestamp {
        StoredTimestamp { moment: self.moment(timestamp.instant), time: timestamp.time }
    }

    /// Returns the timestamp of its numbers.
    pub(crate) fn timestamp(self, stored: StoredTimestamp) -> Timestamp {
        Timestamp { instant: self.instant(stored.moment), time: stored.time }
    }

    /// Returns the timestamp of these numbers; where there is no second one, it is worked out.
    pub(crate) fn complete(self, moment: Moment, time: Option<u64>) -> Timestamp {
        let (now, instant) = (timestamp(), self.instant(moment));
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let estimate = match instant.checked_duration_since(now.instant) {
            Some(later) => now.time.saturating_add(milliseconds(later)),
            None => now.time.saturating_sub(milliseconds(now.instant.saturating_duration_since(instant))),
        };
        Timestamp { instant, time: time.unwrap_or(estimate) }
    }

    /// Returns the number of an instant.
    pub(crate) fn moment(self, instant: Instant) -> Moment {
        let Moment(here) = self.moment;
        Moment(match instant.checked_duration_since(self.instant) {
            Some(later) => here.saturating_add(nanoseconds(later)),
            None => here.saturating_sub(nanoseconds(self.instant.saturating_duration_since(instant))),
        })
    }

    /// Returns the instant of a number. What lies too far ahead or back to be told is as near to it as can be.
    pub(crate) fn instant(self, moment: Moment) -> Instant {
        let (Moment(here), Moment(there)) = (self.moment, moment);
        let distance = Duration::from_nanos(here.abs_diff(there));
        let instant = if there < here {
            self.instant.checked_sub(distance)
        } else {
            self.instant.checked_add(distance)
        };
        instant.unwrap_or(self.instant)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_the_same_after_the_way_through_its_number() {
        let clock = Clock::now();
        for offset in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(86_400)] {
            let later = clock.instant + offset;
            assert_eq!(clock.instant(clock.moment(later)), later);
            if let Some(earlier) = clock.instant.checked_sub(offset.min(Duration::from_millis(1))) {
                assert_eq!(clock.instant(clock.moment(earlier)), earlier);
            }
        }
    }

    #[test]
    fn a_clock_that_is_wrong_does_no_harm() {
        assert_eq!(milliseconds(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(milliseconds(UNIX_EPOCH + Duration::from_millis(1_795_000_000_123)), 1_795_000_000_123);
    }

    #[test]
    fn what_is_too_far_ahead_is_as_good_as_never() {
        let now = timestamp();
        let never = now + Duration::MAX;
        assert!(never.instant > now.instant + Duration::from_secs(1 << 31));
        assert_eq!(never.time, u64::MAX);
        assert_eq!(now + Duration::ZERO, now);
    }

    #[test]
    fn two_bridges_lead_to_about_the_same() {
        let (one, other) = (Clock::now(), Clock::now());
        let there = other.instant(one.moment(one.instant));
        assert!(there.saturating_duration_since(one.instant) < Duration::from_millis(100));
    }

    #[test]
    fn numbers_out_of_reach_do_no_harm() {
        let clock = Clock::now();
        clock.instant(Moment(0));
        clock.instant(Moment(u64::MAX));
        let last = clock.instant(Moment(u64::MAX));
        assert!(clock.moment(last) >= clock.moment);
    }
}
