//! Processes in our care that are no children of ours: those that an earlier daemon has started.
//!
//! Which programs they are is not known here.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use procmgr_proto::message::ExitStatus;

use crate::pidfd::PidFd;
use crate::poll::{Interest, Poller, Source};
use crate::supervisor::event::{Pid, Process};

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Wards {
    watched: HashMap<Pid, PidFd>,
    /// Those that nothing tells of, for want of descriptors. They are looked after from time to time.
    unwatched: HashMap<Pid, Process>,
    look_at: Option<Instant>,
}

impl Wards {
    /// Takes a process into care. Returns whether it lives.
    pub(crate) fn take_in(&mut self, process: Process, poller: &Poller, now: Instant) -> bool {
        match PidFd::open(process) {
            Ok(Some(pidfd)) => self.watch(pidfd, poller, now),
            Ok(None) => return false,
            Err(_) => self.leave_unwatched(process, now),
        }
        true
    }

    /// Has a process watched from now on.
    pub(crate) fn watch(&mut self, pidfd: PidFd, poller: &Poller, now: Instant) {
        let process = pidfd.process();
        match poller.add(&pidfd, Source::Ward(process.pid), Interest::READABLE) {
            Ok(()) => {
                self.watched.insert(process.pid, pidfd);
            }
            Err(_) => self.leave_unwatched(process, now),
        }
    }

    /// Sends SIGTERM to the process of this PID; `None` if it is none of ours.
    pub(crate) fn terminate(&self, pid: Pid) -> Option<io::Result<()>> {
        let unwatched = self.unwatched.get(&pid);
        let signal = |process: &Process| match PidFd::open(*process) {
            Ok(Some(pidfd)) => pidfd.terminate(),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        self.watched.get(&pid).map(PidFd::terminate).or_else(|| unwatched.map(signal))
    }

    /// Returns how the process of this PID has ended, which is known to have, and lets go of it; `None` if it is none of
    /// ours.
    pub(crate) fn release(&mut self, pid: Pid, poller: &Poller) -> Option<ExitStatus> {
        if self.unwatched.remove(&pid).is_some() {
            return Some(ExitStatus::Unknown);
        }
        let pidfd = self.watched.remove(&pid)?;
        let _ = poller.remove(&pidfd);
        Some(pidfd.exit_status())
    }

    /// Looks after those that are not watched, if it is time. Returns those that have ended.
    pub(crate) fn look(&mut self, poller: &Poller, now: Instant) -> Vec<Pid> {
        if self.look_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.look_at = None;
        let mut ended = Vec::new();
        for (pid, process) in std::mem::take(&mut self.unwatched) {
            if !self.take_in(process, poller, now) {
                self.unwatched.insert(pid, process);
                ended.push(pid);
            }
        }
        ended
    }

    /// Returns when [`Wards::look`] is wanted, if ever.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.look_at
    }

    /// Returns those that are watched, and those that are not.
    pub(crate) fn all(&self) -> (impl Iterator<Item = &PidFd>, impl Iterator<Item = Process>) {
        (self.watched.values(), self.unwatched.values().copied())
    }

    /// Has a process looked after from time to time, until it can be watched.
    pub(crate) fn leave_unwatched(&mut self, process: Process, now: Instant) {
        self.unwatched.insert(process.pid, process);
        self.look_at.get_or_insert(now + PAUSE);
    }
}

/// How often those are looked after that nothing tells of.
const PAUSE: Duration = Duration::from_secs(1);
