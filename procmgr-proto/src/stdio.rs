//! Descriptors: the three that a script is given, and how descriptors travel with a frame.
//!
//! Of messages it knows nothing: a frame is bytes here. Nothing else sends or receives a descriptor.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::frame::MAX_DESCRIPTORS;

/// A standard input, output and error to be lent to a script: sending them gives the daemon duplicates.
#[derive(Clone, Copy, Debug)]
pub struct StdioRef<'a> {
    /// What the script shall read.
    pub stdin: BorrowedFd<'a>,
    /// What the script shall write.
    pub stdout: BorrowedFd<'a>,
    /// Where the script shall complain.
    pub stderr: BorrowedFd<'a>,
}

impl StdioRef<'static> {
    /// Returns the process's own three.
    ///
    /// A program whose `main` is Rust's has them even if it was started without: the runtime opens the null device in
    /// place of each that is closed. Any other program owes that to the daemon; sending a closed one fails.
    pub fn of_process() -> Self {
        Self {
            stdin: rustix::stdio::stdin(),
            stdout: rustix::stdio::stdout(),
            stderr: rustix::stdio::stderr(),
        }
    }
}

impl<'a> StdioRef<'a> {
    /// Returns the three in the order in which they travel.
    pub fn descriptors(self) -> [BorrowedFd<'a>; 3] {
        [self.stdin, self.stdout, self.stderr]
    }
}

/// Sends a frame whose first byte carries the descriptors, and waits until the kernel has taken all of it.
///
/// The stream has to be a blocking one: after an error nobody knows how much of the frame is under way. A peer that is
/// gone is an error, never a signal. The peer gets duplicates of the descriptors; the caller keeps its own.
///
/// # Example
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::fd::AsFd;
/// use std::os::unix::net::UnixStream;
///
/// use procmgr_proto::stdio::{receive, send};
///
/// # fn main() -> std::io::Result<()> {
/// let (ours, theirs) = UnixStream::pair()?;
/// let (mut reader, writer) = std::io::pipe()?;
/// send(&ours, b"frame", &[writer.as_fd()])?;
/// drop(writer);
///
/// let mut buffer = [0; 5];
/// let mut received = receive(theirs.as_fd(), &mut buffer)?;
/// assert_eq!((&buffer, received.bytes), (b"frame", 5));
///
/// // The descriptor works at the other end as it did at this one.
/// let mut file = std::fs::File::from(received.descriptors.remove(0));
/// file.write_all(b"hello")?;
/// drop(file);
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// See [`send_some`].
pub fn send(stream: &UnixStream, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut rest = frame;
    let mut descriptors = descriptors;
    while !rest.is_empty() || !descriptors.is_empty() {
        match send_some(stream.as_fd(), rest, descriptors) {
            Ok(sent) => {
                rest = &rest[sent..];
                descriptors = &[];
            }
            // Interrupted means that nothing was sent; what is sent in part returns its length.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends as much of the bytes as the socket takes at once, the descriptors with the first one. Returns how many bytes
/// that were, at least one; the rest is to be sent without descriptors.
///
/// This is for clients that do not wait: on a socket that does not block it fails rather than waits.
///
/// # Errors
/// What the kernel says, [`io::ErrorKind::WouldBlock`] and [`io::ErrorKind::Interrupted`] included; nothing was sent
/// then. No bytes at all and more than [`MAX_DESCRIPTORS`] descriptors are [`io::ErrorKind::InvalidInput`].
pub fn send_some(stream: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    send_flagged(stream, bytes, descriptors, SendFlags::empty())
}

/// Sends as [`send_some`] does, and never waits, also where the socket would.
pub(crate) fn send_at_once(
    stream: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    send_flagged(stream, bytes, descriptors, SendFlags::DONTWAIT)
}

fn send_flagged(
    stream: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    let invalid = |reason| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    if bytes.is_empty() {
        return invalid("there is no byte to send, nor for descriptors to ride on");
    }
    if descriptors.len() > MAX_DESCRIPTORS {
        return invalid("too many descriptors for one frame");
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let has_room = control.push(SendAncillaryMessage::ScmRights(descriptors));
        debug_assert!(has_room, "there is room for as many as one message can carry");
    }
    let bytes = &[io::IoSlice::new(bytes)];
    Ok(rustix::net::sendmsg(stream, bytes, &mut control, flags | SendFlags::NOSIGNAL)?)
}

/// Receives bytes into the buffer, and every descriptor that comes with them.
///
/// The kernel hands out the descriptors of a frame together with its first byte, and one call may return the end of
/// one frame with the beginning of the next. A receiver therefore asks for no more than what is left of the header or
/// body that it is reading; otherwise the descriptors of the next frame mix with those of this one.
///
/// It waits for bytes exactly if the socket does. Received descriptors are close-on-exec from the beginning. They are
/// never to be made non-blocking: that would also change them for the peer, which shares the open file.
///
/// # Errors
/// What the kernel says, [`io::ErrorKind::WouldBlock`] and [`io::ErrorKind::Interrupted`] included; no descriptor has
/// been received then.
pub fn receive(stream: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    debug_assert!(!buffer.is_empty(), "nothing read would look like the end");
    // There is room for as many descriptors as one message can carry, so that none is ever cut off for lack of it.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let buffer = &mut [io::IoSliceMut::new(buffer)];
    let message = rustix::net::recvmsg(stream, buffer, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    let truncated = message.flags.contains(ReturnFlags::CTRUNC);
    Ok(Received { bytes: message.bytes, descriptors, truncated })
}

/// What one call of [`receive`] has brought; dropping it closes the descriptors.
#[derive(Debug)]
pub struct Received {
    /// How many bytes now stand in the buffer; 0 is the end of the stream.
    pub bytes: usize,
    /// The descriptors that came with them.
    pub descriptors: Vec<OwnedFd>,
    /// Whether descriptors are missing, because this process may not open any more.
    pub truncated: bool,
}

#[cfg(test)]
mod tests;
