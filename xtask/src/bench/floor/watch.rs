//! Waits for descriptors by `epoll`, as a floor does: each is told of by its number.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Child;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Descriptors that are waited for.
pub(super) struct Watch(OwnedFd);

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Adds one, and returns its number.
    ///
    /// It has to be removed before it is closed: a shell that is being started has a copy of it for a moment, so that
    /// the kernel would go on to tell of it, by a number that is another's by then.
    pub(super) fn add(&self, descriptor: &(impl AsFd + AsRawFd)) -> io::Result<u64> {
        let number = u64::try_from(descriptor.as_raw_fd()).unwrap_or(u64::MAX);
        epoll::add(&self.0, descriptor, epoll::EventData::new_u64(number), epoll::EventFlags::IN)?;
        Ok(number)
    }

    /// Adds a descriptor that is ready when the process has ended, and returns it with its number.
    pub(super) fn add_end_of(&self, process: &Child) -> io::Result<(u64, OwnedFd)> {
        let end = pidfd_open(Pid::from_child(process), PidfdFlags::empty())?;
        Ok((self.add(&end)?, end))
    }

    pub(super) fn remove(&self, descriptor: &impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.0, descriptor)?)
    }

    /// Waits until some are ready, or for so long; or for less, of which whoever waits again waits for the rest.
    ///
    /// What is less than a millisecond is waited for precisely, the rest in milliseconds: a processor that sleeps
    /// until just then wakes late.
    pub(super) fn wait<'a>(
        &self,
        events: &'a mut Events,
        time: Option<Duration>,
    ) -> io::Result<impl ExactSizeIterator<Item = u64> + use<'a>> {
        let mut time = time;
        if let Some(rest) = time.filter(|time| *time < MILLISECOND && !time.is_zero()) {
            poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timespec(rest)?))?;
            time = Some(Duration::ZERO);
        }
        let whole = |time: Duration| Duration::new(time.as_secs(), time.subsec_millis() * 1_000_000);
        let time = time.map(|time| timespec(whole(time))).transpose()?;
        let (ready, _) = epoll::wait(&self.0, events, time.as_ref())?;
        Ok(ready.iter().map(|event| event.data.u64()))
    }
}

fn timespec(time: Duration) -> io::Result<Timespec> {
    Timespec::try_from(time).map_err(io::Error::other)
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// Where the kernel tells what is ready.
pub(super) type Events = [MaybeUninit<epoll::Event>; 64];

pub(super) const NO_EVENTS: Events = [MaybeUninit::uninit(); 64];
