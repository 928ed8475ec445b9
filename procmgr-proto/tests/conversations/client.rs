//! The client with one request at a time.
//!
//! Of connections that do not come about it knows nothing.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use procmgr_proto::client::{Client, Outcome, Preview};
use procmgr_proto::codec::{encode_event, encode_request, encode_response};
use procmgr_proto::details::{Permission, ProgramDetails, ProgramPreview, ReloadEffect};
use procmgr_proto::error::ClientError;
use procmgr_proto::event::{ProgramStatus, State};
use procmgr_proto::frame::{CONNECTION_ID, HEADER_LENGTH, Header, Kind, MAX_BODY};
use procmgr_proto::message::{Code, ExitStatus, Invocation, ProgramEntry, Refusal, Request, Response};
use procmgr_proto::stdio::{self, StdioRef};
use rustix::fs::OFlags;
use tempfile::tempdir;

use crate::daemon::{answer, answer_with, change, in_version_9, later_event, next_request, refusal, send};

/// Lets the client talk to the daemon until both are through, and returns what the client has got.
fn talk<R>(daemon: impl FnOnce(UnixStream) + Send + 'static, client: impl FnOnce(&mut Client) -> R) -> R {
    let directory = tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let daemon = thread::spawn(move || daemon(listener.accept().unwrap().0));
    let result = client(&mut Client::connect(&path).unwrap());
    daemon.join().unwrap();
    result
}

fn invoke(client: &mut Client) -> Result<Outcome, ClientError> {
    client.invoke(invocation(b"level-1".to_vec()), StdioRef::of_process())
}

fn invocation(argument: Vec<u8>) -> Invocation {
    Invocation { program: b"game".to_vec(), action: b"start".to_vec(), arguments: vec![argument] }
}

fn reason(result: Result<(), ClientError>) -> String {
    match result {
        Err(ClientError::Protocol(reason)) => reason,
        other => panic!("expected an answer that makes no sense, got {other:?}"),
    }
}

#[test]
fn requests_of_one_connection_have_ids_that_count_up() {
    let entry = ProgramEntry { name: b"game".to_vec(), tokens: vec![b"running".to_vec()] };
    let programs = vec![entry];
    let expected = programs.clone();
    let daemon = move |stream: UnixStream| {
        let script = [
            (Request::Ping, Response::Done),
            (Request::List, Response::Programs(programs)),
            (Request::Reload, Response::Reloaded { remarks: vec![b"remark".to_vec()] }),
            (Request::Upgrade, Response::Done),
            (Request::Ping, Response::Done),
        ];
        for (id, (expected, response)) in (1..).zip(script) {
            let (header, request, _) = next_request(&stream);
            assert_eq!((header.id, request), (id, expected));
            send(&stream, id, &response);
        }
    };
    talk(daemon, |client| {
        client.ping().unwrap();
        assert_eq!(client.list().unwrap(), expected);
        assert_eq!(client.reload().unwrap(), [b"remark"]);
        client.upgrade().unwrap();
        client.ping().unwrap();
    });
}

#[test]
fn what_lists_and_previews_tell_is_what_the_daemon_says() {
    let program = ProgramStatus { name: b"game".to_vec(), state: State::BackOff, pid: None, marks: vec![] };
    let details =
        vec![ProgramDetails { program, since: None, restarts: 3, last_exit: None, next_start: Some(7) }];
    let effect = ReloadEffect::Changed;
    let (name, keys) = (b"game".to_vec(), vec![b"cwd".to_vec()]);
    let programs = vec![ProgramPreview { name, effect, keys, pid: Some(7), is_outdated: true }];
    let preview = Preview { programs, remarks: vec![b"remark".to_vec()] };
    let permissions = vec![Permission { program: b"game".to_vec(), actions: vec![b"backup".to_vec()] }];

    let inspected = talk(answer(Response::Inspected(details.clone())), Client::inspect);
    let Preview { programs, remarks } = preview.clone();
    let previewed = talk(answer(Response::Previewed { programs, remarks }), Client::preview);
    let permitted = talk(answer(Response::Permissions(permissions.clone())), Client::permissions);

    assert_eq!(inspected.unwrap(), details);
    assert_eq!(previewed.unwrap(), preview);
    assert_eq!(permitted.unwrap(), permissions);
}

