//! A stream that is cut, and mixed with descriptors, in every way: its frames are the same, and cost what was sent.
//!
//! What must come out is worked out here once more, from all that was sent; what a body means is not asked.

use std::io::{self, PipeReader, PipeWriter};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use procmgr_config::Uid;
use procmgr_proto::frame::{CONNECTION_ID, HEADER_LENGTH, Header, HeaderError, Kind, VERSION};
use procmgr_proto::message::Code;
use procmgr_proto::stdio::send_some;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use crate::custody::Ledger;
use crate::disposal;
use crate::fuzz::input::Input;
use crate::reader::{CHUNK, Content, End, Frame, FrameReader};

/// What is sent at once.
#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    descriptors: usize,
    /// Whether everything before it is read before it is sent.
    is_awaited: bool,
}

/// Descriptors as they were sent.
#[derive(Debug)]
struct Arrival {
    /// The byte of the stream that they rode on.
    place: usize,
    count: usize,
    /// How many bytes of the stream had been read by then.
    read: usize,
}

/// What the reader makes of it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Body { id: u32, body: Vec<u8>, descriptors: usize },
    Refused { id: u32, code: Code },
    Broken { id: u32, code: Code },
    Closed,
}

pub(crate) fn check(mut input: Input<'_>) {
    let pieces = pieces(&mut input);
    let lends = pieces.iter().any(|piece| piece.descriptors > 0);
    let lent = lends.then(|| io::pipe().expect("there is room for a pipe"));
    let mut pair = Pair::new();
    for piece in &pieces {
        pair.send(piece, lent.as_ref().map(|(_, writer)| writer));
    }
    pair.peer.shutdown(Shutdown::Write).expect("a stream can be shut down");
    pair.drain();
    check_header(&pair.sent);
    assert_eq!(pair.outcomes, expected(&pair.sent, &pair.arrivals), "{pieces:?}");
    drop(pair);
    if let Some((reader, writer)) = lent {
        drop(writer);
        check_closed(&reader);
    }
}

/// First how many pieces there are, then how each is sent, then the stream; what is left of it is the last piece.
fn pieces(input: &mut Input<'_>) -> Vec<Piece> {
    let count = usize::from(input.byte()) % MOST_PIECES;
    let kinds: Vec<u8> = (0..count).map(|_| input.byte()).collect();
    let piece = |kind: u8| {
        let bytes = match kind & 0x1f {
            short @ 0..24 => input.bytes(usize::from(short) + 1).to_vec(),
            long @ 24..28 => input.bytes(64 << (long - 24)).to_vec(),
            // As many as no input has.
            28 => vec![b'x'; 1024],
            29 => vec![b'x'; CHUNK - 1],
            30 => vec![b'x'; CHUNK],
            _ => vec![b'x'; 3 * CHUNK + 1],
        };
        let descriptors = [0, 3, 1, 5][usize::from(kind >> 5 & 3)];
        Piece { bytes, descriptors, is_awaited: kind & 0x80 != 0 }
    };
    let mut pieces: Vec<Piece> = kinds.into_iter().map(piece).collect();
    pieces.push(Piece { bytes: input.rest().to_vec(), descriptors: 0, is_awaited: false });
    pieces.retain(|piece| !piece.bytes.is_empty());
    pieces
}

/// A reader and its peer.
struct Pair {
    peer: UnixStream,
    stream: UnixStream,
    reader: FrameReader,
    sent: Vec<u8>,
    arrivals: Vec<Arrival>,
    /// How much of it has been read.
    read: usize,
    outcomes: Vec<Outcome>,
    has_ended: bool,
}

impl Pair {
    fn new() -> Self {
        let (peer, stream) = UnixStream::pair().expect("there is room for two sockets");
        for socket in [&peer, &stream] {
            socket.set_nonblocking(true).expect("a socket need not block");
        }
        Self {
            peer,
            stream,
            reader: FrameReader::new(Ledger::new(usize::MAX, usize::MAX).account(Uid(1))),
            sent: Vec::new(),
            arrivals: Vec::new(),
            read: 0,
            outcomes: Vec::new(),
            has_ended: false,
        }
    }

