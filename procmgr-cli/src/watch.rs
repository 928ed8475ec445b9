//! Follows a subscription: each program as it is, then each change, a line each.
//!
//! What a line of JSON looks like stands in `json`.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use procmgr_proto::event::{Change, Event, ProgramStatus, Requester};
use procmgr_proto::subscription::Subscription;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::connection::Failure;
use crate::{WatchFormat, json, output};

/// What is seen of a program at a time.
#[derive(Debug)]
pub(crate) struct Sighting<'a> {
    pub(crate) time: Time,
    pub(crate) kind: Kind,
    pub(crate) program: &'a ProgramStatus,
    /// What has led to it, if it is a change.
    pub(crate) change: Option<&'a Change>,
}

/// Why a program is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is there when the watch begins.
    Present,
    /// It has changed.
    Changed,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Changed => "changed",
        }
    }
}

/// A time of day, shown as RFC 3339 has it, in UTC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) SystemTime);

impl Time {
    /// Returns the time that a daemon tells; one that no calendar has is the beginning of 1970.
    fn from_milliseconds(milliseconds: u64) -> Self {
        let last = Duration::from_secs(253_402_300_799);
        let since = Some(Duration::from_millis(milliseconds)).filter(|since| *since <= last);
        Self(UNIX_EPOCH + since.unwrap_or_default())
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(self.0).fmt(formatter)
    }
}

/// Shows what there is and what changes, until the daemon ends the subscription, which is an error, or until nobody
/// reads on.
pub(crate) fn follow(mut subscription: Subscription, format: WatchFormat) -> Result<(), Failure> {
    let time = Time(SystemTime::now());
    let present = |program| Sighting { time, kind: Kind::Present, program, change: None };
    let lines: Vec<Vec<u8>> =
        subscription.programs().iter().map(|program| shown(&present(program), format)).collect();
    output::bytes(&lines.concat())?;
    while is_wanted(&subscription)? {
        let Some(event) = subscription.next() else { break };
        // Events that this version does not know are for those who do.
        if let Event::Changed(change) = event? {
            let time = Time::from_milliseconds(change.time);
            let program = &change.program;
            let sighting = Sighting { time, kind: Kind::Changed, program, change: Some(&change) };
            output::bytes(&shown(&sighting, format))?;
        }
    }
    Ok(())
}

/// Waits for the next event. Returns false if standard output has nobody at its other end any more: without an event
/// there would be no write that tells.
fn is_wanted(subscription: &Subscription) -> io::Result<bool> {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(subscription, PollFlags::IN), PollFd::new(&stdout, PollFlags::empty())];
    loop {
        match poll(&mut watched, None) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(!watched[1].revents().intersects(PollFlags::ERR | PollFlags::HUP)),
        }
    }
}

fn shown(sighting: &Sighting<'_>, format: WatchFormat) -> Vec<u8> {
    match format {
        WatchFormat::Json => json::sighting(sighting),
        WatchFormat::Lines => line(sighting, io::stdout().is_terminal()),
    }
}

fn line(sighting: &Sighting<'_>, is_for_terminal: bool) -> Vec<u8> {
    let Sighting { time, program, change, .. } = sighting;
    let mut line = format!("{time} ").into_bytes();
    line.extend(output::name(&program.name, is_for_terminal));
    let mut rest = format!(": {}", program.state);
    let words = program.marks.iter().map(|mark| mark.escape_ascii().to_string());
    let pid = program.pid.map(|pid| format!("pid {pid}"));
    let ended = change.and_then(|change| change.ended).map(|status| format!("ended with {status}"));
    let by = change.and_then(|change| change.by);
    let by = by.map(|Requester { pid, uid, gid }| format!("by pid {pid} uid {uid} gid {gid}"));
    let failure = change.and_then(|change| change.failure.as_ref());
    let failure = failure.map(|reason| format!("not started: {}", output::printable(reason)));
    for part in words.chain(pid).chain(ended).chain(by).chain(failure) {
        let _ = write!(rest, ", {part}");
    }
    line.extend(rest.into_bytes());
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use procmgr_proto::event::State;
    use procmgr_proto::message::ExitStatus;

    use super::*;

    fn program(name: &[u8], state: State) -> ProgramStatus {
        ProgramStatus { name: name.to_vec(), state, pid: None, marks: vec![] }
    }

    fn text(program: &ProgramStatus, change: Option<&Change>, is_for_terminal: bool) -> String {
        let time = Time::from_milliseconds(1_000_000_000_123);
        let sighting = Sighting { time, kind: Kind::Changed, program, change };
        String::from_utf8_lossy(&line(&sighting, is_for_terminal)).into_owned()
    }

    #[test]
    fn a_line_says_what_there_is_and_nothing_more() {
        let game = program(b"game", State::Down);
        assert_eq!(text(&game, None, false), "2001-09-09T01:46:40.123Z game: down\n");
    }

    #[test]
    fn a_change_is_one_line_whatever_it_quotes() {
        let marks = vec![b"outdated".to_vec(), b"\x1b".to_vec()];
        let program = ProgramStatus { pid: Some(8), marks, ..program(b"game", State::BackOff) };
        let by = Some(Requester { pid: 1, uid: 2, gid: 3 });
        let failure = Some(b"no\nshell".to_vec());
        let change = Change { time: 0, program, ended: Some(ExitStatus::Code(3)), failure, by };
        assert_eq!(
            text(&change.program, Some(&change), false),
            "2001-09-09T01:46:40.123Z game: back-off, outdated, \\x1b, pid 8, ended with exit status 3, \
             by pid 1 uid 2 gid 3, not started: no\\nshell\n"
        );
    }

    #[test]
    fn a_terminal_is_shown_no_control_characters_and_a_script_the_bytes_as_they_are() {
        let program = program(b"a\x1b[2J", State::Other(b"mad\n".to_vec()));
        assert!(text(&program, None, true).ends_with(" a\\u{1b}[2J: mad\\n\n"));
        assert!(text(&program, None, false).ends_with(" a\x1b[2J: mad\\n\n"));
    }

    #[test]
    fn a_time_that_no_calendar_has_does_no_harm() {
        assert_eq!(Time::from_milliseconds(u64::MAX).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Time::from_milliseconds(253_402_300_799_000).to_string(), "9999-12-31T23:59:59.000Z");
    }
}
