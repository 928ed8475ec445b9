//! Closes what clients have brought, away from the event loop: a thread that may wait.
//!
//! Whose descriptors they were, and why they are not needed any more, is not known here.
//!
//! To close a descriptor can take as long as its giver likes: a socket that lingers, a file of a file system that a user
//! serves. Nothing can tell such a descriptor from others without the risk of waiting for the answer.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

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
static DISPOSAL: LazyLock<Disposal> = LazyLock::new(Disposal::new);

struct Disposal {
    sender: Sender<Garbage>,
    receiver: Arc<Mutex<Receiver<Garbage>>>,
    progress: Arc<Progress>,
    workers: AtomicUsize,
    start: Instant,
}

/// What workers have done.
#[derive(Default)]
struct Progress {
    /// How many pieces have not been dropped.
    waiting: AtomicUsize,
    /// When a piece was dropped last, in milliseconds since the start.
    last: AtomicU64,
}

impl Disposal {
    fn new() -> Self {
        let (sender, receiver) = channel();
        Self {
            sender,
            receiver: Arc::new(Mutex::new(receiver)),
            progress: Arc::default(),
            workers: AtomicUsize::new(0),
            start: Instant::now(),
        }
    }

    fn take_in(&self, garbage: Garbage) {
        let waiting = self.progress.waiting.fetch_add(1, Ordering::Relaxed);
        let now = millis(self.start);
        if waiting == 0 {
            self.progress.last.store(now, Ordering::Relaxed);
        }
        // The receiver lives as long as this.
        let _ = self.sender.send(garbage);
        let is_stuck = now - self.progress.last.load(Ordering::Relaxed).min(now) > STUCK;
        let workers = self.workers.load(Ordering::Relaxed);
        if workers == 0 || (is_stuck && workers < MOST_WORKERS) {
            self.progress.last.store(now, Ordering::Relaxed);
            self.hire();
        }
    }

    /// Starts one more thread. If the system has none, what waits is dropped when it has one again.
    fn hire(&self) {
        let (receiver, progress, start) =
            (Arc::clone(&self.receiver), Arc::clone(&self.progress), self.start);
        let work = move || {
            loop {
                let garbage = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(garbage) = garbage else { return };
                drop(garbage);
                progress.waiting.fetch_sub(1, Ordering::Relaxed);
                progress.last.store(millis(start), Ordering::Relaxed);
            }
        };
        if thread::Builder::new().name("disposal".into()).stack_size(STACK).spawn(work).is_ok() {
            self.workers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// How long, in milliseconds, nothing may be dropped before one more worker is hired.
const STUCK: u64 = 50;

/// How many workers there are at the most. Each may have to wait for a descriptor that somebody made for that.
const MOST_WORKERS: usize = 64;

/// Closing needs next to nothing.
const STACK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let begin = Instant::now();
        let mut quick = 0;
        while quick == 0 {
            assert!(begin.elapsed() < Duration::from_secs(60), "everything waits for the slow one");
            // Already released, for its sender is gone.
            later(Slow(dropped.clone(), channel().1));
            quick = drops.recv_timeout(Duration::from_millis(10)).into_iter().count();
        }
        release.send(()).unwrap();
        drops.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}
