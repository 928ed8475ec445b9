//! What becomes of received descriptors when the process may open no more.
//!
//! It lowers the limit of its whole process, so this one test has a file, and thereby a process, of its own.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use procmgr_proto::stdio::{receive, send};
use rustix::io::FdFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const SENT: usize = 10;

#[test]
fn descriptors_that_find_no_slot_are_told_and_those_that_do_are_owned() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let null = OwnedFd::from(File::open("/dev/null").unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();

    for free in [0, 1, 4, SENT - 1, SENT] {
        let mut taken = take_all_slots(&null);
        taken.truncate(taken.len() - free);
        send(&ours, b"frame", &[null.as_fd(); SENT]).unwrap();

        let mut buffer = [0; 5];
        let received = receive(theirs.as_fd(), &mut buffer).unwrap();

        assert_eq!(&buffer[..received.bytes], b"frame");
        assert_eq!(received.descriptors.len(), free);
        assert_eq!(received.truncated, free < SENT);
        for descriptor in &received.descriptors {
            assert!(rustix::io::fcntl_getfd(descriptor).unwrap().contains(FdFlags::CLOEXEC));
        }
        drop(received);
        assert_eq!(take_all_slots(&null).len(), free, "descriptors leaked");
    }
}

/// Duplicates the descriptor until the process has no slot left.
fn take_all_slots(null: &OwnedFd) -> Vec<OwnedFd> {
    std::iter::from_fn(|| null.try_clone().ok()).collect()
}
