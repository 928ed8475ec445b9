//! All clients: letting them in, bounding what they use, and routing requests in and answers out.
//!
//! What one client says is `connection`'s business, what its requests lead to the supervisor's, and what each user may
//! use `quota`'s.

mod door;
pub(crate) mod packed;

use std::io;
use std::mem;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use procmgr_config::{Gid, Uid};
use procmgr_proto::codec::EncodeError;
use procmgr_proto::message::{Code, Refusal, Response};

use crate::connection::{Arrival, Connection, Demand};
use crate::disposal;
use crate::fairness::take_turns;
use crate::journal;
use crate::listener::Listener;
use crate::maps::{Map, Set};
use crate::news::EventFrame;
use crate::poll::{Poller, Ready, Source};
use crate::quota::{Crowding, Exceeded};
use crate::register::{Entry, Footprint, Register};
use crate::server::door::Door;
use crate::stream::{prepare, turn_away};
use crate::supervisor::event::{Caller, Peer, Pid, Question};

/// How long those from whom nothing is read wait until it is seen whether they can be read from again.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// How many bytes may be kept for a subscriber before they are counted.
const UNRECORDED: usize = 64 * 1024;

/// A request, who asks, and where the answer goes.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) caller: Caller,
    pub(crate) demand: Demand,
}

/// The door, and everyone who has come in.
#[derive(Debug)]
pub(crate) struct Server {
    door: Door,
    rows: Map<u64, Row>,
    next_number: u64,
    register: Register,
    /// Whether there is something that subscribers have been told and not been sent.
    has_news: bool,
    /// Who was to be served in this turn and has not been.
    unserved: Set<u64>,
    /// When to see whether those who wait may be read from again.
    looks_again_at: Option<Instant>,
}

/// A connection, and what was known of it when the records of the server were last made true.
#[derive(Debug)]
struct Row {
    connection: Connection,
    recorded: Footprint,
}

/// What is still open when the server has ended. Clients may have sent descriptors that nobody has received, and to
/// close those may take as long as they like, except while a process ends.
#[derive(Debug)]
pub(crate) struct Remains {
    _socket: Option<UnixListener>,
    _rows: Map<u64, Row>,
}

impl Server {
    /// Serves the clients of a listener, with the descriptors that the daemon may have.
    pub(crate) fn new(listener: Listener, poller: &Poller, descriptors: usize) -> io::Result<Self> {
        Ok(Self {
            door: Door::new(listener, poller, descriptors)?,
            rows: Map::default(),
            next_number: 0,
            register: Register::new(descriptors),
            has_news: false,
            unserved: Set::default(),
            looks_again_at: None,
        })
    }

    /// Returns where clients connect.
    pub(crate) fn socket_path(&self) -> &Path {
        self.door.listener.path()
    }

    /// Accepts who has connected, as far as there is room.
    pub(crate) fn accept(&mut self, poller: &Poller, now: Instant) {
        for _ in 0..self.door.accepts_per_turn {
            let Some(stream) = self.door.accept(poller, now) else { return };
            self.admit(stream, poller, now);
        }
    }

    /// Returns the connections among what is ready, in the order in which they are to be served.
    pub(crate) fn taking_turns(&mut self, ready: &[Ready]) -> Vec<(Ready, u64)> {
        let connections = ready.iter().filter_map(|ready| match ready.source {
            Source::Connection(number) => Some((*ready, number)),
            _ => None,
        });
        let mut connections: Vec<(Ready, u64)> = connections.collect();
        // Whoever the last turn had no time for comes first.
        connections.sort_by_key(|(_, number)| !self.unserved.contains(number));
        self.unserved.clear();
        self.unserved.extend(connections.iter().map(|(_, number)| *number));
        take_turns(connections, |(_, number)| self.rows.get(number).map(|row| row.connection.peer().uid))
    }

