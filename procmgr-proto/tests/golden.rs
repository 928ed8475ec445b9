//! Every message as it stands on the wire, byte for byte.
//!
//! These vectors are the protocol: a change that breaks one breaks every client. New messages add lines; the lines
//! that are here stay. Each is the whole frame in hexadecimal, with text between apostrophes.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test, as is meant")]

use procmgr_proto::codec::{DecodeError, decode_request, decode_response, encode_request, encode_response};
use procmgr_proto::frame::{HEADER_LENGTH, Header};
use procmgr_proto::message::{Code, ExitStatus, Invocation, ProgramEntry, Refusal, Request, Response};

const ID: u32 = 0x0403_0201;

fn requests() -> Vec<(Request, &'static str)> {
    let invocation = |program: &[u8], action: &[u8], arguments: &[&[u8]]| {
        let arguments = arguments.iter().map(|argument| argument.to_vec()).collect();
        Request::Invoke(Invocation { program: program.to_vec(), action: action.to_vec(), arguments })
    };
    vec![
        (Request::Ping, "'PMGR' 0100 01 00 01020304 04000000  00000000"),
        (Request::List, "'PMGR' 0100 01 00 01020304 04000000  01000000"),
        (Request::Stop, "'PMGR' 0100 01 00 01020304 04000000  02000000"),
        (Request::Reload, "'PMGR' 0100 01 00 01020304 04000000  03000000"),
        (
            invocation(b"game", b"start", &[]),
            "'PMGR' 0100 01 03 01020304 25000000  04000000
             0400000000000000 'game' 0500000000000000 'start' 0000000000000000",
        ),
        (
            invocation(b"", b"stop", &[b"-x", b"", b"\xff\x00"]),
            "'PMGR' 0100 01 03 01020304 3c000000  04000000
             0000000000000000 0400000000000000 'stop' 0300000000000000
             0200000000000000 '-x' 0000000000000000 0200000000000000 ff00",
        ),
        (Request::Subscribe, "'PMGR' 0100 01 00 01020304 04000000  05000000"),
    ]
}

fn responses() -> Vec<(Response, &'static str)> {
    let entry = |name: &[u8], tokens: &[&[u8]]| {
        let tokens = tokens.iter().map(|token| token.to_vec()).collect();
        ProgramEntry { name: name.to_vec(), tokens }
    };
    vec![
        (
            Response::Refused(Refusal::new(Code::Busy, b"is\xc2\xa0up")),
            "'PMGR' 0100 02 00 01020304 1e000000  00000000
             0400000000000000 'BUSY' 0600000000000000 'is' c2a0 'up'",
        ),
        (Response::Done, "'PMGR' 0100 02 00 01020304 04000000  01000000"),
        (
            Response::Exited(ExitStatus::Code(255)),
            "'PMGR' 0100 02 00 01020304 09000000  02000000 00000000 ff",
        ),
        (
            Response::Exited(ExitStatus::Signal(9)),
            "'PMGR' 0100 02 00 01020304 09000000  02000000 01000000 09",
        ),
        (Response::Status { running: false }, "'PMGR' 0100 02 00 01020304 05000000  03000000 00"),
        (Response::Status { running: true }, "'PMGR' 0100 02 00 01020304 05000000  03000000 01"),
        (Response::Programs(vec![]), "'PMGR' 0100 02 00 01020304 0c000000  04000000 0000000000000000"),
        (
            Response::Programs(vec![entry(b"game", &[b"running", b"lingering"]), entry(b"\xfe", &[])]),
            "'PMGR' 0100 02 00 01020304 51000000  04000000 0200000000000000
             0400000000000000 'game' 0200000000000000
             0700000000000000 'running' 0900000000000000 'lingering'
             0100000000000000 fe 0000000000000000",
        ),
        (
            Response::Reloaded { remarks: vec![] },
            "'PMGR' 0100 02 00 01020304 0c000000  05000000 0000000000000000",
        ),
        (
            Response::Reloaded { remarks: vec![b"f:1:2: warning".to_vec()] },
            "'PMGR' 0100 02 00 01020304 22000000  05000000 0100000000000000
             0e00000000000000 'f:1:2: warning'",
        ),
        (
            Response::Subscribed { programs: vec![] },
            "'PMGR' 0100 02 00 01020304 0c000000  06000000 0000000000000000",
        ),
    ]
}

fn codes() -> [(Code, &'static str); 16] {
    [
        (Code::NoProg, "NOPROG"),
        (Code::NoAction, "NOACTION"),
        (Code::BadAuth, "BADAUTH"),
        (Code::Eperm, "EPERM"),
        (Code::Busy, "BUSY"),
        (Code::NotRunning, "NOTRUNNING"),
        (Code::NoCmd, "NOCMD"),
        (Code::BadMsg, "BADMSG"),
        (Code::BadCmd, "BADCMD"),
        (Code::Spawn, "SPAWN"),
        (Code::Cancelled, "CANCELLED"),
        (Code::BadConf, "BADCONF"),
        (Code::Version, "VERSION"),
        (Code::Limit, "LIMIT"),
        (Code::Shutdown, "SHUTDOWN"),
        (Code::Other(b"MOON\xff".to_vec()), "MOON\\xff"),
    ]
}

#[test]
fn requests_are_these_bytes() {
    for (request, vector) in requests() {
        assert_eq!(encode_request(ID, &request), Ok(bytes(vector)), "{request:?}");
        assert_eq!(decode_request(body(&bytes(vector))), Ok(request));
    }
}

#[test]
fn responses_are_these_bytes() {
    for (response, vector) in responses() {
        assert_eq!(encode_response(ID, &response), Ok(bytes(vector)), "{response:?}");
        assert_eq!(decode_response(body(&bytes(vector))), Ok(response));
    }
}

#[test]
fn codes_travel_by_their_names() {
    for (code, name) in codes() {
        assert_eq!(code.to_string(), name);
        let length = u64::try_from(code.name().len()).unwrap().to_le_bytes();
        let expected = [&[0; 4], length.as_slice(), code.name(), &[0; 8]].concat();

        let response = Response::Refused(Refusal::new(code, ""));

        assert_eq!(body(&encode_response(ID, &response).unwrap()), expected);
        assert_eq!(decode_response(&expected), Ok(response));
    }
}

#[test]
fn every_message_has_a_vector() {
    let mut numbers: Vec<u32> = requests().iter().map(|(_, vector)| number(vector)).collect();
    numbers.dedup();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    assert_eq!(decode_request(&6_u32.to_le_bytes()), Err(DecodeError::UnknownVariant(6)));

    let mut numbers: Vec<u32> = responses().iter().map(|(_, vector)| number(vector)).collect();
    numbers.dedup();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(decode_response(&7_u32.to_le_bytes()), Err(DecodeError::UnknownVariant(7)));
}

fn bytes(vector: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, part) in vector.split('\'').enumerate() {
        if index % 2 == 1 {
            bytes.extend(part.as_bytes());
            continue;
        }
        let digits: String = part.split_whitespace().collect();
        bytes.extend(
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()),
        );
    }
    bytes
}

/// Returns what follows the header, which has to tell its length.
fn body(frame: &[u8]) -> &[u8] {
    let (header, body) = frame.split_first_chunk::<HEADER_LENGTH>().unwrap();
    assert_eq!(Header::parse(header).unwrap().length as usize, body.len());
    body
}

fn number(vector: &str) -> u32 {
    u32::from_le_bytes(*body(&bytes(vector)).first_chunk().unwrap())
}
