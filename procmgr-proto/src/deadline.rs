//! Waiting for the daemon, and no longer than until an instant: to be taken up, to be listened to, to be told
//! something.
//!
//! What is said meanwhile is none of this room's business.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::stdio;

/// The instant at which waiting ends, if there is one. From then on everything fails by [`io::ErrorKind::TimedOut`],
/// also what would not have to wait: a daemon that always has a little more to say keeps nobody.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadline(pub(crate) Option<Instant>);

impl Deadline {
    /// Connects to the socket of that path. That has to wait while as many as the listener lets queue are queued.
    pub(crate) fn connect(self, path: &Path) -> io::Result<UnixStream> {
        if self.0.is_none() {
            return UnixStream::connect(path);
        }
        if path.as_os_str().is_empty() {
            // As an address it would be a valid one of another kind.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let address = SocketAddrUnix::new(path)?;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        loop {
            // The queue cannot be polled for, but the kernel bounds the wait by the time that sending may take.
            set_socket_timeout(&socket, Timeout::Send, self.remaining()?)?;
            match rustix::net::connect(&socket, &address) {
                Ok(()) => break,
                // What was waited for has not happened; whether the time is over is seen above.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        set_socket_timeout(&socket, Timeout::Send, None)?;
        Ok(socket.into())
    }

    /// Waits until the descriptor is ready, or broken, which whoever uses it next is told.
    pub(crate) fn wait(self, descriptor: impl AsFd, readiness: PollFlags) -> io::Result<()> {
        let mut wanted = [PollFd::new(&descriptor, readiness)];
        loop {
            // An instant that is further away than the kernel can count is none.
            let remaining = self.remaining()?.and_then(|remaining| Timespec::try_from(remaining).ok());
            match poll(&mut wanted, remaining.as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a frame whose first byte carries the descriptors.
    pub(crate) fn send(
        self,
        stream: &UnixStream,
        frame: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let mut rest = frame;
        let mut descriptors = descriptors;
        while !rest.is_empty() {
            self.wait(stream, PollFlags::OUT)?;
            match stdio::send_at_once(stream.as_fd(), rest, descriptors) {
                Ok(sent) => (rest, descriptors) = (&rest[sent..], &[]),
                // Somebody with the same socket was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fills the buffer. Descriptors that come with the bytes are closed by the kernel, as there is no room for them.
    pub(crate) fn read_exact(self, stream: &UnixStream, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(stream, &mut buffer[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Reads to the end of the stream, and keeps nothing.
    pub(crate) fn drain(self, stream: &UnixStream) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while self.read(stream, &mut buffer)? > 0 {}
        Ok(())
    }

    fn read(self, stream: &UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait(stream, PollFlags::IN)?;
            match rustix::net::recv(stream, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((count, _)) => return Ok(count),
                // Somebody with the same socket was faster.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns how long to wait at the most, which is never nothing at all.
    fn remaining(self) -> io::Result<Option<Duration>> {
        let Some(instant) = self.0 else { return Ok(None) };
        let remaining = instant.saturating_duration_since(Instant::now());
        if remaining.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(remaining)) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn far() -> Deadline {
        Deadline(Some(Instant::now() + Duration::from_secs(3600)))
    }

    #[test]
    fn whether_there_is_a_deadline_or_not_the_same_paths_are_sockets() {
        for path in ["", "a\0b", "/", "/dev/null", "/proc/none"] {
            let [with, without] = [far(), Deadline(None)].map(|deadline| deadline.connect(Path::new(path)));
            assert_eq!(with.unwrap_err().kind(), without.unwrap_err().kind(), "{path:?}");
        }
    }

    #[test]
    fn a_socket_forgets_the_time_that_connecting_might_have_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let stream = far().connect(&path).unwrap();
        assert_eq!(stream.write_timeout().unwrap(), None);
    }

    #[test]
    fn an_instant_that_cannot_be_counted_to_is_waited_for_all_the_same() {
        let mut instant = Instant::now();
        for exponent in (0..64).rev() {
            instant = instant.checked_add(Duration::from_secs(1 << exponent)).unwrap_or(instant);
        }
        let (stream, peer) = UnixStream::pair().unwrap();
        drop(peer);
        assert!(Deadline(Some(instant)).wait(&stream, PollFlags::IN).is_ok());
    }

    #[test]
    fn what_is_over_is_over_although_there_is_something_to_read() {
        let (stream, peer) = UnixStream::pair().unwrap();
        drop(peer);
        let error = Deadline(Some(Instant::now())).wait(&stream, PollFlags::IN).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
