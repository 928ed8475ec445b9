//! Puts changes into the words of the protocol, for whoever has subscribed.
//!
//! Who has subscribed is `server`'s business; what counts as a change, the supervisor's.

use std::time::{SystemTime, UNIX_EPOCH};

use procmgr_proto::event::{self, Requester};

use crate::supervisor::event::{Caller, Cause, Change, Peer};

/// Returns what subscribers are told of a change that has happened at this time.
pub(crate) fn event(change: Change, time: SystemTime) -> event::Event {
    let Change { program, cause: Cause { by, ended, failure } } = change;
    event::Event::Changed(event::Change {
        time: milliseconds(time),
        program,
        ended,
        failure: failure.map(String::into_bytes),
        by: by.map(|Caller { peer, .. }| requester(peer)),
    })
}

/// A clock that is set before 1970 tells 0.
fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn requester(Peer { pid, uid, gid }: Peer) -> Requester {
    Requester { pid: pid.0.cast_unsigned(), uid: uid.0, gid: gid.0 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_wrong_does_no_harm() {
        assert_eq!(milliseconds(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(milliseconds(UNIX_EPOCH + Duration::from_millis(1_795_000_000_123)), 1_795_000_000_123);
    }
}
