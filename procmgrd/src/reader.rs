//! Puts frames together from what a socket yields, however it is cut, and keeps descriptors with their frame.
//!
//! What a frame asks is not looked at here, nor is anything written.

pub(crate) mod packed;

use std::io;
use std::os::fd::BorrowedFd;

use procmgr_proto::frame::{CONNECTION_ID, HEADER_LENGTH, Header, HeaderError, Kind, VERSION};
use procmgr_proto::message::{Code, Refusal};
use procmgr_proto::stdio::{Received, receive};

use crate::custody::Account;
use crate::disposal::Foreign;

/// How many bytes of a body are asked for at a time. The memory for a body grows by what has arrived, not by what the
/// header announces: a header costs nothing.
pub(crate) const CHUNK: usize = 64 * 1024;

/// How many chunks one call reads at the most, so that nobody else waits for a client that sends without end.
const CHUNKS_PER_CALL: usize = 4;

/// A request frame that is complete.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) id: u32,
    pub(crate) content: Content,
}

/// What is in a frame.
#[derive(Debug)]
pub(crate) enum Content {
    /// A body to be decoded, and the descriptors that came with it, as many as its header says.
    Body { body: Vec<u8>, descriptors: Foreign },
    /// Nothing that can be decoded. The next frame may be better.
    Refused(Refusal),
}

/// Why no more frames will come.
#[derive(Debug)]
pub(crate) enum End {
    /// The peer has closed its side, perhaps amidst a frame.
    Closed,
    /// What came is no frame, so where the next one begins cannot be known. The id is that of the frame, where there
    /// was one.
    Broken { id: u32, refusal: Refusal },
}

/// The state between two reads.
#[derive(Debug)]
pub(crate) struct FrameReader {
    /// Whose descriptors they are.
    account: Account,
    header: Vec<u8>,
    body: Option<PartialBody>,
    descriptors: Foreign,
    /// How many descriptors came, more than any request has included, which are closed at once.
    arrived: usize,
    /// The kernel has dropped descriptors, for which we had no room.
    has_lost_descriptors: bool,
}

#[derive(Debug)]
struct PartialBody {
    header: Header,
    bytes: Vec<u8>,
    /// How many bytes are still to come.
    missing: usize,
}

impl FrameReader {
    /// Begins with a new frame.
    pub(crate) fn new(account: Account) -> Self {
        let descriptors = Foreign::new(Vec::new(), &account);
        Self { account, header: Vec::new(), body: None, descriptors, arrived: 0, has_lost_descriptors: false }
    }

    /// Reads until a frame is complete or the socket has nothing more for now.
    ///
    /// # Errors
    /// When no frame can follow.
    pub(crate) fn read(&mut self, stream: BorrowedFd<'_>) -> Result<Option<Frame>, End> {
        for _ in 0..CHUNKS_PER_CALL {
            let progress = match self.body.take() {
                None => self.read_header(stream)?,
                Some(body) => self.read_body(stream, body)?,
            };
            if let Some(body) = self.body.take_if(|body| body.missing == 0) {
                return Ok(Some(self.finish(body)));
            }
            if !progress {
                break;
            }
        }
        Ok(None)
    }

    /// Returns whether a frame has begun and is not complete.
    pub(crate) fn is_amidst(&self) -> bool {
        !self.header.is_empty()
    }

