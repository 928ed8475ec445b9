//! Daemons that keep a client waiting, each in its own way, and a client that waits for a limited time only.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use procmgr_proto::client::Client;
use procmgr_proto::codec::encode_response;
use procmgr_proto::connection::Connection;
use procmgr_proto::error::{ClientError, ConnectError};
use procmgr_proto::message::{Invocation, Request, Response};
use procmgr_proto::stdio::StdioRef;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tempfile::tempdir;

use crate::daemon::{later_event, next_request, send, send_frame};

/// How long a client waits that is to wait in vain.
const SHORT: Duration = Duration::from_millis(100);
/// How long one waits that is not.
const LONG: Duration = Duration::from_secs(60);
/// How long a daemon dawdles between two bytes: less than a client waits.
const PAUSE: Duration = Duration::from_millis(5);

/// Has a client talk to a daemon that is told when the client is through. Asserts that it was through by the
/// deadline, and not before, and that it was waiting for an answer.
fn talk_in_vain<T>(
    daemon: impl FnOnce(UnixStream, Receiver<()>) + Send + 'static,
    client: impl FnOnce(Client) -> Result<T, ClientError>,
) {
    let error = time_out(daemon, client);
    assert!(matches!(error, ClientError::TimedOut), "{error:?}");
}

/// Does as `talk_in_vain`, for a client that does not get rid of its request.
fn ask_in_vain<T>(
    daemon: impl FnOnce(UnixStream, Receiver<()>) + Send + 'static,
    client: impl FnOnce(Client) -> Result<T, ClientError>,
) {
    let error = time_out(daemon, client);
    assert!(matches!(error, ClientError::NotSentInTime), "{error:?}");
}

fn time_out<T>(
    daemon: impl FnOnce(UnixStream, Receiver<()>) + Send + 'static,
    client: impl FnOnce(Client) -> Result<T, ClientError>,
) -> ClientError {
    let (ours, theirs) = UnixStream::pair().unwrap();
    set_socket_send_buffer_size(&ours, 4096).unwrap();
    let (over, is_over) = mpsc::channel();
    let daemon = thread::spawn(move || daemon(theirs, is_over));
    let deadline = Instant::now() + SHORT;
    let mut patient = Client::over(Connection::over(ours));
    patient.set_deadline(Some(deadline));

    let result = client(patient);

    let late = Instant::now().checked_duration_since(deadline).expect("it waits until the deadline");
    drop(over);
    daemon.join().unwrap();
    assert!(late < LONG, "it was late by {late:?}");
    result.err().expect("it has no answer")
}

/// Waits until the client is through.
fn wait(is_over: &Receiver<()>) {
    let _ = is_over.recv();
}

/// Waits a little, and returns whether the client is still at it.
fn dawdle(is_over: &Receiver<()>) -> bool {
    is_over.recv_timeout(PAUSE) == Err(mpsc::RecvTimeoutError::Timeout)
}

fn invocation(arguments: Vec<Vec<u8>>) -> Invocation {
    Invocation { program: b"game".to_vec(), action: b"stop".to_vec(), arguments }
}

/// An invocation that the socket does not take at once.
fn large() -> Invocation {
    invocation(vec![vec![b'x'; 1000]; 60])
}

#[test]
fn a_daemon_that_never_answers_is_waited_for_until_the_deadline() {
    let silent = |stream: UnixStream, is_over: Receiver<()>| {
        assert_eq!(next_request(&stream).1, Request::Ping);
        wait(&is_over);
    };
    talk_in_vain(silent, |mut client| client.ping());
}

#[test]
fn an_action_that_takes_too_long_was_asked_for_all_the_same() {
    let slow = |stream: UnixStream, is_over: Receiver<()>| {
        let (_, request, descriptors) = next_request(&stream);
        assert_eq!((request, descriptors.len()), (Request::Invoke(invocation(vec![])), 3));
        wait(&is_over);
    };
    talk_in_vain(slow, |mut client| client.invoke(invocation(vec![]), StdioRef::of_process()));
}

#[test]
fn an_answer_that_dribbles_does_not_postpone_the_deadline() {
    let dribbling = |mut stream: UnixStream, is_over: Receiver<()>| {
        let id = next_request(&stream).0.id;
        let answer = encode_response(id, &Response::Reloaded { remarks: vec![vec![b'x'; 20_000]] }).unwrap();
        for byte in answer {
            // Whoever is through may have closed the connection already.
            if !dawdle(&is_over) || stream.write_all(&[byte]).is_err() {
                return;
            }
        }
    };
    talk_in_vain(dribbling, |mut client| client.reload());
}

#[test]
fn events_that_are_passed_over_do_not_postpone_the_deadline() {
    let chatting = |mut stream: UnixStream, is_over: Receiver<()>| {
        let id = next_request(&stream).0.id;
        while dawdle(&is_over) && stream.write_all(&later_event(id)).is_ok() {}
    };
    talk_in_vain(chatting, |mut client| client.ping());
}

#[test]
fn a_daemon_that_does_not_read_is_waited_for_until_the_deadline() {
    let deaf = |_stream: UnixStream, is_over: Receiver<()>| wait(&is_over);
    ask_in_vain(deaf, |mut client| client.invoke(large(), StdioRef::of_process()));
}

#[test]
fn a_daemon_that_reads_in_drops_does_not_postpone_the_deadline() {
    let sipping = |mut stream: UnixStream, is_over: Receiver<()>| {
        let mut sip = [0; 1000];
        while dawdle(&is_over) && stream.read(&mut sip).is_ok_and(|count| count > 0) {}
    };
    ask_in_vain(sipping, |mut client| client.invoke(large(), StdioRef::of_process()));
}

