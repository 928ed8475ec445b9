//! Valid frames with bits that were flipped on the way: each is answered as the place of the bit says, or is a request
//! of its own.

use std::io::Read;
use std::net::Shutdown;
use std::os::fd::AsFd;

use procmgr_proto::codec::{decode_request, decode_response, encode_request};
use procmgr_proto::frame::{HEADER_LENGTH, Header, Kind, VERSION};
use procmgr_proto::message::{Code, Invocation, Request, Response};
use procmgr_proto::stdio;

use crate::harness::Sandbox;
use crate::hostile::garbage::Random;
use crate::hostile::wire::{Wire, daemon, invocation, is_served, null, withstands};

/// Bits of a header: where its fields begin.
const VERSION_AT: usize = 4 * 8;
const KIND_AT: usize = 6 * 8;
const ID_AT: usize = 8 * 8;
const LENGTH_AT: usize = 12 * 8;
const BODY_AT: usize = HEADER_LENGTH * 8;

#[test]
fn valid_frames_with_flipped_bits_keep_nobody_waiting_and_leave_nothing_behind() {
    let sandbox = daemon("[prog-p]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\ncmd-signal = exit 3\n");
    let mut random = Random::seeded();
    withstands(&sandbox, || {
        for request in requests() {
            let frame = encode_request(ID, &request).unwrap();
            let bits = frame.len() * 8;
            for bit in 0..bits {
                let answers = answers_to(&sandbox, &flipped(&frame, &[bit]), request.descriptors());
                judge(&request, bit, answers.as_deref());
                let others = [(bit + 1) % bits, random.below(bits)];
                for other in others.into_iter().filter(|other| *other != bit) {
                    let answers =
                        answers_to(&sandbox, &flipped(&frame, &[bit, other]), request.descriptors());
                    assert!(
                        answers.is_none_or(|answers| !answers.is_empty()),
                        "bits {bit} and {other} of {request:?}"
                    );
                }
            }
            is_served(&sandbox);
        }
    });
}

fn requests() -> Vec<Request> {
    let arguments = vec![b"one".to_vec(), Vec::new()];
    let with_arguments = Invocation { program: b"p".to_vec(), action: b"signal".to_vec(), arguments };
    vec![
        Request::Ping,
        Request::List,
        Request::Stop,
        Request::Reload,
        Request::Subscribe,
        Request::Inspect,
        Request::Preview,
        Request::Permissions,
        invocation(b"p", b"start"),
        Request::Invoke(with_arguments),
    ]
}

/// Asserts that a frame with this bit flipped was answered as it should be.
fn judge(request: &Request, bit: usize, answers: Option<&[(u32, Response)]>) {
    let Some(answers) = answers else { return };
    let refusals = answers.iter().map(|(id, answer)| match answer {
        Response::Refused(refusal) => (*id, Some(refusal.code.clone())),
        _ => (*id, None),
    });
    let refusals: Vec<(u32, Option<Code>)> = refusals.collect();
    let what = format!("bit {bit} of {request:?}: {answers:?}");
    let refused = |id, code| vec![(id, Some(code))];
    match bit {
        0..VERSION_AT => assert_eq!(refusals, refused(0, Code::BadMsg), "{what}"),
        VERSION_AT..KIND_AT => assert_eq!(refusals, refused(ID, Code::Version), "{what}"),
        KIND_AT..ID_AT => assert_eq!(refusals, refused(ID, Code::BadMsg), "{what}"),
        ID_AT..LENGTH_AT => {
            let id = ID ^ 1 << (bit - ID_AT);
            assert!(matches!(refusals[..], [(answered, _)] if answered == id), "{what}");
        }
        LENGTH_AT..BODY_AT => {
            assert!(
                refusals.iter().all(|(_, code)| matches!(code, Some(Code::BadMsg | Code::Limit))),
                "{what}"
            );
        }
        BODY_AT.. => assert!(matches!(refusals[..], [(ID, _)]), "{what}"),
    }
}

/// Sends a frame and nothing more, and returns all that it is answered; `None` if it is not sent, because it would be
/// carried out and end the daemon, or not end.
fn answers_to(sandbox: &Sandbox, frame: &[u8], descriptors: u8) -> Option<Vec<(u32, Response)>> {
    if is_endless(frame) {
        return None;
    }
    let mut wire = Wire::connect(sandbox);
    let null = null();
    stdio::send(&wire.stream, frame, &vec![null.as_fd(); descriptors.into()]).unwrap();
    wire.stream.shutdown(Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    // What the daemon has not read makes the end a reset.
    let _ = wire.stream.read_to_end(&mut bytes);
    let mut rest = bytes.as_slice();
    let mut answers = Vec::new();
    while let Some((header, tail)) = rest.split_first_chunk::<HEADER_LENGTH>() {
        let header = Header::parse(header).unwrap();
        let (body, tail) = tail.split_at(header.length as usize);
        answers.push((header.id, decode_response(body).unwrap()));
        rest = tail;
    }
    assert!(rest.is_empty(), "half an answer: {rest:?}");
    Some(answers)
}

/// Returns whether a frame asks the daemon to end, or for something that has no end.
fn is_endless(frame: &[u8]) -> bool {
    let (header, body) = frame.split_first_chunk().unwrap();
    let is_request = Header::parse(header).is_ok_and(|header| {
        header.version == VERSION && header.kind == Kind::Request && header.descriptors == 0
    });
    is_request && matches!(decode_request(body), Ok(Request::Stop | Request::Subscribe))
}

fn flipped(frame: &[u8], bits: &[usize]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for bit in bits {
        frame[bit / 8] ^= 1 << (bit % 8);
    }
    frame
}

/// Whose bits are so many that no two flips make it the id that no request has.
const ID: u32 = 0x5a5a_5a5a;
