//! Clients that bring more than anybody asked for, again and again: descriptors by the hundred, ones that block,
//! requests by the hundred thousand.
//!
//! Which answer each kind of frame gets is told elsewhere; here, that the daemon is as before.

use std::io::{self, Read, Write};
use std::ops::{Range, RangeInclusive};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

use nix::fcntl::{FcntlArg, fcntl};
use procmgr_proto::codec::{encode_request, encode_response};
use procmgr_proto::frame::{HEADER_LENGTH, MAX_DESCRIPTORS};
use procmgr_proto::message::{Code, Request, Response};
use procmgr_proto::stdio;

use crate::harness::{Sandbox, wait_until};
use crate::hostile::wire::{
    Calm, PROGRAM, Wire, daemon, daemon_with, frame, invocation, is_served, null, withstands,
};

#[test]
fn frames_full_of_descriptors_keep_nobody_waiting_and_leave_nothing_behind() {
    let sandbox = daemon(PROGRAM);
    let body = encode_request(7, &invocation(b"p", b"start")).unwrap().split_off(HEADER_LENGTH);
    let null = null();
    let many = vec![null.as_fd(); MAX_DESCRIPTORS];
    withstands(&sandbox, || {
        let frames = [MAX_DESCRIPTORS, 0, 3].map(|announced| frame(7, &body, announced));
        for frame in frames.iter().cycle().take(150) {
            let mut wire = Wire::connect(&sandbox);
            // If they come faster than they can be closed, it is as one who has sent too many that it is refused,
            // perhaps before it has sent anything.
            let _ = stdio::send(&wire.stream, frame, &many);
            match wire.receive() {
                (7, Response::Refused(refusal)) => assert_eq!(refusal.code, Code::BadMsg, "{refusal:?}"),
                (0, Response::Refused(refusal)) => assert_eq!(refusal.code, Code::Limit, "{refusal:?}"),
                other => panic!("not refused: {other:?}"),
            }
            // Those of half a request are kept no longer than its client stays.
            let _ = stdio::send(&wire.stream, &frame[..1], &many);
        }
        wait_until("they are closed", || sandbox.client(&["-t"]).code == 0);
        is_served(&sandbox);
    });
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

#[test]
fn descriptors_whose_other_end_blocks_keep_nobody_waiting_and_leave_nothing_behind() {
    let sandbox = daemon("[prog-p]\ncmd-signal = read line; echo hello; exit 3\n");
    withstands(&sandbox, || {
        let (input, release) = io::pipe().unwrap();
        let (reader, full) = io::pipe().unwrap();
        fill(&full);
        let stdio: [BorrowedFd<'_>; 3] = [input.as_fd(), full.as_fd(), full.as_fd()];
        let mut wires: Vec<Wire> = (0..20).map(|_| Wire::connect(&sandbox)).collect();
        for wire in &mut wires {
            wire.send_with(&encode_request(7, &invocation(b"p", b"signal")).unwrap(), &stdio);
            for action in ["status", "start", "nothing"] {
                wire.send_with(&encode_request(8, &invocation(b"p", action.as_bytes())).unwrap(), &stdio);
                assert_eq!(wire.receive().0, 8);
            }
        }
        is_served(&sandbox);
        // Now the scripts read an end, and nobody will ever read what they write.
        drop((release, reader));
        for mut wire in wires {
            let (id, response) = wire.receive();
            assert!(matches!((id, &response), (7, Response::Exited(_))), "{response:?}");
        }
    });
}

/// Writes to a pipe until it takes no more.
fn fill(mut pipe: &io::PipeWriter) {
    let length = fcntl(pipe, FcntlArg::F_GETPIPE_SZ).unwrap();
    pipe.write_all(&vec![b'x'; usize::try_from(length).unwrap()]).unwrap();
}

#[test]
fn requests_by_the_hundred_thousand_sent_ahead_keep_nobody_waiting_and_leave_nothing_behind() {
    let sandbox = daemon_with("", &[]);
    let calm = Calm::after(&sandbox, || request_ahead(&sandbox, 1..=50_000));
    // The benchmark sends millions; an executable built for tests takes too long for that.
    request_ahead(&sandbox, 50_001..=400_000);
    calm.is_restored(&sandbox);
}

/// Sends pings of these ids without waiting, and asserts that they are answered one by one.
fn request_ahead(sandbox: &Sandbox, ids: RangeInclusive<u32>) {
    let mut wire = Wire::connect(sandbox);
    let mut sender = Wire { stream: wire.stream.try_clone().unwrap() };
    let numbers: Vec<u32> = ids.collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let ping = encode_request(1, &Request::Ping).unwrap();
            numbers.chunks(AT_ONCE).for_each(|ids| sender.send(&numbered(&ping, ids)));
        });
        let done = encode_response(1, &Response::Done).unwrap();
        for ids in numbers.chunks(AT_ONCE) {
            let expected = numbered(&done, ids);
            let mut answers = vec![0; expected.len()];
            wire.stream.read_exact(&mut answers).unwrap();
            assert!(answers == expected, "{} and on are not answered as they should be", ids[0]);
            is_served(sandbox);
        }
    });
}

/// Returns copies of a frame, each with another id.
fn numbered(frame: &[u8], ids: &[u32]) -> Vec<u8> {
    let mut frames = frame.repeat(ids.len());
    for (frame, id) in frames.chunks_exact_mut(frame.len()).zip(ids) {
        frame[PLACE_OF_ID].copy_from_slice(&id.to_le_bytes());
    }
    frames
}

/// How many frames are sent, and how many answers compared, at a time.
const AT_ONCE: usize = 25_000;

/// Where the id stands in a header.
const PLACE_OF_ID: Range<usize> = 8..12;
