//! Follows a subscription: each program as it is, then each change, a line each.
//!
//! What a line of JSON looks like stands in `json`.

use std::fmt::Write as _;
use std::io;
use std::time::Instant;

use procmgr_proto::error::ClientError;
use procmgr_proto::event::{Change, Event, ProgramStatus, Requester};
use procmgr_proto::subscription::Subscription;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::connection::Failure;
use crate::reader::{Reader, end_for_want_of_readers};
use crate::time::Time;
use crate::{Format, json, text};

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

/// Shows what there is and what changes, until the daemon ends the subscription or the time is up, which are errors, or
/// until nobody reads on.
pub(crate) fn follow(
    mut subscription: Subscription,
    deadline: Option<Instant>,
    format: Format,
    reader: Reader,
) -> Result<(), Failure> {
    let time = Time::now();
    let present = |program| Sighting { time, kind: Kind::Present, program, change: None };
    let programs = subscription.programs().iter();
    let lines: Vec<Vec<u8>> = programs.map(|program| shown(&present(program), format, reader)).collect();
    reader.show(&lines.concat())?;
    while is_wanted(&subscription, deadline, reader)? {
        let Some(event) = subscription.next() else { break };
        // Events that this version does not know are for those who do.
        if let Event::Changed(change) = event? {
            let time = Time::from_milliseconds(change.time);
            let program = &change.program;
            let sighting = Sighting { time, kind: Kind::Changed, program, change: Some(&change) };
            reader.show(&shown(&sighting, format, reader))?;
        }
    }
    Ok(())
}

/// Waits for the next event. Ends as a filter does if standard output has nobody at its other end any more: without an
/// event there would be no write that tells.
fn is_wanted(
    subscription: &Subscription,
    deadline: Option<Instant>,
    reader: Reader,
) -> Result<bool, Failure> {
    let stdout = io::stdout();
    let mut watched = vec![PollFd::new(subscription, PollFlags::IN)];
    match reader {
        Reader::Nobody => {}
        Reader::Script | Reader::Person(_) => watched.push(PollFd::new(&stdout, PollFlags::empty())),
    }
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // More than the kernel can count is as good as for ever.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut watched, left.as_ref()) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
            Ok(0) => return Err(ClientError::TimedOut.into()),
            Ok(_) => break,
        }
    }
    let is_left = |stdout: &PollFd<'_>| stdout.revents().intersects(PollFlags::ERR | PollFlags::HUP);
    let is_left = watched.get(1).is_some_and(is_left);
    if is_left {
        end_for_want_of_readers();
    }
    Ok(!is_left)
}

fn shown(sighting: &Sighting<'_>, format: Format, reader: Reader) -> Vec<u8> {
    match format {
        Format::Json => json::sighting::line_about(sighting),
        Format::Lines => line(sighting, reader),
    }
}

fn line(sighting: &Sighting<'_>, reader: Reader) -> Vec<u8> {
    let Sighting { time, program, change, .. } = sighting;
    let mut line = format!("{time} ").into_bytes();
    line.extend(text::name(&program.name, reader));
    let mut rest = format!(": {}", program.state);
    let words = program.marks.iter().map(|mark| mark.escape_ascii().to_string());
    let pid = program.pid.map(|pid| format!("pid {pid}"));
    let ended = change.and_then(|change| change.ended).map(|status| format!("ended with {status}"));
    let by = change.and_then(|change| change.by);
    let by = by.map(|Requester { pid, uid, gid }| format!("by pid {pid} uid {uid} gid {gid}"));
    let failure = change.and_then(|change| change.failure.as_ref());
    let failure = failure.map(|reason| format!("not started: {}", text::printable(reason)));
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
    use crate::reader::tests::PERSON;

    fn program(name: &[u8], state: State) -> ProgramStatus {
        ProgramStatus { name: name.to_vec(), state, pid: None, marks: vec![] }
    }

    fn shown(program: &ProgramStatus, change: Option<&Change>, reader: Reader) -> String {
        let time = Time::from_milliseconds(1_000_000_000_123);
        let sighting = Sighting { time, kind: Kind::Changed, program, change };
        String::from_utf8_lossy(&line(&sighting, reader)).into_owned()
    }

    #[test]
    fn a_line_says_what_there_is_and_nothing_more() {
        let game = program(b"game", State::Down);
        assert_eq!(shown(&game, None, Reader::Script), "2001-09-09T01:46:40.123Z game: down\n");
    }

    #[test]
    fn a_change_is_one_line_whatever_it_quotes() {
        let marks = vec![b"outdated".to_vec(), b"\x1b".to_vec()];
        let program = ProgramStatus { pid: Some(8), marks, ..program(b"game", State::BackOff) };
        let by = Some(Requester { pid: 1, uid: 2, gid: 3 });
        let failure = Some(b"no\nshell".to_vec());
        let change = Change { time: 0, program, ended: Some(ExitStatus::Code(3)), failure, by };
        assert_eq!(
            shown(&change.program, Some(&change), Reader::Script),
            "2001-09-09T01:46:40.123Z game: back-off, outdated, \\x1b, pid 8, ended with exit status 3, \
             by pid 1 uid 2 gid 3, not started: no\\nshell\n"
        );
    }

    #[test]
    fn a_terminal_is_shown_no_control_characters_and_a_script_the_bytes_as_they_are() {
        let program = program(b"a\x1b[2J", State::Other(b"mad\n".to_vec()));
        assert!(shown(&program, None, PERSON).ends_with(" a\\u{1b}[2J: mad\\n\n"));
        assert!(shown(&program, None, Reader::Script).ends_with(" a\x1b[2J: mad\\n\n"));
    }
}
