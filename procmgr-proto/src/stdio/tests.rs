//! Frames with descriptors over a socket pair.
//!
//! What happens when a process can open no more has a process of its own: `tests/no_slots_left.rs`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use rustix::io::FdFlags;

use super::{Received, StdioRef, receive, send, send_some};
use crate::frame::MAX_DESCRIPTORS;

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

fn receive_up_to(stream: &UnixStream, length: usize) -> (Vec<u8>, Received) {
    let mut buffer = vec![0; length];
    let received = receive(stream.as_fd(), &mut buffer).unwrap();
    buffer.truncate(received.bytes);
    (buffer, received)
}

#[test]
fn a_descriptor_arrives_and_works() {
    let (ours, theirs) = pair();
    let (mut reader, writer) = io::pipe().unwrap();
    send(&ours, b"frame", &[writer.as_fd()]).unwrap();
    drop(writer);

    let (bytes, mut received) = receive_up_to(&theirs, 5);

    assert_eq!(bytes, b"frame");
    assert_eq!(received.descriptors.len(), 1);
    assert!(!received.truncated);
    let mut writer = File::from(received.descriptors.remove(0));
    writer.write_all(b"hello").unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

#[test]
fn the_descriptors_of_a_stdio_arrive_in_the_order_in_which_they_travel() {
    let (ours, theirs) = pair();
    let files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
    let [stdin, stdout, stderr] = files.each_ref().map(AsFd::as_fd);
    send(&ours, b"f", &StdioRef { stdin, stdout, stderr }.descriptors()).unwrap();

    let received = receive_up_to(&theirs, 1).1.descriptors;

    let inode = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).unwrap().st_ino;
    let received: Vec<_> = received.iter().map(|descriptor| inode(descriptor.as_fd())).collect();
    assert_eq!(received, [stdin, stdout, stderr].map(inode));
}

#[test]
fn as_many_descriptors_as_the_kernel_allows_arrive_at_once() {
    let (ours, theirs) = pair();
    let null = null();
    send(&ours, b"frame", &[null.as_fd(); MAX_DESCRIPTORS]).unwrap();

    let (_, received) = receive_up_to(&theirs, 5);

    assert_eq!(received.descriptors.len(), MAX_DESCRIPTORS);
    assert!(!received.truncated);
}

#[test]
fn received_descriptors_are_close_on_exec() {
    let (ours, theirs) = pair();
    let null = null();
    send(&ours, b"f", &[null.as_fd(); 3]).unwrap();

    for descriptor in receive_up_to(&theirs, 1).1.descriptors {
        assert!(rustix::io::fcntl_getfd(&descriptor).unwrap().contains(FdFlags::CLOEXEC));
    }
}

#[test]
fn descriptors_come_with_the_first_byte_of_a_frame() {
    let (ours, theirs) = pair();
    let null = null();
    send(&ours, b"frame", &[null.as_fd()]).unwrap();

    assert_eq!(receive_up_to(&theirs, 1).1.descriptors.len(), 1);
    assert_eq!(receive_up_to(&theirs, 4).1.descriptors.len(), 0);
}

#[test]
fn a_receiver_that_keeps_to_the_frame_gets_no_descriptors_of_the_next() {
    let (ours, theirs) = pair();
    let null = null();
    send(&ours, b"one", &[]).unwrap();
    send(&ours, b"two", &[null.as_fd()]).unwrap();

    assert_eq!(receive_up_to(&theirs, 3).1.descriptors.len(), 0);
    assert_eq!(receive_up_to(&theirs, 3).1.descriptors.len(), 1);
}

#[test]
fn a_receiver_that_asks_for_more_gets_the_descriptors_of_the_next_frame() {
    let (ours, theirs) = pair();
    let null = null();
    send(&ours, b"one", &[]).unwrap();
    send(&ours, b"two", &[null.as_fd()]).unwrap();

    // Not what anybody wants: it is why the rule in the documentation of `receive` exists.
    let (bytes, received) = receive_up_to(&theirs, 100);
    assert_eq!((bytes.as_slice(), received.descriptors.len()), (b"onetwo".as_slice(), 1));
}

