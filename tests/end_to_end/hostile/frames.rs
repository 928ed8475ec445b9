//! Frames that are none, or not as they should be: each is refused, and what can go on goes on.

use std::net::Shutdown;
use std::os::fd::AsFd;

use procmgr_proto::codec::encode_request;
use procmgr_proto::frame::{HEADER_LENGTH, Header, Kind, MAX_BODY, VERSION};
use procmgr_proto::message::{Code, ExitStatus, Invocation, Request, Response};

use crate::hostile::wire::{
    PROGRAM, Wire, daemon, frame, invocation, is_served, is_unharmed, null, request_header,
};

#[test]
fn a_frame_that_is_cut_short_is_refused() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    for length in 1..frame.len() {
        let mut wire = Wire::connect(&sandbox);
        wire.send(&frame[..length]);
        wire.stream.shutdown(Shutdown::Write).unwrap();
        let id = if length < HEADER_LENGTH { 0 } else { 7 };
        wire.expect_refusal(id, &Code::BadMsg, "cut short");
        wire.expect_end();
    }
    is_unharmed(&sandbox, before);
}

#[test]
fn a_body_over_the_limit_is_refused_by_its_header() {
    let sandbox = daemon("");
    let before = sandbox.descriptors_of_idle_daemon();
    for length in [MAX_BODY + 1, u32::MAX] {
        let mut wire = Wire::connect(&sandbox);
        wire.send(&Header { length, ..request_header(7) }.to_bytes());
        wire.expect_refusal(7, &Code::Limit, "over the limit");
        wire.expect_end();
    }
    is_unharmed(&sandbox, before);
}

#[test]
fn a_body_as_long_as_the_limit_is_read_and_the_next_frame_is_served() {
    let sandbox = daemon("");
    let mut wire = Wire::connect(&sandbox);
    wire.send(&Header { length: MAX_BODY, ..request_header(7) }.to_bytes());
    wire.send(&vec![0; MAX_BODY as usize]);
    // It begins like a ping.
    wire.expect_refusal(7, &Code::BadMsg, "");
    wire.expect_service();
}

#[test]
fn an_invocation_as_long_as_the_limit_is_carried_out() {
    let sandbox = daemon("[prog-p]\ncmd-signal = exit $#\n");
    let mut wire = Wire::connect(&sandbox);
    let with = |length: usize| {
        let argument = vec![b'x'; 100_000];
        let mut arguments = vec![argument; length / 100_008];
        arguments.push(vec![b'x'; length % 100_008]);
        Request::Invoke(Invocation { program: b"p".to_vec(), action: b"signal".to_vec(), arguments })
    };
    let overhead = encode_request(7, &with(0)).unwrap().len() - HEADER_LENGTH;
    let frame = encode_request(7, &with(MAX_BODY as usize - overhead)).unwrap();
    assert_eq!(frame.len(), HEADER_LENGTH + MAX_BODY as usize);
    wire.send_with(&frame, &[null().as_fd(); 3]);
    // The kernel of this machine may find it too long for a script; the protocol does not.
    match wire.receive() {
        (7, Response::Exited(ExitStatus::Code(41))) => {}
        (7, Response::Refused(refusal)) => assert_eq!(refusal.code, Code::Spawn, "{refusal:?}"),
        other => panic!("{other:?}"),
    }
    wire.expect_service();
}

#[test]
fn a_version_that_is_not_known_is_answered_with_the_highest_that_is() {
    let sandbox = daemon("");
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wire = Wire::connect(&sandbox);
    for (version, length) in [(0, 0), (2, 1), (2, 4), (u16::MAX, 100_000), (7, MAX_BODY)] {
        wire.send(&Header { version, length, ..request_header(7) }.to_bytes());
        // What looks like a frame of ours is part of a body that nobody understands.
        let ping = encode_request(8, &Request::Ping).unwrap();
        wire.send(&ping.into_iter().cycle().take(length as usize).collect::<Vec<_>>());
        let header = wire.receive_header();
        assert_eq!((header.version, header.kind, header.id), (VERSION, Kind::Response, 7));
        let Response::Refused(refusal) = wire.receive_body(header) else { panic!("no refusal") };
        assert_eq!(refusal.code, Code::Version);
        wire.expect_service();
    }
    drop(wire);
    is_unharmed(&sandbox, before);
}

