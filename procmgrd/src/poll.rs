//! Waits for descriptors: the only room that names epoll.
//!
//! What a ready descriptor means is not known here; each is registered with the source that it stands for.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::supervisor::event::Pid;

/// How many ready descriptors one wait returns at the most. The others are ready still the next time.
pub(crate) const READY_PER_WAIT: usize = 1024;

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A signal has arrived.
    Signals,
    /// A client wants to connect.
    Listener,
    /// Something has happened to the socket file.
    SocketFile,
    /// Something has happened to the records.
    State,
    /// The process of this PID has ended, which is in our care and no child of ours.
    Ward(Pid),
    /// The rehearsal of an upgrade has ended or has something to say.
    Rehearsal,
    /// A client has sent something, or can take more.
    Connection(u64),
}

/// What is waited for. That the other end has hung up is told always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Interest {
    pub(crate) const READABLE: Self = Self { readable: true, writable: false };
}

/// A descriptor that is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) source: Source,
    pub(crate) readable: bool,
    /// Both directions are closed, or the descriptor is broken: nothing that is written will ever be read.
    pub(crate) hung_up: bool,
}

impl Ready {
    /// Returns the process that has ended, if it is one in our care.
    pub(crate) fn ward(&self) -> Option<Pid> {
        match self.source {
            Source::Ward(pid) => Some(pid),
            Source::Signals
            | Source::Listener
            | Source::SocketFile
            | Source::State
            | Source::Rehearsal
            | Source::Connection(_) => None,
        }
    }
}

/// A set of descriptors to wait for. A descriptor leaves it before it is closed.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Epoll,
    /// Where the kernel tells what is ready.
    events: Box<[EpollEvent]>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let events = vec![EpollEvent::empty(); READY_PER_WAIT].into();
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, events })
    }

    pub(crate) fn add(&self, descriptor: impl AsFd, source: Source, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.add(descriptor, event(source, interest))?)
    }

    pub(crate) fn change(&self, descriptor: impl AsFd, source: Source, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.modify(descriptor, &mut event(source, interest))?)
    }

    pub(crate) fn remove(&self, descriptor: impl AsFd) -> io::Result<()> {
        Ok(self.epoll.delete(descriptor)?)
    }

    /// Waits until something is ready or the time is over; without a time, as long as it takes.
    ///
    /// May return nothing before the time is over: for a signal's sake, or because less than a millisecond is left.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Ready>> {
        let timeout = match timeout {
            Some(rest) if rest < MILLISECOND && !rest.is_zero() => {
                self.wait_precisely(rest)?;
                EpollTimeout::ZERO
            }
            Some(_) | None => epoll_timeout(timeout),
        };
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Err(Errno::EINTR) => 0,
            result => result?,
        };
        Ok(self.events[..count].iter().map(ready).collect())
    }

    /// Waits for less than the millisecond that `epoll_wait` counts in. Linux has no `epoll_pwait2` before 5.11.
    fn wait_precisely(&self, time: Duration) -> io::Result<()> {
        let mut descriptors = [PollFd::new(&self.epoll.0, PollFlags::IN)];
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        match poll(&mut descriptors, Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns the time in milliseconds, rounded down: what is left is waited for precisely.
fn epoll_timeout(timeout: Option<Duration>) -> EpollTimeout {
    let Some(timeout) = timeout else { return EpollTimeout::NONE };
    let milliseconds = timeout.as_millis();
    i32::try_from(milliseconds)
        .ok()
        .and_then(|it| EpollTimeout::try_from(it).ok())
        .unwrap_or(EpollTimeout::MAX)
}

const MILLISECOND: Duration = Duration::from_millis(1);

const SIGNALS: u64 = 0;
const LISTENER: u64 = 1;
const SOCKET_FILE: u64 = 2;
const STATE: u64 = 3;
const REHEARSAL: u64 = 4;
const CONNECTIONS: u64 = 5;
/// From here on, counted by PID: more than there will ever be connections.
const WARDS: u64 = 1 << 63;

fn event(source: Source, interest: Interest) -> EpollEvent {
    let mut flags = EpollFlags::empty();
    flags.set(EpollFlags::EPOLLIN, interest.readable);
    flags.set(EpollFlags::EPOLLOUT, interest.writable);
    let data = match source {
        Source::Signals => SIGNALS,
        Source::Listener => LISTENER,
        Source::SocketFile => SOCKET_FILE,
        Source::State => STATE,
        Source::Rehearsal => REHEARSAL,
        Source::Ward(Pid(pid)) => WARDS + u64::from(pid.unsigned_abs()),
        Source::Connection(number) => CONNECTIONS + number,
    };
    EpollEvent::new(flags, data)
}

fn ready(event: &EpollEvent) -> Ready {
    let source = match event.data() {
        SIGNALS => Source::Signals,
        LISTENER => Source::Listener,
        SOCKET_FILE => Source::SocketFile,
        STATE => Source::State,
        REHEARSAL => Source::Rehearsal,
        ward @ WARDS.. => Source::Ward(Pid(i32::try_from(ward - WARDS).unwrap_or_default())),
        number => Source::Connection(number - CONNECTIONS),
    };
    let flags = event.events();
    Ready {
        source,
        readable: flags.contains(EpollFlags::EPOLLIN),
        hung_up: flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR),
    }
}

#[cfg(test)]
mod tests {
    use std::io::pipe;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_timeout_is_rounded_down_and_never_overflows() {
        let cases = [
            (Some(Duration::ZERO), EpollTimeout::ZERO),
            (Some(Duration::from_micros(1999)), EpollTimeout::from(1_u16)),
            (Some(Duration::from_millis(5)), EpollTimeout::from(5_u16)),
            (Some(Duration::MAX), EpollTimeout::MAX),
            (None, EpollTimeout::NONE),
        ];
        for (timeout, expected) in cases {
            assert_eq!(epoll_timeout(timeout), expected, "{timeout:?}");
        }
    }

    #[test]
    fn less_than_a_millisecond_is_waited_for_without_being_busy_and_for_no_longer_than_nothing_is_ready() {
        let mut poller = Poller::new().unwrap();
        let (reader, writer) = pipe().unwrap();
        poller.add(&reader, Source::Listener, Interest::READABLE).unwrap();
        let due = Instant::now() + MILLISECOND * 9 / 10;
        let mut waits = 0;
        while let Some(rest) = due.checked_duration_since(Instant::now()) {
            assert!(poller.wait(Some(rest)).unwrap().is_empty());
            waits += 1;
        }
        // A signal may end one.
        assert!(waits < 10, "{waits} waits");
        drop(writer);
        let ready = poller.wait(Some(MILLISECOND / 2)).unwrap();
        assert_eq!(ready.iter().map(|ready| ready.source).collect::<Vec<_>>(), [Source::Listener]);
    }

    #[test]
    fn every_source_survives_the_way_through_the_kernel() {
        for source in [
            Source::Signals,
            Source::Listener,
            Source::SocketFile,
            Source::State,
            Source::Rehearsal,
            Source::Ward(Pid(1)),
            Source::Ward(Pid(i32::MAX)),
            Source::Connection(0),
            Source::Connection(7),
        ] {
            assert_eq!(ready(&event(source, Interest::READABLE)).source, source);
        }
    }
}