    /// Returns how many bytes of an incomplete frame are kept.
    pub(crate) fn buffered(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.bytes.capacity())
    }

    /// Returns whether anything came.
    fn read_header(&mut self, stream: BorrowedFd<'_>) -> Result<bool, End> {
        let mut buffer = [0; HEADER_LENGTH];
        let wanted = HEADER_LENGTH - self.header.len();
        let Some(count) = self.receive(stream, &mut buffer[..wanted], CONNECTION_ID)? else {
            return Ok(false);
        };
        self.header.extend_from_slice(&buffer[..count]);
        if let Ok(header) = <&[u8; HEADER_LENGTH]>::try_from(self.header.as_slice()) {
            self.body = Some(begin_body(header)?);
        }
        Ok(true)
    }

    /// Returns whether anything came.
    fn read_body(&mut self, stream: BorrowedFd<'_>, mut body: PartialBody) -> Result<bool, End> {
        let filled = body.bytes.len();
        let more = body.missing.min(CHUNK);
        body.bytes
            .try_reserve(more)
            .map_err(|_| End::Broken { id: body.header.id, refusal: Refusal::new(Code::Limit, NO_MEMORY) })?;
        body.bytes.resize(filled + more, 0);
        let received = self.receive(stream, &mut body.bytes[filled..], body.header.id)?;
        let count = received.unwrap_or(0);
        body.missing -= count;
        // The body of another version is passed over, not kept.
        body.bytes.truncate(if body.header.version == VERSION { filled + count } else { 0 });
        self.body = Some(body);
        Ok(received.is_some())
    }

    /// Receives into the buffer a part of the frame `id`. Returns how many bytes; `None` if there are none for now.
    fn receive(&mut self, stream: BorrowedFd<'_>, buffer: &mut [u8], id: u32) -> Result<Option<usize>, End> {
        let broken = |text: &str| End::Broken { id, refusal: Refusal::new(Code::BadMsg, text) };
        let Received { bytes, descriptors, truncated } = match receive(stream, buffer) {
            Ok(received) => received,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(None);
            }
            Err(_) => return Err(End::Closed),
        };
        if bytes == 0 {
            return Err(if self.is_amidst() { broken("the frame is cut short") } else { End::Closed });
        }
        let descriptors = Foreign::new(descriptors, &self.account);
        if descriptors.len() > 0 || truncated {
            if self.is_amidst() {
                return Err(broken("descriptors came in the middle of a frame"));
            }
            self.arrived = descriptors.len();
            self.has_lost_descriptors = truncated;
            if descriptors.len() <= MAX_WANTED {
                self.descriptors = descriptors;
            }
        }
        Ok(Some(bytes))
    }

    fn finish(&mut self, body: PartialBody) -> Frame {
        let PartialBody { header, bytes, missing: _ } = body;
        let next = Self::new(self.account.clone());
        let Self { descriptors, arrived, has_lost_descriptors, .. } = std::mem::replace(self, next);
        let refuse = |code, text: String| Content::Refused(Refusal::new(code, text));
        let announced = usize::from(header.descriptors);
        let content = if header.version != VERSION {
            let text = format!("version {} is not known here, {VERSION} is the highest one", header.version);
            refuse(Code::Version, text)
        } else if header.kind != Kind::Request {
            refuse(Code::BadMsg, "only requests are taken here".to_owned())
        } else if header.id == CONNECTION_ID {
            refuse(Code::BadMsg, format!("{CONNECTION_ID} is no id of a request"))
        } else if has_lost_descriptors {
            refuse(Code::Limit, "the daemon has no room for more descriptors".to_owned())
        } else if announced != arrived {
            refuse(Code::BadMsg, format!("{announced} descriptors were announced and {arrived} came"))
        } else if arrived > MAX_WANTED {
            refuse(
                Code::BadMsg,
                format!("{arrived} descriptors came, and no request has more than {MAX_WANTED}"),
            )
        } else if !is_memory_for(&bytes) {
            refuse(Code::Limit, NO_MEMORY.to_owned())
        } else {
            Content::Body { body: bytes, descriptors }
        };
        Frame { id: header.id, content }
    }
}

fn begin_body(header: &[u8; HEADER_LENGTH]) -> Result<PartialBody, End> {
    let header = Header::parse(header).map_err(|error| {
        let code = match error {
            HeaderError::NotMagic(_) | HeaderError::UnknownKind { .. } => Code::BadMsg,
            HeaderError::TooLong { .. } => Code::Limit,
        };
        End::Broken { id: error.id(), refusal: Refusal::new(code, error.to_string()) }
    })?;
    let missing = usize::try_from(header.length).unwrap_or(usize::MAX);
    Ok(PartialBody { header, bytes: Vec::new(), missing })
}

/// Returns whether there is memory to make something of a body: what decodes it cannot be told that there is none.
/// That of a small one there always is, or the daemon would be dead already.
fn is_memory_for(body: &[u8]) -> bool {
    body.len() <= CHUNK || Vec::<u8>::new().try_reserve_exact(DECODED * body.len()).is_ok()
}

/// How many times its length a body may take, as `codec` promises, and what else is done with it.
const DECODED: usize = 4;

const NO_MEMORY: &str = "the daemon has no memory for so large a request";

/// As many descriptors as the hungriest request has.
const MAX_WANTED: usize = 3;

#[cfg(test)]
mod tests;
