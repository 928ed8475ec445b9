//! Closes what clients have brought, away from the event loop: threads that may wait, of which each user has a few.
//!
//! Why descriptors are not needed any more, and how many of them there may be, is not known here.
//!
//! To close a descriptor can take as long as its giver likes: a socket that lingers, a file of a file system that a
//! user serves. Nothing can tell such a descriptor from others without the risk of waiting for the answer.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use procmgr_config::Uid;
use procmgr_proto::stdio::send_some;

use crate::custody::{Account, Charge};
use crate::maps::Map;
use crate::parcel::{Packer, Slot, Unpacker};
use crate::threads;

/// Descriptors that a client has brought, which count as its user's until they are closed. Dropping them never waits.
#[derive(Debug)]
pub(crate) struct Foreign {
    descriptors: Vec<OwnedFd>,
    charge: Charge,
}

impl Foreign {
    /// Takes descriptors as soon as they have come.
    pub(crate) fn new(descriptors: Vec<OwnedFd>, account: &Account) -> Self {
        let charge = account.charge(descriptors.len());
        Self { descriptors, charge }
    }

    /// Takes descriptors that another image of the daemon has handed on.
    pub(crate) fn unpack(slots: Vec<Slot>, unpacker: &mut Unpacker, account: &Account) -> io::Result<Self> {
        let descriptors = slots.into_iter().map(|slot| unpacker.take(slot));
        Ok(Self::new(descriptors.collect::<Result<_, _>>()?, account))
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.descriptors.len()
    }

    /// Packs them.
    pub(crate) fn pack<'a>(&'a self, packer: &mut Packer<'a>) -> Vec<Slot> {
        self.descriptors.iter().map(|descriptor| packer.descriptor(descriptor.as_fd())).collect()
    }

    /// Returns them. Whoever takes them owes that whatever they end up in is given to [`later`] with their charge.
    pub(crate) fn take(mut self) -> (Vec<OwnedFd>, Charge) {
        (std::mem::take(&mut self.descriptors), self.charge.take())
    }

    /// Returns duplicates, which count, too.
    pub(crate) fn duplicate(&self) -> io::Result<Self> {
        let descriptors = self.descriptors.iter().map(OwnedFd::try_clone).collect::<Result<_, _>>()?;
        Ok(Self::new(descriptors, self.charge.account()))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if !self.descriptors.is_empty() {
            later(std::mem::take(&mut self.descriptors), Some(self.charge.take()));
        }
    }
}

/// Drops something that holds descriptors of a client, elsewhere and from the next [`set_off`] on, and then their
/// charge. Without a charge they are the daemon's own.
pub(crate) fn later(garbage: impl Send + 'static, charge: Option<Charge>) {
    let owner = charge.as_ref().map(Charge::owner);
    // A tuple is dropped from its first to its last.
    DISPOSAL.take_in(owner, Box::new((garbage, charge)));
}

/// Has what was dropped since the last time closed. To be called soon, and when nobody waits for an answer: to wake a
/// thread takes as long as several answers.
pub(crate) fn set_off() {
    DISPOSAL.set_off();
}

/// Puts [`set_off`] off by a turn of the event loop, in favour of whoever waits. Returns whether it does: if
/// something was dropped, which is not much yet, and not for many turns on end.
pub(crate) fn postpone() -> bool {
    DISPOSAL.postpone()
}

/// Closes a socket over which a client may have sent descriptors that were not received, soon and elsewhere.
pub(crate) fn close(socket: UnixStream, account: &Account) {
    DISPOSAL.take_in_socket(socket, account);
}

/// Returns whose descriptors are being closed or wait for that, if there are any.
///
/// To execute something in place of this process, the kernel waits for threads that close what takes its time.
pub(crate) fn unfinished() -> Vec<Owner> {
    DISPOSAL.unfinished()
}

type Garbage = Box<dyn Send>;

