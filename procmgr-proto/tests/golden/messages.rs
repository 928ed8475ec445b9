//! What each vector of `vectors/frames.txt` says, in Rust; reading and writing it must agree with the file.

use procmgr_proto::codec::{
    DecodeError, decode_event, decode_request, decode_response, encode_event, encode_request, encode_response,
};
use procmgr_proto::event::{Change, Event, ProgramStatus, Requester, State};
use procmgr_proto::frame::{CONNECTION_ID, HEADER_LENGTH, Header, Kind, VERSION};
use procmgr_proto::message::{Code, ExitStatus, Invocation, ProgramEntry, Refusal, Request, Response};

use crate::details;
use crate::vectors::{FRAMES, read};

/// The id of each vector that does not say otherwise.
const ID: u32 = 0x0403_0201;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Request(Request),
    Response(Response),
    Event(Event),
}

/// A message and the fields of its header that are not the same in all vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    version: u16,
    id: u32,
    message: Message,
}

impl Frame {
    pub(crate) fn new(message: Message) -> Self {
        Self { version: VERSION, id: ID, message }
    }

    /// Reads a whole frame; `None` if it is none, or its header says anything that it should not.
    fn read(frame: &[u8]) -> Option<Self> {
        let (header, body) = frame.split_first_chunk::<HEADER_LENGTH>()?;
        let Header { version, kind, descriptors, id, length } = Header::parse(header).ok()?;
        let message = match kind {
            Kind::Request => Message::Request(decode_request(body).ok()?),
            Kind::Response => Message::Response(decode_response(body).ok()?),
            Kind::Event => Message::Event(decode_event(body).ok()?),
        };
        let wanted = match &message {
            Message::Request(request) => request.descriptors(),
            Message::Response(_) | Message::Event(_) => 0,
        };
        let is_right = descriptors == wanted && usize::try_from(length) == Ok(body.len());
        is_right.then_some(Self { version, id, message })
    }

    fn write(&self) -> Vec<u8> {
        let frame = match &self.message {
            Message::Request(request) => encode_request(self.id, request),
            Message::Response(response) => encode_response(self.id, response),
            Message::Event(event) => encode_event(self.id, event),
        };
        let mut frame = frame.expect("no vector is too long");
        // Nothing of ours writes another version; the rest of such a frame is the same.
        frame[4..6].copy_from_slice(&self.version.to_le_bytes());
        frame
    }
}

/// Returns what each vector says, in the order of the file.
fn frames() -> Vec<(&'static str, Frame)> {
    [requests(), refusals(), responses(), details::frames(), later(), events()].concat()
}

fn requests() -> Vec<(&'static str, Frame)> {
    let request = |request| Frame::new(Message::Request(request));
    let invoke = |program: &[u8], action: &[u8], arguments: &[&[u8]]| {
        let (program, action, arguments) = (program.to_vec(), action.to_vec(), texts(arguments));
        request(Request::Invoke(Invocation { program, action, arguments }))
    };
    vec![
        ("request/ping", request(Request::Ping)),
        ("request/list", request(Request::List)),
        ("request/stop", request(Request::Stop)),
        ("request/reload", request(Request::Reload)),
        ("request/invoke", invoke(b"game", b"start", &[b"level-1"])),
        ("request/invoke/no-arguments", invoke(b"game", b"stop", &[])),
        ("request/invoke/odd-bytes", invoke(b"\xff", b"signal", &[b"-x", b"", b"\xc3\xbc", b"a\nb\x1b"])),
        ("request/invoke/empty", invoke(b"", b"", &[])),
        ("request/subscribe", request(Request::Subscribe)),
        ("request/upgrade", request(Request::Upgrade)),
        ("request/inspect", request(Request::Inspect)),
        ("request/preview", request(Request::Preview)),
        ("request/permissions", request(Request::Permissions)),
    ]
}

fn refusals() -> Vec<(&'static str, Frame)> {
    let refused =
        |code, text: &[u8]| Frame::new(Message::Response(Response::Refused(Refusal::new(code, text))));
    vec![
        ("response/refused/noprog", refused(Code::NoProg, b"there is no program gane")),
        ("response/refused/noaction", refused(Code::NoAction, b"there is no action strat")),
        ("response/refused/badauth", refused(Code::BadAuth, b"you may not stop game")),
        (
            "response/refused/eperm",
            refused(Code::Eperm, b"only root and the user of the daemon may stop or reload it"),
        ),
        ("response/refused/busy", refused(Code::Busy, b"game is running")),
        ("response/refused/notrunning", refused(Code::NotRunning, b"game is not running")),
        ("response/refused/nocmd", refused(Code::NoCmd, b"game has no script for start")),
        ("response/refused/badmsg", refused(Code::BadMsg, b"")),
        ("response/refused/badcmd", refused(Code::BadCmd, b"there is no message of number 1000000")),
        ("response/refused/spawn", refused(Code::Spawn, b"cannot run start of game: no such folder")),
        ("response/refused/cancelled", refused(Code::Cancelled, b"game was stopped meanwhile")),
        (
            "response/refused/badconf",
            refused(Code::BadConf, b"2 errors in f\nf:1:2: error: a\nf:3:4: error: \xc2\xb5\xff\x1b"),
        ),
        (
            "response/refused/version",
            refused(Code::Version, b"version 9 is not known here, 1 is the highest one"),
        ),
        ("response/refused/limit", refused(Code::Limit, b"too many of your requests are under way")),
        ("response/refused/shutdown", refused(Code::Shutdown, b"the daemon ends before this is done")),
        ("response/refused/later", refused(Code::Other(b"MOON\xff".to_vec()), b"full")),
        (
            "response/refused/connection",
            Frame { id: CONNECTION_ID, ..refused(Code::Limit, b"you have too many connections") },
        ),
        ("response/refused/version-2", Frame { version: 2, ..refused(Code::Version, b"no") }),
    ]
}

