//! Finds out whether somebody serves a socket.
//!
//! What follows from that is not known here.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket};
use procmgr_proto::codec::encode_request;
use procmgr_proto::message::Request;

/// Knocks at the socket of a daemon, and waits for an answer without being kept from anything else.
///
/// That somebody listens is not enough: a child of a daemon that was killed does so until it has executed its script.
#[derive(Debug, Default)]
pub(crate) struct Probe(Option<UnixStream>);

impl Probe {
    /// Returns whether there is an answer, whatever it is.
    pub(crate) fn is_answered(&mut self, path: &Path) -> bool {
        if self.0.is_none() {
            self.0 = knock(path).ok();
        }
        let Some(stream) = &mut self.0 else { return false };
        match stream.read(&mut [0]) {
            Ok(count) if count > 0 => return true,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // Whoever was there has gone. Perhaps somebody else comes.
            Ok(_) | Err(_) => self.0 = None,
        }
        false
    }
}

/// Returns whether a process listens at the socket. Datagram sockets, such as the original program has, count too.
pub(crate) fn is_listened_to(path: &Path) -> io::Result<bool> {
    for kind in [SockType::Stream, SockType::Datagram, SockType::SeqPacket] {
        match try_to_connect(path, kind) {
            // A full queue has somebody who is slow to accept behind it.
            Ok(_) | Err(Errno::EAGAIN) => return Ok(true),
            Err(Errno::ECONNREFUSED) => return Ok(false),
            Err(Errno::EPROTOTYPE) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(true)
}

fn knock(path: &Path) -> io::Result<UnixStream> {
    let stream = try_to_connect(path, SockType::Stream)?;
    let ping = encode_request(1, &Request::Ping).map_err(io::Error::other)?;
    send(stream.as_raw_fd(), &ping, MsgFlags::MSG_NOSIGNAL)?;
    Ok(stream.into())
}

fn try_to_connect(path: &Path, kind: SockType) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let stream = socket(AddressFamily::Unix, kind, flags, None)?;
    connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    #[test]
    fn only_who_answers_serves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut probe = Probe::default();
        assert!(!probe.is_answered(&path));
        let listener = UnixListener::bind(&path).unwrap();
        assert!(!probe.is_answered(&path));
        assert!(!probe.is_answered(&path));
        let (mut asked, _) = listener.accept().unwrap();
        let mut ping = [0; 20];
        asked.read_exact(&mut ping).unwrap();
        assert_eq!(&ping[..4], b"PMGR");
        assert!(!probe.is_answered(&path));
        asked.write_all(b"!").unwrap();
        assert!(probe.is_answered(&path));
    }

    #[test]
    fn whoever_comes_after_one_who_has_gone_is_asked_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut probe = Probe::default();
        drop(UnixListener::bind(&path).map(|_listener| assert!(!probe.is_answered(&path))));
        assert!(!probe.is_answered(&path));
        fs::remove_file(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        assert!(!probe.is_answered(&path));
        listener.accept().unwrap().0.write_all(b"!").unwrap();
        assert!(probe.is_answered(&path));
    }

    #[test]
    fn a_socket_of_any_kind_is_listened_to_while_somebody_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stream");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(is_listened_to(&path).unwrap());
        drop(listener);
        assert!(!is_listened_to(&path).unwrap());
        let path = folder.path().join("datagram");
        let socket = UnixDatagram::bind(&path).unwrap();
        assert!(is_listened_to(&path).unwrap());
        drop(socket);
        assert!(!is_listened_to(&path).unwrap());
    }
}
