//! The protocol without any input or output, as a client needs it that brings its own, such as an asynchronous one.
//!
//! Usage: `frames`. Here the bytes of the daemon are made up and come in pieces of five, as they might from a socket.

use std::error::Error;

use procmgr_proto::codec::{
    DecodeError, decode_event, decode_response, encode_event, encode_request, encode_response,
};
use procmgr_proto::event::{Change, Event, ProgramStatus, State};
use procmgr_proto::frame::{HEADER_LENGTH, Header, HeaderError, Kind, VERSION};
use procmgr_proto::message::{Request, Response};

/// Puts frames together from pieces.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Takes what a read has brought.
    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// Returns the next frame, if it is complete. The header bounds the length, so no peer makes us keep more than 4
    /// MiB.
    fn next(&mut self) -> Result<Option<(Header, Vec<u8>)>, HeaderError> {
        let Some(header) = self.bytes.first_chunk::<HEADER_LENGTH>() else { return Ok(None) };
        let header = Header::parse(header)?;
        let end = HEADER_LENGTH + header.length as usize;
        if self.bytes.len() < end {
            return Ok(None);
        }
        let rest = self.bytes.split_off(end);
        let frame = std::mem::replace(&mut self.bytes, rest);
        Ok(Some((header, frame[HEADER_LENGTH..].to_vec())))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // What a client sends. The descriptors of a request ride on its first byte: on a socket that does not block,
    // `stdio::send_some` sends them with as many bytes as there is room for, and the rest follows without.
    let request = encode_request(1, &Request::Subscribe)?;
    println!("sends {}", request.escape_ascii());

    let mut frames = Frames::default();
    for piece in what_a_daemon_might_say()?.chunks(5) {
        frames.push(piece);
        while let Some((header, body)) = frames.next()? {
            println!("receives {}{}", header.to_bytes().escape_ascii(), body.escape_ascii());
            understand(&header, &body)?;
        }
    }
    Ok(())
}

/// Makes of a frame what there is to be made of it.
fn understand(header: &Header, body: &[u8]) -> Result<(), Box<dyn Error>> {
    let Header { version, kind, id, .. } = *header;
    match kind {
        // A refusal is the same in every version. Anything else is read in the version that was asked in.
        Kind::Response => match decode_response(body)? {
            Response::Refused(refusal) => {
                println!("  request {id} is refused: {} {}", refusal.code, refusal.text.escape_ascii());
            }
            _ if version != VERSION => return Err(format!("version {version} is not known here").into()),
            response => println!("  request {id} is answered: {response:?}"),
        },
        Kind::Event => match decode_event(body) {
            Ok(event) => println!("  subscription {id} tells: {event:?}"),
            Err(DecodeError::UnknownVariant(number)) => println!("  event {number} is passed over"),
            Err(error) => return Err(error.into()),
        },
        Kind::Request => return Err("the daemon asks us something".into()),
    }
    Ok(())
}

fn what_a_daemon_might_say() -> Result<Vec<u8>, Box<dyn Error>> {
    let program = |state, pid| ProgramStatus { name: b"web".to_vec(), state, pid, marks: Vec::new() };
    let subscribed = Response::Subscribed { programs: vec![program(State::Down, None)] };
    let change = Change {
        time: 1_772_357_400_125,
        program: program(State::Running, Some(820)),
        ended: None,
        failure: None,
        by: None,
    };
    let mut unknown = encode_event(1, &Event::Changed(change.clone()))?;
    unknown[HEADER_LENGTH] = 77;
    Ok([encode_response(1, &subscribed)?, unknown, encode_event(1, &Event::Changed(change))?].concat())
}
