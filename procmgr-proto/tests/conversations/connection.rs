//! Many requests on one connection, and whatever comes back.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use procmgr_proto::codec::{encode_event, encode_response};
use procmgr_proto::connection::{Connection, Message};
use procmgr_proto::error::ClientError;
use procmgr_proto::event::Event;
use procmgr_proto::frame::{CONNECTION_ID, MAX_BODY};
use procmgr_proto::message::{ExitStatus, Invocation, Request, Response};
use procmgr_proto::stdio::StdioRef;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::daemon::{change, in_version_9, later_event, next_request, refusal, send, send_frame};

/// Returns a connection and the daemon's end of it. The tests are short, so what one side sends fits into the socket.
fn pair() -> (Connection, UnixStream) {
    let (ours, daemon) = UnixStream::pair().unwrap();
    (Connection::over(ours), daemon)
}

fn invoke(arguments: Vec<Vec<u8>>) -> Request {
    Request::Invoke(Invocation { program: b"game".to_vec(), action: b"stop".to_vec(), arguments })
}

#[test]
fn answers_come_in_any_order_with_the_ids_of_their_requests() {
    let (mut connection, daemon) = pair();
    let stdio = StdioRef::of_process().descriptors();
    let ids = [
        connection.send(&Request::Ping, &[]).unwrap(),
        connection.send(&invoke(vec![]), &stdio).unwrap(),
        connection.send(&Request::List, &[]).unwrap(),
    ];
    let [ping, stop, list] = [next_request(&daemon), next_request(&daemon), next_request(&daemon)];
    assert_eq!([&ping.1, &stop.1, &list.1], [&Request::Ping, &invoke(vec![]), &Request::List]);
    assert_eq!([ping.0.id, stop.0.id, list.0.id], ids);
    assert_eq!([ping.2.len(), stop.2.len(), list.2.len()], [0, 3, 0]);

    let exited = Response::Exited(ExitStatus::Signal(15));
    send(&daemon, list.0.id, &Response::Programs(vec![]));
    send(&daemon, stop.0.id, &exited);
    send(&daemon, ping.0.id, &Response::Done);

    assert_eq!(connection.receive().unwrap(), (ids[2], Message::Response(Response::Programs(vec![]))));
    assert_eq!(connection.receive().unwrap(), (ids[1], Message::Response(exited)));
    assert_eq!(connection.receive().unwrap(), (ids[0], Message::Response(Response::Done)));
}

#[test]
fn answers_come_between_events() {
    let (mut connection, daemon) = pair();
    let subscription = connection.send(&Request::Subscribe, &[]).unwrap();
    let ping = connection.send(&Request::Ping, &[]).unwrap();
    send(&daemon, subscription, &Response::Subscribed { programs: vec![] });
    send_frame(&daemon, &encode_event(subscription, &change()).unwrap());
    send(&daemon, ping, &Response::Done);
    send_frame(&daemon, &encode_event(subscription, &change()).unwrap());

    let mut received = Vec::new();
    for _ in 0..4 {
        received.push(connection.receive().unwrap());
    }

    let response = |id, response| (id, Message::Response(response));
    let event = (subscription, Message::Event(change()));
    assert_eq!(
        received,
        [
            response(subscription, Response::Subscribed { programs: vec![] }),
            event.clone(),
            response(ping, Response::Done),
            event,
        ]
    );
}

#[test]
fn a_refusal_is_an_answer_like_any_other() {
    let (mut connection, daemon) = pair();
    send(&daemon, 7, &Response::Refused(refusal()));
    send(&daemon, CONNECTION_ID, &Response::Refused(refusal()));
    for id in [7, CONNECTION_ID] {
        let message = Message::Response(Response::Refused(refusal()));
        assert_eq!(connection.receive().unwrap(), (id, message));
    }
}

#[test]
fn a_request_over_the_limit_takes_no_id_and_the_connection_serves_on() {
    let (mut connection, daemon) = pair();
    let huge = invoke(vec![vec![b'x'; MAX_BODY as usize]]);
    let stdio = StdioRef::of_process().descriptors();
    assert!(matches!(connection.send(&huge, &stdio), Err(ClientError::TooLarge)));
    assert_eq!(connection.send(&Request::Ping, &[]).unwrap(), 1);
    assert_eq!(next_request(&daemon).1, Request::Ping);
}

#[test]
fn events_of_unknown_numbers_are_passed_over() {
    let (mut connection, daemon) = pair();
    send_frame(&daemon, &later_event(1));
    send_frame(&daemon, &later_event(1));
    send_frame(&daemon, &encode_event(1, &change()).unwrap());
    assert_eq!(connection.receive().unwrap(), (1, Message::Event(change())));
}

#[test]
fn an_event_in_another_version_is_not_guessed_at() {
    let known = |event: &Event| encode_event(1, event).unwrap();
    for frame in [known(&change()), later_event(1)] {
        let (mut connection, daemon) = pair();
        send_frame(&daemon, &in_version_9(frame));
        assert!(matches!(connection.receive(), Err(ClientError::Version(9))));
    }
}

#[test]
fn a_stream_that_does_not_block_is_waited_for_as_any_other() {
    let (ours, daemon) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let daemon = thread::spawn(move || {
        let (header, request, descriptors) = next_request(&daemon);
        assert_eq!((request, descriptors.len()), (invoke(vec![vec![b'x'; 400_000]]), 3));
        send(&daemon, header.id, &Response::Done);
    });
    let mut connection = Connection::over(ours);
    let stdio = StdioRef::of_process().descriptors();
    let id = connection.send(&invoke(vec![vec![b'x'; 400_000]]), &stdio).unwrap();
    assert_eq!(connection.receive().unwrap(), (id, Message::Response(Response::Done)));
    daemon.join().unwrap();
}

#[test]
fn a_response_of_an_unknown_number_makes_no_sense() {
    let (mut connection, daemon) = pair();
    let mut frame = encode_response(1, &Response::Done).unwrap();
    let number = frame.len() - 4;
    frame[number] = 77;
    send_frame(&daemon, &frame);
    let error = connection.receive().unwrap_err();
    assert!(matches!(&error, ClientError::Protocol(reason) if reason == "there is no message of number 77"));
}

#[test]
fn what_the_daemon_said_before_it_hung_up_can_be_received_when_nothing_can_be_sent() {
    let (mut connection, daemon) = pair();
    send(&daemon, CONNECTION_ID, &Response::Refused(refusal()));
    drop(daemon);
    assert!(matches!(connection.send(&Request::Ping, &[]), Err(ClientError::Send(_))));
    let message = Message::Response(Response::Refused(refusal()));
    assert_eq!(connection.receive().unwrap(), (CONNECTION_ID, message));
    assert!(matches!(connection.receive(), Err(ClientError::Lost)));
}

#[test]
fn the_descriptor_is_readable_when_there_is_something_to_receive() {
    let (connection, daemon) = pair();
    let is_readable = || {
        let mut wanted = [PollFd::from_borrowed_fd(connection.as_fd(), PollFlags::IN)];
        poll(&mut wanted, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    };
    assert!(!is_readable());
    send(&daemon, 1, &Response::Done);
    assert!(is_readable());
}
