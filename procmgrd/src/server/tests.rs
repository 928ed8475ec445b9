//! Clients whose user has too many descriptors here. What a whole daemon makes of that is seen end to end.

use std::io::{Read, Write};

use procmgr_proto::codec::{encode_request, encode_response};
use procmgr_proto::message::Request;
use tempfile::TempDir;

use super::*;
use crate::custody::Charge;

/// How many the server may have.
pub(super) const DESCRIPTORS: usize = 256;

/// A server that has its own folder, and whoever runs the tests as its only user.
pub(super) struct House {
    pub(super) folder: TempDir,
    pub(super) poller: Poller,
    pub(super) server: Server,
    pub(super) now: Instant,
}

impl House {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = Listener::bind(&folder.path().join("socket")).unwrap();
        let poller = Poller::new().unwrap();
        let server = Server::new(listener, &poller, DESCRIPTORS).unwrap();
        Self { folder, poller, server, now: Instant::now() }
    }

    pub(super) fn connect(&mut self) -> UnixStream {
        let stream = UnixStream::connect(self.server.socket_path()).unwrap();
        self.server.accept(&self.poller, self.now);
        stream
    }

    /// Has our user have too many descriptors here, from now on until this is dropped.
    fn crowd(&self) -> Charge {
        self.server.account(Uid(rustix::process::getuid().as_raw())).charge(1000)
    }

    /// Serves all who are ready, and returns what they ask for.
    fn serve(&mut self) -> Vec<Demand> {
        let ready = self.poller.wait(Some(Duration::ZERO)).unwrap();
        let connections = self.server.taking_turns(&ready);
        let serve = |(ready, number)| self.server.serve(ready, number, &self.poller, self.now);
        connections.into_iter().filter_map(serve).map(|incoming| incoming.demand).collect()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.server.expire(&self.poller, self.now);
    }
}

fn ping() -> Vec<u8> {
    encode_request(7, &Request::Ping).unwrap()
}

fn too_many() -> Vec<u8> {
    let refusal = Refusal::new(Code::Limit, Exceeded::Descriptors.reason());
    encode_response(0, &Response::Refused(refusal)).unwrap()
}

#[test]
fn whoever_has_too_much_waits_and_is_served_when_it_is_less() {
    let mut house = House::new();
    let mut before = house.connect();
    let crowd = house.crowd();
    let mut newcomer = house.connect();
    for client in [&mut before, &mut newcomer] {
        client.write_all(&ping()).unwrap();
    }
    assert!(house.serve().is_empty());
    house.pass(BETWEEN_LOOKS);
    assert!(house.serve().is_empty());
    drop(crowd);
    house.pass(BETWEEN_LOOKS);
    assert_eq!(house.serve().len(), 2);
    assert_eq!(house.server.next_deadline(), None);
}

#[test]
fn whoever_has_too_much_for_long_is_cut_off_and_newcomers_are_turned_away_at_once() {
    let mut house = House::new();
    let mut client = house.connect();
    let _crowd = house.crowd();
    client.write_all(&ping()).unwrap();
    assert!(house.serve().is_empty());
    house.pass(Duration::from_secs(2));
    let mut newcomer = house.connect();
    for client in [&mut client, &mut newcomer] {
        let mut told = Vec::new();
        client.read_to_end(&mut told).unwrap();
        assert_eq!(told, too_many());
    }
    house.pass(BETWEEN_LOOKS);
    assert_eq!(house.server.next_deadline(), None);
}

#[test]
fn what_somebody_has_sent_who_has_gone_waits_as_well() {
    let mut house = House::new();
    let mut client = house.connect();
    let crowd = house.crowd();
    // A question would be for nobody; of this something follows.
    client.write_all(&encode_request(7, &Request::Reload).unwrap()).unwrap();
    drop(client);
    assert!(house.serve().is_empty());
    assert!(house.poller.wait(Some(Duration::ZERO)).unwrap().is_empty(), "it is not told of all the time");
    drop(crowd);
    house.pass(BETWEEN_LOOKS);
    assert_eq!(house.serve().len(), 1);
}