#[test]
fn a_daemon_that_says_that_it_ends_and_does_not_is_waited_for_until_the_deadline() {
    let undying = |stream: UnixStream, is_over: Receiver<()>| {
        let id = next_request(&stream).0.id;
        send(&stream, id, &Response::Done);
        wait(&is_over);
    };
    talk_in_vain(undying, |mut client| client.stop());
}

#[test]
fn a_subscription_ends_at_the_deadline_of_its_client() {
    let uneventful = |stream: UnixStream, is_over: Receiver<()>| {
        let id = next_request(&stream).0.id;
        send(&stream, id, &Response::Subscribed { programs: vec![] });
        wait(&is_over);
    };
    talk_in_vain(uneventful, |client| {
        let mut subscription = client.subscribe()?;
        let event = subscription.next().unwrap();
        assert!(subscription.next().is_none());
        event
    });
}

#[test]
fn a_subscription_may_get_another_deadline() {
    let uneventful = |stream: UnixStream, is_over: Receiver<()>| {
        let id = next_request(&stream).0.id;
        send(&stream, id, &Response::Subscribed { programs: vec![] });
        wait(&is_over);
    };
    talk_in_vain(uneventful, |mut client| {
        let deadline = Instant::now() + SHORT;
        client.set_deadline(None);
        let mut subscription = client.subscribe()?;
        subscription.set_deadline(Some(deadline));
        subscription.next().unwrap()
    });
}

#[test]
fn an_answer_in_time_is_an_answer_and_the_connection_serves_on() {
    let (ours, daemon) = UnixStream::pair().unwrap();
    let daemon = thread::spawn(move || {
        for _ in 0..3 {
            let id = next_request(&daemon).0.id;
            send_frame(&daemon, &later_event(id));
            send(&daemon, id, &Response::Done);
        }
    });
    let mut client = Client::over(Connection::over(ours));
    client.set_deadline(Some(Instant::now() + LONG));
    client.ping().unwrap();
    client.ping().unwrap();
    client.set_deadline(None);
    client.ping().unwrap();
    daemon.join().unwrap();
}

#[test]
fn after_the_deadline_nothing_is_sent_and_nothing_received() {
    let (ours, mut daemon) = UnixStream::pair().unwrap();
    let mut connection = Connection::over(ours);
    send(&daemon, 1, &Response::Done);
    connection.set_deadline(Some(Instant::now()));
    assert!(matches!(connection.send(&Request::Ping, &[]), Err(ClientError::NotSentInTime)));
    assert!(matches!(connection.receive(), Err(ClientError::TimedOut)));
    daemon.set_nonblocking(true).unwrap();
    assert_eq!(daemon.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_large_request_arrives_whole_with_its_descriptors() {
    let (ours, daemon) = UnixStream::pair().unwrap();
    set_socket_send_buffer_size(&ours, 4096).unwrap();
    let daemon = thread::spawn(move || {
        let (_, request, descriptors) = next_request(&daemon);
        assert_eq!((request, descriptors.len()), (Request::Invoke(large()), 3));
    });
    let mut connection = Connection::over(ours);
    connection.set_deadline(Some(Instant::now() + LONG));
    connection.send(&Request::Invoke(large()), &StdioRef::of_process().descriptors()).unwrap();
    daemon.join().unwrap();
}

/// Returns a listener at that path whose queue is full, and what fills it.
fn full(path: &Path) -> (UnixListener, Vec<OwnedFd>) {
    let listener = UnixListener::bind(path).unwrap();
    // Listening anew sets the length of the queue.
    rustix::net::listen(&listener, 0).unwrap();
    let address = SocketAddrUnix::new(path).unwrap();
    let mut queued = Vec::new();
    loop {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        match rustix::net::connect(&socket, &address) {
            Ok(()) => queued.push(socket),
            Err(error) => {
                assert_eq!(error, Errno::AGAIN);
                return (listener, queued);
            }
        }
    }
}

#[test]
fn a_daemon_that_does_not_accept_is_waited_for_until_the_deadline() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("socket");
    let _full = full(&path);
    let deadline = Instant::now() + SHORT;

    let error = Client::connect_until(&path, Some(deadline)).unwrap_err();

    assert!(Instant::now() >= deadline);
    assert!(matches!(error, ConnectError::TimedOut { .. }));
    assert!(error.to_string().ends_with("/socket: not taken up in time"), "{error}");
}

#[test]
fn a_daemon_that_accepts_in_time_is_connected_to() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("socket");
    let (listener, queued) = full(&path);
    let daemon = thread::spawn(move || {
        // Those that are queued, and the client behind them.
        let taken: Vec<UnixStream> = (0..=queued.len()).map(|_| listener.accept().unwrap().0).collect();
        (queued, taken)
    });

    Client::connect_until(&path, Some(Instant::now() + LONG)).unwrap();

    daemon.join().unwrap();
}

#[test]
fn the_deadline_of_connecting_is_that_of_all_that_follows() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    let mut client = Client::connect_until(&path, Some(Instant::now() + SHORT)).unwrap();
    assert!(matches!(client.ping(), Err(ClientError::TimedOut)));
}

#[test]
fn no_deadline_beats_the_reasons_for_which_there_is_no_connection() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("socket");
    let late = Some(Instant::now() + LONG);
    assert!(matches!(Client::connect_until(&path, late), Err(ConnectError::Absent { .. })));
    drop(UnixListener::bind(&path).unwrap());
    assert!(matches!(Client::connect_until(&path, late), Err(ConnectError::Refused { .. })));
    let folder = directory.path();
    assert!(matches!(Client::connect_until(folder, late), Err(ConnectError::NotSocket { .. })));
    let error = Client::connect_until(&folder.join("x".repeat(200)), late).unwrap_err();
    assert!(matches!(error, ConnectError::PathTooLong { .. }));
}
