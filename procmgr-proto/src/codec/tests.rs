//! Bodies that nobody meant well, and the limits of what can be said.
//!
//! What each message is on the wire stands in `tests/golden.rs`.

use bincode::Options;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::{
    DecodeError, EncodeError, decode_request, decode_response, encode_request, encode_response, format,
};
use crate::frame::{HEADER_LENGTH, Header, Kind, MAX_BODY, VERSION};
use crate::message::{Code, ExitStatus, Invocation, ProgramEntry, Refusal, Request, Response};

fn invocation() -> Request {
    let arguments = vec![b"-x".to_vec(), Vec::new(), b"\xff".to_vec()];
    Request::Invoke(Invocation { program: b"game".to_vec(), action: b"start".to_vec(), arguments })
}

fn programs() -> Response {
    let entry = ProgramEntry { name: b"game".to_vec(), tokens: vec![b"running".to_vec()] };
    Response::Programs(vec![entry.clone(), entry])
}

/// Returns the body of an invocation whose program, action and arguments are counted, and there, as these bytes say.
fn invoke_with(parts: &[&[u8]]) -> Vec<u8> {
    [&[4, 0, 0, 0], parts.concat().as_slice()].concat()
}

fn malformed<M: std::fmt::Debug>(result: Result<M, DecodeError>) -> String {
    match result {
        Err(DecodeError::Malformed(reason)) => reason,
        other => panic!("expected a malformed message, got {other:?}"),
    }
}

#[test]
fn a_frame_is_a_header_and_a_body_of_the_length_that_it_tells() {
    let frame = encode_request(7, &invocation()).unwrap();
    let (header, body) = frame.split_first_chunk::<HEADER_LENGTH>().unwrap();
    let length = u32::try_from(body.len()).unwrap();
    let expected = Header { version: VERSION, kind: Kind::Request, descriptors: 3, id: 7, length };
    assert_eq!(Header::parse(header), Ok(expected));
    assert_eq!(decode_request(body), Ok(invocation()));
}

#[test]
fn a_response_announces_no_descriptors() {
    let frame = encode_response(u32::MAX, &programs()).unwrap();
    let (header, body) = frame.split_first_chunk::<HEADER_LENGTH>().unwrap();
    let length = u32::try_from(body.len()).unwrap();
    let expected = Header { version: VERSION, kind: Kind::Response, descriptors: 0, id: u32::MAX, length };
    assert_eq!(Header::parse(header), Ok(expected));
}

#[test]
fn a_body_may_be_as_long_as_the_limit_and_not_longer() {
    let refusal = |length| Response::Refused(Refusal::new(Code::Busy, vec![b'x'; length]));
    let (variant, count) = (4, 8);
    let room = MAX_BODY as usize - (variant + count + b"BUSY".len() + count);

    let longest = encode_response(1, &refusal(room)).unwrap();

    assert_eq!(longest.len(), HEADER_LENGTH + MAX_BODY as usize);
    assert_eq!(decode_response(&longest[HEADER_LENGTH..]), Ok(refusal(room)));
    assert_eq!(encode_response(1, &refusal(room + 1)), Err(EncodeError::TooLong));
}

#[test]
fn a_body_that_is_cut_anywhere_is_malformed() {
    let request = encode_request(1, &invocation()).unwrap();
    for length in 0..request.len() - HEADER_LENGTH {
        malformed(decode_request(&request[HEADER_LENGTH..][..length]));
    }
    let response = encode_response(1, &programs()).unwrap();
    for length in 0..response.len() - HEADER_LENGTH {
        malformed(decode_response(&response[HEADER_LENGTH..][..length]));
    }
}

#[test]
fn a_byte_after_the_end_is_malformed() {
    let others = [Request::Ping, Request::List, Request::Stop, Request::Reload, Request::Upgrade];
    for request in others.into_iter().chain([invocation()]) {
        let mut frame = encode_request(1, &request).unwrap();
        frame.push(0);
        malformed(decode_request(&frame[HEADER_LENGTH..]));
    }
    let mut frame = encode_response(1, &programs()).unwrap();
    frame.push(0);
    malformed(decode_response(&frame[HEADER_LENGTH..]));
}

#[test]
fn a_message_of_a_later_version_is_told_from_nonsense() {
    for number in [Request::VARIANTS, 1000, u32::MAX] {
        let body = [number.to_le_bytes().as_slice(), b"whatever follows"].concat();
        assert_eq!(decode_request(&body), Err(DecodeError::UnknownVariant(number)));
    }
    for number in [Response::VARIANTS, 1000, u32::MAX] {
        let body = [number.to_le_bytes().as_slice(), b"whatever follows"].concat();
        assert_eq!(decode_response(&body), Err(DecodeError::UnknownVariant(number)));
    }
}

