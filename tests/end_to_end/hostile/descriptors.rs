//! Descriptors that are too many, too few, too late, or strange in themselves.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use procmgr_proto::codec::encode_request;
use procmgr_proto::frame::{HEADER_LENGTH, MAX_DESCRIPTORS};
use procmgr_proto::message::{Code, ExitStatus, Request, Response};

use crate::harness::{DEADLINE, wait_until};
use crate::hostile::wire::{PROGRAM, Wire, daemon, frame, invocation, is_served, is_unharmed, null};

#[test]
fn descriptors_have_to_be_as_many_as_the_request_needs() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let (ping, start) = (Request::Ping, invocation(b"p", b"start"));
    // The request, how many descriptors it announces, and how many it brings.
    let cases = [
        (&ping, 1, 1),
        (&ping, 3, 3),
        (&ping, 0, 1),
        (&ping, 1, 0),
        (&ping, 255, 0),
        (&start, 3, 0),
        (&start, 0, 3),
        (&start, 0, 0),
        (&start, 2, 2),
        (&start, 2, 3),
        (&start, 3, 2),
        (&start, 3, 1),
    ];
    let mut wire = Wire::connect(&sandbox);
    for (request, announced, sent) in cases {
        eprintln!("{announced} announced, {sent} sent");
        let body = encode_request(7, request).unwrap().split_off(HEADER_LENGTH);
        wire.send_with(&frame(7, &body, announced), &vec![null().as_fd(); sent]);
        wire.expect_refusal(7, &Code::BadMsg, "descriptors");
        wire.expect_service();
    }
    drop(wire);
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
    is_unharmed(&sandbox, before);
}

#[test]
fn more_descriptors_than_any_request_has_are_refused_and_the_next_frame_is_served() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let body = encode_request(7, &invocation(b"p", b"start")).unwrap().split_off(HEADER_LENGTH);
    for (announced, sent) in
        [(4, 4), (3, 4), (MAX_DESCRIPTORS, MAX_DESCRIPTORS), (0, MAX_DESCRIPTORS), (3, MAX_DESCRIPTORS)]
    {
        let mut wire = Wire::connect(&sandbox);
        wire.send_with(&frame(7, &body, announced), &vec![null().as_fd(); sent]);
        wire.expect_refusal(7, &Code::BadMsg, "descriptors");
        wire.expect_service();
    }
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
    is_unharmed(&sandbox, before);
}

#[test]
fn descriptors_have_to_come_with_the_first_byte() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let frame = encode_request(7, &invocation(b"p", b"start")).unwrap();
    for late in [1, HEADER_LENGTH - 1, HEADER_LENGTH, frame.len() - 1] {
        let mut wire = Wire::connect(&sandbox);
        wire.send(&frame[..late]);
        // Were the rest there before the daemon reads, the kernel would not tell where in the header it began.
        is_served(&sandbox);
        wire.send_with(&frame[late..], &[null().as_fd(); 3]);
        let id = if late < HEADER_LENGTH { 0 } else { 7 };
        wire.expect_refusal(id, &Code::BadMsg, "middle of a frame");
        wire.expect_end();
    }
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
    is_unharmed(&sandbox, before);
}

#[test]
fn descriptors_of_a_frame_stay_with_it_however_many_frames_are_sent_at_once() {
    let sandbox = daemon(PROGRAM);
    let mut wire = Wire::connect(&sandbox);
    let ping = encode_request(1, &Request::Ping).unwrap();
    let outputs: Vec<File> =
        (0..20).map(|number| File::create(sandbox.path(format!("output-{number}"))).unwrap()).collect();
    for (number, output) in outputs.iter().enumerate() {
        let input = sandbox.path(format!("input-{number}"));
        fs::write(&input, number.to_string()).unwrap();
        let input = File::open(input).unwrap();
        let id = 100 + u32::try_from(number).unwrap();
        let request = encode_request(id, &invocation(b"p", b"signal")).unwrap();
        wire.send(&ping);
        wire.send_with(&[&request[..], &ping].concat(), &[input.as_fd(), output.as_fd(), null().as_fd()]);
    }
    let mut exits = 0;
    for _ in 0..60 {
        exits += usize::from(matches!(wire.receive(), (100.., Response::Exited(ExitStatus::Code(3)))));
    }
    assert_eq!(exits, 20);
    for number in 0..20 {
        assert_eq!(sandbox.read(format!("output-{number}")), number.to_string());
    }
}

