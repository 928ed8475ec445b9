//! Clients that want more than there is: connections, descriptors, memory.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use procmgr_proto::codec::encode_request;
use procmgr_proto::frame::{Header, MAX_BODY, MAX_DESCRIPTORS};
use procmgr_proto::message::{Code, ExitStatus, Request, Response};
use procmgr_proto::stdio;

use crate::harness::{Sandbox, allowing_us, is_root, through_shell, wait_until, wait_until_daemon_sleeps};
use crate::hostile::strangers::{ANNA, BERT, CARL, DORA, connect_as};
use crate::hostile::wire::{
    PROGRAM, PROMPT, Wire, daemon, frame, invocation, is_served, is_unharmed, null, request_header,
    withstands,
};

#[test]
fn a_user_with_too_many_connections_is_told_and_served_when_some_are_gone() {
    let sandbox = limited(64);
    let mut wires: Vec<Wire> = Vec::new();
    let mut refused = loop {
        let mut wire = Wire::connect(&sandbox);
        let _ = stdio::send(&wire.stream, &encode_request(7, &Request::Ping).unwrap(), &[]);
        match wire.receive() {
            (7, Response::Done) => wires.push(wire),
            (0, Response::Refused(refusal)) => {
                assert_eq!(refusal.code, Code::Limit);
                break wire;
            }
            other => panic!("{other:?}"),
        }
        assert!(wires.len() < 64, "more connections than the daemon has descriptors");
    };
    refused.expect_end();
    let output = sandbox.client(&["p", "status"]);
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (125, "ERROR: (LIMIT) you have too many connections\n")
    );
    wires.iter_mut().for_each(Wire::expect_service);
    wires.pop();
    wait_until("there is a place again", || sandbox.client(&["-t"]).code == 0);
}

#[test]
fn whoever_asks_without_a_pause_is_not_sent_away_for_what_nobody_has_had_time_to_close() {
    const CLIENTS: usize = 4;
    const REQUESTS: u32 = 3000;
    // A user may have 48 descriptors here. These clients have sent a dozen at any time.
    let sandbox = limited(256);
    let before = sandbox.descriptors_of_idle_daemon();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut wire = Wire::connect(&sandbox);
                let null = null();
                for id in 1..=REQUESTS {
                    let frame = encode_request(id, &invocation(b"p", b"status")).unwrap();
                    wire.send_with(&frame, &[null.as_fd(); 3]);
                    assert_eq!(wire.receive(), (id, Response::Status { running: false }));
                }
            });
        }
    });
    is_unharmed(&sandbox, before);
}

#[test]
fn users_who_send_too_many_descriptors_together_keep_no_other_user_waiting() {
    if !is_root("users_who_send_too_many_descriptors_together_keep_no_other_user_waiting") {
        return;
    }
    // Two users have all that there may be of them together.
    let sandbox = limited(1024);
    let before = sandbox.descriptors_of_idle_daemon();
    let attackers = [ANNA, BERT, CARL].map(|uid| connect_as(&sandbox, uid, 2));
    let null = null();
    let frame = frame(7, b"nothing", MAX_DESCRIPTORS);
    thread::scope(|scope| {
        for Wire { stream } in attackers.iter().flatten() {
            let descriptors = vec![null.as_fd(); MAX_DESCRIPTORS];
            let frame = &frame;
            scope.spawn(move || while stdio::send(stream, frame, &descriptors).is_ok() {});
            scope.spawn(move || io::copy(&mut &*stream, &mut io::sink()));
        }
        let mut time = Duration::ZERO;
        for _ in 0..40 {
            let mut honest = connect_as(&sandbox, DORA, 1).remove(0);
            let begin = Instant::now();
            honest.expect_service();
            time += begin.elapsed();
        }
        eprintln!("forty honest clients have waited for {time:?}");
        for Wire { stream } in attackers.iter().flatten() {
            stream.shutdown(Shutdown::Both).unwrap();
        }
        assert!(time < PROMPT / 4, "forty honest clients have waited for {time:?}");
    });
    drop(attackers);
    is_unharmed(&sandbox, before);
}