#[test]
fn a_version_that_is_not_known_is_answered_so_whatever_its_descriptors() {
    let sandbox = daemon("");
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wire = Wire::connect(&sandbox);
    for (announced, sent) in [(0, 3), (2, 0), (255, 1), (3, 3)] {
        let header = Header { version: 9, descriptors: announced, length: 3, ..request_header(7) };
        let frame = [&header.to_bytes()[..], b"abc"].concat();
        wire.send_with(&frame, &vec![null().as_fd(); sent]);
        wire.expect_refusal(7, &Code::Version, "version 9 is not known here");
        wire.expect_service();
    }
    drop(wire);
    is_unharmed(&sandbox, before);
}

#[test]
fn a_body_that_is_no_message_is_refused_and_the_next_frame_is_served() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let ping = 0_u32.to_le_bytes().to_vec();
    let invoke = encode_request(1, &invocation(b"p", b"start")).unwrap()[HEADER_LENGTH..].to_vec();
    let counts_too_many = [&4_u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
    let cases: [(&str, Vec<u8>, usize, Code); 10] = [
        ("no body", Vec::new(), 0, Code::BadMsg),
        ("half a variant", ping[..3].to_vec(), 0, Code::BadMsg),
        ("a byte behind the end", [&ping[..], b"x"].concat(), 0, Code::BadMsg),
        ("another ping behind the end", [&ping[..], &ping].concat(), 0, Code::BadMsg),
        ("the next variant", 10_u32.to_le_bytes().to_vec(), 0, Code::BadCmd),
        ("the last variant", u32::MAX.to_le_bytes().to_vec(), 0, Code::BadCmd),
        ("an unknown variant with more", [&10_u32.to_le_bytes()[..], b"more"].concat(), 0, Code::BadCmd),
        ("half an invocation", invoke[..invoke.len() - 1].to_vec(), 3, Code::BadMsg),
        ("a byte behind an invocation", [&invoke[..], b"x"].concat(), 3, Code::BadMsg),
        ("a count without end", counts_too_many, 3, Code::BadMsg),
    ];
    let mut wire = Wire::connect(&sandbox);
    for (what, body, descriptors, code) in cases {
        eprintln!("{what}");
        wire.send_with(&frame(7, &body, descriptors), &vec![null().as_fd(); descriptors]);
        wire.expect_refusal(7, &code, "");
        wire.expect_service();
    }
    drop(wire);
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
    is_unharmed(&sandbox, before);
}

#[test]
fn only_requests_are_taken() {
    let sandbox = daemon("");
    let mut wire = Wire::connect(&sandbox);
    for kind in [Kind::Response, Kind::Event] {
        let header = Header { kind, length: 4, ..request_header(7) };
        wire.send(&[&header.to_bytes()[..], &[0; 4]].concat());
        wire.expect_refusal(7, &Code::BadMsg, "only requests");
        wire.expect_service();
    }
}

#[test]
fn a_kind_that_is_not_known_is_refused() {
    let sandbox = daemon("");
    let before = sandbox.descriptors_of_idle_daemon();
    for kind in [0, 4, 255] {
        let mut header = request_header(7).to_bytes();
        header[6] = kind;
        let mut wire = Wire::connect(&sandbox);
        wire.send(&header);
        wire.expect_refusal(7, &Code::BadMsg, "no frame of kind");
        wire.expect_end();
    }
    is_unharmed(&sandbox, before);
}

#[test]
fn another_protocol_is_refused() {
    let sandbox = daemon("");
    let before = sandbox.descriptors_of_idle_daemon();
    for text in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"pmgr............",
    ] {
        let mut wire = Wire::connect(&sandbox);
        wire.send(text);
        wire.expect_refusal(0, &Code::BadMsg, "begins with \"PMGR\"");
        wire.expect_end();
    }
    is_unharmed(&sandbox, before);
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wire = Wire::connect(&sandbox);
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    wire.send_with(&frame[..1], &[null().as_fd(); 3]);
    for byte in &frame[1..] {
        // The answer shows that the daemon has read what came before.
        is_served(&sandbox);
        wire.send(&[*byte]);
    }
    assert_eq!(wire.receive(), (7, Response::Exited(ExitStatus::Code(3))));
    drop(wire);
    is_unharmed(&sandbox, before);
}
