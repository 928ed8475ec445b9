//! What one image of the daemon hands to the next: bytes that nobody can change any more, and descriptors that stay
//! open.
//!
//! What the bytes say, and which descriptors there are, each room tells of its own; when one image becomes another is
//! not known here.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Moment, StoredTimestamp};
use crate::descriptors::adopt;
use crate::packed::senseless;
use crate::supervisor::event::Timestamp;

/// A descriptor, by the number that it keeps from one image to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Slot(RawFd);

/// Puts into numbers what only means something to this image, and keeps a list of the descriptors among it.
#[derive(Debug)]
pub(crate) struct Packer<'a> {
    clock: Clock,
    descriptors: Vec<BorrowedFd<'a>>,
}

impl<'a> Packer<'a> {
    /// Begins with nothing.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, descriptors: Vec::new() }
    }

    /// Takes note of a descriptor that is to be handed on. The next image can take each once.
    pub(crate) fn descriptor(&mut self, descriptor: BorrowedFd<'a>) -> Slot {
        self.descriptors.push(descriptor);
        Slot(descriptor.as_raw_fd())
    }

    /// Returns the numbers of a timestamp.
    pub(crate) fn timestamp(&self, timestamp: Timestamp) -> StoredTimestamp {
        self.clock.stored(timestamp)
    }

    /// Returns the number of an instant.
    pub(crate) fn moment(&self, instant: Instant) -> Moment {
        self.clock.moment(instant)
    }

    /// Returns all descriptors that are to be handed on.
    pub(crate) fn into_descriptors(self) -> Vec<BorrowedFd<'a>> {
        self.descriptors
    }
}

/// Makes something of the numbers again.
#[derive(Debug)]
pub(crate) struct Unpacker {
    clock: Clock,
    taken: BTreeSet<RawFd>,
}

impl Unpacker {
    /// Begins with all that was handed on.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, taken: BTreeSet::new() }
    }

    /// Takes a descriptor, which is close-on-exec from then on.
    ///
    /// # Errors
    /// If it was not handed on, or has been taken already.
    pub(crate) fn take(&mut self, slot: Slot) -> io::Result<OwnedFd> {
        let Slot(number) = slot;
        if !self.taken.insert(number) {
            return Err(senseless(format!("descriptor {number} is in two places")));
        }
        let failed = |error: io::Error| format!("cannot take descriptor {number}: {error}");
        adopt(number).map_err(|error| io::Error::new(error.kind(), failed(error)))
    }

    /// Returns the timestamp of its numbers.
    pub(crate) fn timestamp(&self, stored: StoredTimestamp) -> Timestamp {
        self.clock.timestamp(stored)
    }

    /// Returns the timestamp of these numbers; where there is no second one, it is worked out.
    pub(crate) fn complete(&self, moment: Moment, time: Option<u64>) -> Timestamp {
        self.clock.complete(moment, time)
    }

    /// Returns the instant of a number.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.clock.instant(moment)
    }
}

/// Lets descriptors pass to the image that is executed next, until it is dropped: an execution may fail.
///
/// Meanwhile whatever else is executed has them, too.
#[derive(Debug)]
pub(crate) struct Passage<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Passage<'a> {
    /// Opens the way for these, which are close-on-exec.
    pub(crate) fn open(descriptors: Vec<BorrowedFd<'a>>) -> io::Result<Self> {
        // If there is an error, it is dropped, and with it what has been done.
        let passage = Self(descriptors);
        for descriptor in &passage.0 {
            fcntl_setfd(descriptor, fcntl_getfd(descriptor)?.difference(FdFlags::CLOEXEC))?;
        }
        Ok(passage)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        for descriptor in &self.0 {
            // The kernel refuses this for what is not open only, and a borrowed descriptor is.
            let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
        }
    }
}

/// Returns a file in memory that holds the bytes, and in which nothing can be changed any more, by whomever.
///
/// # Errors
/// If there are too many of them, or the system refuses.
pub(crate) fn seal(bytes: &[u8]) -> io::Result<OwnedFd> {
    // Who writes a longer file than the system lets it is killed.
    let most = getrlimit(Resource::Fsize).current.map_or(MOST_BYTES, |most| most.min(MOST_BYTES));
    check_length(u64::try_from(bytes.len()).unwrap_or(u64::MAX), most)?;
    let file = File::from(create()?);
    file.write_all_at(bytes, 0)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// Returns the bytes in a sealed file, wherever somebody has read in it before.
///
/// # Errors
/// If it is no such file, or if somebody might change it yet.
pub(crate) fn open(descriptor: OwnedFd) -> io::Result<Vec<u8>> {
    let seals = fcntl_get_seals(&descriptor)
        .map_err(|error| io::Error::new(io::Error::from(error).kind(), "this is no file in memory"))?;
    if !seals.contains(SEALS) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file can be changed"));
    }
    let file = File::from(descriptor);
    let length = file.metadata()?.len();
    check_length(length, MOST_BYTES)?;
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn create() -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Systems can be told to make no other ones than those that cannot be executed; kernels before 6.3 do not know
    // these.
    match memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(rustix::io::Errno::INVAL) => memfd_create(NAME, flags),
        result => result,
    }
}

