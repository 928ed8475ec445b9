//! The process behind a connection, to be waited for.
//!
//! What is asked of it is none of this room's business.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process;
use std::time::{Duration, Instant};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::deadline::Deadline;

/// The process that listens at the other end of a connection.
///
/// A process closes its connections a moment before it is gone; whoever wants to be sure has to wait for the process.
#[derive(Debug)]
pub(super) struct DaemonProcess {
    /// `None` where there is nothing to wait for or with: the process is gone, is of another PID namespace, is this
    /// one, or the kernel is older than 5.3.
    descriptor: Option<OwnedFd>,
}

impl DaemonProcess {
    /// Takes hold of the process.
    pub(super) fn behind(stream: &UnixStream) -> Self {
        // Not by rustix: its PIDs are never 0, which the kernel says of a process of another PID namespace.
        let pid = getsockopt(stream, PeerCredentials).map_or(0, |credentials| credentials.pid());
        let is_other = pid != process::id().cast_signed();
        let pid = Pid::from_raw(pid).filter(|_| is_other);
        let descriptor = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // While the connection is open the process lives, and its PID cannot have become that of another one.
        Self { descriptor: descriptor.filter(|_| is_open(stream)) }
    }

    /// Waits until it is gone, or fails as the deadline does.
    ///
    /// The connection is to be closed by then. If the process is still there after long, it is not the daemon: who
    /// listened when the connection was made was a system manager, which has started the daemon because of it.
    pub(super) fn wait(self, deadline: Deadline) -> io::Result<()> {
        let Some(descriptor) = self.descriptor else { return Ok(()) };
        let patience = Instant::now() + PATIENCE;
        if deadline.0.is_some_and(|deadline| deadline <= patience) {
            return deadline.wait(&descriptor, PollFlags::IN);
        }
        match Deadline(Some(patience)).wait(&descriptor, PollFlags::IN) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
            result => result,
        }
    }
}

/// Far longer than a process needs to end that has closed its connections already.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns whether the other end has not closed the connection, without taking anything from it.
fn is_open(stream: &UnixStream) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    !matches!(recv(stream, &mut [0], flags), Ok((0, _)) | Err(Errno::CONNRESET))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_does_not_end_is_waited_for_until_the_deadline() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let hold = || DaemonProcess { descriptor: Some(pidfd_open(pid, PidfdFlags::empty()).unwrap()) };
        let deadline = Instant::now() + Duration::from_millis(20);

        let error = hold().wait(Deadline(Some(deadline))).unwrap_err();

        child.kill().unwrap();
        hold().wait(Deadline(None)).unwrap();
        child.wait().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(Instant::now() >= deadline);
    }
}
