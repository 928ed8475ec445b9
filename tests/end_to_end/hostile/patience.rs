//! Clients that are slow, silent or gone, that ask too much at once, or do not listen.
//!
//! What they say is well-formed as far as it goes; frames that are none are in `frames`.

use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use procmgr_proto::codec::encode_request;
use procmgr_proto::frame::{HEADER_LENGTH, Header, MAX_BODY};
use procmgr_proto::message::{Code, ExitStatus, Request, Response};

use crate::harness::{wait_until, wait_until_daemon_sleeps};
use crate::hostile::wire::{
    Calm, PROGRAM, PROMPT, Wire, daemon, invocation, is_served, is_unharmed, null, request_header, withstands,
};

#[test]
fn a_request_that_does_not_arrive_keeps_nobody_waiting_and_is_cut_off() {
    let sandbox = daemon(PROGRAM);
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    let mut long = Header { length: MAX_BODY, ..request_header(7) }.to_bytes().to_vec();
    long.resize(100_000, 0);
    let begin_requests = || {
        let lengths = [1, HEADER_LENGTH / 2, HEADER_LENGTH - 1, HEADER_LENGTH, frame.len() - 1];
        let halves = lengths.iter().flat_map(|length| [&frame[..*length], &long]);
        let begin = |half: &[u8]| {
            let mut wire = Wire::connect(&sandbox);
            wire.send_with(half, &[null().as_fd(); 3]);
            wire
        };
        let wires: Vec<Wire> = halves.cycle().take(100).map(begin).collect();
        is_served(&sandbox);
        wires
    };
    let calm = Calm::after(&sandbox, || drop(begin_requests()));
    let mut silent = Wire::connect(&sandbox);
    let begin = Instant::now();
    let wires = begin_requests();
    // The daemon waits for 10 seconds.
    for mut wire in wires {
        wire.expect_refusal(0, &Code::Limit, "took too long to arrive");
        wire.expect_end();
    }
    assert!(begin.elapsed() > PROMPT, "cut off after {:?}", begin.elapsed());
    // Whoever has begun nothing may take as long as it wants.
    silent.expect_service();
    drop(silent);
    calm.is_restored(&sandbox);
}

#[test]
fn a_request_of_a_byte_a_second_keeps_nobody_waiting_and_is_cut_off() {
    let sandbox = daemon(PROGRAM);
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    let bytes = || frame.iter().zip([Duration::from_secs(1); 30]);
    let trickle = |bytes: &mut dyn Iterator<Item = (&u8, Duration)>| {
        let mut wires: Vec<Wire> = (0..50).map(|_| Wire::connect(&sandbox)).collect();
        for wire in &mut wires {
            wire.send_with(&frame[..1], &[null().as_fd(); 3]);
        }
        for (byte, pause) in bytes {
            is_served(&sandbox);
            // This is the pace of the attack.
            thread::sleep(pause);
            let is_over = |wire: &mut Wire| wire.stream.write_all(&[*byte]).is_err();
            if wires.iter_mut().any(is_over) {
                break;
            }
        }
        wires
    };
    let calm = Calm::after(&sandbox, || drop(trickle(&mut bytes().take(1))));
    let begin = Instant::now();
    let wires = trickle(&mut bytes().skip(1));
    for mut wire in wires {
        wire.expect_refusal(0, &Code::Limit, "took too long to arrive");
        wire.expect_end();
    }
    // It is the first byte that counts, not the last one.
    assert!(begin.elapsed() > PROMPT, "cut off after {:?}", begin.elapsed());
    calm.is_restored(&sandbox);
}

