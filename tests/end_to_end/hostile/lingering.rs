//! Descriptors that take as long to close as their sender likes: whoever has to wait for that, nobody else does.
//!
//! Sockets that linger stand for them all; files of a file system that a user serves are no different.

use std::io::{IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt};
use procmgr_proto::codec::encode_request;
use procmgr_proto::frame::HEADER_LENGTH;
use procmgr_proto::message::{Code, Request, Response};

use crate::harness::{DEADLINE, Sandbox, is_root, wait_until};
use crate::hostile::limits::limited;
use crate::hostile::strangers::{ANNA, BERT, CARL, connect_as};
use crate::hostile::wire::{PROGRAM, PROMPT, Wire, daemon, invocation, is_served, is_unharmed, null};

/// Makes sockets that can be closed only as long as nobody waits for it. Dropping this ends the waiting.
struct Tar {
    listener: TcpListener,
    peers: Vec<TcpStream>,
}

impl Tar {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // What cannot be delivered is what has to be waited for, and a little is enough.
        setsockopt(&listener, sockopt::RcvBuf, &4096).unwrap();
        Self { listener, peers: Vec::new() }
    }

    /// Closing it waits for longer than a test does.
    fn socket(&mut self) -> TcpStream {
        let mut socket = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        self.peers.push(self.listener.accept().unwrap().0);
        let seconds = i32::try_from(DEADLINE.as_secs()).unwrap();
        setsockopt(&socket, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: seconds }).unwrap();
        setsockopt(&socket, sockopt::SndBuf, &4096).unwrap();
        socket.set_nonblocking(true).unwrap();
        while socket.write(&[0; 4096]).is_ok() {}
        socket
    }

    /// Has something sent together with such a socket, of which only the daemon keeps a descriptor.
    fn send(&mut self, sandbox: &Sandbox, send: impl FnOnce(&TcpStream)) {
        stopped(sandbox, || send(&self.socket()));
    }

    /// Sends more of them with requests than one user may.
    #[track_caller]
    fn fill(&mut self, sandbox: &Sandbox, wire: &mut Wire) {
        let frame = encode_request(7, &invocation(b"nothing", b"start")).unwrap();
        stopped(sandbox, || {
            for _ in 0..=BOUND / 3 {
                wire.send_with(&frame, &[null().as_fd(), null().as_fd(), self.socket().as_fd()]);
            }
        });
        // What exceeds the bound is still answered, but nothing behind it.
        for _ in 0..=BOUND / 3 {
            wire.expect_refusal(7, &Code::NoProg, "");
        }
        wire.expect_refusal(0, &Code::Limit, TOO_MANY);
        wire.expect_end();
    }
}

/// Does something that the daemon is to find as a whole. Signals end the waiting of those that close, so this is for
/// once only.
fn stopped(sandbox: &Sandbox, act: impl FnOnce()) {
    kill(sandbox.daemon_pid(), Signal::SIGSTOP).unwrap();
    act();
    kill(sandbox.daemon_pid(), Signal::SIGCONT).unwrap();
}

const TOO_MANY: &str = "too many descriptors that you have sent are not closed yet";

/// How many descriptors the daemon may have here, and how many of those that one user has sent.
const LIMIT: usize = 256;
const BOUND: usize = LIMIT / 16 * 3;

/// Asserts that whoever runs the tests is served, and that pipes end when they should.
#[track_caller]
fn are_pipes_closed(sandbox: &Sandbox) {
    for _ in 0..10 {
        let begin = Instant::now();
        // Both have pipes, and to fetch their output takes until nobody has those any more.
        assert_eq!(sandbox.client(&["nothing", "start"]).code, 125);
        assert_eq!(sandbox.client(&["p", "signal"]).code, 3);
        assert!(begin.elapsed() < PROMPT, "an honest client has waited for {:?}", begin.elapsed());
    }
}

#[test]
fn a_user_with_too_many_of_them_is_cut_off_and_others_notice_nothing() {
    if !is_root("a_user_with_too_many_of_them_is_cut_off_and_others_notice_nothing") {
        return;
    }
    let sandbox = limited(LIMIT);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wires = connect_as(&sandbox, ANNA, 3);
    let mut tar = Tar::new();
    tar.fill(&sandbox, &mut wires[0]);
    // What the user has beside is no way round.
    wires[1].send(&encode_request(7, &Request::Ping).unwrap());
    wires[1].expect_refusal(0, &Code::Limit, TOO_MANY);
    wires[1].expect_end();
    let mut turned_away = connect_as(&sandbox, ANNA, 1).remove(0);
    turned_away.expect_refusal(0, &Code::Limit, TOO_MANY);
    turned_away.expect_end();
    are_pipes_closed(&sandbox);
    connect_as(&sandbox, BERT, 1).iter_mut().for_each(Wire::expect_service);
    drop((tar, wires));
    is_unharmed(&sandbox, before);
    connect_as(&sandbox, ANNA, 1).iter_mut().for_each(Wire::expect_service);
}