fn responses() -> Vec<(&'static str, Frame)> {
    let response = |response| Frame::new(Message::Response(response));
    let exited = |status| response(Response::Exited(status));
    let status = |running| response(Response::Status { running });
    let reloaded = |remarks: &[&[u8]]| response(Response::Reloaded { remarks: texts(remarks) });
    let subscribed = |programs: &[ProgramStatus]| {
        let programs = programs.to_vec();
        response(Response::Subscribed { programs })
    };
    let entry = |name: &[u8], tokens: &[&[u8]]| ProgramEntry { name: name.to_vec(), tokens: texts(tokens) };
    let programs =
        vec![entry(b"web", &[b"running", b"outdated"]), entry(b"\xfe", &[b"dead"]), entry(b"x", &[])];
    vec![
        ("response/done", response(Response::Done)),
        ("response/exited/code-0", exited(ExitStatus::Code(0))),
        ("response/exited/code-255", exited(ExitStatus::Code(255))),
        ("response/exited/signal-15", exited(ExitStatus::Signal(15))),
        ("response/exited/unknown", exited(ExitStatus::Unknown)),
        ("response/status/not-running", status(false)),
        ("response/status/running", status(true)),
        ("response/programs/none", response(Response::Programs(vec![]))),
        ("response/programs", response(Response::Programs(programs))),
        ("response/reloaded/silent", reloaded(&[])),
        ("response/reloaded", reloaded(&[b"f:1:2: warning: a", b"b"])),
        ("response/subscribed/none", subscribed(&[])),
        (
            "response/subscribed",
            subscribed(&[
                program(b"web", State::Running, Some(0x0a0b_0c0d), &[b"outdated"]),
                program(b"game", State::Down, None, &[]),
            ]),
        ),
        (
            "response/subscribed/states",
            subscribed(&[
                program(b"a", State::Down, None, &[]),
                program(b"b", State::Starting, None, &[]),
                program(b"c", State::Running, Some(1), &[]),
                program(b"d", State::Stopping, Some(2), &[]),
                program(b"e", State::Restarting, Some(3), &[b"lingering", b"outdated"]),
                program(b"f", State::BackOff, None, &[]),
                program(b"g", State::Other(b"moon".to_vec()), Some(u32::MAX), &[b"blue"]),
            ]),
        ),
    ]
}

fn later() -> Vec<(&'static str, Frame)> {
    let unknown = Frame::new(Message::Response(Response::Exited(ExitStatus::Unknown)));
    vec![
        ("later/exited", unknown.clone()),
        ("later/exited/greatest", unknown.clone()),
        ("later/exited/with-byte", unknown),
    ]
}

fn events() -> Vec<(&'static str, Frame)> {
    let change = |time, program| Change { time, program, ended: None, failure: None, by: None };
    let web = |state, pid| program(b"web", state, pid, &[]);
    let by = |pid, uid, gid| Some(Requester { pid, uid, gid });
    let changes = vec![
        ("event/changed/nothing", change(0, program(b"", State::Down, None, &[]))),
        (
            "event/changed",
            Change {
                ended: Some(ExitStatus::Signal(15)),
                by: by(934, 1000, 100),
                ..change(1_772_357_400_125, program(b"web", State::Starting, None, &[b"outdated"]))
            },
        ),
        (
            "event/changed/everything",
            Change {
                time: 0x0102_0304_0506_0708,
                program: program(b"web", State::Running, Some(0x0a0b_0c0d), &[b"lingering", b"outdated"]),
                ended: Some(ExitStatus::Code(3)),
                failure: Some(b"no\xff".to_vec()),
                by: by(0x1122_3344, 0x5566_7788, 0x99aa_bbcc),
            },
        ),
        (
            "event/changed/down",
            Change {
                failure: Some(b"no such folder".to_vec()),
                by: by(0, 1000, 100),
                ..change(1, web(State::Down, None))
            },
        ),
        ("event/changed/running", change(2, web(State::Running, Some(7)))),
        ("event/changed/stopping", Change { by: by(934, 0, 0), ..change(3, web(State::Stopping, Some(7))) }),
        (
            "event/changed/restarting",
            Change { by: by(934, 1000, 100), ..change(4, web(State::Restarting, Some(7))) },
        ),
        (
            "event/changed/back-off",
            Change { ended: Some(ExitStatus::Code(1)), ..change(5, web(State::BackOff, None)) },
        ),
        (
            "event/changed/removed",
            Change { ended: Some(ExitStatus::Code(0)), ..change(6, web(State::Removed, None)) },
        ),
        ("event/changed/later", change(7, web(State::Other(b"moon".to_vec()), None))),
    ];
    let frame = |(name, change)| (name, Frame::new(Message::Event(Event::Changed(change))));
    changes.into_iter().map(frame).collect()
}

