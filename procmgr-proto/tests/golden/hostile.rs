//! How each vector of `vectors/hostile.txt` is made, and that a reader finds wrong with it what the file says.
//!
//! What the daemon answers to it is none of this crate's tests.

use std::iter::zip;

use procmgr_proto::codec::{DecodeError, decode_event, decode_request, decode_response};
use procmgr_proto::frame::{HEADER_LENGTH, Header, HeaderError, Kind, MAX_BODY};

use crate::vectors::{FRAMES, HOSTILE, read};

const ID: [u8; 4] = [1, 2, 3, 4];
const HUGE: [u8; 8] = [0xff; 8];

/// The frame of a hostile vector, made from its parts.
type Hostile = (&'static str, Vec<u8>);

fn frame(kind: u8, descriptors: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = u32::try_from(body.len()).expect("no vector is too long").to_le_bytes();
    [b"PMGR\x01\0", [kind, descriptors].as_slice(), &ID, &length, &body].concat()
}

/// Returns the frame with other bytes at some place.
fn altered(mut frame: Vec<u8>, position: usize, bytes: &[u8]) -> Vec<u8> {
    frame[position..position + bytes.len()].copy_from_slice(bytes);
    frame
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [(bytes.len() as u64).to_le_bytes().as_slice(), bytes].concat()
}

fn number(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

fn count(count: u64) -> [u8; 8] {
    count.to_le_bytes()
}

fn hostile() -> Vec<Hostile> {
    [headers(), bodies(), invocations(), counts(), responses(), details(), events()].concat()
}

fn headers() -> Vec<Hostile> {
    let ping = || frame(1, 0, &[&number(0)]);
    let announcing = |length: u32| altered(frame(1, 0, &[]), 12, &length.to_le_bytes());
    let invoke =
        |descriptors| frame(1, descriptors, &[&number(4), &text(b"game"), &text(b"start"), &count(0)]);
    let in_version = |version: u16| altered(frame(1, 0, &[b"\xffwhatever"]), 4, &version.to_le_bytes());
    let event = || read(FRAMES).into_iter().find(|vector| vector.name == "event/changed");
    vec![
        ("request/http", b"GET / HTTP/1.1\r\n".to_vec()),
        ("request/small-magic", altered(ping(), 0, b"pmgr")),
        ("request/kind-0", altered(ping(), 6, &[0])),
        ("request/kind-4", altered(ping(), 6, &[4])),
        ("request/kind-255", altered(ping(), 6, &[255])),
        ("request/length-over-limit", announcing(MAX_BODY + 1)),
        ("request/length-greatest", announcing(u32::MAX)),
        ("request/length-big-endian", altered(ping(), 12, &[0, 0, 0, 4])),
        ("request/cut-in-header", ping()[..9].to_vec()),
        ("request/cut-before-body", ping()[..HEADER_LENGTH].to_vec()),
        ("request/cut-in-body", ping()[..HEADER_LENGTH + 2].to_vec()),
        ("request/version-0", in_version(0)),
        ("request/version-256", in_version(256)),
        ("request/version-65535", in_version(u16::MAX)),
        ("request/id-0", altered(ping(), 8, &[0; 4])),
        ("request/is-a-response", frame(2, 0, &[&number(1)])),
        ("request/is-an-event", event().expect("there is such a vector").frame),
        ("request/ping-with-descriptor", altered(ping(), 7, &[1])),
        ("request/invoke-without-descriptors", invoke(0)),
        ("request/invoke-with-two", invoke(2)),
        ("request/invoke-with-four", invoke(4)),
    ]
}

fn bodies() -> Vec<Hostile> {
    vec![
        ("request/empty", frame(1, 0, &[])),
        ("request/half-variant", frame(1, 0, &[&[0, 0]])),
        ("request/unknown", frame(1, 0, &[&number(1_000_000), b"whatever"])),
        ("request/unknown-big-endian", frame(1, 0, &[&[0, 0, 0, 1]])),
        ("request/unknown-greatest", frame(1, 0, &[&number(u32::MAX)])),
        ("request/ping-trailing", frame(1, 0, &[&number(0), &[0]])),
        ("request/inspect-trailing", frame(1, 0, &[&number(7), &[0]])),
        ("request/preview-with-descriptor", altered(frame(1, 0, &[&number(8)]), 7, &[1])),
    ]
}

fn invocations() -> Vec<Hostile> {
    let invoke = |parts: &[&[u8]]| frame(1, 3, &[&number(4), &parts.concat()]);
    let (game, start) = (text(b"game"), text(b"start"));
    vec![
        ("request/invoke-trailing", invoke(&[&game, &start, &count(0), &[0]])),
        ("request/invoke-cut-alone", invoke(&[])),
        ("request/invoke-cut-in-count", invoke(&[&count(4)[..4]])),
        ("request/invoke-cut-in-text", invoke(&[&count(4), b"gam"])),
        ("request/invoke-cut-before-action", invoke(&[&game])),
        ("request/invoke-cut-before-arguments", invoke(&[&game, &start])),
        ("request/invoke-cut-in-list", invoke(&[&game, &start, &count(2), &text(b"-x")])),
    ]
}

fn counts() -> Vec<Hostile> {
    let invoke = |parts: &[&[u8]]| frame(1, 3, &[&number(4), &parts.concat()]);
    let (game, start) = (text(b"game"), text(b"start"));
    let of_program = |number| invoke(&[&count(number)]);
    let of_arguments = |number| invoke(&[&game, &start, &count(number)]);
    let of_argument = |number| invoke(&[&game, &start, &count(1), &count(number)]);
    let over_limit = u64::from(MAX_BODY) + 1;
    let of_four_bytes = [&number(4), b"game".as_slice(), &number(5), b"start", &number(0)];
    vec![
        ("request/invoke-program-count-greatest", of_program(u64::MAX)),
        ("request/invoke-arguments-count-greatest", of_arguments(u64::MAX)),
        ("request/invoke-argument-count-greatest", of_argument(u64::MAX)),
        ("request/invoke-program-count-negative", of_program(1 << 63)),
        ("request/invoke-arguments-count-negative", of_arguments(1 << 63)),
        ("request/invoke-argument-count-negative", of_argument(1 << 63)),
        ("request/invoke-program-count-4-gib", of_program(1 << 32)),
        ("request/invoke-arguments-count-4-gib", of_arguments(1 << 32)),
        ("request/invoke-argument-count-4-gib", of_argument(1 << 32)),
        ("request/invoke-program-count-over-limit", of_program(over_limit)),
        ("request/invoke-arguments-count-over-limit", of_arguments(over_limit)),
        ("request/invoke-argument-count-over-limit", of_argument(over_limit)),
        ("request/invoke-count-of-four-bytes", invoke(&of_four_bytes)),
        ("request/invoke-nul-in-program", invoke(&[&text(b"ga\0me"), &start, &count(0)])),
        ("request/invoke-nul-in-action", invoke(&[&game, &text(b"start\0"), &count(0)])),
        ("request/invoke-nul-in-argument", invoke(&[&game, &start, &count(1), &text(b"\0")])),
    ]
}

fn responses() -> Vec<Hostile> {
    let response = |variant, parts: &[&[u8]]| frame(2, 0, &[&number(variant), &parts.concat()]);
    let done = || response(1, &[]);
    let busy = text(b"BUSY");
    let web = [count(1).as_slice(), &text(b"web")].concat();
    let web_down = [web.as_slice(), &text(b"down")].concat();
    vec![
        ("response/wrong-magic", altered(done(), 3, b"S")),
        ("response/kind-4", altered(done(), 6, &[4])),
        ("response/length-over-limit", altered(frame(2, 0, &[]), 12, &(MAX_BODY + 1).to_le_bytes())),
        ("response/short", done()[..HEADER_LENGTH + 3].to_vec()),
        ("response/empty", frame(2, 0, &[])),
        ("response/half-variant", frame(2, 0, &[&[1, 0]])),
        ("response/unknown", response(1_000_000, &[b"whatever"])),
        ("response/done-trailing", response(1, &[&[0]])),
        ("response/refused-cut", response(0, &[&busy])),
        ("response/refused-code-count", response(0, &[&HUGE])),
        ("response/refused-text-count", response(0, &[&busy, &HUGE])),
        ("response/refused-trailing", response(0, &[&busy, &text(b""), &[0]])),
        ("response/exited-cut", response(2, &[&number(0)])),
        ("response/exited-trailing", response(2, &[&number(0), &[0, 0]])),
        ("response/status-cut", response(3, &[])),
        ("response/status-2", response(3, &[&[2]])),
        ("response/status-255", response(3, &[&[255]])),
        ("response/programs-count", response(4, &[&HUGE])),
        ("response/programs-one-missing", response(4, &[&count(2), &text(b"web"), &count(0)])),
        ("response/programs-tokens-count", response(4, &[&web, &HUGE])),
        ("response/reloaded-count", response(5, &[&HUGE])),
        ("response/subscribed-count", response(6, &[&HUGE])),
        ("response/subscribed-option-2", response(6, &[&web_down, &[2], &number(7), &count(0)])),
        ("response/subscribed-pid-cut", response(6, &[&web_down, &[1]])),
        ("response/subscribed-marks-count", response(6, &[&web_down, &[0], &HUGE])),
    ]
}

fn details() -> Vec<Hostile> {
    let response = |variant, parts: &[&[u8]]| frame(2, 0, &[&number(variant), &parts.concat()]);
    // No PID and no marks.
    let web_down = [count(1).as_slice(), &text(b"web"), &text(b"down"), &[0], &count(0)].concat();
    let web_added = [count(1).as_slice(), &text(b"web"), &text(b"added")].concat();
    let one_of_web = [count(1).as_slice(), &text(b"web")].concat();
    let inspected = |parts: &[&[u8]]| response(7, &[&web_down, &parts.concat()]);
    let previewed = |parts: &[&[u8]]| response(8, &[&web_added, &parts.concat()]);
    vec![
        ("response/inspected-count", response(7, &[&HUGE])),
        ("response/inspected-since-option-2", inspected(&[&[2], &number(0), &[0, 0]])),
        ("response/inspected-since-cut", inspected(&[&[1], &number(7)])),
        ("response/inspected-exit-without-time", inspected(&[&[0], &number(0), &[1], &number(0), &[0]])),
        ("response/inspected-next-start-option-2", inspected(&[&[0], &number(0), &[0, 2]])),
        ("response/previewed-count", response(8, &[&HUGE])),
        ("response/previewed-keys-count", previewed(&[&HUGE])),
        ("response/previewed-pid-option-2", previewed(&[&count(0), &[2, 0], &count(0)])),
        ("response/previewed-outdated-2", previewed(&[&count(0), &[0, 2], &count(0)])),
        ("response/previewed-without-remarks", previewed(&[&count(0), &[0, 0]])),
        ("response/permissions-count", response(9, &[&HUGE])),
        ("response/permissions-actions-count", response(9, &[&one_of_web, &HUGE])),
        ("response/permissions-without-actions", response(9, &[&one_of_web])),
    ]
}

fn events() -> Vec<Hostile> {
    let web = [text(b"web"), text(b"down")].concat();
    let changed = |parts: &[&[u8]]| frame(3, 0, &[&number(0), &count(1), &web, &parts.concat()]);
    // Up to the marks: no PID and no marks.
    let rest = |parts: &[&[u8]]| changed(&[&[0], &count(0), &parts.concat()]);
    vec![
        ("event/empty", frame(3, 0, &[])),
        ("event/unknown", frame(3, 0, &[&number(1_000_000), b"whatever"])),
        ("event/time-cut", frame(3, 0, &[&number(0), &count(1)[..4]])),
        ("event/pid-option-2", changed(&[&[2], &count(0), &[0, 0, 0]])),
        ("event/ended-option-2", rest(&[&[2, 0, 0]])),
        ("event/failure-option-2", rest(&[&[0, 2, 0]])),
        ("event/by-option-2", rest(&[&[0, 0, 2]])),
        ("event/ended-cut", rest(&[&[1], &number(0)])),
        ("event/failure-count", rest(&[&[0, 1], &HUGE])),
        ("event/by-cut", rest(&[&[0, 0, 1], &number(1), &number(2)])),
        ("event/without-options", rest(&[])),
        ("event/trailing", rest(&[&[0, 0, 0, 0]])),
    ]
}

/// Returns what a reader finds wrong with a frame, in the words of the file.
fn fault(frame: &[u8]) -> &'static str {
    let Some((header, body)) = frame.split_first_chunk::<HEADER_LENGTH>() else { return "short" };
    let header = match Header::parse(header) {
        Ok(header) => header,
        Err(HeaderError::NotMagic(_)) => return "magic",
        Err(HeaderError::UnknownKind { .. }) => return "kind",
        Err(HeaderError::TooLong { .. }) => return "length",
    };
    let length = header.length as usize;
    if body.len() < length {
        return "short";
    }
    assert_eq!(body.len(), length, "more than one frame");
    let error = match header.kind {
        Kind::Request => decode_request(body).err(),
        Kind::Response => decode_response(body).err(),
        Kind::Event => decode_event(body).err(),
    };
    match error {
        None => "none",
        Some(_) if header.version != 1 => "none",
        Some(DecodeError::UnknownVariant(_)) => "variant",
        Some(DecodeError::Malformed(_)) => "malformed",
    }
}

#[test]
fn every_vector_is_made_here_and_the_other_way_round() {
    let mut in_file: Vec<_> = read(HOSTILE).into_iter().map(|vector| vector.name).collect();
    let mut here: Vec<_> = hostile().into_iter().map(|(name, _)| name).collect();
    in_file.sort_unstable();
    here.sort_unstable();
    assert_eq!(in_file, here);
}

#[test]
fn every_vector_is_what_its_name_says() {
    let made = hostile();
    for vector in read(HOSTILE) {
        let (_, frame) = made.iter().find(|(name, _)| *name == vector.name).expect("each is made here");
        assert_eq!(vector.frame, *frame, "{}", vector.name);
    }
}

#[test]
fn a_reader_finds_the_fault_that_the_file_tells() {
    for vector in read(HOSTILE) {
        assert_eq!(fault(&vector.frame), vector.words[0], "{}", vector.name);
    }
}

#[test]
fn requests_tell_how_the_daemon_answers_and_all_else_does_not() {
    for vector in read(HOSTILE) {
        let answer = &vector.words[1..];
        if vector.name.starts_with("request/") {
            let words: [&[&str]; 3] =
                [&["BADMSG", "BADCMD", "LIMIT", "VERSION"], &["same", "0"], &["open", "closed"]];
            assert_eq!(answer.len(), words.len(), "{}", vector.name);
            assert!(zip(answer, words).all(|(word, known)| known.contains(word)), "{}", vector.name);
        } else {
            assert_eq!(answer, ["-", "-", "-"], "{}", vector.name);
        }
    }
}