#[test]
fn whoever_has_too_many_of_them_is_served_again_when_they_are_closed() {
    let sandbox = limited(LIMIT);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut tar = Tar::new();
    tar.fill(&sandbox, &mut Wire::connect(&sandbox));
    let output = sandbox.client(&["-t"]);
    assert_eq!((output.code, output.stderr), (1, format!("ERROR: (LIMIT) {TOO_MANY}\n")));
    drop(tar);
    wait_until("they are closed", || sandbox.client(&["-t"]).code == 0);
    are_pipes_closed(&sandbox);
    is_unharmed(&sandbox, before);
}

#[test]
fn whoever_has_too_many_of_them_takes_no_place_of_others() {
    if !is_root("whoever_has_too_many_of_them_takes_no_place_of_others") {
        return;
    }
    let sandbox = limited(LIMIT);
    let mut tar = Tar::new();
    tar.fill(&sandbox, &mut connect_as(&sandbox, ANNA, 1)[0]);
    // Two of these have all places there are.
    let mut others = connect_as(&sandbox, BERT, LIMIT / 16);
    others.extend(connect_as(&sandbox, CARL, LIMIT / 16));
    others.iter_mut().for_each(Wire::expect_service);
    connect_as(&sandbox, ANNA, 1)[0].expect_refusal(0, &Code::Limit, TOO_MANY);
    others.iter_mut().for_each(Wire::expect_service);
    // As soon as they are closed, it is as fair as ever.
    drop(tar);
    wait_until("there is a place again", || {
        let mut wire = connect_as(&sandbox, ANNA, 1).remove(0);
        // Somebody who is turned away may find nobody who takes it.
        let _ = wire.stream.write(&encode_request(7, &Request::Ping).unwrap());
        wire.receive() == (7, Response::Done)
    });
}

#[test]
fn those_that_a_connection_is_closed_with_keep_nobody_waiting() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut tar = Tar::new();
    let mut wire = Wire::connect(&sandbox);
    tar.send(&sandbox, |socket| {
        wire.send(&[b'x'; HEADER_LENGTH]);
        wire.send_with(b"never read", &[socket.as_fd()]);
    });
    wire.expect_refusal(0, &Code::BadMsg, "begins with");
    is_served(&sandbox);
    wire.expect_end();
    are_pipes_closed(&sandbox);
    drop(tar);
    is_unharmed(&sandbox, before);
}

#[test]
fn those_that_come_with_an_urgent_byte_keep_nobody_waiting() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut tar = Tar::new();
    let mut read = Wire::connect(&sandbox);
    let mut unread = Wire::connect(&sandbox);
    let urgent = |wire: &Wire, socket: &TcpStream| {
        let descriptors = [socket.as_raw_fd()];
        let (bytes, rights) = ([IoSlice::new(b"P")], [ControlMessage::ScmRights(&descriptors)]);
        sendmsg::<()>(wire.stream.as_raw_fd(), &bytes, &rights, MsgFlags::MSG_OOB, None).is_ok()
    };
    let mut is_supported = true;
    stopped(&sandbox, || {
        is_supported = urgent(&read, &tar.socket());
        read.send(&encode_request(7, &Request::Ping).unwrap()[1..]);
        unread.send(&[b'x'; HEADER_LENGTH]);
        urgent(&unread, &tar.socket());
    });
    if !is_supported {
        return eprintln!("skipped: this system knows nothing urgent");
    }
    is_served(&sandbox);
    // In line it is the first byte of a frame like any other.
    read.expect_refusal(7, &Code::BadMsg, "0 descriptors were announced and 1 came");
    unread.expect_refusal(0, &Code::BadMsg, "begins with");
    unread.expect_end();
    are_pipes_closed(&sandbox);
    drop((tar, read));
    is_unharmed(&sandbox, before);
}

