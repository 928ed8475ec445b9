//! The right to be the only daemon that does something, held by a lock on a file.
//!
//! What it is that only one daemon may do is not known here.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::packed::PackedPath;
use crate::parcel::{Packer, Slot, Unpacker};
use crate::places::FileId;

/// A lock. It ends with the process, however that ends; the file is removed when the lock is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
    /// Whether it is this process that holds the lock, rather than another one with the same open file.
    is_ours: bool,
}

/// A [`Lock`] on its way to the next image of the daemon.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PackedLock {
    path: PackedPath,
    file: Slot,
}

impl Lock {
    /// Takes the lock on a file, which is made if it is not there. Returns `None` if another daemon has it.
    ///
    /// A daemon that was killed may have left a child that was about to execute a script, and that has the lock for as
    /// long as this takes. So whoever finds the lock taken is patient, unless something else shows that it is hopeless.
    ///
    /// # Errors
    /// If there can be no such file, or no lock on it.
    pub(crate) fn take(path: &Path, is_hopeless: impl FnMut() -> bool) -> Result<Option<Self>, Error> {
        with_patience(|| Self::try_to_take(path), is_hopeless)
    }

    /// Takes a lock that was handed on. It is this process's after [`claim`](Self::claim) only, and until then
    /// dropping it does it no harm.
    pub(crate) fn unpack(packed: PackedLock, unpacker: &mut Unpacker) -> io::Result<Self> {
        let PackedLock { path, file } = packed;
        Ok(Self { path: path.into(), file: unpacker.take(file)?.into(), is_ours: false })
    }

    /// Makes a lock that was handed on one of this process, when there is no other one any more that it is to be for.
    pub(crate) fn claim(&mut self) -> io::Result<()> {
        // Whoever has the open file has its lock already.
        flock(&self.file, FlockOperation::NonBlockingLockExclusive)?;
        self.is_ours = true;
        Ok(())
    }

    /// Returns whether it is this process that holds the lock.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Packs the lock, which goes on to be held by whoever has the descriptor.
    pub(crate) fn pack<'a>(&'a self, packer: &mut Packer<'a>) -> PackedLock {
        PackedLock { path: self.path.as_path().into(), file: packer.descriptor(self.file.as_fd()) }
    }

    fn try_to_take(path: &Path) -> Result<Option<Self>, Error> {
        loop {
            let failed = || Error::system(format!("open lock file {}", path.display()));
            let file = open(path).map_err(failed())?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(Error::system(format!("lock {}", path.display()))(errno)),
            }
            let lock = Self { path: path.to_path_buf(), file, is_ours: true };
            // A daemon that ended in between has removed the file that we hold now: others would lock a new one.
            if lock.is_in_place() {
                return Ok(Some(lock));
            }
        }
    }

    fn is_in_place(&self) -> bool {
        FileId::of(&self.file).is_ok_and(|file| file.is_at(&self.path))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.is_ours {
            if self.is_in_place() {
                let _ = fs::remove_file(&self.path);
            }
            // Closing the file would leave the lock to a child that is about to execute a script.
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
    }
}

/// Tries to get something that another daemon has, perhaps one that was killed and has left a child that has it for a
/// moment yet: over and over again, until it is there, or hopeless, or has taken too long.
pub(crate) fn with_patience<T, E>(
    mut attempt: impl FnMut() -> Result<Option<T>, E>,
    mut is_hopeless: impl FnMut() -> bool,
) -> Result<Option<T>, E> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let result = attempt()?;
        if result.is_some() || is_hopeless() || deadline <= Instant::now() {
            return Ok(result);
        }
        sleep(INTERVAL);
    }
}

/// Opens the file, never through a link that somebody has put there.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Longer than a child needs to execute a script, even if it becomes another user and is stopped by that one.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is tried.
const INTERVAL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::*;
    use crate::parcel::hand_on;

    fn take_at_once(path: &Path) -> Option<Lock> {
        Lock::take(path, || true).unwrap()
    }

    #[test]
    fn only_one_has_the_lock_and_its_file_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = take_at_once(&path).unwrap();
        assert!(take_at_once(&path).is_none());
        drop(lock);
        assert!(!path.exists());
        assert!(take_at_once(&path).is_some());
    }

    #[test]
    fn a_lock_that_is_free_soon_is_waited_for_until_it_is_hopeless() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = take_at_once(&path).unwrap();
        let tries = Cell::new(0);
        let is_hopeless = || {
            tries.set(tries.get() + 1);
            tries.get() == 4
        };
        assert!(Lock::take(&path, is_hopeless).unwrap().is_none());
        assert_eq!(tries.get(), 4);
        let other = thread::spawn(move || Lock::take(&path, || false).unwrap().is_some());
        drop(lock);
        assert!(other.join().unwrap());
    }

    #[test]
    fn a_file_that_somebody_has_put_in_its_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = take_at_once(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let other = take_at_once(&path).unwrap();
        drop(lock);
        assert!(path.exists());
        assert!(take_at_once(&path).is_none());
        drop(other);
    }

    #[test]
    fn a_lock_is_held_all_the_way_to_the_next_image_and_is_its_own_once_claimed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = take_at_once(&path).unwrap();
        let (packed, mut unpacker) = hand_on(lock, Lock::pack);
        assert!(take_at_once(&path).is_none());
        let mut lock = Lock::unpack(packed, &mut unpacker).unwrap();
        assert!(take_at_once(&path).is_none());
        assert!(!lock.is_ours());
        lock.claim().unwrap();
        assert!(lock.is_ours());
        assert!(take_at_once(&path).is_none());
        drop(lock);
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_that_is_not_claimed_is_not_lost_with_what_was_handed_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = take_at_once(&path).unwrap();
        let former = lock.file.try_clone().unwrap();
        let (packed, mut unpacker) = hand_on(lock, Lock::pack);
        drop(Lock::unpack(packed, &mut unpacker).unwrap());
        assert!(path.exists());
        assert!(take_at_once(&path).is_none());
        drop(former);
        assert!(take_at_once(&path).is_some());
    }
}