pub(crate) fn program(name: &[u8], state: State, pid: Option<u32>, marks: &[&[u8]]) -> ProgramStatus {
    ProgramStatus { name: name.to_vec(), state, pid, marks: texts(marks) }
}

pub(crate) fn texts(texts: &[&[u8]]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.to_vec()).collect()
}

#[test]
fn every_vector_is_told_what_it_says_and_the_other_way_round() {
    let in_file: Vec<_> = read(FRAMES).into_iter().map(|vector| vector.name).collect();
    let here: Vec<_> = frames().into_iter().map(|(name, _)| name).collect();
    assert_eq!(in_file, here);
}

#[test]
fn every_vector_is_read_as_what_it_says() {
    for (vector, (name, expected)) in read(FRAMES).into_iter().zip(frames()) {
        assert_eq!(vector.words, [] as [&str; 0], "{name}");
        assert_eq!(Frame::read(&vector.frame), Some(expected), "{name}");
    }
}

#[test]
fn what_every_vector_says_is_written_as_it() {
    for (vector, (name, frame)) in read(FRAMES).into_iter().zip(frames()) {
        if !name.starts_with("later/") {
            assert_eq!(frame.write(), vector.frame, "{name}");
        }
    }
}

#[test]
fn what_later_versions_write_is_this() {
    let later = read(FRAMES).into_iter().filter(|vector| vector.name.starts_with("later/"));
    let bodies: Vec<_> = later.map(|vector| vector.frame[HEADER_LENGTH..].to_vec()).collect();
    let expected =
        [[2, 0, 0, 0, 9, 0, 0, 0, 1], [2, 0, 0, 0, 255, 255, 255, 255, 255], [2, 0, 0, 0, 2, 0, 0, 0, 7]];
    assert_eq!(bodies, expected);
}

#[test]
fn no_bit_of_a_vector_is_without_a_meaning() {
    // All exit statuses that are not known are the same to a reader.
    let is_spare = |name: &str| name == "response/exited/unknown" || name.starts_with("later/");
    for vector in read(FRAMES).into_iter().filter(|vector| !is_spare(vector.name)) {
        let before = Frame::read(&vector.frame);
        for bit in 0..vector.frame.len() * 8 {
            let mut frame = vector.frame.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Frame::read(&frame), before, "bit {bit} of {}", vector.name);
        }
    }
}

#[test]
fn every_vector_that_is_cut_or_goes_on_is_malformed() {
    for vector in read(FRAMES) {
        let body = &vector.frame[HEADER_LENGTH..];
        for length in 0..body.len() {
            assert!(is_malformed(&vector.frame, &body[..length]), "{} cut to {length}", vector.name);
        }
        assert!(is_malformed(&vector.frame, &[body, &[0]].concat()), "{} and more", vector.name);
    }
}

/// Returns whether the body is malformed as one of a message of the same kind as the frame.
fn is_malformed(frame: &[u8], body: &[u8]) -> bool {
    let error = match frame[6] {
        1 => decode_request(body).err(),
        2 => decode_response(body).err(),
        _ => decode_event(body).err(),
    };
    matches!(error, Some(DecodeError::Malformed(_)))
}

#[test]
fn every_message_has_a_vector() {
    for kind in [Kind::Request, Kind::Response, Kind::Event] {
        let of_kind = read(FRAMES).into_iter().filter(|vector| vector.frame[6] == kind as u8);
        let mut numbers: Vec<u32> = of_kind.map(|vector| number(&vector.frame)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let next = u32::try_from(numbers.len()).expect("there are few messages");
        assert_eq!(numbers, (0..next).collect::<Vec<_>>());
        let error = match kind {
            Kind::Request => decode_request(&next.to_le_bytes()).err(),
            Kind::Response => decode_response(&next.to_le_bytes()).err(),
            Kind::Event => decode_event(&next.to_le_bytes()).err(),
        };
        assert_eq!(error, Some(DecodeError::UnknownVariant(next)), "{kind:?}");
    }
}

/// Returns the number of the message in a frame.
pub(crate) fn number(frame: &[u8]) -> u32 {
    let body = &frame[HEADER_LENGTH..];
    u32::from_le_bytes(*body.first_chunk().expect("a body begins with a number"))
}