/// Whose garbage it is: a user's, or the daemon's own.
pub(crate) type Owner = Option<Uid>;

/// One for the process, as its table of descriptors is. Its first thread starts with the first garbage.
static DISPOSAL: LazyLock<Disposal> = LazyLock::new(Disposal::default);

#[derive(Default)]
struct Disposal {
    yard: Mutex<Yard>,
    arrival: Condvar,
    /// How many pieces have been taken in for which no worker was called yet.
    news: AtomicU32,
    /// For how many turns that has been put off.
    turns: AtomicU32,
}

/// What waits to be dropped, and who is there to do it.
#[derive(Default)]
struct Yard {
    /// What is to be dropped by the next workers that have time, whosesoever it is.
    next: VecDeque<(Owner, Garbage)>,
    /// The owners of what is in there or being dropped.
    lots: Map<Owner, Lot>,
    workers: usize,
    /// How many of them have nothing to do, those that have just been hired included.
    idle: usize,
}

/// What one owner has.
#[derive(Default)]
struct Lot {
    /// How many pieces are being dropped, or will be by the next workers: [`WORKERS_PER_OWNER`] at the most.
    admitted: usize,
    /// What waits until one of those is dropped.
    waiting: VecDeque<Garbage>,
    /// The sockets that do. They come last.
    bundle: Option<Bundle>,
}

/// Sockets that wait in the queue of another one, where they take no place in our table. Somebody who connects over and
/// over again and leaves descriptors behind can have many of them closed: as many as the kernel lets that user have
/// under way.
struct Bundle {
    entrance: UnixStream,
    /// Closing it closes them.
    _queue: UnixStream,
    _charge: Charge,
}

impl Disposal {
    fn take_in(&self, owner: Owner, garbage: Garbage) {
        self.yard().take_in(owner, garbage);
        self.news.fetch_add(1, Ordering::Release);
    }

    fn take_in_socket(&self, socket: UnixStream, account: &Account) {
        self.yard().take_in_socket(socket, account);
        self.news.fetch_add(1, Ordering::Release);
    }

    fn postpone(&self) -> bool {
        (1..=MOST_NEWS).contains(&self.news.load(Ordering::Relaxed))
            && self.turns.fetch_add(1, Ordering::Relaxed) < MOST_TURNS
    }

    /// Calls a worker for each piece that waits, and hires those that are missing.
    fn set_off(&'static self) {
        self.turns.store(0, Ordering::Relaxed);
        if self.news.swap(0, Ordering::Acquire) == 0 {
            return;
        }
        let mut yard = self.yard();
        let called = yard.next.len().min(yard.idle);
        while yard.idle < yard.next.len() && yard.workers < MOST_WORKERS {
            // The others may have to wait for as long as somebody likes. If the system has no thread left, one of them
            // comes back for this, or the next arrival has more luck: what was taken in is in the yard.
            if threads::start("disposal", Some(STACK), || self.work()).is_err() {
                break;
            }
            yard.workers += 1;
            yard.idle += 1;
        }
        // Nobody who is called has to wait for the yard first.
        drop(yard);
        for _ in 0..called {
            self.arrival.notify_one();
        }
    }

    /// Drops what there is, for as long as there is enough to do.
    fn work(&self) {
        let mut yard = self.yard();
        yard.idle -= 1;
        while let Some((owner, garbage)) = self.next(yard) {
            drop(garbage);
            yard = self.yard();
            yard.dropped(owner);
        }
    }

    /// Waits for something to be dropped. All workers but the last one are dismissed if that takes long.
    fn next(&self, mut yard: MutexGuard<'_, Yard>) -> Option<(Owner, Garbage)> {
        loop {
            if let Some(next) = yard.next.pop_front() {
                return Some(next);
            }
            let patience = if yard.workers > 1 { SURPLUS } else { Duration::MAX };
            yard.idle += 1;
            let (awake, wait) =
                self.arrival.wait_timeout(yard, patience).unwrap_or_else(PoisonError::into_inner);
            yard = awake;
            yard.idle -= 1;
            if wait.timed_out() && yard.next.is_empty() && yard.workers > 1 {
                yard.workers -= 1;
                return None;
            }
        }
    }