    fn send(&mut self, piece: &Piece, lent: Option<&PipeWriter>) {
        if piece.is_awaited {
            self.drain();
        }
        let mut descriptors: Vec<BorrowedFd<'_>> =
            lent.map_or_else(Vec::new, |lent| vec![lent.as_fd(); piece.descriptors]);
        let mut rest = piece.bytes.as_slice();
        while !rest.is_empty() && !self.has_ended {
            match send_some(self.peer.as_fd(), rest, &descriptors) {
                Ok(count) => {
                    if !descriptors.is_empty() {
                        let count = descriptors.len();
                        self.arrivals.push(Arrival { place: self.sent.len(), count, read: self.read });
                    }
                    descriptors.clear();
                    self.sent.extend_from_slice(&rest[..count]);
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.drain(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("cannot send: {error}"),
            }
        }
    }

    /// Reads all there is.
    fn drain(&mut self) {
        while !self.has_ended && is_readable(self.stream.as_fd(), Timespec::default()) {
            let outcome = match self.reader.read(self.stream.as_fd()) {
                Ok(None) => None,
                Ok(Some(Frame { id, content: Content::Body { body, descriptors } })) => {
                    Some(Outcome::Body { id, body, descriptors: descriptors.take().0.len() })
                }
                Ok(Some(Frame { id, content: Content::Refused(refusal) })) => {
                    Some(Outcome::Refused { id, code: refusal.code })
                }
                Err(End::Closed) => Some(Outcome::Closed),
                Err(End::Broken { id, refusal }) => Some(Outcome::Broken { id, code: refusal.code }),
            };
            self.has_ended = matches!(outcome, Some(Outcome::Closed | Outcome::Broken { .. }));
            self.outcomes.extend(outcome);
            let (kept, sent) = (self.reader.buffered(), self.sent.len());
            // A list that grows makes room for twice of what it needs.
            assert!(kept <= 2 * (sent + CHUNK), "{kept} bytes are kept of {sent} that were sent");
        }
        self.read = self.sent.len();
    }
}

/// Returns what a reader makes of a stream that has come to its end.
fn expected(stream: &[u8], arrivals: &[Arrival]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let begin = stream.len() - rest.len();
        match expected_frame(begin, rest, arrivals) {
            Ok((outcome, length)) => {
                outcomes.push(outcome);
                rest = &rest[length..];
            }
            Err(broken) => {
                outcomes.push(broken);
                return outcomes;
            }
        }
    }
    outcomes.push(Outcome::Closed);
    outcomes
}

/// Returns what is made of the frame that begins at a place of the stream, and how long it is; or how the stream
/// breaks.
fn expected_frame(begin: usize, rest: &[u8], arrivals: &[Arrival]) -> Result<(Outcome, usize), Outcome> {
    let broken = |id, code| Err(Outcome::Broken { id, code });
    let arrived_in = |from: usize, to: usize| {
        let places = begin + from..begin + to;
        arrivals.iter().filter(move |arrival| places.contains(&arrival.place))
    };
    let arrived: Vec<&Arrival> = arrived_in(0, HEADER_LENGTH).collect();
    let arrived = match arrived[..] {
        [] => 0,
        // One read does not tell descriptors that came a little late, as long as it is the first of its frame.
        [Arrival { place, count, read }] if *place == begin || *read <= begin => *count,
        _ => return broken(CONNECTION_ID, Code::BadMsg),
    };
    let Some((header, body)) = rest.split_first_chunk() else { return broken(CONNECTION_ID, Code::BadMsg) };
    let Header { version, kind, descriptors, id, length } = match Header::parse(header) {
        Ok(header) => header,
        Err(error @ HeaderError::TooLong { .. }) => return broken(error.id(), Code::Limit),
        Err(error) => return broken(error.id(), Code::BadMsg),
    };
    let length = length as usize;
    let end = HEADER_LENGTH + length;
    let Some(body) = body.get(..length).filter(|_| arrived_in(HEADER_LENGTH, end).next().is_none()) else {
        return broken(id, Code::BadMsg);
    };
    let is_request = kind == Kind::Request && id != CONNECTION_ID;
    let outcome = if version != VERSION {
        Outcome::Refused { id, code: Code::Version }
    } else if is_request && usize::from(descriptors) == arrived && arrived <= 3 {
        Outcome::Body { id, body: body.to_vec(), descriptors: arrived }
    } else {
        Outcome::Refused { id, code: Code::BadMsg }
    };
    Ok((outcome, end))
}

/// A header is on the wire as it was.
fn check_header(bytes: &[u8]) {
    if let Some(bytes) = bytes.first_chunk()
        && let Ok(header) = Header::parse(bytes)
    {
        assert_eq!(header.to_bytes(), *bytes);
    }
}

/// Whatever was lent is closed, soon.
fn check_closed(reader: &PipeReader) {
    let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
    disposal::set_off();
    assert!(is_readable(reader.as_fd(), patience), "a descriptor is never closed");
}

/// Waits until something can be read, be it the end.
fn is_readable(descriptor: BorrowedFd<'_>, patience: Timespec) -> bool {
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    // The fuzzer has a timer, whose signals interrupt.
    let ready = retry_on_intr(|| poll(&mut descriptors, Some(&patience)));
    ready.expect("a descriptor can be asked") > 0
}

const MOST_PIECES: usize = 32;
