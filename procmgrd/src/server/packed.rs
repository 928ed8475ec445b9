//! The listener and all clients on their way to the next image of the daemon.
//!
//! What becomes of each is told in `listener` and `connection`; what can be counted or looked up is made anew.

use std::io;
use std::time::Instant;

use procmgr_config::Uid;
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::connection::Connection;
use crate::connection::packed::PackedConnection;
use crate::custody::Account;
use crate::listener::{Listener, PackedListener};
use crate::packed::{PackedCaller, counter, senseless};
use crate::parcel::{Packer, Unpacker};
use crate::poll::Poller;
use crate::register::{Entry, Footprint};
use crate::server::door::Door;
use crate::server::{Row, Server, watch};
use crate::supervisor::event::Peer;

/// A [`Server`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PackedServer {
    listener: PackedListener,
    paused_until: Option<Moment>,
    connections: Vec<(u64, PackedConnection)>,
    next_number: u64,
    under_way: Vec<PackedCaller>,
}

impl Server {
    /// Goes on with the clients of another image of the daemon, with the descriptors that this one may have.
    ///
    /// Serving begins with [`claim`](Self::claim); until then, dropping this does no harm to the other one.
    pub(crate) fn unpack(
        packed: PackedServer,
        unpacker: &mut Unpacker,
        poller: &Poller,
        descriptors: usize,
    ) -> io::Result<Self> {
        let PackedServer { listener, paused_until, connections, next_number, under_way } = packed;
        let listener = Listener::unpack(listener, unpacker)?;
        let next_number = counter(next_number, connections.iter().map(|(number, _)| *number))?;
        let mut server = Self { next_number, ..Self::new(listener, poller, descriptors)? };
        if let Some(until) = paused_until {
            server.door.shut(unpacker.instant(until), poller)?;
        }
        server.register.quotas.unpack(under_way);
        for (number, connection) in connections {
            let account = |peer: Peer| server.account(peer.uid);
            let connection = Connection::unpack(connection, unpacker, account)?;
            server.readmit(number, connection, poller)?;
        }
        // Whatever subscribers have been told, it is tried to send it.
        server.has_news = true;
        Ok(server)
    }

    /// Makes what was handed on this process's own, when there is no other one any more that it is to be for.
    pub(crate) fn claim(&mut self, poller: &Poller, now: Instant) -> io::Result<()> {
        self.door.listener.claim()?;
        // The file may have gone while nobody watched it.
        self.restore_socket(poller, now);
        Ok(())
    }

    /// Returns what the descriptors that a user has sent are charged to, wherever they are.
    pub(crate) fn account(&self, uid: Uid) -> Account {
        self.register.quotas.account(uid)
    }