#[test]
fn a_descriptor_whose_other_end_blocks_keeps_nobody_but_its_script_waiting() {
    let sandbox = daemon("[prog-p]\ncmd-signal = echo hello; exit 3\n");
    let before = sandbox.descriptors_of_idle_daemon();
    let (mut output, full) = io::pipe().unwrap();
    let length = fill(&full);
    let (input, _never) = io::pipe().unwrap();
    let mut wire = Wire::connect(&sandbox);
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    wire.send_with(&frame, &[input.as_fd(), full.as_fd(), full.as_fd()]);
    for action in ["status", "start"] {
        // What is refused and what the client shows are not written by the daemon either.
        let request = encode_request(8, &invocation(b"p", action.as_bytes())).unwrap();
        wire.send_with(&request, &[input.as_fd(), full.as_fd(), full.as_fd()]);
        assert_eq!(wire.receive().0, 8);
    }
    is_served(&sandbox);
    drop(full);
    let mut text = Vec::new();
    output.read_to_end(&mut text).unwrap();
    assert_eq!(&text[length..], b"hello\n");
    assert_eq!(wire.receive(), (7, Response::Exited(ExitStatus::Code(3))));
    drop(wire);
    is_unharmed(&sandbox, before);
}

#[test]
fn a_connection_may_be_sent_over_itself() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    for length in [1, HEADER_LENGTH, usize::MAX] {
        let mut wire = Wire::connect(&sandbox);
        let frame = encode_request(7, &invocation(b"p", b"status")).unwrap();
        let own = wire.stream.try_clone().unwrap();
        wire.send_with(&frame[..length.min(frame.len())], &[own.as_fd(), own.as_fd(), own.as_fd()]);
        drop(wire);
    }
    is_unharmed(&sandbox, before);
}

/// Writes to a pipe until it takes no more. Returns how many bytes it took.
fn fill(pipe: &io::PipeWriter) -> usize {
    let writer = File::from(OwnedFd::from(pipe.try_clone().unwrap()));
    let length = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_GETPIPE_SZ).unwrap();
    let length = usize::try_from(length).unwrap();
    (&writer).write_all(&vec![b'x'; length]).unwrap();
    length
}

#[test]
fn a_descriptor_that_takes_long_to_close_keeps_nobody_waiting() {
    let sandbox = daemon(PROGRAM);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut lingering = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // Nobody reads, and closing waits for that, for as long as a test may take.
    let (_peer, _) = listener.accept().unwrap();
    let seconds = i32::try_from(DEADLINE.as_secs()).unwrap();
    setsockopt(&lingering, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: seconds }).unwrap();
    lingering.set_nonblocking(true).unwrap();
    while lingering.write(&[0; 4096]).is_ok() {}
    let mut wire = Wire::connect(&sandbox);
    let frame = encode_request(7, &invocation(b"nothing", b"start")).unwrap();
    // The last one to close it is to be the daemon.
    kill(sandbox.daemon_pid(), Signal::SIGSTOP).unwrap();
    wire.send_with(&frame, &[null().as_fd(), null().as_fd(), lingering.as_fd()]);
    drop(lingering);
    kill(sandbox.daemon_pid(), Signal::SIGCONT).unwrap();
    let begin = Instant::now();
    wire.expect_refusal(7, &Code::NoProg, "nothing");
    sandbox.succeed(&["-t"]);
    // What others have brought is closed all the same.
    let before = sandbox.daemon_descriptors();
    for _ in 0..50 {
        assert_eq!(sandbox.client(&["nothing", "start"]).code, 125);
    }
    wait_until("the others' descriptors are closed", || sandbox.daemon_descriptors() <= before + 3);
    assert!(begin.elapsed() < DEADLINE / 2, "somebody had to wait");
}
