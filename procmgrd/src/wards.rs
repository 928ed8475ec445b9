//! Processes in our care that are no children of ours: those that an earlier daemon has started.
//!
//! Which programs they are is not known here.

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use procmgr_config::KillMode;
use procmgr_proto::message::ExitStatus;

use crate::maps::Map;
use crate::pidfd::PidFd;
use crate::poll::{Interest, Poller, Source};
use crate::stat::Stat;
use crate::supervisor::event::{Pid, Process, Signal};

/// All of them.
#[derive(Debug)]
pub(crate) struct Wards {
    /// How many may be watched: clients need descriptors, too.
    most_watched: usize,
    watched: Map<Pid, PidFd>,
    /// Those that nothing tells of, for want of descriptors. They are looked after from time to time.
    unwatched: Map<Pid, Process>,
    look_at: Option<Instant>,
}

impl Wards {
    /// Begins with none, and the descriptors that the daemon may have.
    pub(crate) fn new(descriptors: usize) -> Self {
        let most_watched = descriptors / 4;
        Self { most_watched, watched: Map::default(), unwatched: Map::default(), look_at: None }
    }

    /// Takes a process into care. Returns whether it lives.
    pub(crate) fn take_in(&mut self, process: Process, poller: &Poller, now: Instant) -> bool {
        // Nobody is two programs.
        if self.watched.contains_key(&process.pid) || self.unwatched.contains_key(&process.pid) {
            return false;
        }
        match PidFd::open(process) {
            Ok(Some(pidfd)) => self.watch(pidfd, poller, now),
            Ok(None) => return false,
            Err(_) if has_ended(process) => return false,
            Err(_) => self.leave_unwatched(process, now),
        }
        true
    }

    /// Has a process watched from now on, if there is a place.
    pub(crate) fn watch(&mut self, pidfd: PidFd, poller: &Poller, now: Instant) {
        let process = pidfd.process();
        let is_place = self.watched.len() < self.most_watched;
        if is_place && poller.add(&pidfd, Source::Ward(process.pid), Interest::READABLE).is_ok() {
            self.watched.insert(process.pid, pidfd);
        } else {
            self.leave_unwatched(process, now);
        }
    }

    /// Sends a signal to a process, or to the group that it leads; `None` if it is none of ours.
    pub(crate) fn signal(&self, process: Process, signal: Signal, scope: KillMode) -> Option<io::Result<()>> {
        let watched = self.watched.get(&process.pid).filter(|pidfd| pidfd.process() == process);
        let unwatched = self.unwatched.get(&process.pid).filter(|unwatched| **unwatched == process);
        let open = |process: &Process| match PidFd::open(*process) {
            Ok(Some(pidfd)) => pidfd.signal(signal, scope),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        watched.map(|pidfd| pidfd.signal(signal, scope)).or_else(|| unwatched.map(open))
    }

    /// Returns how the process of this PID has ended, which is known to have, and lets go of it; `None` if it is none
    /// of ours.
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
            // One that has not been reaped is there yet, and has ended.
            if has_ended(process) || !self.take_in(process, poller, now) {
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

/// Returns whether a process is known to have ended, without a descriptor for it.
pub(crate) fn has_ended(process: Process) -> bool {
    match Stat::of(process.pid) {
        Ok(stat) => stat.started != process.started || stat.wait_status.is_some(),
        Err(errno) => matches!(errno, Errno::ENOENT | Errno::ESRCH),
    }
}

/// How often those are looked after that nothing tells of.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    struct World {
        wards: Wards,
        poller: Poller,
        now: Instant,
    }

    impl World {
        fn new(descriptors: usize) -> Self {
            Self { wards: Wards::new(descriptors), poller: Poller::new().unwrap(), now: Instant::now() }
        }

        fn take_in(&mut self, process: Process) -> bool {
            self.wards.take_in(process, &self.poller, self.now)
        }

        /// Waits until a process that is watched has ended.
        fn wait(&mut self) -> Pid {
            match self.poller.wait(None).unwrap().as_slice() {
                [ready] => match ready.source {
                    Source::Ward(pid) => pid,
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        }
    }

    fn child() -> (Child, Process) {
        let child = Command::new("/bin/cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = Pid(child.id().cast_signed());
        let process = Process { pid, started: Stat::of(pid).unwrap().started };
        (child, process)
    }

    #[test]
    fn a_process_in_care_is_signalled_its_end_is_told_and_then_it_is_none_of_ours() {
        let (mut child, process) = child();
        let mut world = World::new(100);
        assert!(world.take_in(process));
        assert!(world.wards.next_deadline().is_none());
        world.wards.signal(process, Signal::Term, KillMode::Process).unwrap().unwrap();
        assert_eq!(world.wait(), process.pid);
        assert_eq!(world.wards.release(process.pid, &world.poller), Some(ExitStatus::Signal(15)));
        assert_eq!(world.wards.release(process.pid, &world.poller), None);
        assert!(world.wards.signal(process, Signal::Term, KillMode::Process).is_none());
        child.wait().unwrap();
        assert!(!world.take_in(process));
    }

    #[test]
    fn those_for_whom_there_is_no_descriptor_are_looked_after_from_time_to_time() {
        let (mut one, first) = child();
        let (mut other, second) = child();
        let mut world = World::new(4);
        assert!(world.take_in(first) && world.take_in(second));
        assert_eq!(world.wards.next_deadline(), Some(world.now + PAUSE));
        assert_eq!(world.wards.look(&world.poller, world.now), []);
        world.wards.signal(second, Signal::Term, KillMode::Process).unwrap().unwrap();
        other.wait().unwrap();
        let later = world.now + PAUSE;
        assert_eq!(world.wards.look(&world.poller, later), [second.pid]);
        assert_eq!(world.wards.release(second.pid, &world.poller), Some(ExitStatus::Unknown));
        assert_eq!(world.wards.next_deadline(), None);
        one.kill().unwrap();
        one.wait().unwrap();
        assert_eq!(world.wait(), first.pid);
    }

    #[test]
    fn one_that_was_not_watched_is_as_soon_as_there_is_a_place() {
        let (mut one, first) = child();
        let (mut other, second) = child();
        let mut world = World::new(4);
        assert!(world.take_in(first) && world.take_in(second));
        one.kill().unwrap();
        one.wait().unwrap();
        world.wards.release(first.pid, &world.poller);
        assert_eq!(world.wards.look(&world.poller, world.now + PAUSE), []);
        assert_eq!(world.wards.next_deadline(), None);
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(world.wait(), second.pid);
    }
}