    /// Lets a connection read and write what it can. Returns a request, if one is complete.
    pub(crate) fn serve(
        &mut self,
        ready: Ready,
        number: u64,
        poller: &Poller,
        now: Instant,
    ) -> Option<Incoming> {
        self.unserved.remove(&number);
        let connection = &mut self.rows.get_mut(&number)?.connection;
        connection.flush(now);
        if ready.hung_up {
            connection.hang_up();
        }
        let arrival = if ready.readable || ready.hung_up { self.read(number, now) } else { None };
        let incoming = arrival.and_then(|arrival| self.let_in(number, arrival, now));
        self.settle(number, poller, now);
        incoming
    }

    /// Answers a request; if its client has gone, nobody is told.
    pub(crate) fn answer(&mut self, caller: Caller, response: &Response, poller: &Poller, now: Instant) {
        self.register.quotas.end(caller);
        if let Some(Row { connection, .. }) = self.rows.get_mut(&caller.connection) {
            if let Response::Subscribed { .. } = response {
                connection.subscribe(caller.request, response, now);
            } else {
                connection.answer(caller.request, response, now);
            }
            self.settle(caller.connection, poller, now);
        }
    }

    /// Tells an event to all who have subscribed; [`Server::deliver`] sends it.
    ///
    /// Those who would miss one that cannot be told are cut off.
    pub(crate) fn publish(&mut self, event: &Result<EventFrame, EncodeError>, poller: &Poller, now: Instant) {
        let mut changed = Vec::new();
        for number in self.register.subscribers() {
            if let Some(Row { connection, recorded }) = self.rows.get_mut(number) {
                match event {
                    Ok(event) => connection.tell(event, now),
                    Err(error) => connection.end_subscription(&error.to_string(), now),
                }
                // Many events may come in a turn, and what they take counts before it ends.
                if !connection.is_subscribed() || connection.buffered() > recorded.buffered + UNRECORDED {
                    changed.push(*number);
                }
            }
        }
        self.has_news = !self.register.subscribers().is_empty();
        for number in changed {
            self.settle(number, poller, now);
        }
    }

    /// Sends what was published since this was last called: all events of a turn in one go.
    pub(crate) fn deliver(&mut self, poller: &Poller, now: Instant) {
        if !mem::take(&mut self.has_news) {
            return;
        }
        for number in self.register.subscribers().clone() {
            if let Some(Row { connection, .. }) = self.rows.get_mut(&number) {
                if connection.can_flush() {
                    connection.flush(now);
                }
                self.settle(number, poller, now);
            }
        }
    }

    /// Cuts off those whose time is over, and reads and accepts again after a pause.
    pub(crate) fn expire(&mut self, poller: &Poller, now: Instant) {
        // Whose time is over only because the loop stood still has another chance.
        if self.looks_again_at.is_some_and(|then| then <= now) {
            self.release(poller, now);
        }
        while let Some(number) = self.register.due(now) {
            let deadline = self.rows.get(&number).and_then(|row| row.connection.deadline());
            let Some((_, reason)) = deadline else { break };
            if let Some(Row { connection, .. }) = self.rows.get_mut(&number) {
                journal::cut_off(connection.peer(), reason);
                connection.time_out(reason, now);
                self.settle(number, poller, now);
            }
        }
        if self.door.shut_until.is_some_and(|until| until <= now) {
            self.door.open(poller);
        }
    }

