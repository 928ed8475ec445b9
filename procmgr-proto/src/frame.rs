//! The header that stands before every message, and the limits that both sides keep.
//!
//! Moves no bytes in or out of the process, and does not know what a body means.

use std::error::Error;
use std::fmt;

/// The version of the protocol that this crate speaks; the crate's documentation lists what each one added.
pub const VERSION: u16 = 1;

/// How many bytes a header has, in every version.
pub const HEADER_LENGTH: usize = 16;

/// How long a body may be: 4 MiB.
///
/// The arguments of a client are to fit. The kernel gives a process a quarter of its stack limit for them, 2 MiB as a
/// rule, and counts no less for an argument than this protocol needs. Only under a stack limit above 16 MiB, where the
/// kernel goes up to 6 MiB, can a client have more than it may send.
pub const MAX_BODY: u32 = 4 << 20;

/// How many descriptors one frame may bring: the kernel's own limit for one message (`SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 253;

/// The id that no request has. A refusal bears it when it concerns the connection as a whole, because no request has
/// been read yet, or none can be made out.
pub const CONNECTION_ID: u32 = 0;

const MAGIC: [u8; 4] = *b"PMGR";

/// What stands before a body.
///
/// # Example
///
/// ```
/// use procmgr_proto::frame::{HEADER_LENGTH, Header, Kind};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let arrived: &[u8; HEADER_LENGTH] = b"PMGR\x01\0\x02\0\x07\0\0\0\x04\0\0\0";
/// let header = Header::parse(arrived)?;
/// assert_eq!((header.kind, header.id), (Kind::Response, 7));
/// // So many bytes of body are to be read next.
/// assert_eq!(header.length, 4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version in which the body is written. A receiver that does not know it can still skip the body.
    pub version: u16,
    /// What the body is.
    pub kind: Kind,
    /// How many descriptors ride on the first byte of the frame.
    pub descriptors: u8,
    /// Which request this is or answers; see [`CONNECTION_ID`].
    pub id: u32,
    /// How many bytes of body follow; at most [`MAX_BODY`].
    pub length: u32,
}

impl Header {
    /// Reads a header. A version that is not ours is no error here, as the header is the same in all of them.
    ///
    /// # Errors
    /// After any of them the connection is of no more use: where the next frame begins is not known or not worth
    /// waiting for.
    pub fn parse(bytes: &[u8; HEADER_LENGTH]) -> Result<Self, HeaderError> {
        let [m0, m1, m2, m3, v0, v1, kind, descriptors, i0, i1, i2, i3, l0, l1, l2, l3] = *bytes;
        let magic = [m0, m1, m2, m3];
        if magic != MAGIC {
            return Err(HeaderError::NotMagic(magic));
        }
        let version = u16::from_le_bytes([v0, v1]);
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let kind = Kind::from_number(kind).ok_or(HeaderError::UnknownKind { id, kind })?;
        if length > MAX_BODY {
            return Err(HeaderError::TooLong { id, length });
        }
        Ok(Self { version, kind, descriptors, id, length })
    }

    /// Returns the header as it stands on the wire.
    pub fn to_bytes(&self) -> [u8; HEADER_LENGTH] {
        let [m0, m1, m2, m3] = MAGIC;
        let [v0, v1] = self.version.to_le_bytes();
        let [i0, i1, i2, i3] = self.id.to_le_bytes();
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        [m0, m1, m2, m3, v0, v1, self.kind as u8, self.descriptors, i0, i1, i2, i3, l0, l1, l2, l3]
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A [`Request`](crate::message::Request), from a client.
    Request = 1,
    /// A [`Response`](crate::message::Response), from the daemon.
    Response = 2,
    /// An [`Event`](crate::event::Event), from the daemon to a client that has subscribed.
    Event = 3,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Request, Self::Response, Self::Event].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Why sixteen bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// They do not begin with the magic but with these bytes: the peer speaks something else.
    NotMagic([u8; 4]),
    /// The body is of no known kind.
    UnknownKind {
        /// The id of the frame, to be echoed in a refusal.
        id: u32,
        /// The number that stands for the kind.
        kind: u8,
    },
    /// The body is longer than [`MAX_BODY`].
    TooLong {
        /// The id of the frame, to be echoed in a refusal.
        id: u32,
        /// The length announced.
        length: u32,
    },
}

impl HeaderError {
    /// Returns the id that a refusal of this frame bears.
    pub fn id(&self) -> u32 {
        match *self {
            Self::NotMagic(_) => CONNECTION_ID,
            Self::UnknownKind { id, .. } | Self::TooLong { id, .. } => id,
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMagic(found) => {
                write!(formatter, "a frame begins with \"PMGR\", not with \"{}\"", found.escape_ascii())
            }
            Self::UnknownKind { kind, .. } => write!(formatter, "there is no frame of kind {kind}"),
            Self::TooLong { length, .. } => {
                write!(formatter, "a body of {length} bytes is over the limit of {MAX_BODY}")
            }
        }
    }
}

impl Error for HeaderError {}

#[cfg(test)]
mod tests {
    use super::{CONNECTION_ID, HEADER_LENGTH, Header, HeaderError, Kind, MAX_BODY};

    const BYTES: [u8; HEADER_LENGTH] = *b"PMGR\x01\x00\x02\x03\x07\x00\x00\x80\x04\x03\x02\x00";

    fn header() -> Header {
        Header { version: 1, kind: Kind::Response, descriptors: 3, id: 0x8000_0007, length: 0x0002_0304 }
    }

    fn altered(position: usize, bytes: &[u8]) -> [u8; HEADER_LENGTH] {
        let mut header = BYTES;
        header[position..position + bytes.len()].copy_from_slice(bytes);
        header
    }

    #[test]
    fn every_field_has_its_place_on_the_wire() {
        assert_eq!(header().to_bytes(), BYTES);
        assert_eq!(Header::parse(&BYTES), Ok(header()));
    }

    #[test]
    fn every_kind_comes_back() {
        for kind in [Kind::Request, Kind::Response, Kind::Event] {
            let header = Header { kind, ..header() };
            assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
        }
    }

    #[test]
    fn an_unknown_version_is_no_error() {
        let parsed = Header::parse(&altered(4, &[0xff, 0xff]));
        assert_eq!(parsed, Ok(Header { version: 0xffff, ..header() }));
    }

    #[test]
    fn another_magic_is_shown_as_it_came() {
        let error = Header::parse(&altered(0, b"GET\n")).unwrap_err();
        assert_eq!(error, HeaderError::NotMagic(*b"GET\n"));
        assert_eq!(error.to_string(), "a frame begins with \"PMGR\", not with \"GET\\n\"");
        assert_eq!(error.id(), CONNECTION_ID);
    }

    #[test]
    fn an_unknown_kind_tells_which_request_to_refuse() {
        for kind in [0, 4, 255] {
            let error = Header::parse(&altered(6, &[kind])).unwrap_err();
            assert_eq!(error, HeaderError::UnknownKind { id: header().id, kind });
            assert_eq!(error.id(), header().id);
        }
    }

    #[test]
    fn a_body_may_be_as_long_as_the_limit_and_not_longer() {
        let longest = Header::parse(&altered(12, &MAX_BODY.to_le_bytes()));
        assert_eq!(longest, Ok(Header { length: MAX_BODY, ..header() }));
        for length in [MAX_BODY + 1, u32::MAX] {
            let error = Header::parse(&altered(12, &length.to_le_bytes())).unwrap_err();
            assert_eq!(error, HeaderError::TooLong { id: header().id, length });
            assert_eq!(error.id(), header().id);
        }
    }
}
