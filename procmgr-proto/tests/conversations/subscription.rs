//! Changes as they come, and the ways in which they stop coming.

use std::os::unix::net::UnixStream;
use std::thread;

use procmgr_proto::client::Client;
use procmgr_proto::codec::{encode_event, encode_response};
use procmgr_proto::connection::Connection;
use procmgr_proto::error::ClientError;
use procmgr_proto::event::{Change, Event, ProgramStatus, State};
use procmgr_proto::frame::CONNECTION_ID;
use procmgr_proto::message::{Code, Refusal, Request, Response};
use procmgr_proto::subscription::Subscription;

use crate::daemon::{change, in_version_9, later_event, next_request, refusal, send, send_frame};

fn programs() -> Vec<ProgramStatus> {
    let program = |name: &[u8], state, pid| ProgramStatus { name: name.to_vec(), state, pid, marks: vec![] };
    vec![program(b"web", State::Running, Some(7)), program(b"game", State::Down, None)]
}

/// Subscribes, and has the daemon say all these frames, which it makes for the id of the subscription, and hang up.
fn subscribe(frames: impl FnOnce(u32) -> Vec<Vec<u8>>) -> Subscription {
    let (ours, daemon) = UnixStream::pair().unwrap();
    let client = thread::spawn(|| Client::over(Connection::over(ours)).subscribe());
    let (header, request, _) = next_request(&daemon);
    assert_eq!(request, Request::Subscribe);
    send(&daemon, header.id, &Response::Subscribed { programs: programs() });
    for frame in frames(header.id) {
        send_frame(&daemon, &frame);
    }
    client.join().unwrap().unwrap()
}

fn changed(time: u64) -> Event {
    let Event::Changed(change) = change() else { panic!("there are no others") };
    Event::Changed(Change { time, ..change })
}

fn event(id: u32, time: u64) -> Vec<u8> {
    encode_event(id, &changed(time)).unwrap()
}

fn refused(id: u32, refusal: Refusal) -> Vec<u8> {
    encode_response(id, &Response::Refused(refusal)).unwrap()
}

/// Asserts that this error is the next thing that comes, and the last.
#[track_caller]
fn ends_by(mut subscription: Subscription, is_expected: impl FnOnce(&ClientError) -> bool) {
    let error = subscription.next().unwrap().unwrap_err();
    assert!(is_expected(&error), "{error:?}");
    assert!(subscription.next().is_none());
    assert!(subscription.next().is_none());
}

#[test]
fn it_begins_with_what_the_programs_are() {
    assert_eq!(subscribe(|_| vec![]).programs(), programs());
}

#[test]
fn events_come_in_their_order_then_why_there_are_no_more_and_then_nothing() {
    let mut subscription = subscribe(|id| vec![event(id, 1), event(id, 2), refused(id, refusal())]);
    assert_eq!(subscription.next().unwrap().unwrap(), changed(1));
    assert_eq!(subscription.next().unwrap().unwrap(), changed(2));
    ends_by(
        subscription,
        |error| matches!(error, ClientError::Refused(refusal) if refusal.code == Code::Limit),
    );
}

#[test]
fn a_refusal_of_the_connection_ends_it() {
    let refusal = || Refusal::new(Code::Limit, "there are too many connections, and yours is idle");
    let subscription = subscribe(|_| vec![refused(CONNECTION_ID, refusal())]);
    ends_by(subscription, |error| matches!(error, ClientError::Refused(found) if *found == refusal()));
}

#[test]
fn the_refusal_of_something_else_makes_no_sense() {
    let subscription = subscribe(|id| vec![refused(id + 1, refusal())]);
    ends_by(subscription, |error| matches!(error, ClientError::Protocol(_)));
}

#[test]
fn an_event_of_another_subscription_makes_no_sense() {
    let subscription = subscribe(|id| vec![event(id + 1, 1)]);
    ends_by(subscription, |error| matches!(error, ClientError::Protocol(_)));
}

#[test]
fn another_answer_makes_no_sense() {
    let subscription = subscribe(|id| vec![encode_response(id, &Response::Done).unwrap()]);
    ends_by(subscription, |error| matches!(error, ClientError::Protocol(_)));
}

#[test]
fn events_of_unknown_numbers_are_passed_over() {
    let mut subscription = subscribe(|id| vec![later_event(id), event(id, 1), later_event(id)]);
    assert_eq!(subscription.next().unwrap().unwrap(), changed(1));
    ends_by(subscription, |error| matches!(error, ClientError::Lost));
}

#[test]
fn an_event_in_another_version_is_not_guessed_at() {
    let subscription = subscribe(|id| vec![in_version_9(event(id, 1))]);
    ends_by(subscription, |error| matches!(error, ClientError::Version(9)));
}

#[test]
fn a_refusal_is_understood_in_every_version() {
    let subscription = subscribe(|id| vec![in_version_9(refused(id, refusal()))]);
    ends_by(subscription, |error| matches!(error, ClientError::Refused(_)));
}

#[test]
fn half_an_event_is_the_end() {
    let subscription = subscribe(|id| vec![event(id, 1)[..30].to_vec()]);
    ends_by(subscription, |error| matches!(error, ClientError::Lost));
}

#[test]
fn a_subscription_that_is_refused_is_none() {
    let answer = |response: Response| {
        let (ours, daemon) = UnixStream::pair().unwrap();
        let client = thread::spawn(|| Client::over(Connection::over(ours)).subscribe());
        send(&daemon, next_request(&daemon).0.id, &response);
        client.join().unwrap().unwrap_err()
    };
    let error = answer(Response::Refused(refusal()));
    assert!(matches!(error, ClientError::Refused(found) if found == refusal()));
    let error = answer(Response::Done);
    assert!(error.to_string().ends_with("it does not suit the request subscribe"), "{error}");
}