fn check_length(length: u64, most: u64) -> io::Result<()> {
    if length > most {
        let text = format!("the state has {length} bytes, and at most {most} are possible");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(())
}

const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// What `/proc` shows.
const NAME: &str = "procmgr-state";

/// Far more than a daemon has any use for: a byte that is kept for a client may take six here.
const MOST_BYTES: u64 = 1 << 30;

/// Takes something the way that it goes from one image to the next, within one process: the old one is forgotten.
#[cfg(test)]
pub(crate) fn hand_on<T, P>(old: T, pack: impl for<'a> FnOnce(&'a T, &mut Packer<'a>) -> P) -> (P, Unpacker)
where
    P: Serialize + serde::de::DeserializeOwned,
{
    let mut packer = Packer::new(Clock::now());
    let text = serde_json::to_string(&pack(&old, &mut packer)).unwrap();
    std::mem::forget(Passage::open(packer.into_descriptors()).unwrap());
    std::mem::forget(old);
    (serde_json::from_str(&text).unwrap(), Unpacker::new(Clock::now()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::mem::forget;
    use std::os::fd::AsFd;

    use super::*;

    fn is_close_on_exec(descriptor: impl AsFd) -> bool {
        fcntl_getfd(descriptor).unwrap().contains(FdFlags::CLOEXEC)
    }

    /// A descriptor that the next image is to take, by its number.
    fn handed_on() -> Slot {
        let descriptor = OwnedFd::from(File::open("/dev/null").unwrap());
        let mut packer = Packer::new(Clock::now());
        let slot = packer.descriptor(descriptor.as_fd());
        forget(Passage::open(packer.into_descriptors()).unwrap());
        forget(descriptor);
        slot
    }

    #[test]
    fn descriptors_stay_open_while_there_is_a_passage_and_no_longer() {
        let (one, other) = (File::open("/dev/null").unwrap(), File::open("/dev/null").unwrap());
        let mut packer = Packer::new(Clock::now());
        packer.descriptor(one.as_fd());
        packer.descriptor(other.as_fd());
        let passage = Passage::open(packer.into_descriptors()).unwrap();
        assert!(!is_close_on_exec(&one) && !is_close_on_exec(&other));
        drop(passage);
        assert!(is_close_on_exec(&one) && is_close_on_exec(&other));
    }

    #[test]
    fn a_descriptor_is_taken_once_and_is_close_on_exec_then() {
        let slot = handed_on();
        let mut unpacker = Unpacker::new(Clock::now());
        let taken = unpacker.take(slot).unwrap();
        assert!(is_close_on_exec(&taken));
        assert_eq!(taken.as_raw_fd(), slot.0);
        assert_eq!(unpacker.take(slot).unwrap_err().kind(), io::ErrorKind::InvalidData);
        Unpacker::new(Clock::now()).take(slot).unwrap_err();
        assert!(is_close_on_exec(&taken));
    }

    #[test]
    fn what_was_not_handed_on_cannot_be_taken() {
        let ours = File::open("/dev/null").unwrap();
        for number in [i32::MIN, -1, 0, 1, 2, ours.as_raw_fd(), i32::MAX] {
            Unpacker::new(Clock::now()).take(Slot(number)).unwrap_err();
        }
        assert!(serde_json::from_str::<Slot>("4294967296").is_err());
    }

    #[test]
    fn bytes_are_the_same_whoever_has_read_them_before() {
        let bytes = vec![b'x'; 100_000];
        let sealed = seal(&bytes).unwrap();
        assert!(is_close_on_exec(&sealed));
        let mut rehearsal = File::from(sealed.try_clone().unwrap());
        rehearsal.seek(SeekFrom::End(-1)).unwrap();
        assert_eq!(rehearsal.read(&mut [0; 9]).unwrap(), 1);
        assert_eq!(open(sealed.try_clone().unwrap()).unwrap(), bytes);
        assert_eq!(open(sealed).unwrap(), bytes);
        assert_eq!(open(seal(b"").unwrap()).unwrap(), b"");
    }

    #[test]
    fn what_is_sealed_cannot_be_changed() {
        let mut file = File::from(seal(b"bytes").unwrap());
        file.write(b"other").unwrap_err();
        file.set_len(1).unwrap_err();
        file.set_len(9).unwrap_err();
        fcntl_add_seals(&file, SealFlags::FUTURE_WRITE).unwrap_err();
    }

    #[test]
    fn what_can_be_changed_or_is_no_file_in_memory_is_refused() {
        let unsealed = File::from(create().unwrap());
        unsealed.write_all_at(b"bytes", 0).unwrap();
        let half_sealed = unsealed.try_clone().unwrap();
        open(unsealed.into()).unwrap_err();
        fcntl_add_seals(&half_sealed, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        open(half_sealed.into()).unwrap_err();
        open(File::open("/dev/null").unwrap().into()).unwrap_err();
        open(tempfile::tempfile().unwrap().into()).unwrap_err();
        open(io::pipe().unwrap().0.into()).unwrap_err();
    }

    #[test]
    fn more_than_anybody_needs_is_refused() {
        let file = File::from(create().unwrap());
        file.set_len(MOST_BYTES + 1).unwrap();
        fcntl_add_seals(&file, SEALS).unwrap();
        assert_eq!(open(file.into()).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
