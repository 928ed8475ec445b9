//! Connections whose users have too much here.

use procmgr_config::{Gid, Uid};

use super::*;
use crate::custody::Ledger;
use crate::supervisor::event::Pid;

fn connection() -> (UnixStream, Connection) {
    let (client, stream) = UnixStream::pair().unwrap();
    let peer = Peer { pid: Pid(1), uid: Uid(2), gid: Gid(3) };
    let account = Ledger::new(100, 1000).account(peer.uid);
    (client, Connection::new(stream, peer, account, Instant::now()))
}

fn crowding(until: Instant) -> Crowding {
    Crowding { exceeded: Exceeded::Descriptors, until }
}

#[test]
fn who_is_held_is_not_read_from_and_cut_off_unless_released() {
    let (_client, mut connection) = connection();
    let until = Instant::now() + Duration::from_secs(1);
    connection.hold(crowding(until));
    connection.hold(crowding(until + Duration::from_secs(1)));
    assert!(!connection.is_reading() && !connection.is_finished());
    assert_eq!(connection.deadline(), Some((until, Exceeded::Descriptors.reason())));
    connection.release();
    assert!(connection.is_reading());
    assert_eq!(connection.deadline(), None);
    assert_eq!([connection.take_turn(), connection.take_turn()], [true, false]);
}

#[test]
fn who_has_gone_is_held_as_well_and_not_told_of_all_the_time() {
    let (_client, mut connection) = connection();
    connection.hang_up();
    assert!(connection.interest().is_some());
    connection.hold(crowding(Instant::now()));
    assert_eq!(connection.interest(), None);
    assert!(!connection.is_finished());
    connection.release();
    assert_eq!(connection.interest(), Some(Interest::READABLE));
}
