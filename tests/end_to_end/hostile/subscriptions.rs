//! Subscribers that want too much, or do not listen.
//!
//! What an honest one is told is shown in `watch`.

use std::net::Shutdown;

use procmgr_proto::codec::{decode_event, decode_response, encode_request};
use procmgr_proto::event::{Event, State};
use procmgr_proto::frame::Kind;
use procmgr_proto::message::{Code, Request, Response};

use crate::harness::{Sandbox, allowing_us, wait_until};
use crate::hostile::wire::{PROGRAM, Wire, daemon, is_served, is_unharmed, withstands};

/// How many programs come and go: what is told of either fits into what the daemon keeps for a subscriber, and what is
/// told of both is more than that and the socket take.
const PROGRAMS: usize = 3000;

/// Has all of them come, or all of them go.
fn change_all(sandbox: &Sandbox, are_there: bool) {
    define(sandbox, if are_there { PROGRAMS } else { 0 });
}

/// Has so many programs with long names defined.
fn define(sandbox: &Sandbox, count: usize) {
    let long = "x".repeat(200);
    let programs: Vec<String> = (0..count).map(|number| format!("[prog-{long}{number}]\n")).collect();
    sandbox.configure(&allowing_us(&format!("{PROGRAM}{}", programs.concat())));
    sandbox.succeed(&["-r"]);
}

impl Wire {
    fn subscribe(&mut self, id: u32) -> Vec<(Vec<u8>, State)> {
        self.send(&encode_request(id, &Request::Subscribe).unwrap());
        match self.receive() {
            (answered, Response::Subscribed { programs }) if answered == id => {
                programs.into_iter().map(|program| (program.name, program.state)).collect()
            }
            other => panic!("not subscribed: {other:?}"),
        }
    }

    /// Returns the name and state of the program that the next event is about, or else the response that has come.
    fn next(&mut self, id: u32) -> Result<(Vec<u8>, State), Response> {
        let header = self.receive_header();
        assert_eq!(header.id, id);
        let body = self.receive_bytes(header);
        match header.kind {
            Kind::Event => match decode_event(&body).unwrap() {
                Event::Changed(change) => Ok((change.program.name, change.program.state)),
                other => panic!("{other:?}"),
            },
            _ => Err(decode_response(&body).unwrap()),
        }
    }
}