#[test]
fn the_numbers_of_variants_are_those_of_the_messages() {
    let unknown = u32::MAX.to_le_bytes();
    let error = format().deserialize::<Request>(&unknown).unwrap_err().to_string();
    assert!(error.ends_with(&format!("variant index 0 <= i < {}", Request::VARIANTS)), "{error}");
    let error = format().deserialize::<Response>(&unknown).unwrap_err().to_string();
    assert!(error.ends_with(&format!("variant index 0 <= i < {}", Response::VARIANTS)), "{error}");
}

#[test]
fn an_exit_status_of_a_later_version_is_not_known_and_does_no_harm() {
    let exited_otherwise = [2, 0, 0, 0, 9, 0, 0, 0, 1];
    assert_eq!(decode_response(&exited_otherwise), Ok(Response::Exited(ExitStatus::Unknown)));
}

#[test]
fn a_truth_value_is_zero_or_one() {
    malformed(decode_response(&[3, 0, 0, 0, 2]));
}

#[test]
fn counts_beyond_the_body_are_malformed() {
    let empty = 0_u64.to_le_bytes();
    for count in [1, u64::from(MAX_BODY), u64::from(MAX_BODY) + 1, u64::from(u32::MAX) + 1, 1 << 63, u64::MAX]
    {
        let count = count.to_le_bytes();
        malformed(decode_request(&invoke_with(&[&count])));
        malformed(decode_request(&invoke_with(&[&empty, &count])));
        malformed(decode_request(&invoke_with(&[&empty, &empty, &count])));
        malformed(decode_request(&invoke_with(&[&empty, &empty, &1_u64.to_le_bytes(), &count])));
        malformed(decode_response(&[[4, 0, 0, 0].as_slice(), &count].concat()));
        malformed(decode_response(&[[0, 0, 0, 0].as_slice(), &count].concat()));
    }
}

#[test]
fn the_largest_body_of_empty_arguments_is_a_message() {
    let count = (MAX_BODY - 28) / 8;
    let mut body = invoke_with(&[&[0; 16], &u64::from(count).to_le_bytes()]);
    body.resize(body.len() + 8 * count as usize, 0);
    let Ok(Request::Invoke(invocation)) = decode_request(&body) else { panic!("expected an invocation") };
    assert_eq!(invocation.arguments.len(), count as usize);
}

#[test]
fn errors_quote_nothing_of_the_body() {
    let reason = malformed(decode_request(&invoke_with(&[b"\x04\0\0\0\0\0\0\0\x1b[2J"])));
    assert!(!reason.contains('\x1b'), "{reason}");
}

proptest! {
    #[test]
    fn every_request_comes_back(id: u32, request in requests()) {
        let frame = encode_request(id, &request).unwrap();
        assert_eq!(decode_request(&frame[HEADER_LENGTH..]), Ok(request));
    }

    #[test]
    fn every_response_comes_back(id: u32, response in responses()) {
        let frame = encode_response(id, &response).unwrap();
        assert_eq!(decode_response(&frame[HEADER_LENGTH..]), Ok(response));
    }

    #[test]
    fn no_body_whatever_does_harm(number in 0..8_u32, rest in vec(any::<u8>(), 0..200)) {
        let body = [number.to_le_bytes().as_slice(), &rest].concat();
        let _ = (decode_request(&body), decode_response(&body), decode_request(&rest), decode_response(&rest));
    }

    #[test]
    fn an_altered_byte_does_no_harm(request in requests(), position: proptest::sample::Index, byte: u8) {
        let mut body = encode_request(1, &request).unwrap().split_off(HEADER_LENGTH);
        let position = position.index(body.len());
        body[position] = byte;
        let _ = decode_request(&body);
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn requests() -> impl Strategy<Value = Request> {
    let invoke = (text(), text(), vec(text(), 0..10))
        .prop_map(|(program, action, arguments)| Request::Invoke(Invocation { program, action, arguments }));
    let others = [Request::Ping, Request::List, Request::Stop, Request::Reload, Request::Upgrade].map(Just);
    let [ping, list, stop, reload, upgrade] = others;
    prop_oneof![ping, list, stop, reload, upgrade, invoke]
}

fn responses() -> impl Strategy<Value = Response> {
    let refused =
        (text(), text()).prop_map(|(code, text)| Response::Refused(Refusal::new(Code::from(code), text)));
    let exited = prop_oneof![
        any::<u8>().prop_map(|code| Response::Exited(ExitStatus::Code(code))),
        any::<u8>().prop_map(|signal| Response::Exited(ExitStatus::Signal(signal))),
    ];
    let status = any::<bool>().prop_map(|running| Response::Status { running });
    let entry = (text(), vec(text(), 0..4)).prop_map(|(name, tokens)| ProgramEntry { name, tokens });
    let programs = vec(entry, 0..10).prop_map(Response::Programs);
    let reloaded = vec(text(), 0..10).prop_map(|remarks| Response::Reloaded { remarks });
    prop_oneof![refused, Just(Response::Done), exited, status, programs, reloaded]
}