#[test]
fn those_of_a_client_that_is_turned_away_keep_nobody_waiting() {
    let sandbox = limited(LIMIT);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut tar = Tar::new();
    let mut wires: Vec<Wire> = (0..LIMIT / 16).map(|_| Wire::connect(&sandbox)).collect();
    wires.iter_mut().for_each(Wire::expect_service);
    let mut turned_away = None;
    tar.send(&sandbox, |socket| {
        let mut wire = Wire::connect(&sandbox);
        wire.send_with(b"x", &[socket.as_fd()]);
        turned_away = Some(wire);
    });
    turned_away.unwrap().expect_refusal(0, &Code::Limit, "too many connections");
    let begin = Instant::now();
    wires.iter_mut().for_each(Wire::expect_service);
    assert!(begin.elapsed() < PROMPT, "honest clients have waited for {:?}", begin.elapsed());
    drop((tar, wires));
    wait_until("there is a place again", || sandbox.client(&["-t"]).code == 0);
    is_unharmed(&sandbox, before);
}

#[test]
fn those_of_any_number_of_clients_that_are_turned_away_take_hardly_any_place() {
    // No more than can queue while the daemon is stopped.
    const COUNT: usize = 60;
    const PLACES: usize = LIMIT / 16;
    let sandbox = limited(LIMIT);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut tar = Tar::new();
    let mut wires = Vec::new();
    stopped(&sandbox, || {
        for _ in 0..COUNT {
            let mut wire = Wire::connect(&sandbox);
            wire.send_with(b"P", &[tar.socket().as_fd()]);
            wires.push(wire);
        }
    });
    for wire in &mut wires[PLACES..] {
        wire.expect_refusal(0, &Code::Limit, "too many connections");
        wire.expect_end();
    }
    // Those who have places have them, each with what it has sent; the others are closed when nothing else is to be
    // done.
    wait_until("the others are closed", || sandbox.daemon_descriptors() <= before + 2 * PLACES + 4);
    drop((tar, wires));
    wait_until("there is a place again", || sandbox.client(&["-t"]).code == 0);
    is_unharmed(&sandbox, before);
}

#[test]
fn any_number_of_clients_that_leave_bytes_behind_are_closed_at_once() {
    const COUNT: usize = 20_000;
    let sandbox = limited(LIMIT);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut tar = Tar::new();
    let mut wire = Wire::connect(&sandbox);
    // All who close for this user have to wait.
    let frame = encode_request(7, &invocation(b"nothing", b"start")).unwrap();
    stopped(&sandbox, || {
        for _ in 0..6 {
            wire.send_with(&frame, &[null().as_fd(), null().as_fd(), tar.socket().as_fd()]);
        }
    });
    for _ in 0..6 {
        wire.expect_refusal(7, &Code::NoProg, "");
    }
    for count in 0..COUNT {
        let mut other = Wire::connect(&sandbox);
        // Somebody who is turned away may find nobody who takes it.
        let _ = other.stream.write(&[b'x'; 64]);
        if count % 1000 == 0 {
            wire.expect_service();
        }
    }
    wait_until("their places are free", || sandbox.client(&["-t"]).code == 0);
    let more = sandbox.descriptors_of_idle_daemon() - before;
    assert!(more <= 40, "{more} more descriptors");
    drop((tar, wire));
    is_unharmed(&sandbox, before);
}

#[test]
fn the_daemon_ends_whatever_it_has_not_received() {
    let mut sandbox = daemon(PROGRAM);
    let mut tar = Tar::new();
    let mut accepted = Wire::connect(&sandbox);
    accepted.expect_service();
    let mut waiting = None;
    tar.send(&sandbox, |socket| {
        // Signals come before requests.
        kill(sandbox.daemon_pid(), Signal::SIGTERM).unwrap();
        accepted.send_with(b"x", &[socket.as_fd()]);
        let mut wire = Wire::connect(&sandbox);
        wire.send_with(b"x", &[socket.as_fd()]);
        waiting = Some(wire);
    });
    let begin = Instant::now();
    assert!(sandbox.wait_for_daemon().success());
    assert!(begin.elapsed() < PROMPT, "the daemon has waited for {:?}", begin.elapsed());
}

#[test]
fn a_crowd_never_takes_the_only_connection_of_another_user() {
    if !is_root("a_crowd_never_takes_the_only_connection_of_another_user") {
        return;
    }
    let sandbox = limited(LIMIT);
    // All have the same share of half as many places.
    let mut only = connect_as(&sandbox, CARL, 1);
    let mut annas = connect_as(&sandbox, ANNA, LIMIT / 16);
    let mut berts = connect_as(&sandbox, BERT, LIMIT / 16 - 1);
    for wire in only.iter_mut().chain(&mut annas).chain(&mut berts) {
        wire.expect_service();
    }
    let mut newcomer = connect_as(&sandbox, BERT, 1);
    newcomer[0].expect_service();
    annas[0].expect_refusal(0, &Code::Limit, "yours is idle");
    only[0].expect_service();
    annas[1..].iter_mut().chain(&mut berts).for_each(Wire::expect_service);
}
