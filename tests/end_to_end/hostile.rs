//! Clients that keep to no rule: what they send is refused, and nobody else is kept waiting.
//!
//! They write frames by hand. How honest clients are answered is shown elsewhere.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use procmgr_proto::client::Client;
use procmgr_proto::codec::{decode_response, encode_request};
use procmgr_proto::frame::{HEADER_LENGTH, Header, Kind, MAX_BODY, MAX_DESCRIPTORS, VERSION};
use procmgr_proto::message::{Code, ExitStatus, Invocation, Request, Response};
use procmgr_proto::stdio;

use crate::harness::{DEADLINE, Sandbox, through_shell, wait_until};

/// How long an honest client may wait at the most, whatever others do. Less than any deadline that the daemon has set
/// for those, and far more than it takes.
const PROMPT: Duration = Duration::from_secs(8);

/// A program with scripts of all kinds.
const PROGRAM: &str = "[prog-p]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\ncmd-signal = cat; exit 3\n";

#[test]
fn a_frame_that_is_cut_short_is_refused() {
    let sandbox = Sandbox::with_daemon(PROGRAM);
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
    let sandbox = Sandbox::with_daemon("");
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
    let sandbox = Sandbox::with_daemon("");
    let mut wire = Wire::connect(&sandbox);
    wire.send(&Header { length: MAX_BODY, ..request_header(7) }.to_bytes());
    wire.send(&vec![0; MAX_BODY as usize]);
    // It begins like a ping.
    wire.expect_refusal(7, &Code::BadMsg, "");
    wire.expect_service();
}