#[test]
fn a_subscription_that_is_never_read_is_ended_with_a_reason_and_nothing_is_kept() {
    let sandbox = daemon(PROGRAM);
    withstands(&sandbox, || {
        let mut wire = Wire::connect(&sandbox);
        assert_eq!(wire.subscribe(7), [(b"p".to_vec(), State::Down)]);
        for are_there in [true, false] {
            change_all(&sandbox, are_there);
            is_served(&sandbox);
        }
        // What was kept comes in order and without a gap, then the reason, then the end.
        let mut told = 0;
        let reason = loop {
            match wire.next(7) {
                Ok((name, state)) => {
                    let number = told % PROGRAMS;
                    assert!(name.ends_with(format!("x{number}").as_bytes()), "{}", name.escape_ascii());
                    assert_eq!(state, if told < PROGRAMS { State::Down } else { State::Removed });
                    told += 1;
                }
                Err(Response::Refused(refusal)) => break refusal,
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(reason.code, Code::Limit);
        assert!(reason.text.starts_with(b"events were not fetched"), "{}", reason.text.escape_ascii());
        assert!(told > 1000, "{told} events were kept");
        wire.expect_end();
    });
}

#[test]
fn a_subscriber_that_fetches_what_it_is_told_misses_nothing() {
    let sandbox = daemon(PROGRAM);
    let mut wire = Wire::connect(&sandbox);
    wire.subscribe(7);
    for (are_there, expected) in [(true, State::Down), (false, State::Removed)] {
        change_all(&sandbox, are_there);
        for _ in 0..PROGRAMS {
            assert_eq!(wire.next(7).unwrap().1, expected);
        }
    }
    wire.expect_service();
}

#[test]
fn a_connection_has_one_subscription_and_is_served_besides() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wire = Wire::connect(&sandbox);
    wire.subscribe(7);
    wire.send(&encode_request(8, &Request::Subscribe).unwrap());
    wire.expect_refusal(8, &Code::Limit, "this connection has a subscription");
    wire.expect_service();
    sandbox.succeed(&["p", "start"]);
    assert_eq!(wire.next(7), Ok((b"p".to_vec(), State::Starting)));
    assert_eq!(wire.next(7), Ok((b"p".to_vec(), State::Running)));
    wire.expect_service();
    drop(wire);
    is_unharmed(&sandbox, before);
}

#[test]
fn what_there_is_at_the_beginning_may_be_more_than_is_kept_of_events() {
    let sandbox = daemon(PROGRAM);
    define(&sandbox, 2 * PROGRAMS);
    let mut wire = Wire::connect(&sandbox);
    wire.send(&encode_request(7, &Request::Subscribe).unwrap());
    is_served(&sandbox);
    sandbox.succeed(&["p", "start"]);
    assert!(matches!(wire.receive(), (7, Response::Subscribed { .. })));
    assert_eq!(wire.next(7), Ok((b"p".to_vec(), State::Starting)));
    assert_eq!(wire.next(7), Ok((b"p".to_vec(), State::Running)));
}

#[test]
fn a_subscription_ends_with_a_frame_behind_which_no_other_can_be_found() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wire = Wire::connect(&sandbox);
    wire.subscribe(7);
    wire.send(b"GET / HTTP/1.1\r\n\r\n");
    wire.expect_refusal(0, &Code::BadMsg, "");
    wire.expect_end();
    is_unharmed(&sandbox, before);
}

#[test]
fn one_user_has_so_many_subscriptions_and_no_more() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wires: Vec<Wire> = (0..64).map(|_| Wire::connect(&sandbox)).collect();
    for wire in &mut wires {
        wire.subscribe(7);
    }
    let mut wire = Wire::connect(&sandbox);
    wire.send(&encode_request(7, &Request::Subscribe).unwrap());
    wire.expect_refusal(7, &Code::Limit, "you have too many subscriptions");
    sandbox.succeed(&["p", "start"]);
    for wire in &mut wires {
        assert_eq!(wire.next(7), Ok((b"p".to_vec(), State::Starting)));
    }
    wires.pop();
    wait_until("one may subscribe again", || {
        wire.send(&encode_request(7, &Request::Subscribe).unwrap());
        matches!(wire.receive(), (7, Response::Subscribed { .. }))
    });
    drop((wire, wires));
    is_unharmed(&sandbox, before);
}

#[test]
fn whoever_has_nothing_more_to_say_is_still_told() {
    let sandbox = daemon(PROGRAM);
    let before = sandbox.descriptors_of_idle_daemon();
    let mut wire = Wire::connect(&sandbox);
    wire.subscribe(7);
    wire.stream.shutdown(Shutdown::Write).unwrap();
    sandbox.succeed(&["p", "start"]);
    assert_eq!(wire.next(7), Ok((b"p".to_vec(), State::Starting)));
    drop(wire);
    is_unharmed(&sandbox, before);
}

#[test]
fn the_end_of_the_daemon_is_told_last_and_whoever_asked_for_it_on_the_same_connection_is_answered() {
    let mut sandbox = daemon(PROGRAM);
    let mut wire = Wire::connect(&sandbox);
    wire.subscribe(7);
    wire.send(&encode_request(8, &Request::Stop).unwrap());
    let answers = [wire.receive(), wire.receive()];
    assert!(matches!(&answers[0], (7, Response::Refused(refusal)) if refusal.code == Code::Shutdown));
    assert_eq!(answers[1], (8, Response::Done));
    wire.expect_end();
    sandbox.wait_for_daemon();
}
