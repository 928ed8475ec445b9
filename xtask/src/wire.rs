//! Frames written by hand, for this crate depends on none of ours: requests as they are sent, and what comes back as
//! bytes.
//!
//! Who sends them, and what an answer means, is not known here.

use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// What the daemon is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    Ping,
    Stop,
    Reload,
    Subscribe,
    Upgrade,
    Invoke { program: &'a str, action: &'a str },
}

impl Request<'_> {
    /// Returns the frame, which announces the descriptors that belong to it.
    pub(crate) fn frame(self) -> Vec<u8> {
        let body = self.body();
        [&header(self.descriptors(), body.len())[..], &body].concat()
    }

    /// Sends the frame in one piece, with the null device as each of its descriptors.
    pub(crate) fn send(self, stream: &UnixStream, null: &File) -> io::Result<()> {
        send(stream, &self.frame(), &vec![null.as_fd(); self.descriptors().into()])
    }

    /// Returns how many descriptors belong to it.
    pub(crate) fn descriptors(self) -> u8 {
        match self {
            Self::Invoke { .. } => 3,
            Self::Ping | Self::Stop | Self::Reload | Self::Subscribe | Self::Upgrade => 0,
        }
    }

    fn body(self) -> Vec<u8> {
        let (number, words) = match self {
            Self::Ping => (0_u32, None),
            Self::Stop => (2, None),
            Self::Reload => (3, None),
            Self::Invoke { program, action } => (4, Some([program, action])),
            Self::Subscribe => (5, None),
            Self::Upgrade => (6, None),
        };
        let mut body = number.to_le_bytes().to_vec();
        for word in words.into_iter().flatten() {
            body.extend((word.len() as u64).to_le_bytes());
            body.extend(word.as_bytes());
        }
        let no_arguments = 0_u64;
        body.extend(words.map(|_| no_arguments.to_le_bytes()).into_iter().flatten());
        body
    }
}

/// Sends a frame in one piece, with three descriptors at the most.
pub(crate) fn send(stream: &UnixStream, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let sent = sendmsg(stream, &[IoSlice::new(frame)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == frame.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Returns how long the frame is that these bytes begin, if its header is there.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let length =
        bytes.first_chunk::<HEADER_LENGTH>()?.last_chunk().map(|length| u32::from_le_bytes(*length))?;
    HEADER_LENGTH.checked_add(length.try_into().ok()?)
}

/// Waits for a frame. Returns its kind and its body.
pub(crate) fn receive(mut stream: &UnixStream) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; HEADER_LENGTH];
    stream.read_exact(&mut header)?;
    let length = header.last_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    let mut body = vec![0; usize::try_from(length).unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok((header[6], body))
}

fn header(descriptors: u8, length: usize) -> [u8; HEADER_LENGTH] {
    let [m0, m1, m2, m3] = *b"PMGR";
    let [v0, v1] = 1_u16.to_le_bytes();
    let [i0, i1, i2, i3] = 1_u32.to_le_bytes();
    let [l0, l1, l2, l3] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let request = 1;
    [m0, m1, m2, m3, v0, v1, request, descriptors, i0, i1, i2, i3, l0, l1, l2, l3]
}

/// How many bytes of a frame are ahead of its body.
pub(crate) const HEADER_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_as_the_protocol_has_them() {
        let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        assert_eq!(Request::Upgrade.frame()[..8], *b"PMGR\x01\x00\x01\x00");
        assert_eq!(Request::Upgrade.frame()[16..], [6, 0, 0, 0]);
        let invoke = Request::Invoke { program: "game", action: "start" }.frame();
        assert_eq!(invoke[..8], *b"PMGR\x01\x00\x01\x03");
        assert_eq!((length(&invoke), length(&invoke[..15])), (Some(53), None));
        assert_eq!(invoke[12..16], 37_u32.to_le_bytes());
        assert_eq!(invoke[16..], [&[4, 0, 0, 0][..], &text("game"), &text("start"), &[0; 8]].concat());
    }
}
