//! The hostile frames that are published with the protocol: the daemon answers each as their file tells everybody.
//!
//! Frames that are too long for a file, and what they leave behind in the daemon, are in the tests next door.

use std::net::Shutdown;
use std::os::fd::AsFd;

use procmgr_proto::frame::{CONNECTION_ID, HEADER_LENGTH, Header};
use procmgr_proto::message::Code;

use crate::harness::Sandbox;
use crate::hostile::wire::{Wire, daemon, is_unharmed, null};

const FILE: &str = include_str!("../../../procmgr-proto/vectors/hostile.txt");

#[test]
fn every_published_frame_is_answered_as_published() {
    let sandbox = daemon("");
    let before = sandbox.descriptors_of_idle_daemon();
    for line in FILE.lines().filter(|line| line.starts_with("request/")) {
        eprintln!("{line}");
        check(&sandbox, line);
    }
    is_unharmed(&sandbox, before);
}

fn check(sandbox: &Sandbox, line: &str) {
    let (words, digits) = line.split_once(" = ").unwrap();
    let [_, error, code, id, then] = words.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let frame = bytes(digits);
    let header = frame.first_chunk::<HEADER_LENGTH>().and_then(|header| Header::parse(header).ok());
    let id_of_frame = frame.get(8..12).map(|id| u32::from_le_bytes(id.try_into().unwrap()));
    let mut wire = Wire::connect(sandbox);

    let null = null();
    wire.send_with(&frame, &vec![null.as_fd(); header.map_or(0, |header| header.descriptors.into())]);
    if error == "short" {
        wire.stream.shutdown(Shutdown::Write).unwrap();
    }

    let id = if id == "same" { id_of_frame.unwrap() } else { CONNECTION_ID };
    wire.expect_refusal(id, &Code::from(code.as_bytes().to_vec()), "");
    if then == "open" { wire.expect_service() } else { wire.expect_end() }
}

fn bytes(digits: &str) -> Vec<u8> {
    let digits: String = digits.split(' ').collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}
