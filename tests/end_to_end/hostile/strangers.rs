//! Connections that other users have made, for a test to use as its own.
//!
//! Who has connected is told by the kernel, so that somebody else has to do it: this very executable, as another user.

use std::env;
use std::fs::File;
use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use procmgr_proto::stdio;

use crate::harness::{DEADLINE, Sandbox, is_root, wait_for};
use crate::hostile::wire::Wire;

/// Users of whom nothing else runs.
pub(super) const ANNA: u32 = 61_001;
pub(super) const BERT: u32 = 61_002;
pub(super) const CARL: u32 = 61_003;
pub(super) const DORA: u32 = 61_004;

/// Tells the executable which socket to connect to. How often, it is told by its standard input.
const SOCKET: &str = "PROCMGR_TEST_CONNECT_TO";

/// Connects as this user, as often as wanted. Root only.
pub(super) fn connect_as(sandbox: &Sandbox, uid: u32, count: usize) -> Vec<Wire> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(DEADLINE)).unwrap();
    stdio::send(&ours, &vec![0; count], &[]).unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    // The folder that it was built in may be closed to others.
    let executable = File::open(env::current_exe().unwrap()).unwrap();
    let mut command = Command::new(format!("/proc/self/fd/{}", executable.as_raw_fd()));
    command.args(["--exact", "hostile::strangers::others_can_connect"]);
    command.env(SOCKET, sandbox.socket()).uid(uid).gid(uid);
    command.stdin(std::os::fd::OwnedFd::from(theirs)).stdout(Stdio::null());
    let mut stranger = command.spawn().unwrap();
    drop(command);
    let wires = (0..count).map(|_| {
        let stream: UnixStream =
            stdio::receive(ours.as_fd(), &mut [0]).unwrap().descriptors.pop().unwrap().into();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Wire { stream }
    });
    let wires = wires.collect();
    assert!(wait_for(&mut stranger).success());
    wires
}

#[test]
fn others_can_connect() {
    if let Some(socket) = env::var_os(SOCKET) {
        let lender = UnixStream::from(stdin().as_fd().try_clone_to_owned().unwrap());
        while stdio::receive(lender.as_fd(), &mut [0]).unwrap().bytes > 0 {
            let stream = UnixStream::connect(&socket).unwrap();
            stdio::send(&lender, b"x", &[stream.as_fd()]).unwrap();
        }
    } else if is_root("others_can_connect") {
        let sandbox = Sandbox::with_daemon("");
        connect_as(&sandbox, ANNA, 2).iter_mut().for_each(Wire::expect_service);
        assert_eq!(sandbox.log().matches("uid 61001").count(), 2, "{}", sandbox.log());
    }
}
