//! Times of day, shown as RFC 3339 has them, in UTC; the only room that names `humantime`.
//!
//! What happened at them is not known here.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time of day, shown with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(SystemTime);

impl Time {
    /// Returns what time it is.
    pub(crate) fn now() -> Self {
        Self(SystemTime::now())
    }

    /// Returns the time that a daemon tells; one that no calendar has is the beginning of 1970.
    pub(crate) fn from_milliseconds(milliseconds: u64) -> Self {
        let last = Duration::from_secs(253_402_300_799);
        let since = Some(Duration::from_millis(milliseconds)).filter(|since| *since <= last);
        Self(UNIX_EPOCH + since.unwrap_or_default())
    }

    /// Returns it as people want it, who have no use for milliseconds.
    pub(crate) fn to_the_second(self) -> String {
        humantime::format_rfc3339_seconds(self.0).to_string()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(self.0).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_no_calendar_has_does_no_harm() {
        assert_eq!(Time::from_milliseconds(u64::MAX).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Time::from_milliseconds(253_402_300_799_000).to_string(), "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn people_are_spared_the_milliseconds() {
        assert_eq!(Time::from_milliseconds(1_000_000_000_999).to_the_second(), "2001-09-09T01:46:40Z");
    }
}
