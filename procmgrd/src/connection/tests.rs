//! Connections whose users have too much here.

use procmgr_config::{Gid, Uid};

use super::*;
use crate::custody::Ledger;
use crate::supervisor::event::Pid;

fn connection() -> (UnixStream, Connection) {
    let (client, stream) = UnixStream::pair().unwrap();
    let peer = Peer { pid: Pid(1), uid: Uid(2), gid: Gid(3) };
    let account = Ledger::new(100).account(peer.uid);
    (client, Connection::new(stream, peer, account, Instant::now()))
}

#[test]
fn who_is_held_is_not_read_from_and_cut_off_unless_released() {
    let (_client, mut connection) = connection();
    let now = Instant::now();
    connection.hold("too much", now);
    connection.hold("too much", now + HELD / 2);
    assert!(!connection.is_reading() && !connection.is_finished());
    assert_eq!(connection.deadline(), Some((now + HELD, "too much")));
    connection.release();
    assert!(connection.is_reading());
    assert_eq!(connection.deadline(), None);
}

#[test]
fn who_has_gone_is_not_held() {
    let (_client, mut connection) = connection();
    connection.hold("too much", Instant::now());
    connection.hang_up();
    connection.hold("too much", Instant::now());
    assert!(connection.is_finished() && !connection.is_held());
}
