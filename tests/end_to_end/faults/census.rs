//! Processes that are told apart from others that get their PIDs later.
//!
//! Which of them there should be is not known here.

use std::fs;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};

use crate::harness;

/// A process, by its PID and when it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) pid: Pid,
    started: u64,
}

impl Process {
    /// Returns the process of this PID, if it has not ended.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
        let started = fields.get(STARTED)?.parse().ok()?;
        (fields[0] != "Z" && fields[0] != "X").then_some(Self { pid, started })
    }

    /// Returns whether it has not ended.
    pub(super) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Ends it, if it has not ended yet, and the rest of its process group if it leads one.
    pub(super) fn kill(self) {
        if self.is_alive() {
            let leads_group = getpgid(Some(self.pid)) == Ok(self.pid);
            let _ =
                if leads_group { killpg(self.pid, Signal::SIGKILL) } else { kill(self.pid, Signal::SIGKILL) };
        }
    }
}

/// Returns the children of a process that have not ended.
pub(super) fn children(pid: Pid) -> impl Iterator<Item = Process> {
    harness::children(pid).into_iter().filter_map(Process::of)
}

/// Where the start stands behind the name, the state being the first.
const STARTED: usize = 19;
