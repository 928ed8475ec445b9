//! A connection on its way to the next image of the daemon, with all that its client has not sent or fetched yet.
//!
//! How it goes on is told in `connection`, under which number by `server`.

use std::cell::OnceCell;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::connection::Connection;
use crate::custody::Account;
use crate::latin::Bytes;
use crate::packed::{PackedPeer, counter};
use crate::parcel::{Packer, Slot, Unpacker};
use crate::reader::FrameReader;
use crate::reader::packed::PackedReader;
use crate::stream::prepare;
use crate::supervisor::event::Peer;

/// A [`Connection`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PackedConnection {
    stream: Slot,
    peer: PackedPeer,
    reader: Option<PackedReader>,
    under_way: Vec<(u64, u32)>,
    arrivals: u64,
    subscription: Option<u32>,
    unsent: Bytes,
    answers_end: usize,
    is_deaf: bool,
    half_request_since: Option<Moment>,
    stuck_since: Option<Moment>,
    active_at: Moment,
}

impl Connection {
    /// Goes on with a connection where it stopped. `account` tells what a client's descriptors are charged to.
    pub(crate) fn unpack(
        packed: PackedConnection,
        unpacker: &mut Unpacker,
        account: impl FnOnce(Peer) -> Account,
    ) -> io::Result<Self> {
        let PackedConnection {
            stream,
            peer,
            reader,
            under_way,
            arrivals,
            subscription,
            unsent: Bytes(unsent),
            answers_end,
            is_deaf,
            half_request_since,
            stuck_since,
            active_at,
        } = packed;
        let stream = UnixStream::from(unpacker.take(stream)?);
        // It is ready already, unless it is no stream at all.
        prepare(&stream)?;
        let peer = Peer::from(peer);
        let unpack = |reader| FrameReader::unpack(reader, unpacker, account(peer));
        let reader = reader.map(unpack).transpose()?;
        Ok(Self {
            stream,
            peer,
            reader,
            arrivals: counter(arrivals, under_way.iter().map(|(number, _)| *number))?,
            under_way: under_way.into_iter().collect(),
            subscription,
            answers_end: answers_end.min(unsent.len()),
            unsent,
            // If it is, the next attempt will tell.
            is_full: false,
            is_deaf,
            half_request_since: half_request_since.map(|since| unpacker.instant(since)),
            groups: OnceCell::new(),
            stuck_since: stuck_since.map(|since| unpacker.instant(since)),
            // Whoever has too much here is found out anew.
            held: None,
            has_turn: false,
            active_at: unpacker.instant(active_at),
        })
    }