#[test]
fn a_client_that_never_reads_keeps_nobody_waiting_and_is_cut_off() {
    let sandbox = daemon(PROGRAM);
    let begin_to_flood = || {
        let mut wire = Wire::connect(&sandbox);
        wire.stream.set_nonblocking(true).unwrap();
        while wire.stream.write(&pings()).is_ok() {}
        is_served(&sandbox);
        wire
    };
    let calm = Calm::after(&sandbox, || drop(begin_to_flood()));
    let mut wire = begin_to_flood();
    let mut sent = 0;
    let refused = loop {
        match wire.stream.write(&pings()) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // The daemon takes no more from it, and serves others.
                is_served(&sandbox);
                thread::sleep(Duration::from_millis(100));
            }
            Err(error) => break error,
        }
        assert!(sent < 100 << 20, "the daemon reads on although nobody fetches its answers");
    };
    assert!(matches!(refused.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{refused}");
    assert!(sandbox.log().contains("answers were not fetched in time"), "{}", sandbox.log());
    drop(wire);
    calm.is_restored(&sandbox);
}

fn pings() -> Vec<u8> {
    encode_request(7, &Request::Ping).unwrap().repeat(1000)
}

#[test]
fn a_client_that_vanishes_at_any_step_leaves_nothing_behind() {
    let sandbox = daemon(PROGRAM);
    withstands(&sandbox, || {
        for request in [
            Request::Ping,
            Request::List,
            Request::Reload,
            invocation(b"p", b"signal"),
            invocation(b"p", b"start"),
        ] {
            let frame = encode_request(7, &request).unwrap();
            let null = null();
            let descriptors = vec![null.as_fd(); usize::from(request.descriptors())];
            drop(Wire::connect(&sandbox));
            for length in 1..=frame.len() {
                let mut wire = Wire::connect(&sandbox);
                wire.send_with(&frame[..length], &descriptors);
            }
            is_served(&sandbox);
        }
    });
    // A whole request counts although nobody waits for the answer.
    wait_until("the program was started", || sandbox.succeed(&["-a"]) == "p: running\n");
}

#[test]
fn a_client_that_vanishes_while_it_waits_changes_nothing() {
    let sandbox = daemon("[prog-p]\ncmd-signal = echo > @/begun; read line; echo $line > @/done\n");
    let before = sandbox.descriptors_of_idle_daemon();
    let (input, mut release) = io::pipe().unwrap();
    let mut wire = Wire::connect(&sandbox);
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    wire.send_with(&frame, &[input.as_fd(), null().as_fd(), null().as_fd()]);
    wait_until("the script runs", || sandbox.path("begun").exists());
    drop((wire, input));
    is_unharmed(&sandbox, before);
    release.write_all(b"so it is\n").unwrap();
    wait_until("the script is done", || sandbox.read("done") == "so it is\n");
    is_unharmed(&sandbox, before);
}

#[test]
fn requests_of_one_connection_are_answered_as_they_complete() {
    let sandbox = daemon("[prog-p]\ncmd-signal = read line; exit $line\n");
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wire = Wire::connect(&sandbox);
    let mut releases = Vec::new();
    for id in 1..=20 {
        let (input, release) = io::pipe().unwrap();
        let frame = encode_request(id, &invocation(b"p", b"signal")).unwrap();
        wire.send_with(&frame, &[input.as_fd(), null().as_fd(), null().as_fd()]);
        releases.push((id, release));
    }
    wire.send(&encode_request(21, &Request::Ping).unwrap());
    assert_eq!(wire.receive(), (21, Response::Done));
    for (id, mut release) in releases.into_iter().rev() {
        writeln!(release, "{id}").unwrap();
        assert_eq!(wire.receive(), (id, Response::Exited(ExitStatus::Code(u8::try_from(id).unwrap()))));
    }
    drop(wire);
    is_unharmed(&sandbox, before);
}

#[test]
fn requests_under_way_may_have_the_same_id() {
    let sandbox = daemon("[prog-p]\ncmd-signal = read line; exit $line\n");
    let mut wire = Wire::connect(&sandbox);
    let mut releases = Vec::new();
    for status in [5, 6] {
        let (input, release) = io::pipe().unwrap();
        let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
        wire.send_with(&frame, &[input.as_fd(), null().as_fd(), null().as_fd()]);
        releases.push((status, release));
    }
    for (status, mut release) in releases.into_iter().rev() {
        writeln!(release, "{status}").unwrap();
        assert_eq!(wire.receive(), (7, Response::Exited(ExitStatus::Code(status))));
    }
}

#[test]
fn more_requests_than_may_be_under_way_wait_their_turn() {
    let sandbox = daemon("[prog-p]\ncmd-signal = read line; exit 0\n");
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wire = Wire::connect(&sandbox);
    let (input, release) = io::pipe().unwrap();
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    for _ in 0..100 {
        wire.send_with(&frame, &[input.as_fd(), null().as_fd(), null().as_fd()]);
    }
    is_served(&sandbox);
    drop(release);
    for _ in 0..100 {
        assert_eq!(wire.receive(), (7, Response::Exited(ExitStatus::Code(0))));
    }
    drop((wire, input));
    is_unharmed(&sandbox, before);
}

#[test]
fn whoever_has_nothing_more_to_say_still_gets_the_answers() {
    let sandbox = daemon("[prog-p]\ncmd-signal = read line; exit 4\n");
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wire = Wire::connect(&sandbox);
    let (input, release) = io::pipe().unwrap();
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    wire.send_with(&frame, &[input.as_fd(), null().as_fd(), null().as_fd()]);
    wire.send(&encode_request(8, &Request::Ping).unwrap());
    wire.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(wire.receive(), (8, Response::Done));
    is_served(&sandbox);
    drop((release, input));
    assert_eq!(wire.receive(), (7, Response::Exited(ExitStatus::Code(4))));
    wire.expect_end();
    is_unharmed(&sandbox, before);
}

#[test]
fn half_closed_connections_cost_no_processor_time() {
    let sandbox = daemon("[prog-p]\ncmd-signal = read line\n");
    let mut wire = Wire::connect(&sandbox);
    let (input, _release) = io::pipe().unwrap();
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    wire.send_with(&frame, &[input.as_fd(), null().as_fd(), null().as_fd()]);
    wire.stream.shutdown(Shutdown::Write).unwrap();
    is_served(&sandbox);
    wait_until_daemon_sleeps(&sandbox);
}
