//! Turns messages into frames and bodies into messages.
//!
//! Nothing else knows that bodies are bincode; nothing here reads, writes or waits.

use std::error::Error;
use std::fmt;

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::Event;
use crate::frame::{HEADER_LENGTH, Header, Kind, MAX_BODY, VERSION};
use crate::message::{Request, Response};

/// Returns the whole frame of a request, header included, which announces the descriptors that the request brings.
/// Sending them with its first byte is up to the caller; see [`stdio::send`](crate::stdio::send).
///
/// # Example
///
/// ```
/// use procmgr_proto::codec::{decode_request, encode_request};
/// use procmgr_proto::frame::{HEADER_LENGTH, Header};
/// use procmgr_proto::message::Request;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let frame = encode_request(7, &Request::Ping)?;
/// assert_eq!(frame, b"PMGR\x01\0\x01\0\x07\0\0\0\x04\0\0\0\0\0\0\0");
///
/// let (header, body) = frame.split_first_chunk::<HEADER_LENGTH>().expect("it begins with a header");
/// assert_eq!(Header::parse(header)?.id, 7);
/// assert_eq!(decode_request(body)?, Request::Ping);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Only if the body would be longer than [`MAX_BODY`]; no memory beyond that is taken to find it out.
pub fn encode_request(id: u32, request: &Request) -> Result<Vec<u8>, EncodeError> {
    encode(Kind::Request, request.descriptors(), id, request)
}

/// Returns the whole frame of a response, header included.
///
/// # Errors
/// Only if the body would be longer than [`MAX_BODY`]. A refusal with a short text always succeeds.
pub fn encode_response(id: u32, response: &Response) -> Result<Vec<u8>, EncodeError> {
    encode(Kind::Response, 0, id, response)
}

/// Returns the whole frame of an event, header included; the id is that of the subscription.
///
/// # Errors
/// Only if the body would be longer than [`MAX_BODY`].
pub fn encode_event(id: u32, event: &Event) -> Result<Vec<u8>, EncodeError> {
    encode(Kind::Event, 0, id, event)
}

/// Returns the request that a body holds.
///
/// Whatever counts the body claims, what is allocated stays within a small multiple of its length and a few MiB.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    decode(body, Request::VARIANTS)
}

/// Returns the response that a body holds; allocates as [`decode_request`] does.
///
/// The body has to be one of this crate's [`VERSION`], unless the response turns out to be [`Response::Refused`],
/// which is the same in all of them, or another one that is frozen.
///
/// # Example
///
/// ```
/// use procmgr_proto::codec::{DecodeError, decode_response};
/// use procmgr_proto::message::{ExitStatus, Response};
///
/// let exited = decode_response(&[2, 0, 0, 0, 1, 0, 0, 0, 15]);
/// assert_eq!(exited, Ok(Response::Exited(ExitStatus::Signal(15))));
///
/// let of_a_later_daemon = decode_response(&[99, 0, 0, 0, 42]);
/// assert_eq!(of_a_later_daemon, Err(DecodeError::UnknownVariant(99)));
/// ```
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_response(body: &[u8]) -> Result<Response, DecodeError> {
    decode(body, Response::VARIANTS)
}

/// Returns the event that a body holds; allocates as [`decode_request`] does.
///
/// # Errors
/// See [`DecodeError`]. An event of an unknown variant is to be passed over.
pub fn decode_event(body: &[u8]) -> Result<Event, DecodeError> {
    decode(body, Event::VARIANTS)
}

/// Why a message has no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// Its body would be longer than [`MAX_BODY`].
    TooLong,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(formatter, "the message is over the limit of {MAX_BODY} bytes"),
        }
    }
}

impl Error for EncodeError {}

/// Why a body is not a message. There is no third reason: a daemon answers the one by
/// [`Code::BadCmd`](crate::message::Code::BadCmd) and the other by [`Code::BadMsg`](crate::message::Code::BadMsg).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It is a message of this number, which a later version may know; the rest of the body was not looked at.
    UnknownVariant(u32),
    /// It is cut short, goes on after its end, or holds something that cannot be; the text says what, and quotes
    /// nothing of the body.
    Malformed(String),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVariant(number) => write!(formatter, "there is no message of number {number}"),
            Self::Malformed(reason) => write!(formatter, "malformed message: {reason}"),
        }
    }
}

impl Error for DecodeError {}

fn encode(kind: Kind, descriptors: u8, id: u32, message: &impl Serialize) -> Result<Vec<u8>, EncodeError> {
    // Measured first, so that a message over the limit costs no memory. The limit is also all that can go wrong:
    // memory takes every write, and no message has a part that cannot be expressed.
    let length = format().serialized_size(message).map_err(|_| EncodeError::TooLong)?;
    let length = u32::try_from(length).map_err(|_| EncodeError::TooLong)?;
    let header = Header { version: VERSION, kind, descriptors, id, length };
    let mut frame = Vec::with_capacity(HEADER_LENGTH + length as usize);
    frame.extend(header.to_bytes());
    format().serialize_into(&mut frame, message).map_err(|_| EncodeError::TooLong)?;
    Ok(frame)
}

fn decode<M: DeserializeOwned>(body: &[u8], variants: u32) -> Result<M, DecodeError> {
    // bincode tells an unknown message and an unknown part of a known one by the same error, but to the peer they
    // differ: the first is a request that this version does not have, the second is nonsense in every version.
    let variant = body.first_chunk().map(|number| u32::from_le_bytes(*number));
    if let Some(unknown) = variant.filter(|number| *number >= variants) {
        return Err(DecodeError::UnknownVariant(unknown));
    }
    format().deserialize(body).map_err(|error| DecodeError::Malformed(error.to_string()))
}

/// The one dialect of bincode that both sides speak. It is frozen: every byte that it makes is part of the protocol.
fn format() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_little_endian()
        .with_limit(MAX_BODY.into())
        .reject_trailing_bytes()
}

#[cfg(test)]
mod tests;