    fn unfinished(&self) -> Vec<Owner> {
        let mut owners: Vec<Owner> = self.yard().lots.keys().copied().collect();
        owners.sort_unstable();
        owners
    }

    fn yard(&self) -> MutexGuard<'_, Yard> {
        self.yard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Yard {
    fn take_in(&mut self, owner: Owner, garbage: Garbage) {
        let lot = self.lots.entry(owner).or_default();
        if lot.admitted < WORKERS_PER_OWNER {
            lot.admitted += 1;
            self.next.push_back((owner, garbage));
        } else {
            lot.waiting.push_back(garbage);
        }
    }

    fn take_in_socket(&mut self, socket: UnixStream, account: &Account) {
        let owner = Some(account.owner());
        let lot = self.lots.entry(owner).or_default();
        if lot.admitted == WORKERS_PER_OWNER && lot.bundle_up(&socket, account) {
            // It lives on in its bundle, so that this does not wait; nobody can take that away meanwhile.
            drop(socket);
        } else {
            self.take_in(owner, Box::new((socket, account.charge(1))));
        }
    }

    /// Takes note that a piece of this owner's is dropped. The next one has its place, but behind everybody else.
    fn dropped(&mut self, owner: Owner) {
        let Some(lot) = self.lots.get_mut(&owner) else { return };
        if let Some(garbage) = lot.next() {
            self.next.push_back((owner, garbage));
        } else {
            lot.admitted -= 1;
            if lot.admitted == 0 {
                self.lots.remove(&owner);
            }
        }
    }
}

impl Lot {
    /// Returns whether a duplicate of this socket could be put into a bundle.
    fn bundle_up(&mut self, socket: &UnixStream, account: &Account) -> bool {
        if self.bundle.as_ref().is_some_and(|bundle| bundle.add(socket).is_ok()) {
            return true;
        }
        // It is full.
        self.waiting.extend(self.bundle.take().map(|bundle| Box::new(bundle) as Garbage));
        self.bundle = Bundle::new(account).and_then(|bundle| bundle.add(socket).map(|()| bundle)).ok();
        self.bundle.is_some()
    }

    fn next(&mut self) -> Option<Garbage> {
        self.waiting.pop_front().or_else(|| Some(Box::new(self.bundle.take()?)))
    }
}

impl Bundle {
    fn new(account: &Account) -> io::Result<Self> {
        let (entrance, queue) = UnixStream::pair()?;
        entrance.set_nonblocking(true)?;
        Ok(Self { entrance, _queue: queue, _charge: account.charge(2) })
    }

    fn add(&self, socket: &UnixStream) -> io::Result<()> {
        send_some(self.entrance.as_fd(), &[0], &[socket.as_fd()]).map(drop)
    }
}

/// How many workers there are at the most. Each may have to wait for a descriptor that somebody made for that. One that
/// does costs a few pages; it takes 64 users in league to occupy all.
const MOST_WORKERS: usize = 256;

/// How many workers one owner may occupy. What can be closed is closed in no time, so even one would do; some more are
/// for the user of whom one program is broken and the others are not.
const WORKERS_PER_OWNER: usize = 4;

/// How many pieces can wait to be closed while others are answered.
const MOST_NEWS: u32 = 32;

/// How many turns of the event loop closing can wait. Each takes some milliseconds at the most, and whoever reads
/// from a pipe waits for its end.
const MOST_TURNS: u32 = 16;

/// How long more than one worker stays for nothing.
const SURPLUS: Duration = Duration::from_secs(1);

/// Closing needs next to nothing.
const STACK: usize = 64 * 1024;

#[cfg(test)]
mod tests;
