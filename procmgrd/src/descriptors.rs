//! Open descriptors: how many the daemon and its scripts may have, and that scripts inherit none by accident.
//!
//! Which descriptors a script is given on purpose is `spawn`'s business.
#![expect(
    unsafe_code,
    reason = "nothing safe makes an owned descriptor of a number, nor is a wrapper of close_range at hand"
)]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use serde::{Deserialize, Serialize};

/// What becomes of descriptors that the daemon was started with, beside the standard three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inherited {
    /// They stay open, for a starter may hold a lock by them, but are not handed on.
    Keep,
    /// They are closed: a daemon in the background would keep pipes of its starter from ever ending. Where the kernel
    /// cannot close them at one stroke they are kept, but not handed on.
    Close,
}

/// Keeps descriptors that the daemon was started with from its scripts. To be called before any other is opened, or
/// when all others have an owner. Returns those that stay open.
pub(crate) fn settle_inherited(inherited: Inherited) -> io::Result<Vec<OwnedFd>> {
    match inherited {
        Inherited::Keep => match all() {
            // Those that are close-on-exec are somebody's.
            Ok(numbers) => Ok(numbers.into_iter().filter_map(|number| adopt(number).ok()).collect()),
            // Without `/proc` nobody tells which there are. They stay open for as long as this image lives.
            Err(error) if error.kind() == io::ErrorKind::NotFound => mark_all().map(|()| Vec::new()),
            Err(error) => Err(error),
        },
        Inherited::Close => close_all().map(|()| Vec::new()),
    }
}

fn close_all() -> io::Result<()> {
    // SAFETY: nothing in this process owns a descriptor above the standard three yet.
    let result = unsafe { libc::syscall(libc::SYS_close_range, FIRST_INHERITED, libc::c_uint::MAX, 0) };
    match Errno::result(result) {
        // Kernels before 5.9 do not know the call, sandboxes may forbid what they do not know.
        Err(Errno::ENOSYS | Errno::EPERM) => mark_each(&all()?),
        result => drop(result?),
    }
    Ok(())
}

/// Closes every descriptor but this one and the standard three. Only async-signal-safe calls, for a child that is to
/// execute something else: whatever owned a descriptor in it is not there any more.
pub(crate) fn close_all_but(kept: BorrowedFd<'_>) {
    let kept = kept.as_raw_fd().unsigned_abs();
    for (first, last) in
        [(FIRST_INHERITED.unsigned_abs(), kept.saturating_sub(1)), (kept + 1, libc::c_uint::MAX)]
    {
        if first <= last {
            // Where the kernel cannot do it at one stroke they are closed by exec.
            // SAFETY: nothing of this process uses a descriptor any more that is not named here.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
}

/// Marks all descriptors but the standard three as close-on-exec, at one stroke, which kernels before 5.11 cannot.
fn mark_all() -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: a mark changes nothing for whoever may own a descriptor.
    let result = unsafe { libc::syscall(libc::SYS_close_range, FIRST_INHERITED, libc::c_uint::MAX, flags) };
    Ok(Errno::result(result).map(drop)?)
}

/// Marks descriptors as close-on-exec, one by one.
fn mark_each(descriptors: &[RawFd]) {
    for descriptor in descriptors {
        // SAFETY: a mark changes nothing for whoever may own the descriptor.
        unsafe { libc::fcntl(*descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Returns every open descriptor but the standard three.
fn all() -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        numbers.extend(number.filter(|number: &RawFd| *number >= FIRST_INHERITED));
    }
    Ok(numbers)
}

/// Takes a descriptor that the daemon was started with, by its number. It is close-on-exec from then on.
///
/// What is to be taken is taken before [`settle_inherited`] sees to the rest.
///
/// # Errors
/// If it is one of the standard three, is not open, or is close-on-exec and therefore somebody's already.
pub(crate) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if number < FIRST_INHERITED {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is one of the standard three"));
    }
    // SAFETY: to look at it changes nothing for whoever may own the descriptor.
    let flags = Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has an owner"));
    }
    // SAFETY: a mark changes nothing for whoever may own the descriptor.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and was not close-on-exec. Whatever this process has opened or taken is, so nothing owns it
    // yet.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Standard input, output and error come before it.
const FIRST_INHERITED: libc::c_int = 3;

/// The limits on open descriptors of the daemon and of its scripts.
///
/// The daemon wants as many as the system grants it, but a script is to find the limit that the daemon was started
/// with: programs that use `select` break with a higher one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct DescriptorLimit {
    inherited: rlim_t,
    raised: rlim_t,
}

impl DescriptorLimit {
    /// Raises the limit of the daemon as far as it goes without privileges.
    pub(crate) fn raise() -> nix::Result<Self> {
        let (inherited, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let raised = hard.min(MOST);
        setrlimit(Resource::RLIMIT_NOFILE, raised.max(inherited), hard)?;
        Ok(Self { inherited, raised: raised.max(inherited) })
    }

    /// Raises the limit of another image of the daemon to what it was.
    pub(crate) fn raise_again(self) -> nix::Result<()> {
        set_soft(self.raised)
    }

    /// Returns how many descriptors the daemon may have.
    pub(crate) fn count(self) -> usize {
        usize::try_from(self.raised).unwrap_or(usize::MAX)
    }

    /// Gives a child between fork and exec the limit of scripts. Only async-signal-safe calls.
    pub(crate) fn lower_for_good(self) -> nix::Result<()> {
        set_soft(self.inherited)
    }
}

fn set_soft(soft: rlim_t) -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)
}

/// Where "as many as the system grants" is unlimited, this is plenty: a descriptor for each of 10,000 programs and
/// each of 10,000 clients, and as many again three times over.
const MOST: rlim_t = 65_536;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsFd, AsRawFd};

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::*;

    #[test]
    fn old_kernels_are_served_one_descriptor_at_a_time() {
        let file = File::open("/dev/null").unwrap();
        fcntl(file.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        assert!(all().unwrap().contains(&file.as_raw_fd()));
        // Others may be on their way from one image to the next, in other tests.
        mark_each(&[file.as_raw_fd()]);
        let flags = FdFlag::from_bits_retain(fcntl(file.as_fd(), FcntlArg::F_GETFD).unwrap());
        assert_eq!(flags, FdFlag::FD_CLOEXEC);
    }
}