#[test]
fn an_older_daemon_refuses_what_it_does_not_know_and_the_connection_serves_on() {
    let daemon = |stream: UnixStream| {
        for expected in [Request::Inspect, Request::Preview, Request::Permissions] {
            let (header, request, descriptors) = next_request(&stream);
            assert_eq!((request, descriptors.len()), (expected, 0));
            let refusal = Refusal::new(Code::BadCmd, "there is no message of this number");
            send(&stream, header.id, &Response::Refused(refusal));
        }
    };
    talk(daemon, |client| {
        let answers = [
            client.inspect().map(drop).unwrap_err(),
            client.preview().map(drop).unwrap_err(),
            client.permissions().map(drop).unwrap_err(),
        ];
        for error in answers {
            assert!(matches!(error, ClientError::Refused(refusal) if refusal.code == Code::BadCmd));
        }
    });
}

#[test]
fn an_invocation_ends_as_the_daemon_says() {
    for (response, outcome) in [
        (Response::Done, Outcome::Done),
        (Response::Exited(ExitStatus::Code(3)), Outcome::Exited(ExitStatus::Code(3))),
        (Response::Exited(ExitStatus::Signal(15)), Outcome::Exited(ExitStatus::Signal(15))),
        (Response::Status { running: true }, Outcome::Status { running: true }),
    ] {
        assert_eq!(talk(answer(response), invoke).unwrap(), outcome);
    }
}

#[test]
fn an_invocation_brings_its_words_and_three_descriptors_that_work() {
    let daemon = |stream: UnixStream| {
        let (header, request, descriptors) = next_request(&stream);
        assert_eq!(request, Request::Invoke(invocation(b"level-1".to_vec())));
        let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(descriptors).unwrap();
        let mut input = String::new();
        File::from(stdin).read_to_string(&mut input).unwrap();
        File::from(stdout).write_all(input.to_uppercase().as_bytes()).unwrap();
        File::from(stderr).write_all(b"complaint").unwrap();
        send(&stream, header.id, &Response::Done);
    };
    let (stdin, mut input) = std::io::pipe().unwrap();
    let (mut output, stdout) = std::io::pipe().unwrap();
    let (mut complaints, stderr) = std::io::pipe().unwrap();
    input.write_all(b"hello").unwrap();
    drop(input);

    let lent = StdioRef { stdin: stdin.as_fd(), stdout: stdout.as_fd(), stderr: stderr.as_fd() };
    let outcome = talk(daemon, |client| client.invoke(invocation(b"level-1".to_vec()), lent)).unwrap();

    drop((stdout, stderr));
    let mut texts = (String::new(), String::new());
    output.read_to_string(&mut texts.0).unwrap();
    complaints.read_to_string(&mut texts.1).unwrap();
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(texts, ("HELLO".to_owned(), "complaint".to_owned()));
}

#[test]
fn stop_returns_when_the_daemon_has_closed_the_connection_and_not_before() {
    let (returned, has_returned) = mpsc::channel();
    let daemon = move |stream: UnixStream| {
        let (header, request, _) = next_request(&stream);
        assert_eq!(request, Request::Stop);
        send(&stream, header.id, &Response::Done);
        let early = has_returned.recv_timeout(Duration::from_millis(50));
        assert_eq!(early, Err(RecvTimeoutError::Timeout));
    };
    talk(daemon, move |client| {
        client.stop().unwrap();
        // Nobody listens any more once the daemon has seen what it wanted to see.
        let _ = returned.send(());
    });
}

#[test]
fn after_a_refusal_the_connection_serves_on() {
    let daemon = |stream: UnixStream| {
        for response in [Response::Refused(refusal()), Response::Done] {
            let id = next_request(&stream).0.id;
            send(&stream, id, &response);
        }
    };
    talk(daemon, |client| {
        let error = invoke(client).unwrap_err();
        assert!(matches!(&error, ClientError::Refused(found) if *found == refusal()));
        assert_eq!(error.to_string(), "(LIMIT) too many connections");
        client.ping().unwrap();
    });
}

