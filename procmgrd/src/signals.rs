//! Signals that the daemon receives, as something to be polled; and the state of signals that its children inherit.
//!
//! What a signal leads to is not decided here.
#![expect(
    unsafe_code,
    reason = "setting a disposition is unsafe, since it may install a handler; none is here"
)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// The signals that the daemon listens to.
const HANDLED: [Signal; 4] = [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// Those that it ignores; the first one by a habit of the language's runtime.
const IGNORED: [Signal; 2] = [Signal::SIGPIPE, Signal::SIGXFSZ];

/// What a signal tells the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signaled {
    /// A child has died.
    Child,
    /// SIGHUP.
    Reload,
    /// SIGINT or SIGTERM.
    Terminate,
}

/// The signals that have arrived, through a pipe that the handlers write to.
#[derive(Debug)]
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    /// Starts to listen.
    pub(crate) fn install() -> io::Result<Self> {
        // A file that would become longer than the limit on files allows is an error like any other.
        ignore(Signal::SIGXFSZ)?;
        let (read, write) = UnixStream::pair()?;
        let signals = HANDLED.map(|signal| signal as i32);
        Ok(Self { delivery: SignalDelivery::with_pipe(read, write, SignalOnly, signals)? })
    }

    /// Returns what has arrived since the last call, each kind once.
    pub(crate) fn take(&mut self) -> Vec<Signaled> {
        let signaled = |number| match number {
            _ if number == Signal::SIGCHLD as i32 => Signaled::Child,
            _ if number == Signal::SIGHUP as i32 => Signaled::Reload,
            _ => Signaled::Terminate,
        };
        self.delivery.pending().map(signaled).collect()
    }

    /// Returns whether something has arrived that has not been taken.
    pub(crate) fn are_pending(&self) -> bool {
        let mut wanted = [PollFd::new(self, PollFlags::IN)];
        poll(&mut wanted, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

/// Gives every signal its default disposition and unblocks it, as scripts are promised.
///
/// What is ignored or blocked when the daemon starts would otherwise be so in every script. SIGPIPE stays ignored in
/// the daemon; children get it back.
pub(crate) fn reset_inherited() -> nix::Result<()> {
    for signal in Signal::iterator() {
        if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP | Signal::SIGPIPE) {
            set_default(signal)?;
        }
    }
    for number in libc::SIGRTMIN()..=libc::SIGRTMAX() {
        // SAFETY: the default disposition runs no code of ours.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    SigSet::empty().thread_set_mask()
}

/// Lets all signals through, those that have waited included.
pub(crate) fn unblock() -> nix::Result<()> {
    SigSet::empty().thread_set_mask()
}

/// Keeps all signals from being delivered as long as it lives.
#[derive(Debug)]
pub(crate) struct Blocked {
    before: SigSet,
}

impl Blocked {
    pub(crate) fn all() -> nix::Result<Self> {
        Ok(Self { before: SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)? })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // Fails for an unknown first argument only.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// Makes a child between fork and exec deaf to the daemon's handlers, then lets signals through.
///
/// Until then it has our handlers and our pipe, and a signal meant for it would be taken for one to the daemon; that
/// is why signals are [`Blocked`] around the fork. Only async-signal-safe calls.
pub(crate) fn reset_in_child() -> nix::Result<()> {
    for signal in HANDLED.into_iter().chain(IGNORED) {
        set_default(signal)?;
    }
    SigSet::empty().thread_set_mask()
}

fn set_default(number: Signal) -> nix::Result<()> {
    // SAFETY: the default disposition runs no code of ours.
    unsafe { signal(number, SigHandler::SigDfl) }.map(drop)
}

fn ignore(number: Signal) -> nix::Result<()> {
    // SAFETY: to ignore a signal runs no code of ours.
    unsafe { signal(number, SigHandler::SigIgn) }.map(drop)
}
