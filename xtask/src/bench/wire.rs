//! Frames written by hand, for this crate depends on none of ours: requests, and what is to be known of an answer.
//!
//! Who sends them, and how long it takes, is not known here.

use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// What a request was answered with, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was carried out.
    Served,
    /// It was not.
    Refused,
}

/// Returns the frame that asks for the status of a program, and announces three descriptors.
pub(super) fn status_request(program: &[u8]) -> Vec<u8> {
    let mut body = INVOKE.to_le_bytes().to_vec();
    for word in [program, b"status"] {
        body.extend((word.len() as u64).to_le_bytes());
        body.extend(word);
    }
    let no_arguments = 0_u64;
    body.extend(no_arguments.to_le_bytes());
    [&header(3, body.len())[..], &body].concat()
}

/// Returns the frame of a request that needs no descriptors.
pub(super) fn ping_request() -> Vec<u8> {
    let body = PING.to_le_bytes();
    [&header(0, body.len())[..], &body].concat()
}

/// Sends a frame in one piece, with the null device as its three descriptors.
pub(super) fn send_with_null(stream: &UnixStream, frame: &[u8], null: &File) -> io::Result<()> {
    let null = [null.as_fd(); 3];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&null));
    let sent = sendmsg(stream, &[IoSlice::new(frame)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == frame.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Waits for an answer.
pub(super) fn receive(mut stream: &UnixStream) -> io::Result<Answer> {
    let mut header = [0; HEADER_LENGTH];
    stream.read_exact(&mut header)?;
    let length = header.last_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    let mut body = Vec::new();
    stream.take(length.into()).read_to_end(&mut body)?;
    let variant = body.first_chunk().map(|variant| u32::from_le_bytes(*variant));
    match variant {
        Some(REFUSED) => Ok(Answer::Refused),
        Some(_) => Ok(Answer::Served),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn header(descriptors: u8, length: usize) -> [u8; HEADER_LENGTH] {
    let [m0, m1, m2, m3] = *b"PMGR";
    let [v0, v1] = 1_u16.to_le_bytes();
    let [i0, i1, i2, i3] = 1_u32.to_le_bytes();
    let [l0, l1, l2, l3] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let request = 1;
    [m0, m1, m2, m3, v0, v1, request, descriptors, i0, i1, i2, i3, l0, l1, l2, l3]
}

const HEADER_LENGTH: usize = 16;

/// How many bytes the answer to a ping has.
pub(super) const LENGTH_OF_ANSWER: u64 = 20;

/// Numbers of requests and answers on the wire.
const PING: u32 = 0;
const INVOKE: u32 = 4;
const REFUSED: u32 = 0;