#[test]
fn a_frame_larger_than_the_socket_holds_arrives_whole() {
    let (ours, theirs) = pair();
    let frame: Vec<u8> = (0..4_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let expected = frame.clone();
    let sender = thread::spawn(move || send(&ours, &frame, &[null().as_fd()]));

    let (mut bytes, first) = receive_up_to(&theirs, 16);
    (&theirs).read_to_end(&mut bytes).unwrap();

    sender.join().unwrap().unwrap();
    assert_eq!(first.descriptors.len(), 1);
    assert!(bytes == expected, "the frame was altered");
}

#[test]
fn nothing_to_receive_is_told_where_the_socket_does_not_wait() {
    let (_ours, theirs) = pair();
    theirs.set_nonblocking(true).unwrap();
    let error = receive(theirs.as_fd(), &mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_closed_peer_is_the_end_for_the_receiver() {
    let (ours, theirs) = pair();
    drop(ours);
    assert_eq!(receive_up_to(&theirs, 16).1.bytes, 0);
}

#[test]
fn a_closed_peer_is_an_error_for_the_sender() {
    let (ours, theirs) = pair();
    drop(theirs);
    let null = null();
    for descriptors in [[].as_slice(), &[null.as_fd()]] {
        let error = send(&ours, b"frame", descriptors).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

#[test]
fn descriptors_without_a_byte_or_beyond_the_limit_are_refused_before_anything_is_sent() {
    let (ours, theirs) = pair();
    let null = null();
    for (frame, count) in [(b"".as_slice(), 1), (b"f", MAX_DESCRIPTORS + 1)] {
        let error = send(&ours, frame, &vec![null.as_fd(); count]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    drop(ours);
    assert_eq!(receive_up_to(&theirs, 16).1.bytes, 0);
}

#[test]
fn a_socket_that_does_not_wait_takes_as_much_as_it_holds() {
    let (ours, theirs) = pair();
    ours.set_nonblocking(true).unwrap();
    let null = null();
    let frame = vec![b'x'; 4 << 20];

    let first = send_some(ours.as_fd(), &frame, &[null.as_fd(); 3]).unwrap();
    let mut sent = first;
    let error = loop {
        match send_some(ours.as_fd(), &frame[sent..], &[]) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
    };

    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!((1..frame.len()).contains(&sent), "{sent}");
    drop(ours);
    let (_, received) = receive_up_to(&theirs, 1);
    assert_eq!(received.descriptors.len(), 3);
    assert_eq!(io::copy(&mut (&theirs), &mut io::sink()).unwrap(), sent as u64 - 1);
}

#[test]
fn a_rest_that_is_sent_without_descriptors_makes_the_frame_whole() {
    let (ours, theirs) = pair();
    let null = null();
    assert_eq!(send_some(ours.as_fd(), b"fr", &[null.as_fd()]).unwrap(), 2);
    assert_eq!(send_some(ours.as_fd(), b"ame", &[]).unwrap(), 3);

    let (mut bytes, received) = receive_up_to(&theirs, 2);
    bytes.extend(receive_up_to(&theirs, 3).0);

    assert_eq!((bytes.as_slice(), received.descriptors.len()), (b"frame".as_slice(), 1));
}

#[test]
fn sending_some_is_refused_like_sending_all() {
    let (ours, _theirs) = pair();
    let null = null();
    for (bytes, count) in [(b"".as_slice(), 0), (b"", 1), (b"f", MAX_DESCRIPTORS + 1)] {
        let error = send_some(ours.as_fd(), bytes, &vec![null.as_fd(); count]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_peer_that_is_gone_raises_no_signal() {
    // A blocked signal waits to be taken, even one that the process ignores.
    SigSet::from(Signal::SIGPIPE).thread_block().unwrap();
    let (ours, theirs) = pair();
    drop(theirs);

    assert_eq!(send_some(ours.as_fd(), b"f", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(send(&ours, b"f", &[null().as_fd()]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(pending_signals(), 0);

    // Whoever writes to it without care gets one.
    let (reader, mut writer) = io::pipe().unwrap();
    drop(reader);
    writer.write_all(b"f").unwrap_err();
    assert_eq!(pending_signals(), 1 << (Signal::SIGPIPE as u64 - 1));
}

/// Returns the signals that wait for this thread, as the kernel writes them down: a bit for each.
fn pending_signals() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let digits = status.lines().find_map(|line| line.strip_prefix("SigPnd:")).unwrap();
    u64::from_str_radix(digits.trim(), 16).unwrap()
}
