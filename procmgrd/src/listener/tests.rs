//! The socket and its file: made, removed, lent, handed on, and whose they are.
//!
//! What is said over the socket is not tested here.

use std::io::Write;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::parcel::hand_on;

fn bound() -> (TempDir, Listener) {
    let folder = tempfile::tempdir().unwrap();
    let listener = Listener::bind(&folder.path().join("socket")).unwrap();
    (folder, listener)
}

fn upgrade(former: Listener) -> Listener {
    let (packed, mut unpacker) = hand_on(former, Listener::pack);
    Listener::unpack(packed, &mut unpacker).unwrap()
}

fn is_told(listener: &Listener) -> bool {
    listener.watch.as_ref().unwrap().read_events().is_ok()
}

#[test]
fn whoever_waits_to_be_accepted_is_accepted_by_the_next_image() {
    let (_folder, former) = bound();
    let _waiting = UnixStream::connect(former.path()).unwrap();
    let mut listener = upgrade(former);
    listener.claim().unwrap();
    assert!(listener.restore().unwrap().is_none());
    let _too = UnixStream::connect(listener.path()).unwrap();
    assert_eq!(drain(listener.socket()).len(), 2);
}

#[test]
fn the_files_go_with_the_image_that_has_claimed_them_and_with_no_other() {
    let (folder, former) = bound();
    let count = || fs::read_dir(folder.path()).unwrap().count();
    let path = former.path().to_path_buf();
    drop(upgrade(former));
    assert_eq!(count(), 2);
    let mut listener = upgrade(Listener::bind(&path).unwrap());
    listener.claim().unwrap();
    drop(listener);
    assert_eq!(count(), 0);
}

#[test]
fn a_socket_that_is_removed_while_nobody_watches_is_made_again_and_watched() {
    let (_folder, former) = bound();
    let path = former.path().to_path_buf();
    let (packed, mut unpacker) = hand_on(former, Listener::pack);
    fs::remove_file(&path).unwrap();
    let mut listener = Listener::unpack(packed, &mut unpacker).unwrap();
    assert!(!is_told(&listener));
    listener.claim().unwrap();
    assert!(listener.restore().unwrap().is_some());
    UnixStream::connect(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(is_told(&listener));
}

#[test]
fn a_socket_that_is_removed_later_is_noticed() {
    let (_folder, former) = bound();
    let mut listener = upgrade(former);
    listener.claim().unwrap();
    assert!(listener.restore().unwrap().is_none());
    assert!(!is_told(&listener));
    fs::remove_file(listener.path()).unwrap();
    assert!(is_told(&listener));
}

#[test]
fn what_a_daemon_that_was_killed_has_left_to_a_child_is_waited_for() {
    let (_folder, former) = bound();
    let path = former.path().to_path_buf();
    // It is nobody's, and has the lock and the socket nevertheless.
    let left = upgrade(former);
    let next = thread::spawn(move || Listener::bind(&path).is_ok());
    // The next one knocks, and nobody answers.
    while left.socket.accept().is_err() {
        thread::yield_now();
    }
    drop(left);
    assert!(next.join().unwrap());
}

#[test]
fn a_daemon_that_answers_is_not_waited_for() {
    let (_folder, daemon) = bound();
    let path = daemon.path().to_path_buf();
    let next = thread::spawn(move || Listener::bind(&path));
    let (mut knocking, _) = loop {
        match daemon.socket.accept() {
            Ok(accepted) => break accepted,
            Err(_) => thread::yield_now(),
        }
    };
    knocking.write_all(b"!").unwrap();
    assert!(matches!(next.join().unwrap(), Err(Error::AlreadyRunning { .. })));
}

#[test]
fn what_nobody_can_connect_to_is_not_taken_for_a_listener() {
    let (folder, former) = bound();
    let (stream, _peer) = UnixStream::pair().unwrap();
    let (slot, _) = hand_on(stream, |stream, packer| packer.descriptor(stream.as_fd()));
    let (packed, mut unpacker) = hand_on(former, Listener::pack);
    Listener::unpack(PackedListener { socket: slot, ..packed }, &mut unpacker).unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_socket_that_is_lent_is_left_as_it_is_by_all_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let manager = UnixListener::bind(&path).unwrap();
    let waiting = UnixStream::connect(&path).unwrap();
    let borrow = || Listener::borrow(Lent(manager.try_clone().unwrap()), &path).unwrap();
    let mut listener = upgrade(borrow());
    listener.claim().unwrap();
    assert!(listener.restore().unwrap().is_none());
    assert_eq!(drain(listener.socket()).len(), 1);
    drop((waiting, listener));
    assert!(path.exists());

    let mut listener = borrow();
    fs::remove_file(&path).unwrap();
    assert!(is_told(&listener));
    assert!(listener.restore().unwrap().is_none());
    assert!(!path.exists());
}