#[test]
fn an_upgrade_that_is_refused_leaves_a_connection_that_serves_on() {
    let refusals = [
        Refusal::new(Code::Spawn, "the new executable cannot take over"),
        Refusal::new(Code::Busy, "another upgrade is under way"),
        Refusal::new(Code::Eperm, "you may not upgrade the daemon"),
        Refusal::new(Code::BadCmd, "there is no message of number 6"),
    ];
    let expected = refusals.clone();
    let daemon = |stream: UnixStream| {
        for refusal in refusals {
            let (header, request, descriptors) = next_request(&stream);
            assert_eq!((request, descriptors.len()), (Request::Upgrade, 0));
            send(&stream, header.id, &Response::Refused(refusal));
        }
        let id = next_request(&stream).0.id;
        send(&stream, id, &Response::Done);
    };
    talk(daemon, |client| {
        for refusal in expected {
            let error = client.upgrade().unwrap_err();
            assert!(matches!(&error, ClientError::Refused(found) if *found == refusal), "{error}");
        }
        client.ping().unwrap();
    });
}

#[test]
fn a_request_over_the_limit_is_not_sent_and_the_connection_serves_on() {
    talk(answer(Response::Done), |client| {
        let huge = invocation(vec![b'x'; MAX_BODY as usize]);
        let error = client.invoke(huge, StdioRef::of_process()).unwrap_err();
        assert!(matches!(error, ClientError::TooLarge));
        client.ping().unwrap();
    });
}

#[test]
fn a_daemon_that_goes_away_before_it_answers_is_lost() {
    let answers_nothing = |stream: UnixStream| drop(next_request(&stream));
    assert!(matches!(talk(answers_nothing, Client::ping), Err(ClientError::Lost)));
}

#[test]
fn a_daemon_that_goes_away_without_reading_is_lost() {
    let reads_one_byte = |mut stream: UnixStream| stream.read_exact(&mut [0]).unwrap();
    assert!(matches!(talk(reads_one_byte, Client::ping), Err(ClientError::Lost)));
}

#[test]
fn an_answer_that_is_cut_anywhere_is_lost() {
    for length in 1..HEADER_LENGTH + 4 {
        let cut = answer_with(move |id| {
            let mut frame = encode_response(id, &Response::Done).unwrap();
            frame.truncate(length);
            frame
        });
        assert!(matches!(talk(cut, Client::ping), Err(ClientError::Lost)), "cut after {length} bytes");
    }
}

#[test]
fn the_answer_to_another_request_makes_no_sense() {
    let other = answer_with(|id| encode_response(id + 1, &Response::Done).unwrap());
    assert_eq!(reason(talk(other, Client::ping)), "expected the answer to 1, got 2");
    let refused = answer_with(|id| encode_response(id + 1, &Response::Refused(refusal())).unwrap());
    assert_eq!(reason(talk(refused, Client::ping)), "expected the answer to 1, got 2");
}

#[test]
fn only_a_refusal_may_concern_the_connection_as_a_whole() {
    let done = answer_with(|_| encode_response(CONNECTION_ID, &Response::Done).unwrap());
    assert_eq!(reason(talk(done, Client::ping)), "expected the answer to 1, got 0");
    let refused = answer_with(|_| encode_response(CONNECTION_ID, &Response::Refused(refusal())).unwrap());
    assert!(matches!(talk(refused, Client::ping), Err(ClientError::Refused(_))));
}

#[test]
fn an_answer_of_another_kind_makes_no_sense() {
    let event = answer_with(|id| encode_event(id, &change()).unwrap());
    assert_eq!(reason(talk(event, Client::ping)), "expected a response, got an event");
    let request = answer_with(|id| encode_request(id, &Request::Ping).unwrap());
    assert_eq!(reason(talk(request, Client::ping)), "the daemon asks us something");
}

#[test]
fn an_event_of_an_unknown_number_is_passed_over() {
    let event_and_answer =
        answer_with(|id| [later_event(id), encode_response(id, &Response::Done).unwrap()].concat());
    assert!(talk(event_and_answer, Client::ping).is_ok());
}