    /// Returns when [`Server::expire`] is wanted, if ever.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.register.next_deadline().into_iter().chain(self.looks_again_at).chain(self.door.shut_until).min()
    }

    /// Makes the socket file anew if it is gone.
    pub(crate) fn restore_socket(&mut self, poller: &Poller, now: Instant) {
        for stream in self.door.restore(poller, now) {
            self.admit(stream, poller, now);
        }
    }

    /// Stops serving: removes the socket file, frees its place for the next daemon, ends the subscriptions, and then
    /// gives the last answer.
    ///
    /// Returns what the end of the process has to close: clients wait for that, and only then it waits for nobody.
    pub(crate) fn end(self, last: Option<Caller>, now: Instant) -> Remains {
        let Self { door, mut rows, .. } = self;
        let socket = door.listener.socket().try_clone().ok();
        drop(door);
        for Row { connection, .. } in rows.values_mut() {
            connection.unsubscribe(Refusal::new(Code::Shutdown, "the daemon ends"), now);
        }
        if let Some(caller) = last
            && let Some(Row { connection, .. }) = rows.get_mut(&caller.connection)
        {
            connection.answer(caller.request, &Response::Done, now);
        }
        Remains { _socket: socket, _rows: rows }
    }

    fn admit(&mut self, stream: UnixStream, poller: &Poller, now: Instant) {
        let (Ok(peer), Ok(())) = (peer_of(&stream), prepare(&stream)) else {
            return disposal::later(stream, None);
        };
        let account = self.register.quotas.account(peer.uid);
        let crowding = self.register.crowding(peer.uid, now);
        let admission = match crowding {
            Some(Crowding { exceeded, until }) if until <= now => Err(exceeded),
            Some(_) | None => self.find_place(peer.uid, poller, now),
        };
        if let Err(exceeded) = admission {
            journal::turned_away(peer, exceeded.reason());
            return turn_away(stream, &account, exceeded.reason());
        }
        let number = self.next_number;
        let mut connection = Connection::new(stream, peer, account.clone(), now);
        if let Some(crowding) = crowding {
            connection.hold(crowding);
        }
        if watch(&connection, number, poller).is_err() {
            self.register.quotas.disconnect(peer.uid, 0);
            return connection.close(&account);
        }
        let recorded = Footprint::of(&connection);
        self.register.enter(Entry { number, uid: peer.uid }, recorded);
        self.next_number += 1;
        self.rows.insert(number, Row { connection, recorded });
        self.look_again(now);
    }

    /// Counts a new connection of a user, if need be in the place of another one.
    fn find_place(&mut self, uid: Uid, poller: &Poller, now: Instant) -> Result<(), Exceeded> {
        let admission = self.register.quotas.connect(uid, self.rows.len());
        if admission == Err(Exceeded::AllConnections) && self.make_room(uid, poller, now) {
            return self.register.quotas.connect(uid, self.rows.len());
        }
        admission
    }

    /// Reads from a connection, unless its user has too many descriptors here, or it is the turn of others. Whoever has
    /// too many with this is to wait.
    fn read(&mut self, number: u64, now: Instant) -> Option<Arrival> {
        let connection = &mut self.rows.get_mut(&number)?.connection;
        let uid = connection.peer().uid;
        let crowding = if connection.take_turn() {
            self.register.quotas.check_descriptors(uid).err()
        } else {
            self.register.crowding(uid, now)
        };
        let arrival = if crowding.is_none() { connection.read(now) } else { None };
        if let Some(crowding) = crowding.or_else(|| self.register.quotas.check_descriptors(uid).err()) {
            connection.hold(crowding);
        }
        arrival
    }

    /// Reads again from those whose turn it is.
    fn release(&mut self, poller: &Poller, now: Instant) {
        for number in self.register.turns() {
            if let Some(Row { connection, .. }) = self.rows.get_mut(&number) {
                connection.release();
                self.settle(number, poller, now);
            }
        }
        self.looks_again_at = None;
        self.look_again(now);
    }

    /// Has those who are held looked at, as long as there are any.
    fn look_again(&mut self, now: Instant) {
        if self.register.is_anybody_held() {
            self.looks_again_at.get_or_insert(now + BETWEEN_LOOKS);
        }
    }

    /// Counts a request. Who has too many under way is refused.
    fn let_in(&mut self, number: u64, arrival: Arrival, now: Instant) -> Option<Incoming> {
        let Arrival { number: request, demand } = arrival;
        let connection = &mut self.rows.get_mut(&number)?.connection;
        if connection.is_deaf() && demand.is_mere_question() {
            // Nobody would hear the answer, and nothing else follows from it.
            connection.forget(request, now);
            return None;
        }
        let peer = connection.peer();
        let caller = Caller { connection: number, request, peer };
        let quotas = &mut self.register.quotas;
        let is_room = match demand {
            Demand::Ask(Question::Subscribe) if connection.is_subscribed() => {
                Err("this connection has a subscription")
            }
            Demand::Ask(Question::Subscribe) => quotas.may_subscribe(peer.uid).map_err(Exceeded::reason),
            Demand::Ask(_) | Demand::Invoke { .. } => Ok(()),
        };
        let is_room = is_room.and_then(|()| quotas.begin(caller).map_err(Exceeded::reason));
        if let Err(reason) = is_room {
            let refusal = Refusal::new(Code::Limit, reason);
            journal::refused_unheard(peer, &refusal);
            connection.answer(request, &Response::Refused(refusal), now);
            return None;
        }
        Some(Incoming { caller, demand })
    }

    /// Cuts off an idle client for the sake of a newcomer, if that is fair. Returns whether it was.
    fn make_room(&mut self, newcomer: Uid, poller: &Poller, now: Instant) -> bool {
        let Some(number) = self.register.making_room(newcomer) else { return false };
        self.cut_off(number, "there are too many connections, and yours is idle", poller, now);
        true
    }

    fn cut_off(&mut self, number: u64, reason: &str, poller: &Poller, now: Instant) {
        if let Some(Row { connection, .. }) = self.rows.get_mut(&number) {
            journal::cut_off(connection.peer(), reason);
            connection.cut_off(reason, now);
            self.settle(number, poller, now);
        }
    }

    /// Makes the records true after a connection has changed, and closes it if it is finished.
    fn settle(&mut self, number: u64, poller: &Poller, now: Instant) {
        let Some(Row { connection, recorded }) = self.rows.get_mut(&number) else { return };
        let entry = Entry { number, uid: connection.peer().uid };
        let before = mem::replace(recorded, Footprint::of(connection));
        if let Err(exceeded) = self.register.change(entry, before, *recorded) {
            journal::cut_off(connection.peer(), exceeded.reason());
            connection.cut_off(exceeded.reason(), now);
            return self.settle(number, poller, now);
        }
        let is_over = connection.is_finished() || {
            let source = Source::Connection(number);
            let told_of = match (before.interest, recorded.interest) {
                (Some(before), Some(now)) if before != now => poller.change(&connection, source, now),
                (None, Some(now)) => poller.add(&connection, source, now),
                (Some(_), None) => poller.remove(&connection),
                (Some(_), Some(_)) | (None, None) => Ok(()),
            };
            told_of.is_err()
        };
        if is_over {
            self.close(number, poller);
        }
        self.look_again(now);
    }

    /// Closes a connection that has just been settled.
    fn close(&mut self, number: u64, poller: &Poller) {
        let Some(Row { connection, recorded }) = self.rows.remove(&number) else { return };
        let uid = connection.peer().uid;
        self.register.leave(Entry { number, uid }, recorded);
        let _ = poller.remove(&connection);
        connection.close(&self.register.quotas.account(uid));
        self.door.open(poller);
    }
}

/// Has the poller tell of a connection, if there is anything to be waited for.
fn watch(connection: &Connection, number: u64, poller: &Poller) -> io::Result<()> {
    let interest = connection.interest();
    interest.map_or(Ok(()), |interest| poller.add(connection, Source::Connection(number), interest))
}

fn peer_of(stream: &UnixStream) -> nix::Result<Peer> {
    let credentials = getsockopt(stream, PeerCredentials)?;
    Ok(Peer { pid: Pid(credentials.pid()), uid: Uid(credentials.uid()), gid: Gid(credentials.gid()) })
}

#[cfg(test)]
mod tests;
