//! The stream of a client before and after it is a connection: made ready, turned away, closed; none of it waits.
//!
//! What is said over it in between is `connection`'s business.

use std::io::{self, IoSliceMut};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use procmgr_proto::codec::encode_response;
use procmgr_proto::frame::CONNECTION_ID;
use procmgr_proto::message::{Code, Refusal, Response};
use rustix::net::sockopt::set_socket_oobinline;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendFlags, recv, recvmsg, send};

use crate::custody::Account;
use crate::disposal;

/// Makes a stream one that never waits, not even for urgent bytes.
pub(crate) fn prepare(stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    Ok(set_socket_oobinline(stream, true)?)
}

/// Tells somebody who has just connected that there is no place, as far as that goes without waiting.
pub(crate) fn turn_away(stream: UnixStream, account: &Account, reason: &str) {
    let refusal = Response::Refused(Refusal::new(Code::Limit, reason));
    if let Ok(frame) = encode_response(CONNECTION_ID, &refusal) {
        // Whoever does not fetch it finds the connection closed.
        let _ = send(&stream, &frame, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
    close(stream, account);
}

/// Closes a prepared stream. Descriptors that were sent over it and never received are closed with it, so that one with
/// such descriptors is closed elsewhere.
pub(crate) fn close(stream: UnixStream, account: &Account) {
    // From here on nobody can send anything more.
    let _ = stream.shutdown(Shutdown::Both);
    if !is_drained(&stream) {
        disposal::close(stream, account);
    }
}

/// Takes off a stream what is unread, up to the first descriptors, and returns whether nothing is left.
///
/// A look that has no room for descriptors is told that there are some, and gets none.
fn is_drained(stream: &UnixStream) -> bool {
    let mut bytes = [0; CHUNK];
    for _ in 0..MOST_CHUNKS {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let mut no_room = RecvAncillaryBuffer::default();
        let seen = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut no_room, flags);
        match seen {
            Ok(seen) if seen.flags.contains(ReturnFlags::CTRUNC) => return false,
            Ok(seen) if seen.bytes == 0 => return true,
            Ok(seen) => {
                if recv(stream, &mut bytes[..seen.bytes], RecvFlags::DONTWAIT).is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    false
}

const CHUNK: usize = 16 * 1024;

/// More than anybody but root can have made a socket hold.
const MOST_CHUNKS: usize = 64;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;

    use procmgr_proto::stdio::send_some;

    use super::*;

    fn sent_over(write: impl FnOnce(&mut UnixStream)) -> UnixStream {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        prepare(&theirs).unwrap();
        write(&mut ours);
        let _ = theirs.shutdown(Shutdown::Both);
        theirs
    }

    #[test]
    fn bytes_alone_are_drained_however_many_they_are() {
        assert!(is_drained(&sent_over(|_| ())));
        assert!(is_drained(&sent_over(|stream| stream.write_all(b"x").unwrap())));
        assert!(is_drained(&sent_over(|stream| while stream.write(&[0; 10_000]).is_ok() {})));
    }

    #[test]
    fn descriptors_are_noticed_and_left_where_they_are() {
        let null = File::open("/dev/null").unwrap();
        for bytes_before in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1] {
            let stream = sent_over(|stream| {
                stream.write_all(&vec![0; bytes_before]).unwrap();
                send_some(stream.as_fd(), b"x", &[null.as_fd()]).unwrap();
                stream.write_all(b"more").unwrap();
            });
            assert!(!is_drained(&stream), "{bytes_before} bytes before");
        }
    }
}