#[test]
fn an_answer_that_does_not_suit_the_request_makes_no_sense() {
    for response in [Response::Exited(ExitStatus::Code(0)), Response::Programs(vec![])] {
        assert_eq!(reason(talk(answer(response), Client::ping)), "it does not suit the request ping");
    }
    let listed = talk(answer(Response::Done), |client| client.list().map(drop));
    assert_eq!(reason(listed), "it does not suit the request list");
    let reloaded = talk(answer(Response::Done), |client| client.reload().map(drop));
    assert_eq!(reason(reloaded), "it does not suit the request reload");
    let upgraded = talk(answer(Response::Reloaded { remarks: vec![] }), Client::upgrade);
    assert_eq!(reason(upgraded), "it does not suit the request upgrade");
    let inspected = talk(answer(Response::Programs(vec![])), |client| client.inspect().map(drop));
    assert_eq!(reason(inspected), "it does not suit the request inspect");
    let previewed = talk(answer(Response::Permissions(vec![])), |client| client.preview().map(drop));
    assert_eq!(reason(previewed), "it does not suit the request preview");
    let permitted = talk(answer(Response::Inspected(vec![])), |client| client.permissions().map(drop));
    assert_eq!(reason(permitted), "it does not suit the request permissions");
    let stopped = talk(answer(Response::Status { running: true }), Client::stop);
    assert_eq!(reason(stopped), "it does not suit the request stop");
    let invoked = talk(answer(Response::Programs(vec![])), |client| invoke(client).map(drop));
    assert_eq!(reason(invoked), "it does not suit the request invoke");
}

#[test]
fn what_is_not_a_frame_or_a_message_makes_no_sense() {
    let web = answer_with(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    assert!(reason(talk(web, Client::ping)).ends_with("not with \"HTTP\""));
    let endless = answer_with(|id| header(1, id, MAX_BODY + 1));
    assert!(reason(talk(endless, Client::ping)).contains("over the limit"));
    let empty = answer_with(|id| header(1, id, 0));
    assert!(reason(talk(empty, Client::ping)).contains("malformed"));
}

#[test]
fn frozen_answers_are_understood_in_every_version() {
    let done = answer_with(|id| in_version_9(encode_response(id, &Response::Done).unwrap()));
    talk(done, Client::ping).unwrap();
    let refused = Response::Refused(Refusal::new(Code::Version, "9 is the lowest"));
    let refused = answer_with(move |id| in_version_9(encode_response(id, &refused).unwrap()));
    let error = talk(refused, invoke).unwrap_err();
    assert_eq!(error.to_string(), "(VERSION) 9 is the lowest");
}

#[test]
fn other_answers_in_another_version_are_not_guessed_at() {
    let exited = Response::Exited(ExitStatus::Code(0));
    let exited = answer_with(move |id| in_version_9(encode_response(id, &exited).unwrap()));
    assert!(matches!(talk(exited, invoke), Err(ClientError::Version(9))));
    let strange = answer_with(|id| [header(9, id, 4), vec![0xff; 4]].concat());
    assert!(matches!(talk(strange, invoke), Err(ClientError::Version(9))));
}

#[test]
fn a_refusal_at_the_door_is_read_although_nothing_can_be_sent() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut client = Client::connect(&path).unwrap();
    let (stream, _) = listener.accept().unwrap();
    send(&stream, CONNECTION_ID, &Response::Refused(refusal()));
    drop(stream);

    let result = invoke(&mut client);

    assert!(matches!(result, Err(ClientError::Refused(found)) if found == refusal()));
    assert!(matches!(client.ping(), Err(ClientError::Send(error)) if error.kind() == ErrorKind::BrokenPipe));
}

#[test]
fn a_refusal_in_the_middle_of_a_large_request_is_read() {
    let impatient = |mut stream: UnixStream| {
        let mut header = [0; HEADER_LENGTH];
        stream.read_exact(&mut header).unwrap();
        let id = Header::parse(&header).unwrap().id;
        send(&stream, id, &Response::Refused(refusal()));
    };
    let large = invocation(vec![b'x'; 3 << 20]);
    let result = talk(impatient, |client| client.invoke(large, StdioRef::of_process()));
    assert!(matches!(result, Err(ClientError::Refused(found)) if found == refusal()));
}

#[test]
fn descriptors_that_come_with_an_answer_do_not_stay() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let daemon = move |stream: UnixStream| {
        let id = next_request(&stream).0.id;
        let frame = encode_response(id, &Response::Done).unwrap();
        stdio::send(&stream, &frame, &[writer.as_fd()]).unwrap();
    };
    talk(daemon, Client::ping).unwrap();

    // With a writer left anywhere, a read would say that it has to wait.
    rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK).unwrap();
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

fn header(version: u16, id: u32, length: u32) -> Vec<u8> {
    Header { version, kind: Kind::Response, descriptors: 0, id, length }.to_bytes().to_vec()
}