    /// Packs the connection.
    pub(crate) fn pack<'a>(&'a self, packer: &mut Packer<'a>) -> PackedConnection {
        let Self {
            stream,
            peer,
            reader,
            under_way,
            arrivals,
            subscription,
            unsent,
            answers_end,
            is_full: _,
            is_deaf,
            half_request_since,
            groups: _,
            stuck_since,
            held: _,
            has_turn: _,
            active_at,
        } = self;
        PackedConnection {
            stream: packer.descriptor(stream.as_fd()),
            peer: (*peer).into(),
            reader: reader.as_ref().map(|reader| reader.pack(packer)),
            under_way: under_way.iter().map(|(number, id)| (*number, *id)).collect(),
            arrivals: *arrivals,
            subscription: *subscription,
            unsent: Bytes(unsent.clone()),
            answers_end: *answers_end,
            is_deaf: *is_deaf,
            half_request_since: half_request_since.map(|since| packer.moment(since)),
            stuck_since: stuck_since.map(|since| packer.moment(since)),
            active_at: packer.moment(*active_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::time::{Duration, Instant};

    use procmgr_config::{Gid, Uid};
    use procmgr_proto::codec::{encode_request, encode_response};
    use procmgr_proto::frame::{Header, Kind, VERSION};
    use procmgr_proto::message::{Invocation, Request, Response};
    use procmgr_proto::stdio::send;

    use super::*;
    use crate::connection::{Arrival, Demand};
    use crate::custody::Ledger;
    use crate::news::EventFrame;
    use crate::parcel::hand_on;
    use crate::supervisor::event::Pid;

    /// A client, and the connection to it.
    struct Pair {
        client: UnixStream,
        connection: Connection,
    }

    impl Pair {
        fn new() -> Self {
            let (client, stream) = UnixStream::pair().unwrap();
            prepare(&stream).unwrap();
            let peer = Peer { pid: Pid(1), uid: Uid(2), gid: Gid(3) };
            let account = Ledger::new(100, 1000).account(peer.uid);
            Self { client, connection: Connection::new(stream, peer, account, Instant::now()) }
        }

        fn upgrade(self) -> Self {
            let Self { client, connection } = self;
            let (packed, mut unpacker) = hand_on(connection, Connection::pack);
            let account = |peer: Peer| Ledger::new(100, 1000).account(peer.uid);
            Self { client, connection: Connection::unpack(packed, &mut unpacker, account).unwrap() }
        }

        /// Returns the number under which a request is known then.
        fn ask(&mut self, id: u32, request: &Request) -> u64 {
            self.client.write_all(&encode_request(id, request).unwrap()).unwrap();
            self.connection.read(Instant::now()).unwrap().number
        }

        fn answer(&mut self, number: u64) {
            self.connection.answer(number, &Response::Done, Instant::now());
        }

        /// Returns all that the client is sent.
        fn fetch(&mut self) -> Vec<u8> {
            self.client.set_nonblocking(true).unwrap();
            let mut fetched = Vec::new();
            loop {
                let before = fetched.len();
                self.connection.flush(Instant::now());
                let _ = self.client.read_to_end(&mut fetched);
                if fetched.len() == before && self.connection.unsent.is_empty() {
                    return fetched;
                }
            }
        }
    }

    fn done(id: u32) -> Vec<u8> {
        encode_response(id, &Response::Done).unwrap()
    }

    fn event(length: usize) -> EventFrame {
        let announced = u32::try_from(length).unwrap();
        let header = Header { version: VERSION, kind: Kind::Event, descriptors: 0, id: 0, length: announced };
        EventFrame { header, body: (0..=u8::MAX).cycle().take(length).collect() }
    }

    fn is_near(one: Instant, other: Instant) -> bool {
        one.max(other).duration_since(one.min(other)) < Duration::from_millis(100)
    }

    #[test]
    fn half_a_request_goes_on_with_its_descriptors_and_its_deadline() {
        let invocation = Invocation { program: b"p".to_vec(), action: b"a".to_vec(), arguments: Vec::new() };
        let frame = encode_request(7, &Request::Invoke(invocation.clone())).unwrap();
        let null = File::open("/dev/null").unwrap();
        for cut in [1, 15, 16, 17, frame.len() - 1] {
            let mut pair = Pair::new();
            send(&pair.client, &frame[..cut], &[null.as_fd(); 3]).unwrap();
            let begin = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
            assert!(pair.connection.read(begin).is_none());
            let (before, reason) = pair.connection.deadline().unwrap();
            let mut pair = pair.upgrade();
            let (after, still) = pair.connection.deadline().unwrap();
            assert!(is_near(before, after) && reason == still);
            pair.client.write_all(&frame[cut..]).unwrap();
            let Arrival { number, demand } = pair.connection.read(Instant::now()).unwrap();
            let Demand::Invoke { invocation: arrived, stdio, .. } = demand else { panic!("{demand:?}") };
            assert_eq!((arrived, stdio.len()), (invocation.clone(), 3));
            assert_eq!(pair.connection.deadline(), None);
            pair.answer(number);
            assert_eq!(pair.fetch(), done(7));
        }
    }

    #[test]
    fn what_is_not_sent_arrives_and_a_subscription_goes_on() {
        let mut pair = Pair::new();
        let now = Instant::now();
        let subscribed = Response::Subscribed { programs: Vec::new() };
        let number = pair.ask(7, &Request::Subscribe);
        pair.connection.subscribe(number, &subscribed, now);
        let ping = pair.ask(8, &Request::Ping);
        let event = event(10_000);
        let mut expected = encode_response(7, &subscribed).unwrap();
        let mut tell = |pair: &mut Pair| {
            pair.connection.tell(&event, now);
            expected.extend(Header { id: 7, ..event.header }.to_bytes());
            expected.extend(&event.body);
        };
        while !pair.connection.is_full {
            tell(&mut pair);
        }
        tell(&mut pair);
        let (before, stuck) = (pair.connection.unsent.clone(), pair.connection.deadline().unwrap().0);
        assert!(before.len() > 10_000);
        let mut pair = pair.upgrade();
        assert_eq!(pair.connection.unsent, before);
        assert!(is_near(pair.connection.deadline().unwrap().0, stuck));
        tell(&mut pair);
        pair.answer(ping);
        expected.extend(done(8));
        assert!(pair.fetch() == expected);
        assert!(pair.connection.is_subscribed());
    }

    #[test]
    fn a_subscriber_that_fetches_nothing_is_cut_off_at_the_same_byte() {
        let mut pair = Pair::new();
        let now = Instant::now();
        let number = pair.ask(7, &Request::Subscribe);
        pair.connection.subscribe(number, &Response::Subscribed { programs: Vec::new() }, now);
        let event = event(100_000);
        let mut told = 0;
        while pair.connection.is_subscribed() {
            pair.connection.tell(&event, now);
            told += 1;
        }
        let mut late = Pair::new();
        let number = late.ask(7, &Request::Subscribe);
        late.connection.subscribe(number, &Response::Subscribed { programs: Vec::new() }, now);
        for _ in 0..told - 1 {
            late.connection.tell(&event, now);
            late = late.upgrade();
        }
        assert!(late.connection.is_subscribed());
        late.connection.tell(&event, now);
        assert!(!late.connection.is_subscribed());
        assert!(late.fetch() == pair.fetch());
    }

    #[test]
    fn requests_under_way_are_answered_and_new_ones_have_new_numbers() {
        let mut pair = Pair::new();
        let (first, second) = (pair.ask(5, &Request::Ping), pair.ask(6, &Request::Ping));
        pair.answer(second);
        let mut pair = pair.upgrade();
        assert_eq!(pair.connection.idle_since(), None);
        let third = pair.ask(7, &Request::Ping);
        assert!(third != first && third != second);
        pair.answer(first);
        pair.answer(third);
        assert_eq!(pair.fetch(), [done(6), done(5), done(7)].concat());
    }

    #[test]
    fn who_has_said_all_is_answered_and_who_has_gone_is_not() {
        let mut pair = Pair::new();
        let number = pair.ask(5, &Request::Ping);
        pair.client.shutdown(Shutdown::Write).unwrap();
        assert!(pair.connection.read(Instant::now()).is_none());
        let mut pair = pair.upgrade();
        assert!(!pair.connection.is_finished() && !pair.connection.is_reading());
        pair.answer(number);
        assert_eq!(pair.fetch(), done(5));
        assert!(pair.connection.is_finished());

        let mut pair = Pair::new();
        let number = pair.ask(5, &Request::Ping);
        pair.connection.hang_up();
        let mut pair = pair.upgrade();
        pair.answer(number);
        assert!(pair.fetch().is_empty());
    }

    #[test]
    fn an_idle_one_is_as_idle_as_before() {
        let pair = Pair::new();
        let (peer, since) = (pair.connection.peer(), pair.connection.idle_since().unwrap());
        let pair = pair.upgrade();
        assert!(is_near(pair.connection.idle_since().unwrap(), since));
        assert_eq!(pair.connection.peer(), peer);
        assert_eq!(pair.connection.deadline(), None);
    }

    #[test]
    fn numbers_that_make_no_sense_do_no_harm() {
        let unpack = |change: fn(&mut PackedConnection)| {
            let Pair { client, connection } = Pair::new();
            let (mut packed, mut unpacker) = hand_on(connection, Connection::pack);
            change(&mut packed);
            let account = |peer: Peer| Ledger::new(100, 1000).account(peer.uid);
            Connection::unpack(packed, &mut unpacker, account)
                .map(|connection| Pair { client, connection })
                .ok()
        };
        let mut pair = unpack(|it| (it.subscription, it.answers_end) = (Some(7), usize::MAX)).unwrap();
        pair.connection.tell(&event(1), Instant::now());
        assert_eq!(pair.fetch().len(), 17);
        let mut pair = unpack(|it| it.under_way = vec![(0, 5)]).unwrap();
        assert_eq!(pair.ask(6, &Request::Ping), 1);
        assert!(unpack(|it| it.arrivals = u64::MAX).is_none());
        assert!(unpack(|it| it.under_way = vec![(u64::MAX, 5)]).is_none());
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        let null = File::open("/dev/null").unwrap();
        let (slot, _) = hand_on(null, |null, packer| packer.descriptor(null.as_fd()));
        let Pair { client: _client, connection } = Pair::new();
        let (packed, mut unpacker) = hand_on(connection, Connection::pack);
        let packed = PackedConnection { stream: slot, ..packed };
        Connection::unpack(packed, &mut unpacker, |peer| Ledger::new(100, 1000).account(peer.uid))
            .unwrap_err();
    }
}