#[test]
fn an_invocation_as_long_as_the_limit_is_carried_out() {
    let sandbox = Sandbox::with_daemon("[prog-p]\ncmd-signal = exit $#\n");
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
    let sandbox = Sandbox::with_daemon("");
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
    let sandbox = Sandbox::with_daemon("");
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
    let sandbox = Sandbox::with_daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let ping = 0_u32.to_le_bytes().to_vec();
    let invoke = encode_request(1, &invocation(b"p", b"start")).unwrap()[HEADER_LENGTH..].to_vec();
    let counts_too_many = [&4_u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
    let cases: [(&str, Vec<u8>, usize, Code); 10] = [
        ("no body", Vec::new(), 0, Code::BadMsg),
        ("half a variant", ping[..3].to_vec(), 0, Code::BadMsg),
        ("a byte behind the end", [&ping[..], b"x"].concat(), 0, Code::BadMsg),
        ("another ping behind the end", [&ping[..], &ping].concat(), 0, Code::BadMsg),
        ("the next variant", 5_u32.to_le_bytes().to_vec(), 0, Code::BadCmd),
        ("the last variant", u32::MAX.to_le_bytes().to_vec(), 0, Code::BadCmd),
        ("an unknown variant with more", [&5_u32.to_le_bytes()[..], b"more"].concat(), 0, Code::BadCmd),
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
    let sandbox = Sandbox::with_daemon("");
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
    let sandbox = Sandbox::with_daemon("");
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
    let sandbox = Sandbox::with_daemon("");
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
fn descriptors_have_to_be_as_many_as_the_request_needs() {
    let sandbox = Sandbox::with_daemon(PROGRAM);
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
fn more_descriptors_than_any_request_has_end_the_connection() {
    let sandbox = Sandbox::with_daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let body = encode_request(7, &invocation(b"p", b"start")).unwrap().split_off(HEADER_LENGTH);
    for (announced, sent) in
        [(4, 4), (3, 4), (MAX_DESCRIPTORS, MAX_DESCRIPTORS), (0, MAX_DESCRIPTORS), (3, MAX_DESCRIPTORS)]
    {
        let mut wire = Wire::connect(&sandbox);
        wire.send_with(&frame(7, &body, announced), &vec![null().as_fd(); sent]);
        wire.expect_refusal(0, &Code::BadMsg, "more descriptors");
        wire.expect_end();
    }
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
    is_unharmed(&sandbox, before);
}

#[test]
fn descriptors_have_to_come_with_the_first_byte() {
    let sandbox = Sandbox::with_daemon(PROGRAM);
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
    let sandbox = Sandbox::with_daemon(PROGRAM);
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
fn a_request_may_come_byte_by_byte() {
    let sandbox = Sandbox::with_daemon(PROGRAM);
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

#[test]
fn a_request_that_does_not_arrive_keeps_nobody_waiting_and_is_cut_off() {
    let sandbox = Sandbox::with_daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut silent = Wire::connect(&sandbox);
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    let begin = Instant::now();
    let mut wires: Vec<Wire> = Vec::new();
    for length in [1, HEADER_LENGTH - 1, HEADER_LENGTH, frame.len() - 1] {
        let mut wire = Wire::connect(&sandbox);
        wire.send_with(&frame[..length], &[null().as_fd(); 3]);
        wires.push(wire);
        is_served(&sandbox);
    }
    // The daemon waits for 10 seconds.
    for mut wire in wires {
        wire.expect_refusal(0, &Code::Limit, "took too long to arrive");
        wire.expect_end();
    }
    assert!(begin.elapsed() > PROMPT, "cut off after {:?}", begin.elapsed());
    // Whoever has begun nothing may take as long as it wants.
    silent.expect_service();
    drop(silent);
    is_unharmed(&sandbox, before);
}

#[test]
fn a_client_that_never_reads_keeps_nobody_waiting_and_is_cut_off() {
    let sandbox = Sandbox::with_daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let memory = sandbox.daemon_statistic("VmRSS");
    let mut wire = Wire::connect(&sandbox);
    wire.stream.set_nonblocking(true).unwrap();
    let pings = encode_request(7, &Request::Ping).unwrap().repeat(1000);
    let mut sent = 0;
    let refused = loop {
        match wire.stream.write(&pings[sent % pings.len()..]) {
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
    let grown = sandbox.daemon_statistic("VmRSS").saturating_sub(memory);
    assert!(grown < 4 << 10, "the daemon has grown by {grown} KiB");
    assert!(sandbox.log().contains("answers were not fetched in time"), "{}", sandbox.log());
    drop(wire);
    is_unharmed(&sandbox, before);
}

#[test]
fn a_client_that_vanishes_at_any_step_leaves_nothing_behind() {
    let sandbox = Sandbox::with_daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
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
    }
    is_unharmed(&sandbox, before);
    // A whole request counts although nobody waits for the answer.
    wait_until("the program was started", || sandbox.succeed(&["-a"]) == "p: running\n");
}

#[test]
fn a_client_that_vanishes_while_it_waits_changes_nothing() {
    let sandbox =
        Sandbox::with_daemon("[prog-p]\ncmd-signal = echo > @/begun; read line; echo $line > @/done\n");
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
    let sandbox = Sandbox::with_daemon("[prog-p]\ncmd-signal = read line; exit $line\n");
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
    let sandbox = Sandbox::with_daemon("[prog-p]\ncmd-signal = read line; exit $line\n");
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
    let sandbox = Sandbox::with_daemon("[prog-p]\ncmd-signal = read line; exit 0\n");
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
fn thousands_of_requests_may_be_sent_before_an_answer_is_fetched() {
    const COUNT: u32 = 20_000;
    let sandbox = Sandbox::with_daemon("");
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wire = Wire::connect(&sandbox);
    let mut sender = Wire { stream: wire.stream.try_clone().unwrap() };
    let sending = thread::spawn(move || {
        let frames: Vec<u8> =
            (1..=COUNT).flat_map(|id| encode_request(id, &Request::Ping).unwrap()).collect();
        sender.send(&frames);
    });
    for id in 1..=COUNT {
        assert_eq!(wire.receive(), (id, Response::Done));
        if id % (COUNT / 4) == 0 {
            is_served(&sandbox);
        }
    }
    sending.join().unwrap();
    drop(wire);
    is_unharmed(&sandbox, before);
}

#[test]
fn whoever_has_nothing_more_to_say_still_gets_the_answers() {
    let sandbox = Sandbox::with_daemon("[prog-p]\ncmd-signal = read line; exit 4\n");
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
    let sandbox = Sandbox::with_daemon("[prog-p]\ncmd-signal = read line\n");
    let mut wire = Wire::connect(&sandbox);
    let (input, _release) = io::pipe().unwrap();
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    wire.send_with(&frame, &[input.as_fd(), null().as_fd(), null().as_fd()]);
    wire.stream.shutdown(Shutdown::Write).unwrap();
    is_served(&sandbox);
    let switches = || {
        ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"].map(|name| sandbox.daemon_statistic(name))
    };
    wait_until("the daemon sleeps", || {
        let before = switches();
        // This is the time that is measured.
        thread::sleep(Duration::from_millis(200));
        switches() == before
    });
}

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
fn without_descriptors_connections_wait_until_others_are_gone() {
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
    let sandbox = limited(14);
    let wires: Vec<Wire> = (0..8).map(|_| Wire::connect(&sandbox)).collect();
    wait_until("the daemon has run out of descriptors", || sandbox.log().contains("cannot accept clients"));
    assert_eq!(sandbox.log().matches("cannot accept clients").count(), 1);
    let switches = || {
        ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"].map(|name| sandbox.daemon_statistic(name))
    };
    wait_until("the daemon sleeps", || {
        let before = switches();
        // This is the time that is measured.
        thread::sleep(Duration::from_millis(200));
        switches() == before
    });
    drop(wires);
    is_served(&sandbox);
}

#[test]
fn a_request_whose_descriptors_find_no_room_is_refused_and_may_be_repeated() {
    let sandbox = limited(16);
    let before = sandbox.descriptors_of_idle_daemon();
    let frame = encode_request(7, &invocation(b"p", b"signal")).unwrap();
    // Half a request holds its descriptors.
    let mut halves: Vec<Wire> = Vec::new();
    let mut wire = Wire::connect(&sandbox);
    wire.expect_service();
    while sandbox.daemon_descriptors() < 15 {
        let mut half = Wire::connect(&sandbox);
        half.expect_service();
        let held = sandbox.daemon_descriptors();
        half.send_with(&frame[..1], &[null().as_fd(); 3]);
        wait_until("the daemon has taken them", || sandbox.daemon_descriptors() > held || held == 16);
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
    let sandbox = Sandbox::with_daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let memory = sandbox.daemon_statistic("VmRSS");
    let mut wires: Vec<Wire> = (0..COUNT).map(|_| Wire::connect(&sandbox)).collect();
    let header = Header { length: MAX_BODY, ..request_header(7) }.to_bytes();
    let body = vec![0; MAX_BODY as usize - 1];
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
    drop(wires);
    is_unharmed(&sandbox, before);
    let mut wire = Wire::connect(&sandbox);
    wire.send(&header);
    wire.send(&body);
    wire.send(&[0]);
    wire.expect_refusal(7, &Code::BadMsg, "");
}

#[test]
fn a_descriptor_whose_other_end_blocks_keeps_nobody_but_its_script_waiting() {
    let sandbox = Sandbox::with_daemon("[prog-p]\ncmd-signal = echo hello; exit 3\n");
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
    let sandbox = Sandbox::with_daemon(PROGRAM);
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

/// One of the named long tests: the issue wants a minute of it. The others run meanwhile.
#[test]
fn a_minute_of_garbage_keeps_nobody_waiting_and_leaves_nothing_behind() {
    const DURATION: Duration = Duration::from_secs(60);
    const THREADS: u64 = 3;
    let config = "[prog-p]\ncmd-start = exec sleep 1000\ncmd-signal = exit 3\ncmd-status = exit $#\nrestart-delay = 1\n\
                  [prog-honest]\ncmd-signal = echo $1; exit $2\n";
    let mut sandbox = Sandbox::new(config);
    let mut command = sandbox.command();
    command.args(["-d", "-f"]);
    sandbox.run_daemon(command);
    let before = sandbox.descriptors_of_idle_daemon();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    eprintln!("seed {seed}");

    let end = Instant::now() + DURATION;
    let (mut honest, mut slowest) = (0, Duration::ZERO);
    let hostile: u64 = thread::scope(|scope| {
        let talk = |number| {
            let sandbox = &sandbox;
            move || talk_garbage(sandbox, Random(seed * THREADS + number), end)
        };
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(talk(number))).collect();
        while Instant::now() < end {
            let begin = Instant::now();
            is_served(&sandbox);
            let output = sandbox.client(&["honest", "signal", "name", "hello", "7"]);
            assert_eq!((output.code, output.stdout.as_str()), (7, "hello\n"), "{}", output.stderr);
            honest += 1;
            slowest = slowest.max(begin.elapsed());
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    eprintln!("{hostile} hostile connections, {honest} honest clients, the slowest took {slowest:?}");
    assert!(slowest < PROMPT, "an honest client has waited for {slowest:?}");
    let _ = sandbox.client(&["p", "stop"]);
    is_unharmed(&sandbox, before);
    let memory = sandbox.daemon_statistic("VmRSS");
    assert!(memory < 32 << 10, "the daemon has {memory} KiB");
    assert_eq!(sandbox.terminate_daemon().code(), Some(0));
}

/// Sends garbage over one connection after the other until the time is over. Returns how many there were.
fn talk_garbage(sandbox: &Sandbox, mut random: Random, end: Instant) -> u64 {
    let null = null();
    let mut connections = 0;
    while Instant::now() < end {
        connections += 1;
        let garbage = garbage(&mut random);
        let mut wire = Wire::connect(sandbox);
        let mut rest = garbage.as_slice();
        while !rest.is_empty() {
            let count = if random.one_in(3) { random.below(rest.len()) + 1 } else { rest.len() };
            let descriptors = match random.below(8) {
                0 => random.below(5),
                1 => random.below(MAX_DESCRIPTORS + 1),
                _ => 3,
            };
            // The daemon has hung up, as is its right.
            if stdio::send(&wire.stream, &rest[..count], &vec![null.as_fd(); descriptors]).is_err() {
                break;
            }
            rest = &rest[count..];
        }
        match random.below(4) {
            // It vanishes at once.
            0 => {}
            // It waits for some answer.
            1 => {
                let _ = wire.stream.set_read_timeout(Some(Duration::from_millis(20)));
                let _ = wire.stream.read(&mut [0; 1024]);
            }
            // It reads to the end.
            _ => {
                let _ = wire.stream.shutdown(Shutdown::Write);
                let _ = wire.stream.read_to_end(&mut Vec::new());
            }
        }
        // The pace leaves the processor to the tests that run beside this one.
        thread::sleep(Duration::from_millis(2));
    }
    connections
}

/// Makes up what one connection says: frames with flipped bits, frames of wild headers, or mere noise.
fn garbage(random: &mut Random) -> Vec<u8> {
    loop {
        let mut bytes = Vec::new();
        for _ in 0..=random.below(4) {
            let mut piece = match random.below(6) {
                0 => (0..random.below(200)).map(|_| random.byte()).collect(),
                1 => {
                    let mut header = request_header(u32::from(random.byte())).to_bytes().to_vec();
                    header[6 + random.below(10)] = random.byte();
                    header.extend((0..random.below(100)).map(|_| random.byte()));
                    header
                }
                _ => valid_frame(random),
            };
            for _ in 0..random.below(4) {
                let position = random.below(piece.len() + 1).min(piece.len().saturating_sub(1));
                if let Some(byte) = piece.get_mut(position) {
                    *byte ^= 1 << random.below(8);
                }
            }
            piece.truncate(if random.one_in(8) { random.below(piece.len() + 1) } else { piece.len() });
            bytes.append(&mut piece);
        }
        // A request to stop the daemon would be no garbage: whoever runs the tests may do that.
        if !bytes.windows(8).any(|window| window == [4, 0, 0, 0, 2, 0, 0, 0]) {
            return bytes;
        }
    }
}

fn valid_frame(random: &mut Random) -> Vec<u8> {
    let action: &[u8] =
        [&b"start"[..], b"stop", b"restart", b"signal", b"status", b"reload"][random.below(6)];
    let request = match random.below(8) {
        0 => Request::Ping,
        1 => Request::List,
        2 => Request::Reload,
        _ => invocation(b"p", action),
    };
    encode_request(u32::from(random.byte()) + 1, &request).unwrap()
}

/// A source of random numbers that can be repeated: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap() % limit
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// A client that sends what it likes.
struct Wire {
    stream: UnixStream,
}

impl Wire {
    fn connect(sandbox: &Sandbox) -> Self {
        let stream = UnixStream::connect(sandbox.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream }
    }

    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        self.send_with(bytes, &[]);
    }

    /// Sends bytes, the first of which carries the descriptors.
    #[track_caller]
    fn send_with(&mut self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        stdio::send(&self.stream, bytes, descriptors).unwrap();
    }

    /// Returns the next answer and its id.
    #[track_caller]
    fn receive(&mut self) -> (u32, Response) {
        let header = self.receive_header();
        (header.id, self.receive_body(header))
    }

    #[track_caller]
    fn receive_header(&mut self) -> Header {
        let mut header = [0; HEADER_LENGTH];
        self.stream.read_exact(&mut header).unwrap();
        Header::parse(&header).unwrap()
    }

    #[track_caller]
    fn receive_body(&mut self, header: Header) -> Response {
        let mut body = vec![0; header.length as usize];
        self.stream.read_exact(&mut body).unwrap();
        decode_response(&body).unwrap()
    }

    #[track_caller]
    fn expect_refusal(&mut self, id: u32, code: &Code, text: &str) {
        let (answered, response) = self.receive();
        let Response::Refused(refusal) = response else { panic!("not refused: {response:?}") };
        let reason = String::from_utf8_lossy(&refusal.text);
        assert_eq!((answered, &refusal.code), (id, code), "{reason}");
        assert!(reason.contains(text), "{reason}");
    }

    /// Asserts that the daemon goes on to serve this connection.
    #[track_caller]
    fn expect_service(&mut self) {
        self.send(&encode_request(99, &Request::Ping).unwrap());
        assert_eq!(self.receive(), (99, Response::Done));
    }

    /// Asserts that the daemon has closed this connection.
    #[track_caller]
    fn expect_end(&mut self) {
        match self.stream.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the connection is not closed: {other:?}"),
        }
    }
}

/// Asserts that somebody else is answered, and without having to wait for a deadline of others.
#[track_caller]
fn is_served(sandbox: &Sandbox) {
    let begin = Instant::now();
    let mut client = Client::connect(&sandbox.socket()).unwrap();
    client.ping().unwrap();
    assert!(begin.elapsed() < PROMPT, "an honest client has waited for {:?}", begin.elapsed());
}

/// Asserts that the daemon serves as before, and has no more descriptors.
#[track_caller]
fn is_unharmed(sandbox: &Sandbox, descriptors: usize) {
    is_served(sandbox);
    wait_until("all descriptors are closed", || sandbox.descriptors_of_idle_daemon() == descriptors);
}

/// Starts a daemon that may have this many descriptors and no more.
fn limited(descriptors: usize) -> Sandbox {
    let mut sandbox = Sandbox::new(PROGRAM);
    let mut command = sandbox.command();
    command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
    sandbox.run_daemon(through_shell(&format!("ulimit -n {descriptors}"), &command));
    sandbox
}

fn invocation(program: &[u8], action: &[u8]) -> Request {
    let (program, action) = (program.to_vec(), action.to_vec());
    Request::Invoke(Invocation { program, action, arguments: Vec::new() })
}

fn request_header(id: u32) -> Header {
    Header { version: VERSION, kind: Kind::Request, descriptors: 0, id, length: 0 }
}

/// Returns a request frame of any body, which announces so many descriptors.
fn frame(id: u32, body: &[u8], descriptors: usize) -> Vec<u8> {
    let (descriptors, length) = (u8::try_from(descriptors).unwrap(), u32::try_from(body.len()).unwrap());
    let header = Header { descriptors, length, ..request_header(id) };
    [&header.to_bytes()[..], body].concat()
}

/// Writes to a pipe until it takes no more. Returns how many bytes it took.
fn fill(pipe: &io::PipeWriter) -> usize {
    let writer = File::from(OwnedFd::from(pipe.try_clone().unwrap()));
    let length = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_GETPIPE_SZ).unwrap();
    let length = usize::try_from(length).unwrap();
    (&writer).write_all(&vec![b'x'; length]).unwrap();
    length
}

fn null() -> OwnedFd {
    File::options().read(true).write(true).open("/dev/null").unwrap().into()
}