#[test]
fn without_descriptors_connections_wait_until_others_are_gone() {
    // Other users have a share that leaves some for root and the daemon.
    if !is_root("without_descriptors_connections_wait_until_others_are_gone") {
        return;
    }
    // Fewer than it takes to reach the limit of one user.
    let sandbox = limited(14);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wires: Vec<Wire> = Vec::new();
    for _ in 0..8 {
        let mut wire = Wire::connect(&sandbox);
        wire.send(&encode_request(7, &Request::Ping).unwrap());
        wires.push(wire);
    }
    wait_until("the daemon has run out of descriptors", || sandbox.log().contains("cannot accept clients"));
    // Each one that leaves makes room for one that waits.
    for mut wire in wires {
        assert_eq!(wire.receive(), (7, Response::Done));
    }
    wait_until("the daemon has room again", || sandbox.daemon_descriptors() == before);
    is_unharmed(&sandbox, before);
}

#[test]
fn waiting_for_descriptors_costs_no_processor_time() {
    // Other users have a share that leaves some for root and the daemon.
    if !is_root("waiting_for_descriptors_costs_no_processor_time") {
        return;
    }
    let sandbox = limited(14);
    let begin = Instant::now();
    let wires: Vec<Wire> = (0..8).map(|_| Wire::connect(&sandbox)).collect();
    wait_until("the daemon has run out of descriptors", || sandbox.log().contains("cannot accept clients"));
    // It tries again once a second.
    let tries = sandbox.log().matches("cannot accept clients").count() as u64;
    assert!(tries <= 1 + begin.elapsed().as_secs(), "{tries} tries");
    wait_until_daemon_sleeps(&sandbox);
    drop(wires);
    is_served(&sandbox);
}

#[test]
fn a_request_whose_descriptors_find_no_room_is_refused_and_may_be_repeated() {
    // Other users have a share that leaves some for root and the daemon.
    if !is_root("a_request_whose_descriptors_find_no_room_is_refused_and_may_be_repeated") {
        return;
    }
    let sandbox = limited(20);
    let before = sandbox.descriptors_of_idle_daemon();
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    // Half a request holds its descriptors.
    let mut halves: Vec<Wire> = Vec::new();
    let mut wire = Wire::connect(&sandbox);
    wire.expect_service();
    while sandbox.daemon_descriptors() < 19 {
        let mut half = Wire::connect(&sandbox);
        half.expect_service();
        let held = sandbox.daemon_descriptors();
        half.send_with(&frame[..1], &[null().as_fd(); 3]);
        wait_until("the daemon has taken them", || sandbox.daemon_descriptors() > held || held == 20);
        halves.push(half);
    }
    wire.send_with(&frame, &[null().as_fd(); 3]);
    wire.expect_refusal(7, &Code::Limit, "no room for more descriptors");
    drop(halves);
    wait_until("there is room again", || sandbox.daemon_descriptors() == before + 1);
    wire.send_with(&frame, &[null().as_fd(); 3]);
    assert_eq!(wire.receive(), (7, Response::Exited(ExitStatus::Code(3))));
    drop(wire);
    is_unharmed(&sandbox, before);
}

#[test]
fn one_user_cannot_fill_the_memory_of_the_daemon() {
    const COUNT: usize = 20;
    let sandbox = daemon(PROGRAM);
    let memory = sandbox.daemon_statistic("VmRSS");
    let header = Header { length: MAX_BODY, ..request_header(7) }.to_bytes();
    let body = vec![0; MAX_BODY as usize - 1];
    withstands(&sandbox, || {
        let mut wires: Vec<Wire> = (0..COUNT).map(|_| Wire::connect(&sandbox)).collect();
        let mut refused = 0;
        for wire in &mut wires {
            // Whoever keeps too much is cut off in the middle.
            let is_taken = stdio::send(&wire.stream, &header, &[])
                .and_then(|()| stdio::send(&wire.stream, &body, &[]))
                .is_ok();
            if !is_taken {
                wire.expect_refusal(0, &Code::Limit, "too much memory");
                refused += 1;
            }
        }
        assert!(refused > COUNT / 2, "{refused} of {COUNT} are refused");
        let grown = sandbox.daemon_statistic("VmRSS").saturating_sub(memory);
        assert!(grown < 24 << 10, "the daemon has grown by {grown} KiB");
        is_served(&sandbox);
    });
    let mut wire = Wire::connect(&sandbox);
    wire.send(&header);
    wire.send(&body);
    wire.send(&[0]);
    wire.expect_refusal(7, &Code::BadMsg, "");
}

/// Starts a daemon that may have this many descriptors and no more.
pub(super) fn limited(descriptors: usize) -> Sandbox {
    let mut sandbox = Sandbox::new(&allowing_us(PROGRAM));
    let mut command = sandbox.command();
    command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
    sandbox.run_daemon(through_shell(&format!("ulimit -n {descriptors}"), &command));
    sandbox
}