    /// Packs all there is.
    pub(crate) fn pack<'a>(&'a self, packer: &mut Packer<'a>) -> PackedServer {
        let Self {
            door: Door { listener, accepts_per_turn: _, shut_until },
            rows,
            next_number,
            register,
            has_news: _,
            unserved: _,
            looks_again_at: _,
        } = self;
        let connections = rows.iter().map(|(number, row)| (*number, row.connection.pack(packer)));
        PackedServer {
            connections: connections.collect(),
            listener: listener.pack(packer),
            paused_until: shut_until.map(|until| packer.moment(until)),
            next_number: *next_number,
            under_way: register.quotas.pack(),
        }
    }

    fn readmit(&mut self, number: u64, connection: Connection, poller: &Poller) -> io::Result<()> {
        let uid = connection.peer().uid;
        watch(&connection, number, poller)?;
        let recorded = Footprint::of(&connection);
        self.register.reenter(Entry { number, uid }, recorded);
        match self.rows.insert(number, Row { connection, recorded }) {
            None => Ok(()),
            Some(_) => Err(senseless("two connections of one number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use procmgr_proto::codec::{encode_request, encode_response};
    use procmgr_proto::event::{Event, ProgramStatus, State};
    use procmgr_proto::message::{Request, Response};

    use super::*;
    use crate::clock::Clock;
    use crate::news::EventFrame;
    use crate::parcel::hand_on;
    use crate::poll::{Ready, Source};
    use crate::server::Incoming;
    use crate::server::tests::{DESCRIPTORS, House};
    use crate::supervisor::event::{Caller, Cause, Change};

    impl House {
        fn rehearse(self) -> Self {
            let Self { folder, poller: _, server, now } = self;
            let (packed, mut unpacker) = hand_on(server, Server::pack);
            let poller = Poller::new().unwrap();
            let server = Server::unpack(packed, &mut unpacker, &poller, DESCRIPTORS).unwrap();
            Self { folder, poller, server, now }
        }

        fn upgrade(self) -> Self {
            let mut house = self.rehearse();
            house.server.claim(&house.poller, Instant::now()).unwrap();
            house
        }

        fn ready(&mut self) -> Vec<Source> {
            let ready = self.poller.wait(Some(Duration::ZERO)).unwrap();
            ready.into_iter().map(|Ready { source, .. }| source).collect()
        }

        /// Takes a request from whoever has sent one.
        fn request(&mut self) -> Caller {
            let [ready] = self.poller.wait(Some(Duration::from_secs(60))).unwrap()[..] else {
                panic!("not one is ready")
            };
            let Source::Connection(number) = ready.source else { panic!("{ready:?}") };
            let incoming = self.server.serve(ready, number, &self.poller, Instant::now());
            let Some(Incoming { caller, .. }) = incoming else { panic!("no request") };
            caller
        }

        fn answer(&mut self, caller: Caller, response: &Response) {
            self.server.answer(caller, response, &self.poller, Instant::now());
        }
    }

    fn ask(stream: &mut UnixStream, id: u32, request: &Request) {
        stream.write_all(&encode_request(id, request).unwrap()).unwrap();
    }

    fn expect(stream: &mut UnixStream, expected: &[u8]) {
        let mut fetched = vec![0; expected.len()];
        stream.read_exact(&mut fetched).unwrap();
        assert_eq!(fetched, expected);
    }

    fn done(id: u32) -> Vec<u8> {
        encode_response(id, &Response::Done).unwrap()
    }

    #[test]
    fn nobody_notices_that_it_is_another_image_that_serves() {
        let mut house = House::new();
        let (mut waiting, mut idle) = (house.connect(), house.connect());
        ask(&mut waiting, 7, &Request::Ping);
        let caller = house.request();
        let mut house = house.upgrade();
        assert_eq!(house.ready(), []);
        house.answer(caller, &Response::Done);
        expect(&mut waiting, &done(7));
        ask(&mut idle, 8, &Request::Ping);
        let other = house.request();
        assert_eq!((caller.connection, other.connection), (0, 1));
        house.answer(other, &Response::Done);
        expect(&mut idle, &done(8));
        let mut late = UnixStream::connect(house.server.socket_path()).unwrap();
        assert_eq!(house.ready(), [Source::Listener]);
        house.server.accept(&house.poller, Instant::now());
        ask(&mut late, 9, &Request::Ping);
        assert_eq!(house.request().connection, 2);
    }

    #[test]
    fn what_is_used_counts_as_before() {
        let mut house = House::new();
        let mut clients = [house.connect(), house.connect(), house.connect()];
        ask(&mut clients[0], 7, &Request::Subscribe);
        let subscriber = house.request();
        house.answer(subscriber, &Response::Subscribed { programs: Vec::new() });
        ask(&mut clients[1], 7, &Request::Ping);
        let asking = house.request();
        clients[2].write_all(b"PMGR").unwrap();
        house.server.serve(
            Ready { source: Source::Connection(2), readable: true, hung_up: false },
            2,
            &house.poller,
            Instant::now(),
        );
        let deadline = house.server.next_deadline().unwrap();

        let mut house = house.upgrade();
        let uid = asking.peer.uid;
        let register = &house.server.register;
        assert_eq!(register.quotas.connections(uid), 3);
        assert_eq!(register.subscribers().iter().collect::<Vec<_>>(), [&0]);
        assert_eq!(register.quotas.pack(), [asking.into()]);
        let later = house.server.next_deadline().unwrap();
        let difference = later.max(deadline).duration_since(later.min(deadline));
        assert!(difference < Duration::from_millis(100), "{difference:?}");

        drop(clients);
        house.answer(asking, &Response::Done);
        while house.server.register.quotas.connections(uid) > 0 {
            for ready in house.poller.wait(Some(Duration::from_secs(60))).unwrap() {
                if let Source::Connection(number) = ready.source {
                    house.server.serve(ready, number, &house.poller, Instant::now());
                }
            }
        }
        assert_eq!(house.server.next_deadline(), None);
    }

    #[test]
    fn what_subscribers_were_told_and_not_sent_is_sent() {
        let mut house = House::new();
        let mut client = house.connect();
        ask(&mut client, 7, &Request::Subscribe);
        let caller = house.request();
        let subscribed = Response::Subscribed { programs: Vec::new() };
        house.answer(caller, &subscribed);
        let program = ProgramStatus { name: b"p".to_vec(), state: State::Down, pid: None, marks: Vec::new() };
        let change = Change { program, cause: Cause::default() };
        let event = EventFrame::new(change, std::time::UNIX_EPOCH);
        house.server.publish(&event, &house.poller, Instant::now());
        let mut house = house.upgrade();
        house.server.deliver(&house.poller, Instant::now());
        expect(&mut client, &encode_response(7, &subscribed).unwrap());
        let event = event.unwrap();
        let mut header = event.header;
        header.id = 7;
        expect(&mut client, &header.to_bytes());
        let mut body = vec![0; event.body.len()];
        client.read_exact(&mut body).unwrap();
        let Event::Changed(change) = procmgr_proto::codec::decode_event(&body).unwrap() else {
            panic!("another event")
        };
        assert_eq!(change.program.name, b"p");
    }

    #[test]
    fn nobody_is_accepted_before_a_pause_is_over() {
        let mut house = House::new();
        let now = Instant::now();
        let until = now + Duration::from_secs(60);
        house.server.door.shut(until, &house.poller).unwrap();
        let _client = UnixStream::connect(house.server.socket_path()).unwrap();
        let mut house = house.rehearse();
        assert_eq!(house.ready(), []);
        assert!(house.server.next_deadline().is_some());
        house.server.expire(&house.poller, until + Duration::from_secs(1));
        assert_eq!(house.ready(), [Source::Listener]);
    }

    #[test]
    fn a_rehearsal_does_no_harm_however_it_ends() {
        let mut house = House::new();
        let mut clients = [house.connect(), house.connect()];
        let text = serde_json::to_string(&house.server.pack(&mut Packer::new(Clock::now()))).unwrap();
        for cut in 0..text.len() {
            assert!(serde_json::from_str::<PackedServer>(&text[..cut]).is_err(), "cut at {cut}");
        }
        let House { folder, poller: _, server, .. } = house;
        // What the image that goes on has still.
        let rows = server.rows.values();
        let _still: Vec<_> = rows.map(|row| row.connection.as_fd().try_clone_to_owned().unwrap()).collect();
        let (mut packed, mut unpacker) = hand_on(server, Server::pack);
        for (number, _) in &mut packed.connections {
            *number = 0;
        }
        let poller = Poller::new().unwrap();
        Server::unpack(packed, &mut unpacker, &poller, DESCRIPTORS).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        for client in &mut clients {
            client.set_nonblocking(true).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }
}
