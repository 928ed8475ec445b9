//! A daemon of a few lines: what it takes to read requests and to say whatever a test wants to be said.
//!
//! What is said is in the tests.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use procmgr_proto::codec::{decode_request, encode_event, encode_response};
use procmgr_proto::event::{Change, Event, ProgramStatus, State};
use procmgr_proto::frame::{HEADER_LENGTH, Header};
use procmgr_proto::message::{Code, Refusal, Request, Response};
use procmgr_proto::stdio;

/// Receives a request as the daemon does: no byte more than what is left of the header or the body.
pub(crate) fn next_request(stream: &UnixStream) -> (Header, Request, Vec<OwnedFd>) {
    let mut header = [0; HEADER_LENGTH];
    let received = stdio::receive(stream.as_fd(), &mut header).unwrap();
    assert_eq!(received.bytes, HEADER_LENGTH);
    let header = Header::parse(&header).unwrap();
    assert_eq!(usize::from(header.descriptors), received.descriptors.len());
    let mut body = vec![0; header.length as usize];
    (&*stream).read_exact(&mut body).unwrap();
    (header, decode_request(&body).unwrap(), received.descriptors)
}

pub(crate) fn send(mut stream: &UnixStream, id: u32, response: &Response) {
    stream.write_all(&encode_response(id, response).unwrap()).unwrap();
}

pub(crate) fn send_frame(mut stream: &UnixStream, frame: &[u8]) {
    stream.write_all(frame).unwrap();
}

/// Answers the first request with the frame that the function makes for its id, and hangs up.
pub(crate) fn answer_with(
    frame: impl FnOnce(u32) -> Vec<u8> + Send + 'static,
) -> impl FnOnce(UnixStream) + Send {
    move |mut stream| {
        let id = next_request(&stream).0.id;
        stream.write_all(&frame(id)).unwrap();
    }
}

pub(crate) fn answer(response: Response) -> impl FnOnce(UnixStream) + Send {
    answer_with(move |id| encode_response(id, &response).unwrap())
}

pub(crate) fn change() -> Event {
    let program = ProgramStatus { name: b"game".to_vec(), state: State::Down, pid: None, marks: vec![] };
    Event::Changed(Change { time: 0, program, ended: None, failure: None, by: None })
}

pub(crate) fn refusal() -> Refusal {
    Refusal::new(Code::Limit, "too many connections")
}

pub(crate) fn in_version_9(mut frame: Vec<u8>) -> Vec<u8> {
    frame[4] = 9;
    frame
}

/// Returns a frame of an event of a number that nobody knows yet.
pub(crate) fn later_event(id: u32) -> Vec<u8> {
    let mut frame = encode_event(id, &change()).unwrap();
    frame[HEADER_LENGTH] = 77;
    frame
}
