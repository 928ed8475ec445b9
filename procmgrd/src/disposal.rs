//! Closes what clients have brought, away from the event loop: a thread that may wait.
//!
//! Whose descriptors they were, and why they are not needed any more, is not known here.
//!
//! To close a descriptor can take as long as its giver likes: a socket that lingers, a file of a file system that a user
//! serves. Nothing can tell such a descriptor from others without the risk of waiting for the answer.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Descriptors that a client has brought. Dropping them never waits.
#[derive(Debug, Default)]
pub(crate) struct Foreign(Vec<OwnedFd>);

impl Foreign {
    /// Takes descriptors as soon as they have come.
    pub(crate) fn new(descriptors: Vec<OwnedFd>) -> Self {
        Self(descriptors)
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns them. Whoever takes them owes that whatever they end up in is given to [`later`].
    pub(crate) fn take(mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.0)
    }

    /// Returns duplicates.
    pub(crate) fn duplicate(&self) -> std::io::Result<Self> {
        self.0.iter().map(OwnedFd::try_clone).collect::<Result<_, _>>().map(Self)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            later(std::mem::take(&mut self.0));
        }
    }
}

/// Drops something that holds descriptors of a client, soon and elsewhere.
pub(crate) fn later(garbage: impl Send + 'static) {
    DISPOSAL.take_in(Box::new(garbage));
}

type Garbage = Box<dyn Send>;

/// One for the process, as its table of descriptors is. Its first thread starts with the first garbage.
static DISPOSAL: Disposal = Disposal { yard: Mutex::new(Yard::new()), arrival: Condvar::new() };

struct Disposal {
    yard: Mutex<Yard>,
    arrival: Condvar,
}

/// What waits to be dropped, and who is there to do it.
struct Yard {
    waiting: VecDeque<Garbage>,
    workers: usize,
    idle: usize,
}

impl Yard {
    const fn new() -> Self {
        Self { waiting: VecDeque::new(), workers: 0, idle: 0 }
    }
}

impl Disposal {
    fn take_in(&'static self, garbage: Garbage) {
        let mut yard = self.yard();
        yard.waiting.push_back(garbage);
        if yard.waiting.len() <= yard.idle {
            self.arrival.notify_one();
        } else if yard.workers < MOST_WORKERS {
            // The others may have to wait for as long as somebody likes. If the system has no thread left, one of them
            // comes back for this, or the next arrival has more luck.
            let work = || self.work();
            let hired = thread::Builder::new().name("disposal".into()).stack_size(STACK).spawn(work);
            yard.workers += usize::from(hired.is_ok());
        }
    }

    /// Drops what there is, for as long as there is enough to do.
    fn work(&self) {
        while let Some(garbage) = self.next() {
            drop(garbage);
        }
    }

    /// Waits for something to be dropped. All workers but the last one are dismissed if that takes long.
    fn next(&self) -> Option<Garbage> {
        let mut yard = self.yard();
        loop {
            if let Some(garbage) = yard.waiting.pop_front() {
                return Some(garbage);
            }
            let patience = if yard.workers > 1 { SURPLUS } else { Duration::MAX };
            yard.idle += 1;
            let (awake, wait) =
                self.arrival.wait_timeout(yard, patience).unwrap_or_else(PoisonError::into_inner);
            yard = awake;
            yard.idle -= 1;
            if wait.timed_out() && yard.waiting.is_empty() && yard.workers > 1 {
                yard.workers -= 1;
                return None;
            }
        }
    }

    fn yard(&self) -> MutexGuard<'_, Yard> {
        self.yard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many workers there are at the most. Each may have to wait for a descriptor that somebody made for that.
const MOST_WORKERS: usize = 64;

/// How long more than one worker stays for nothing.
const SURPLUS: Duration = Duration::from_secs(1);

/// Closing needs next to nothing.
const STACK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Something that takes its time to be dropped.
    struct Slow(Sender<()>, Receiver<()>);

    impl Drop for Slow {
        fn drop(&mut self) {
            let _ = self.1.recv();
            let _ = self.0.send(());
        }
    }

    #[test]
    fn what_cannot_be_dropped_keeps_nothing_else_from_being_dropped() {
        let (dropped, drops) = channel();
        let (release, is_released) = channel();
        later(Slow(dropped.clone(), is_released));
        // Already released, for its sender is gone.
        later(Slow(dropped, channel().1));
        let patience = Duration::from_secs(60);
        drops.recv_timeout(patience).expect("the quick one is dropped");
        assert!(drops.try_recv().is_err(), "the slow one was not released");
        release.send(()).unwrap();
        drops.recv_timeout(patience).expect("the slow one is dropped");
    }
}
