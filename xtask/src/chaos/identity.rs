//! Processes, each as no other has ever been, and what can be done to one without hitting another.
//!
//! Which program a process belongs to is not known here.

use std::fmt;
use std::fs;
use std::io;
use std::process;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process: a PID is given to another one some day, but not with the same start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) pid: u32,
    /// In ticks of the kernel.
    pub(super) started: u64,
}

/// How a process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    Term,
    Kill,
}

impl Identity {
    /// Returns this process.
    pub(super) fn own() -> io::Result<Self> {
        Self::of(process::id()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns the process that has a PID now; `None` if none does, or only one that is dead already.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        parse(&stat).map(|started| Self { pid, started })
    }

    /// Ends the process, unless it has come to its end already.
    pub(super) fn strike(self, blow: Blow) -> io::Result<()> {
        end_if(self.pid, blow, || Self::of(self.pid) == Some(self))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.pid, self.started)
    }
}

/// Ends the process that has a PID, if that is the one that is meant. It is asked while no other can get the PID
/// unnoticed.
pub(super) fn end_if(pid: u32, blow: Blow, is_meant: impl FnOnce() -> bool) -> io::Result<()> {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let process = match pidfd_open(raw, PidfdFlags::empty()) {
        // It is no more, or the PID is that of a thread by now.
        Err(Errno::SRCH | Errno::NOENT | Errno::INVAL) => return Ok(()),
        result => result?,
    };
    if !is_meant() {
        return Ok(());
    }
    let signal = match blow {
        Blow::Term => Signal::TERM,
        Blow::Kill => Signal::KILL,
    };
    match pidfd_send_signal(process, signal) {
        Err(Errno::SRCH) => Ok(()),
        result => Ok(result?),
    }
}

/// Returns when a process was started, from its `stat`; `None` if it is dead.
fn parse(stat: &str) -> Option<u64> {
    // The name comes second, in parentheses, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_ascii_whitespace();
    let is_dead = matches!(words.next()?, "Z" | "X");
    let started = words.nth(18)?.parse().ok()?;
    (!is_dead).then_some(started)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::*;

    fn stat(state: &str) -> String {
        format!("7 (a ) R 1) {state} 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n")
    }

    #[test]
    fn the_start_of_a_living_process_is_the_22nd_field() {
        assert_eq!(parse(&stat("S")), Some(22));
        assert_eq!(parse(&stat("Z")), None);
        assert_eq!(parse("7 (a) S 4"), None);
    }

    #[test]
    fn only_the_process_that_is_meant_is_ended() {
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        let identity = Identity::of(child.id()).unwrap();
        let another = Identity { started: identity.started + 1, ..identity };
        another.strike(Blow::Kill).unwrap();
        assert_eq!(Identity::of(child.id()), Some(identity));
        identity.strike(Blow::Kill).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert_eq!(Identity::of(child.id()), None);
        identity.strike(Blow::Kill).unwrap();
    }
}
